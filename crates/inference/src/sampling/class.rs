//! Scheduler classes by the names of diffusers.

use super::SchedulerClass;
use super::config::FILE;
use crate::{Error, Result};

impl SchedulerClass {
    /// The name that diffusers uses.
    pub fn name(self) -> &'static str {
        self.definition().class_name
    }

    /// The class with this diffusers name; [`Error::Config`] lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::Config {
                file: FILE.into(),
                field: "_class_name".into(),
                reason: format!("expected one of {known}, got {name:?}"),
            }
        })
    }

    /// Whether it follows the short schedule that a model was distilled on (LCM, TCD).
    pub fn is_distilled(self) -> bool {
        self.definition().takes.distilled
    }

    /// Model calls per step: 1, or 2 for two-stage methods (Heun, DPM2).
    pub fn order(self) -> usize {
        self.definition().calls_per_step
    }
}
