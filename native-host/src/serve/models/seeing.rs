//! The models that look at pictures: CLIP and SAM, each loaded for the first analysis that needs it, and dropped when it has
//! been idle for as long as those that draw may be.

use super::manager::{Lease, Manager, Refusal};
use super::policy::{Bounds, Wanted};
use crate::model::{self, Cutter, Scorer};
use crate::names::{self, Place};
use crate::serve::metrics::ModelMetrics;
use crate::serve::{Config, error};
use easel_inference::Device;
use easel_inference::pipeline::{CancelToken, Keeping};
use easel_inference::tensor::DeviceKind;

/// CLIP and SAM, if the configuration names them.
pub(in crate::serve) struct Seeing {
    pub(in crate::serve) clip: Option<Eye<Scorer>>,
    pub(in crate::serve) sam: Option<Eye<Cutter>>,
}

/// One of them.
pub(in crate::serve) struct Eye<M> {
    place: Place,
    load: fn(&Place, &Device) -> Result<M, model::Error>,
    loaded: Manager<M>,
}

impl Seeing {
    /// Those of this configuration. Nothing is read yet.
    pub(in crate::serve) fn new(config: &Config) -> error::Result<Self> {
        let clip = config.clip.as_ref().map(|name| Eye::new(name, Scorer::load, config)).transpose()?;
        let sam = config.sam.as_ref().map(|name| Eye::new(name, Cutter::load, config)).transpose()?;
        Ok(Self { clip, sam })
    }

    /// What an error says, for clients: without the folders of this machine in which the models lie.
    pub(in crate::serve) fn without_folders(&self, text: &str) -> String {
        let places = [self.clip.as_ref().map(|clip| &clip.place), self.sam.as_ref().map(|sam| &sam.place)];
        let folders = places.into_iter().flatten().filter_map(Place::folder).collect();
        super::without(text, folders)
    }
}

impl<M: Send + Sync + 'static> Eye<M> {
    fn new(name: &str, load: fn(&Place, &Device) -> Result<M, model::Error>, config: &Config) -> error::Result<Self> {
        let place = names::resolve(name)?;
        // The metrics are about the models that draw.
        let loaded = Manager::new(config.unload_after.duration(), ModelMetrics::default());
        let loaded = loaded.map_err(|reason| easel_jobs::Error::Thread { reason })?;
        Ok(Self { place, load, loaded })
    }

    /// The model, loaded if needed, for as long as the lease is held.
    pub(in crate::serve) fn lease(&self, device: DeviceKind, cancel: &CancelToken) -> Result<Lease<M>, model::Error> {
        let wanted = Wanted { model: "", device: device.into(), needs: &[], ways: Keeping::ways(None) };
        let bounds = |_| Bounds { memory: None, models: 1 };
        let lease = self.loaded.lease(
            &wanted,
            bounds,
            || cancel.is_cancelled(),
            |_| (self.load)(&self.place, &model::select_device(device, None)?.device),
        );
        lease.map_err(|refusal| match refusal {
            Refusal::Failed(error) => error,
            Refusal::Stopped | Refusal::NoRoom(_) => easel_inference::Error::Cancelled.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/clip-vit");

    fn seeing(clip: &str, unload_after: &str) -> Seeing {
        let unload_after = unload_after.parse().unwrap();
        Seeing::new(&Config { clip: Some(clip.into()), unload_after, ..Config::default() }).unwrap()
    }

    #[test]
    fn a_model_that_looks_is_loaded_when_it_is_needed_and_leaves_when_it_is_idle() {
        let seeing = seeing(CLIP, "0");
        let clip = seeing.clip.as_ref().unwrap();
        assert!(seeing.sam.is_none() && clip.loaded.loaded().is_empty());
        let first = clip.lease(DeviceKind::Cpu, &CancelToken::default()).unwrap();
        let second = clip.lease(DeviceKind::Cpu, &CancelToken::default()).unwrap();
        assert!(std::ptr::eq(&*first, &*second), "it is loaded once");
        assert_eq!(clip.loaded.loaded().len(), 1);
        drop((first, second));
        let began = Instant::now();
        while !clip.loaded.loaded().is_empty() {
            assert!(began.elapsed() < Duration::from_secs(60), "it stays");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn f18_clients_do_not_hear_where_models_that_look_lie() {
        let folder = tempfile::tempdir().unwrap();
        let seeing = seeing(&folder.path().display().to_string(), "never");
        let error = seeing.clip.as_ref().unwrap().lease(DeviceKind::Cpu, &CancelToken::default()).err().unwrap();
        let said = seeing.without_folders(&error.to_string());
        let parent = folder.path().parent().unwrap().display().to_string();
        assert!(!said.contains(&parent) && error.to_string().contains(&parent), "{said}");
    }

    #[test]
    fn a_name_that_stands_for_nothing_is_refused_at_once() {
        let config = Config { sam: Some("no-such-model".into()), ..Config::default() };
        assert!(Seeing::new(&config).is_err());
    }
}
