//! Configurations that are accepted and refused.

use super::*;

fn file(text: &str) -> Result<Overrides> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Overrides::read(file.path())
}

fn refused(text: &str) -> String {
    file(text).and_then(|set| Config::resolve([set])).unwrap_err().to_string()
}

#[test]
fn later_settings_override_earlier_ones_and_the_defaults() {
    let from_file = file("listen = '0.0.0.0:80'\nmodel = 'stub'\nclear_tasks = 'never'\ngrace = 5").unwrap();
    let flags = Overrides { listen: Some(([127, 0, 0, 1], 9).into()), ..Overrides::default() };
    let config = Config::resolve([from_file, flags]).unwrap();
    assert_eq!((config.listen.port(), config.model.as_str()), (9, "stub"));
    assert_eq!((config.grace.as_secs(), &config.retention.tasks), (5, &None));
    assert_eq!(config.retention.pictures, Retention::default().pictures);
    assert_eq!(config.engines, 1);
}

#[test]
fn components_must_belong_to_a_model_and_exist() {
    let text = "model = 'stub'\n[components.stub]\nvae = '/'";
    let config = Config::resolve([file(text).unwrap()]).unwrap();
    assert_eq!(config.components["stub"], [ComponentPath { name: "vae".into(), path: "/".into() }]);
    let other = refused("model = 'stub'\n[components.sd-turbo]\nvae = '/'");
    assert_eq!(other, "components must belong to `model` or one of `models`, got sd-turbo");
    let gone = refused("model = 'stub'\n[components.stub]\nvae = '/no/such/file'");
    assert_eq!(gone, "components must be files or folders that exist, got /no/such/file for vae of stub");
}

#[test]
fn a_setting_out_of_range_is_named() {
    assert_eq!(refused("engines = 0"), "engines must be between 1 and 64, got 0");
    assert_eq!(refused("capacity = 0"), "capacity must be between 1 and 1000000, got 0");
    assert_eq!(refused("body_limit = 1"), "body_limit must be between 1024 and 1073741824, got 1");
    assert_eq!(refused("header_timeout = 0"), "header_timeout must be between 1 and 3600, got 0");
    assert_eq!(refused("answer_timeout = 0"), "answer_timeout must be between 1 and 3600, got 0");
    assert_eq!(refused("connections = 1"), "connections must be between 16 and 1000000, got 1");
    assert_eq!(refused("tls_cert = 'a.pem'"), "tls_cert needs tls_key: TLS needs both files");
    assert!(refused("device = 'abacus'").contains("\"abacus\" is not one of"));
    assert!(refused("models = ['no-such-model']").starts_with("no such file, folder, "));
    assert!(refused("clear_pictures = 'on Sundays'").starts_with("retention.pictures: `on Sundays`"));
}

#[test]
fn limits_are_a_table_within_the_limits_of_the_interface() {
    let config = Config::resolve([file("[limits]\nsize = 1024\ncount = 4").unwrap()]).unwrap();
    assert_eq!(config.limits, Limits { size: 1024, count: 4, ..Limits::default() });
    assert_eq!(refused("[limits]\nsize = 4096"), "limits.size must be between 64 and 2048, got 4096");
    assert_eq!(refused("[limits]\ncount = 0"), "limits.count must be between 1 and 256, got 0");
    assert!(refused("[limits]\nheads = 2").contains("unknown field `heads`"));
}

#[test]
fn f17_the_key_of_the_internal_route_is_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let resolve = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let set = Overrides { internal_key_file: Some(path.clone()), ..Overrides::default() };
        Config::resolve([set]).map(|config| config.internal_key)
    };
    assert_eq!(resolve("0123456789abcdef\n").unwrap(), Some(Key::new("0123456789abcdef")));
    assert!(resolve("short").unwrap_err().to_string().contains("at least 16 characters"));
    assert_eq!(Config::default().internal_key, None);
}

#[test]
fn a_malformed_configuration_is_named_with_the_line() {
    let unknown = refused("grace = 1\ncolour = 'blue'");
    assert!(unknown.contains(": line 2: unknown field `colour`"), "{unknown}");
    assert!(refused("listen = 'here'").contains(": line 1: "));
    assert!(refused("= =").contains(": line 1: "));
    let gone = Overrides::read("/no/such/easel.toml".as_ref()).unwrap_err().to_string();
    assert!(gone.starts_with("/no/such/easel.toml: "), "{gone}");
}
