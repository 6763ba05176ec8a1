//! A component that takes the place of a host by calling an Easel host over HTTP. `EASEL_URL` in its environment is
//! that host's address, and `EASEL_INTERNAL_KEY` is the key in its `--internal-key-file`.

mod client;

use client::{Answer, ask, call, open};
use easel_contract::calls::Call;
use easel_contract::service::Progress;
use easel_contract::wit::Convert;
use exports::exports::easel::image::studio::{
    self as wit, Analysis, AnalysisRequest, Device, DeviceKind, Guest, Image, ImageFilter, ImagePage, ImageRequest,
    Model, Priority, Run, Sampler, Session, Task, TaskFilter, TaskPage, TaskSelection,
};
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

easel_contract::wit_conversions!(wit);

type Result<T> = std::result::Result<T, wit::Failure>;

struct Remote;

exports::export!(Remote with_types_in exports);

/// Forwards the table's calls, in the generated types.
macro_rules! forward_calls {
    (
        { $($written_out:tt)* }
        $(
            $(#[$doc:meta])*
            $call:ident: $method:ident as $wit:ident($($argument:ident: $type:ty),*) -> $answer:ty;
        )*
    ) => {
        impl Guest for Remote {
            $(
                async fn $wit($($argument: $type),*) -> Result<$answer> {
                    call(Call::$method($($argument.convert()),*)).await
                }
            )*
            $($written_out)*
        }
    };
}

easel_contract::service_calls!(forward_calls {
    async fn watch(id: String, options: wit::WatchOptions) -> Result<StreamReader<wit::Progress>> {
        let answer = open(Call::Watch { id, options: options.convert() }).await?;
        let (writer, reader) = wit_stream::new();
        spin_sdk::wasip3::spawn(forward_reports(answer, writer));
        Ok(reader)
    }

    async fn read_image(id: u64, start: u64, end: u64) -> Result<StreamReader<u8>> {
        let answer = open(Call::ReadImage { id, start, end }).await?;
        let (writer, reader) = wit_stream::new();
        spin_sdk::wasip3::spawn(forward_bytes(answer, writer));
        Ok(reader)
    }

    async fn health() -> Vec<wit::Check> {
        match ask(Call::health()).await {
            Ok(health) => health.checks.convert(),
            Err(error) => vec![wit::Check { part: "host".to_owned(), problem: Some(error.to_string()) }],
        }
    }
});

/// Forwards bytes as they arrive. If the reader is dropped, so are the answer and its connection.
async fn forward_bytes(answer: Answer, mut writer: StreamWriter<u8>) {
    let mut pieces = answer.into_body().stream();
    while let Some(Ok(piece)) = pieces.next().await {
        if !writer.write_all(piece.into()).await.is_empty() {
            return;
        }
    }
}

/// Forwards the report in every complete line.
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
