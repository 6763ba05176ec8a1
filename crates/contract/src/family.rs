//! The families of routes. Each has its own JSON shape for errors.

/// An API family, which decides the shape of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `{"status":"error","message","detail"}`.
    Run,
    /// FastAPI's `{"detail"}`.
    Task,
    /// Flask's `{"error"}`.
    Imagine,
    /// OpenAI's `{"error":{"message","type","param","code"}}`.
    OpenAi,
    /// AUTOMATIC1111's `{"error","detail","body","errors"}`.
    WebUi,
    /// Caikit's `{"details","code","id"}`.
    Caikit,
    /// `{"error"}`, and 400 for bad fields.
    Analysis,
}

impl Family {
    /// The family that a path belongs to.
    pub(crate) fn of(path: &str) -> Self {
        let mut segments = path.split('/').skip(1);
        match segments.next() {
            Some("pipeline") => Self::Run,
            Some("imagine") => Self::Imagine,
            Some("v1") => Self::OpenAi,
            Some("sdapi") => Self::WebUi,
            Some("info") => Self::Caikit,
            Some("api") if segments.next() == Some("v1") => Self::Caikit,
            Some("api") => Self::Analysis,
            _ => Self::Task,
        }
    }

    /// The name of its errors in the description.
    pub(crate) fn schema(self) -> &'static str {
        match self {
            Self::Run => "PipelineError",
            Self::Task => "TaskError",
            Self::Imagine => "ImagineError",
            Self::OpenAi => "OpenAiError",
            Self::WebUi => "WebUiError",
            Self::Caikit => "CaikitError",
            Self::Analysis => "AnalysisError",
        }
    }
}
