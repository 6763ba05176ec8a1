//! The tools for agents: over two streams, and over HTTP with its access control.

mod http;
mod streams;

use easel_host::serve::{Config, QueueService};
use easel_inference::tensor::DeviceKind;
use tempfile::TempDir;

/// A service with the embedded model, and its folder.
struct Served {
    service: QueueService,
    config: Config,
    _folder: TempDir,
}

impl Served {
    fn start(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { data: folder.path().to_owned(), device: DeviceKind::Cpu, ..Config::default() };
        change(&mut config);
        let service = QueueService::open(&config).unwrap();
        Self { service, config, _folder: folder }
    }
}
