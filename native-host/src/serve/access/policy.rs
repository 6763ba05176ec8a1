//! The access rules that follow from a configuration.

use crate::serve::{Config, Error, Result};
use easel_contract::{Origins, Settings};

impl Config {
    /// The settings for the interface. They share the key ring, so that replaced keys apply there too.
    pub fn settings(&self) -> Settings {
        Settings {
            origins: self.origins.clone(),
            host_names: self.host_names.clone(),
            keys: self.keys.clone(),
            body_limit: self.body_limit,
            limits: self.limits,
            offload: None,
        }
    }

    /// Fails if other machines can reach a server without keys, unless the configuration allows it.
    pub(in crate::serve) fn check_access(&self) -> Result<()> {
        let is_open = self.api_key_file.is_none() && self.keys.is_none() && !self.allow_anonymous;
        let mut addresses = [Some(self.listen), self.admin, self.caikit, self.grpc].into_iter().flatten();
        match addresses.find(|address| is_open && !address.ip().is_loopback()) {
            Some(address) => Err(Error::OpenToAll { address }),
            None => Ok(()),
        }
    }

    /// Whether any web page can use the server through the browser of a visitor who can reach it.
    pub fn is_open_to_every_page(&self) -> bool {
        self.origins == Origins::Any && self.keys.is_none() && !self.listen.ip().is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::Overrides;
    use crate::serve::config::tests::{file, refused};

    #[test]
    fn f7_other_machines_are_not_let_in_without_keys() {
        for open in ["0.0.0.0:8100", "[::]:8100", "192.168.1.7:8100"] {
            let message = refused(&format!("listen = '{open}'"));
            assert!(message.starts_with(&format!("listen: {open} is open to other machines")), "{message}");
            assert!(message.contains("--api-key-file") && message.contains("--allow-anonymous"), "{message}");
            Config::resolve([file(&format!("listen = '{open}'\nallow_anonymous = true")).unwrap()]).unwrap();
        }
        assert!(refused("admin = '0.0.0.0:8101'").starts_with("listen: 0.0.0.0:8101 is open to other machines"));
        assert!(refused("caikit = '0.0.0.0:8080'").starts_with("listen: 0.0.0.0:8080 is open to other machines"));
        for own in ["127.0.0.1:8100", "[::1]:8100", "127.9.9.9:0"] {
            Config::resolve([file(&format!("listen = '{own}'")).unwrap()]).unwrap();
        }
    }

    #[test]
    fn f7_a_server_that_every_page_can_use_is_known_as_one() {
        let open = file("listen = '0.0.0.0:80'\nallow_anonymous = true\norigins = '*'").unwrap();
        assert!(Config::resolve([open.clone()]).unwrap().is_open_to_every_page());
        let some = Overrides { origins: Some("https://a.example".into()), ..open.clone() };
        assert!(!Config::resolve([some]).unwrap().is_open_to_every_page());
        let own = Overrides { listen: Some(([127, 0, 0, 1], 80).into()), ..open };
        assert!(!Config::resolve([own]).unwrap().is_open_to_every_page());
    }

    #[test]
    fn keys_are_read_from_their_file_and_then_other_machines_may_call() {
        let keys = tempfile::NamedTempFile::new().unwrap();
        crate::serve::append_key(keys.path(), &easel_contract::access::Key::new("a", b"secret")).unwrap();
        let set = file(&format!("listen = '0.0.0.0:80'\napi_key_file = '{}'", keys.path().display())).unwrap();
        let config = Config::resolve([set]).unwrap();
        assert_eq!(config.settings().keys.unwrap().get().iter().count(), 1);
        assert!(refused("api_key_file = '/no/such/keys.toml'").starts_with("/no/such/keys.toml: No such file"));
    }
}
