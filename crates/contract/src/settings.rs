//! A deployment's settings of the interface.

use crate::access::{HostNames, KeyRing, Keys, Origins};
use crate::extract::Offload;
use crate::limits::Limits;

/// A deployment's settings of the interface.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The origins whose pages may send requests.
    pub origins: Origins,
    /// The names of the server.
    pub host_names: HostNames,
    /// The valid keys. `None` lets everyone in who can reach the server.
    pub keys: Option<KeyRing>,
    /// The longest body in bytes.
    pub body_limit: usize,
    /// The limits of requests, for what must be refused before the service sees all of it.
    pub limits: Limits,
    /// Parses long bodies on another thread; `None` parses them in place.
    pub offload: Option<Offload>,
}

impl Default for Settings {
    /// Pages and names of this machine, no keys, bodies of up to 32 MiB.
    fn default() -> Self {
        Self {
            origins: Origins::default(),
            host_names: HostNames::default(),
            keys: None,
            body_limit: 32 << 20,
            limits: Limits::default(),
            offload: None,
        }
    }
}

/// The environment variables of a component.
const ORIGINS: &str = "EASEL_ORIGINS";
const HOST_NAMES: &str = "EASEL_HOST_NAMES";
const KEYS: &str = "EASEL_KEYS";
const BODY_LIMIT: &str = "EASEL_BODY_LIMIT";
const LIMITS: &str = "EASEL_LIMITS";

impl Settings {
    /// The settings as environment variables for a component: `EASEL_ORIGINS`, `EASEL_HOST_NAMES`, `EASEL_BODY_LIMIT`,
    /// `EASEL_LIMITS`, JSON with the limits, and `EASEL_KEYS`, JSON with the hashes of the keys.
    pub fn to_environment(&self) -> Vec<(String, String)> {
        let set = |name: &str, value: String| (name.to_owned(), value);
        let mut variables = vec![
            set(ORIGINS, self.origins.to_string()),
            set(HOST_NAMES, self.host_names.to_string()),
            set(BODY_LIMIT, self.body_limit.to_string()),
            // Serialising texts and numbers does not fail.
            set(LIMITS, serde_json::to_string(&self.limits).unwrap_or_default()),
        ];
        if let Some(keys) = &self.keys {
            // If this failed, the malformed value would let nobody in.
            variables.push(set(KEYS, serde_json::to_string(&keys.get()).unwrap_or_default()));
        }
        variables
    }

    /// Reads these variables. If one is missing or malformed, the default applies, except that malformed keys let
    /// nobody in.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let default = Self::default();
        let number = |name| variable(name).and_then(|text| text.parse().ok());
        let limits = variable(LIMITS).and_then(|text| serde_json::from_str(&text).ok());
        let keys = |text: String| KeyRing::new(serde_json::from_str::<Keys>(&text).unwrap_or_default());
        Self {
            origins: read(variable(ORIGINS)),
            host_names: read(variable(HOST_NAMES)),
            keys: variable(KEYS).map(keys),
            body_limit: number(BODY_LIMIT).unwrap_or(default.body_limit),
            limits: limits.unwrap_or(default.limits),
            offload: None,
        }
    }
}

/// A value that any text can be parsed as; the default if there is no text.
fn read<T: std::str::FromStr<Err = std::convert::Infallible> + Default>(text: Option<String>) -> T {
    text.map_or_else(T::default, |text| text.parse().unwrap_or_else(|never: std::convert::Infallible| match never {}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Key;
    use std::collections::BTreeMap;

    fn read(variables: Vec<(String, String)>) -> Settings {
        let variables: BTreeMap<_, _> = variables.into_iter().collect();
        Settings::from_environment(|name| variables.get(name).cloned())
    }

    #[test]
    fn a_component_gets_every_setting_and_hashes_of_keys() {
        assert_eq!(read(Settings::default().to_environment()), Settings::default());
        assert_eq!(read(Vec::new()), Settings::default());
        let models = Some(vec!["easel-emoji".to_owned()]);
        let keys = [Key { rate: 6.try_into().ok(), models, ..Key::new("a", b"secret") }].into_iter().collect();
        let settings = Settings {
            origins: Origins::List(vec!["https://a.example".to_owned(), "https://b.example".to_owned()]),
            host_names: HostNames::List(vec!["draw.example".to_owned()]),
            keys: Some(KeyRing::new(keys)),
            body_limit: 7,
            limits: Limits { size: 512, ..Limits::default() },
            offload: None,
        };
        let variables = settings.to_environment();
        assert!(!format!("{variables:?}").contains("secret"));
        assert_eq!(read(variables), settings);
    }

    #[test]
    fn keys_that_cannot_be_read_let_nobody_in() {
        let settings = read(vec![(KEYS.to_owned(), "a shopping list".to_owned())]);
        assert_eq!(settings.keys, Some(KeyRing::default()));
    }
}
