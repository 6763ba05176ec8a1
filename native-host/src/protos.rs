//! The gRPC definitions of Caikit's interface as texts. There is one file for each message, with the names of Caikit's own
//! export.

macro_rules! file {
    ($name:literal) => {
        ($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/proto/", $name)))
    };
}

/// Every file with its text.
pub const FILES: &[(&str, &str)] = &[
    file!("caikit_data_model.caikit_computer_vision.captionedimage.proto"),
    file!("caikit_data_model.common.producerid.proto"),
    file!("caikit_data_model.common.runtime.modelinfo.proto"),
    file!("caikit_data_model.common.runtime.modelinforequest.proto"),
    file!("caikit_data_model.common.runtime.modelinforesponse.proto"),
    file!("caikit_data_model.common.runtime.runtimeinforequest.proto"),
    file!("caikit_data_model.common.runtime.runtimeinforesponse.proto"),
    file!("caikit_data_model.vision.image.proto"),
    file!("ccv.texttoimagetaskrequest.proto"),
    file!("computervisionservice.proto"),
    file!("infoservice.proto"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_exported_under_the_name_of_its_message() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/proto")).unwrap();
        assert_eq!(FILES.len(), folder.count());
        for (name, text) in FILES {
            let after = |word: &str| text.lines().find_map(|line| line.strip_prefix(word)?.split([' ', ';']).next());
            let package = after("package ").unwrap();
            let expected = match (after("message "), after("service ")) {
                (Some(message), None) => format!("{package}.{}.proto", message.to_lowercase()),
                (None, Some(service)) => format!("{}.proto", service.to_lowercase()),
                found => panic!("{name}: {found:?}"),
            };
            assert_eq!(*name, expected);
        }
    }
}
