//! Configurations that are accepted and refused.

use super::*;

/// The settings in a file with this text.
pub(in crate::serve) fn file(text: &str) -> Result<Overrides> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Overrides::read(file.path())
}

/// The error for a file with this text.
pub(in crate::serve) fn refused(text: &str) -> String {
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
    assert_eq!(other, "components must belong to `model`, one of `models` or one in `models_folder`, got sd-turbo");
    let gone = refused("model = 'stub'\n[components.stub]\nvae = '/no/such/file'");
    assert_eq!(gone, "components must be files or folders that exist, got /no/such/file for vae of stub");
}

#[test]
fn models_of_the_folder_are_named_as_they_are_called_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("castle.gguf"), "").unwrap();
    let set = |more: &str| {
        let text = format!("models_folder = {:?}\n{more}", folder.path().display().to_string());
        file(&text).and_then(|set| Config::resolve([set]))
    };
    let config = set("model = 'castle'\nmodels = ['stub']\n[components.castle]\nvae = '/'").unwrap();
    assert_eq!((config.model.as_str(), config.components["castle"].len()), ("castle", 1));
    assert!(set("model = 'tower'").unwrap_err().to_string().starts_with("no such file, folder, "));
    let gone = refused("models_folder = '/no/such/folder'");
    assert!(gone.starts_with("models_folder must be a folder that can be read, got /no/such/folder: "), "{gone}");
}

#[test]
fn components_are_held_as_the_settings_say_and_options_override_the_file() {
    let keeping = |text: &str, options| Config::resolve([file(text).unwrap(), options]).unwrap().keeping;
    assert_eq!(keeping("", Overrides::default()), None);
    assert_eq!(keeping("low_memory = true", Overrides::default()), Some(Keeping::InTurn));
    let offload = Overrides { offload: Some(true), ..Overrides::default() };
    assert_eq!(keeping("low_memory = true", offload), Some(Keeping::Offload));
    let all = Overrides { offload: Some(false), ..Overrides::default() };
    assert_eq!(keeping("offload = true", all), None);
}

#[test]
fn models_that_look_at_pictures_are_named_like_those_that_draw() {
    let config = Config::resolve([file("clip = '/'\nsam = 'mobile-sam'").unwrap()]).unwrap();
    assert_eq!((config.clip.as_deref(), config.sam.as_deref()), (Some("/"), Some("mobile-sam")));
    assert!(refused("sam = 'no-such-model'").contains("no-such-model"));
}

#[test]
fn models_leave_after_seconds_or_never() {
    let after = |text: &str| Config::resolve([file(text).unwrap()]).unwrap().unload_after.duration();
    assert_eq!(after(""), Some(Duration::from_secs(600)));
    assert_eq!(after("unload_after = 0"), Some(Duration::ZERO));
    assert_eq!(after("unload_after = '90'"), Some(Duration::from_secs(90)));
    assert_eq!(after("unload_after = 'never'"), None);
    for text in ["unload_after = 'soon'", "unload_after = -1", "unload_after = 99999999999"] {
        assert!(file(text).is_err(), "{text}");
    }
}

#[test]
fn a_setting_out_of_range_is_named() {
    assert_eq!(refused("engines = 0"), "engines must be between 1 and 64, got 0");
    assert_eq!(refused("loaded_models = 65"), "loaded_models must be between 1 and 64, got 65");
    assert_eq!(refused("capacity = 0"), "capacity must be between 1 and 1000000, got 0");
    assert_eq!(refused("body_limit = 1"), "body_limit must be between 1024 and 1073741824, got 1");
    assert_eq!(refused("header_timeout = 0"), "header_timeout must be between 1 and 3600, got 0");
    assert_eq!(refused("answer_timeout = 0"), "answer_timeout must be between 1 and 3600, got 0");
    assert_eq!(refused("connections = 1"), "connections must be between 16 and 1000000, got 1");
    assert_eq!(refused("tls_cert = 'a.pem'"), "tls_cert needs tls_key: TLS needs both files");
    assert!(refused("device = 'abacus'").contains("got \"abacus\""));
    assert!(refused("models = ['no-such-model']").starts_with("no such file, folder, "));
    assert!(refused("clear_pictures = 'on Sundays'").starts_with("retention.pictures: `on Sundays`"));
}

#[test]
fn several_hosts_share_both_tasks_and_pictures() {
    let lone = refused("store = 'postgres://me:secret@db/easel'");
    assert_eq!(lone, "store needs pictures: several hosts share both their tasks and their pictures");
    assert!(refused("pictures = 's3://easel'").starts_with("pictures needs store: "));
    assert_eq!(refused("lease = 1"), "lease must be between 2 and 3600, got 1");
    let both = "store = 'postgres://me:secret@db/easel'\npictures = 's3://easel'\nengines = 0";
    let resolved = Config::resolve([file(both).unwrap()]);
    if cfg!(feature = "cluster") {
        let config = resolved.unwrap();
        assert_eq!((config.engines, config.lease.as_secs()), (0, 30));
        assert_eq!(config.shared.as_ref().unwrap().store.expose(), "postgres://me:secret@db/easel");
        assert!(!format!("{config:?}").contains("secret"));
    } else {
        assert!(resolved.unwrap_err().to_string().ends_with("build it with the cargo feature `cluster`"));
    }
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
