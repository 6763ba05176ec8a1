//! A component whose keys change while it runs. Instances have the keys in their environment, so a change needs new
//! ones.

use crate::component::Host;
use easel_contract::Settings;
use easel_contract::access::{KeyRing, Keys};
use parking_lot::Mutex;

/// A component with the current keys.
pub(in crate::serve) struct Keyed {
    settings: Settings,
    made: Mutex<(Keys, Host)>,
}

impl Keyed {
    /// A component that was made with these settings.
    pub(in crate::serve) fn new(host: Host, settings: Settings) -> Self {
        let keys = valid(&settings);
        Self { settings, made: Mutex::new((keys, host)) }
    }

    /// The component with the current keys. Instances with other keys end when their requests are answered.
    pub(in crate::serve) fn current(&self) -> Host {
        let keys = valid(&self.settings);
        let mut made = self.made.lock();
        if made.0 != keys {
            let host = made.1.with_environment(self.settings.to_environment());
            *made = (keys, host);
        }
        made.1.clone()
    }
}

fn valid(settings: &Settings) -> Keys {
    settings.keys.as_ref().map(KeyRing::get).unwrap_or_default()
}
