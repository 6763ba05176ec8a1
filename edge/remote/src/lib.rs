//! A component that stands in for an Easel host by calling one over HTTP. `EASEL_URL` in its environment says where it
//! is.

mod client;

use client::{Answer, call, open};
use easel_contract::service::{Device, Health, Image, Page, Progress, Run, Task};
use easel_contract::studio::Call;
use easel_contract::wit::Convert;
use exports::exports::easel::image::studio::{self as wit, Guest};
use exports::wit_stream;
use futures_util::StreamExt;
use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::wit_bindgen::{StreamReader, StreamWriter};

mod exports {
    #![allow(missing_docs, reason = "generated")]
    spin_sdk::wit_bindgen::generate!({
        path: "../../wit",
        world: "provider",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

easel_contract::studio_conversions!(wit);

type Result<T> = std::result::Result<T, wit::Failure>;

struct Remote;

exports::export!(Remote with_types_in exports);

impl Guest for Remote {
    async fn submit(request: wit::ImageRequest, priority: wit::Priority) -> Result<wit::Task> {
        call::<Task, _>(Call::Submit { request: request.convert(), priority: priority.convert() }).await
    }

    async fn get_task(id: String) -> Result<wit::Task> {
        call::<Task, _>(Call::Task { id }).await
    }

    async fn list_tasks(filter: wit::TaskFilter) -> Result<wit::TaskPage> {
        call::<Page<Task>, _>(Call::Tasks { filter: filter.convert() }).await
    }

    async fn watch(id: String, options: wit::WatchOptions) -> Result<StreamReader<wit::Progress>> {
        let answer = open(Call::Watch { id, options: options.convert() }).await?;
        let (writer, reader) = wit_stream::new();
        spin_sdk::wasip3::spawn(forward_reports(answer, writer));
        Ok(reader)
    }

    async fn cancel(id: String) -> Result<()> {
        call::<(), _>(Call::Cancel { id }).await
    }

    async fn delete_tasks(selection: wit::TaskSelection) -> Result<u64> {
        call::<u64, _>(Call::DeleteTasks { selection: selection.convert() }).await
    }

    async fn start_run(request: wit::ImageRequest) -> Result<wit::Task> {
        call::<Task, _>(Call::Run { request: request.convert() }).await
    }

    async fn latest_run() -> Result<Option<wit::Run>> {
        call::<Option<Run>, _>(Call::LatestRun).await
    }

    async fn take_run() -> Result<wit::Image> {
        call::<Image, _>(Call::TakeRun).await
    }

    async fn list_images(filter: wit::ImageFilter) -> Result<wit::ImagePage> {
        call::<Page<Image>, _>(Call::Images { filter: filter.convert() }).await
    }

    async fn get_image(id: u64) -> Result<wit::Image> {
        call::<Image, _>(Call::Image { id }).await
    }

    async fn read_image(id: u64, start: u64, end: u64) -> Result<StreamReader<u8>> {
        let answer = open(Call::ReadImage { id, start, end }).await?;
        let (writer, reader) = wit_stream::new();
        spin_sdk::wasip3::spawn(forward_bytes(answer, writer));
        Ok(reader)
    }

    async fn delete_image(id: u64) -> Result<()> {
        call::<(), _>(Call::DeleteImage { id }).await
    }

    async fn list_devices() -> Result<Vec<wit::Device>> {
        call::<Vec<Device>, _>(Call::Devices).await
    }

    async fn select_device(kind: Option<wit::DeviceKind>) -> Result<wit::Device> {
        call::<Device, _>(Call::SelectDevice { kind: kind.convert() }).await
    }

    async fn health() -> Vec<wit::Check> {
        match client::ask::<Health>(Call::Health).await {
            Ok(health) => health.checks.convert(),
            Err(error) => vec![wit::Check { part: "host".to_owned(), problem: Some(error.to_string()) }],
        }
    }

    async fn metrics() -> Result<String> {
        call::<String, _>(Call::Metrics).await
    }
}

/// Passes bytes on as they come. A reader that leaves drops the answer, and with it the connection.
async fn forward_bytes(answer: Answer, mut writer: StreamWriter<u8>) {
    let mut pieces = answer.into_body().stream();
    while let Some(Ok(piece)) = pieces.next().await {
        if !writer.write_all(piece.into()).await.is_empty() {
            return;
        }
    }
}

/// Passes on what every complete line says.
async fn forward_reports(answer: Answer, mut writer: StreamWriter<wit::Progress>) {
    let mut pieces = answer.into_body().stream();
    let mut rest: Vec<u8> = Vec::new();
    while let Some(Ok(piece)) = pieces.next().await {
        rest.extend_from_slice(&piece);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let Ok(report) = serde_json::from_slice::<Progress>(&line) else { return };
            if writer.write_one(report.convert()).await.is_some() {
                return;
            }
        }
    }
}
