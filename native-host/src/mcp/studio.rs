//! Answers the protocol's requests with the contract's service.

use super::answer;
use super::seen::{self, Asked};
use crate::serve::Config;
use easel_contract::access::Caller;
use easel_contract::links::{self, Link};
use easel_contract::service::{
    ImageFilter, ImageRequest, Paging, Priority, Progress, ProgressStream, Result, Status, Task, WatchOptions,
};
use easel_contract::tools::{self, Call, Look};
use easel_contract::{Error, Service};
use futures_util::StreamExt;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ProgressNotificationParam, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, ResourceTemplate,
    ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use std::sync::Arc;

/// How many pictures a page of resources has.
const PAGE: u32 = 50;

/// For how many milliseconds a client may keep the list of tools.
const FRESH: u64 = 300_000;

/// The start of links that can only be read through the protocol.
const SCHEME: &str = "easel:/";

/// When a client should retry if its call ended because the service is shutting down, in seconds.
const RETRY_AFTER: u32 = 5;

/// The description of the server for language models.
const INSTRUCTIONS: &str = "Easel draws pictures on the user's own machine. generate_image draws from a text, edit_image from a \
                            picture and a text, and list_models lists what can draw. Show the user the linked pictures: the \
                            previews in the answers are small. If there is analyze_image, it says what a picture shows, and \
                            where.";

/// The tools over a service.
#[derive(Clone)]
pub struct Studio {
    service: Arc<dyn Service>,
    /// Whether pictures can be analysed.
    sees: bool,
}

/// The caller, and the start of the links in the answer.
struct Asker {
    caller: Caller,
    base: String,
}

impl Asker {
    fn of(context: &RequestContext<RoleServer>) -> Result<Self> {
        let Some(parts) = context.extensions.get::<axum::http::request::Parts>() else {
            return Ok(Self { caller: Caller::default(), base: SCHEME.to_owned() });
        };
        // A request that did not pass access control must not get in by accident.
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| Error::internal("the request was not checked"))?;
        Ok(Self { caller, base: links::base(&parts.uri, &parts.headers)? })
    }
}

impl Studio {
    /// The tools over a service of this configuration.
    pub fn new(service: Arc<dyn Service>, config: &Config) -> Self {
        Self { service, sees: config.clip.is_some() || config.sam.is_some() }
    }

    async fn call(&self, call: Call, context: &RequestContext<RoleServer>) -> Result<CallToolResult> {
        let asker = Asker::of(context)?;
        match call {
            Call::ListModels => Ok(answer::models(asker.caller.models(&*self.service).await?)),
            Call::Draw(request) => self.draw(*request, asker, context).await,
            Call::Edit(edit) => self.draw(edit.into_request(&*self.service).await?, asker, context).await,
            Call::Analyze(look) => {
                tokio::select! {
                    biased;
                    // Nobody waits for the analysis any more, so it stops.
                    () = context.ct.cancelled() => Err(Error::TaskCancelled),
                    seen = self.analyze(*look) => seen.map_err(Look::refusal),
                }
            }
        }
    }

    async fn analyze(&self, look: Look) -> Result<CallToolResult> {
        let request = look.into_request(&*self.service).await?;
        let asked =
            Asked { image: request.image.clone(), texts: request.texts.clone(), regions: request.regions.clone() };
        let analysis = self.service.analyze(request).await?;
        tokio::task::spawn_blocking(move || seen::answer(&asked, analysis)).await.map_err(Error::internal)?
    }

    /// The tools that this host has.
    fn tools(&self) -> Vec<tools::Tool> {
        tools::all(self.sees)
    }

    /// Queues a request, waits for its pictures, and answers.
    async fn draw(
        &self,
        request: ImageRequest,
        asker: Asker,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult> {
        let Asker { caller, base } = asker;
        let id = caller.submit(&*self.service, request, Priority::Normal).await?.id;
        let reports = self.service.watch(id.clone(), WatchOptions::default()).await?;
        tokio::select! {
            biased;
            () = context.ct.cancelled() => {
                // It may have ended meanwhile.
                let _ = self.service.cancel(id).await;
                Err(Error::TaskCancelled)
            }
            drawn = self.follow(id.clone(), reports, context) => answer::drawn(&*self.service, drawn?, &base).await,
        }
    }

    /// Reports the steps of a task as progress until it has its pictures.
    async fn follow(
        &self,
        id: String,
        mut reports: ProgressStream,
        context: &RequestContext<RoleServer>,
    ) -> Result<Task> {
        let token = context.meta.get_progress_token();
        let mut told = 0;
        while let Some(Progress { status, step, steps, error, .. }) = reports.next().await {
            match status {
                Status::Completed => return self.service.task(id).await,
                Status::Cancelled => return Err(Error::TaskCancelled),
                Status::Error => {
                    let message = error.unwrap_or_else(|| "the engine stopped".into());
                    return Err(Error::TaskFailed { message });
                }
                Status::Pending | Status::Processing => {}
            }
            // The protocol requires progress to grow.
            if let Some(token) = token.as_ref().filter(|_| step > told) {
                told = step;
                let progress = ProgressNotificationParam::new(token.clone(), step.into())
                    .with_total(steps.into())
                    .with_message(format!("step {step} of {steps}"));
                // The transport notices when the client has disconnected.
                let _ = context.peer.notify_progress(progress).await;
            }
        }
        Err(Error::ShuttingDown { retry_after: RETRY_AFTER })
    }
}

impl ServerHandler for Studio {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources().build();
        let own = Implementation::new("easel", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(capabilities).with_server_info(own).with_instructions(INSTRUCTIONS)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools().into_iter().find(|tool| tool.name == name).map(listed)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.tools().into_iter().map(listed).collect();
        Ok(ListToolsResult::with_all_items(tools).with_ttl_ms(FRESH).with_cache_scope(CacheScope::Public))
    }

    /// Errors of tools are answers, so that the language model can read them.
    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let unknown = || ErrorData::invalid_params(format!("there is no tool {:?}", request.name), None);
        if self.get_tool(&request.name).is_none() {
            return Err(unknown());
        }
        let answered = match tools::read(&request.name, request.arguments.unwrap_or_default()) {
            Ok(Some(call)) => self.call(call, &context).await,
            Ok(None) => return Err(unknown()),
            Err(error) => Err(error),
        };
        let refused = |error: Error| CallToolResult::error(vec![ContentBlock::text(error.to_string())]);
        Ok(answered.unwrap_or_else(refused).into())
    }

    /// The pictures that were drawn, newest first.
    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let Asker { base, .. } = Asker::of(&context).map_err(failed)?;
        let page = match request.and_then(|request| request.cursor) {
            None => 1,
            Some(cursor) => cursor
                .parse()
                .map_err(|_| ErrorData::invalid_params("cursor: must be the nextCursor of an earlier answer", None))?,
        };
        let filter = ImageFilter { task_id: None, paging: Paging { page, limit: PAGE } };
        let images = self.service.images(filter).await.map_err(failed)?;
        let resources = images.items.iter().map(|image| answer::resource(image, &base)).collect();
        let is_last = u64::from(page) * u64::from(PAGE) >= images.total;
        let mut result =
            ListResourcesResult::with_all_items(resources).with_ttl_ms(0).with_cache_scope(CacheScope::Private);
        result.next_cursor = (!is_last).then(|| (page + 1).to_string());
        Ok(result)
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let Asker { base, .. } = Asker::of(&context).map_err(failed)?;
        let template = ResourceTemplate::new(format!("{base}/images/{{id}}/{{digest}}"), "picture")
            .with_title("A picture")
            .with_description("A drawn picture. The answers of the tools link to it.");
        let result = ListResourceTemplatesResult::with_all_items(vec![template]);
        Ok(result.with_ttl_ms(FRESH).with_cache_scope(CacheScope::Private))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        Asker::of(&context).map_err(failed)?;
        let unknown =
            || ErrorData::resource_not_found(format!("uri: {:?} is not a picture on this server", request.uri), None);
        let link = Link::read(&request.uri).ok_or_else(unknown)?;
        let (image, bytes) = match tools::whole(&*self.service, &link).await {
            Err(Error::ImageNotFound { .. }) => return Err(unknown()),
            found => found.map_err(failed)?,
        };
        let mut result = ReadResourceResult::new(vec![answer::contents(&image, &bytes, &request.uri)]);
        // A link never leads to another picture, but the picture may be deleted.
        result.ttl_ms = Some(FRESH);
        result.cache_scope = Some(CacheScope::Private);
        Ok(result.into())
    }
}

/// A tool in the protocol's terms.
fn listed(tool: tools::Tool) -> Tool {
    let hints = ToolAnnotations::with_title(tool.title).read_only(tool.only_reads).destructive(false).open_world(false);
    Tool::new(tool.name, tool.description, tool.arguments).with_title(tool.title).with_annotations(hints)
}

/// An error outside of tools.
fn failed(error: Error) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}
