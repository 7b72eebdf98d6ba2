//! Texts of an image that want to be more than texts.

use super::*;
use modelcar_core::{
    ImageRef, Platform,
    inspect::{InspectedManifest, Inspection},
};

/// A line end of every kind that a reader of YAML or a terminal may know, before an object that nobody asked for.
const LINE_ENDS: [&str; 8] = ["\n", "\r\n", "\r", "\u{85}", "\u{2028}", "\u{2029}", "\u{b}", "\u{c}"];
const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: evil";

fn objects(text: &str) -> Vec<serde_json::Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

#[test]
fn no_text_of_an_image_ends_the_comment() {
    for end in LINE_ENDS {
        let evil = |name: &str| Some(format!("{name}{end}{}{end}---{end}\u{1b}[2J", POD.replace('\n', end)));
        let mut served = ServedImage { title: evil("x"), version: evil("main"), revision: evil("0123"), ..qwen() };
        served.facts.architecture = evil("a");
        served.facts.dtype = evil("d");
        served.facts.quantization = evil("q");
        served.facts.task = None;
        served.platforms = vec![evil("linux/arm64").unwrap()];
        let options = options(|options| options.name = Some("m".into()));
        let rendered = render(&served, &options).unwrap();
        assert_eq!(codes(&rendered), ["unknown-task", "runtime-version", "pod-security", "platform"]);
        for warning in &rendered.warnings {
            assert!(!warning.to_string().contains(char::is_control), "{warning:?}");
        }
        let text = rendered.to_yaml().unwrap();
        let expected = serde_json::to_value(&rendered.objects[0]).unwrap();
        assert_eq!(objects(&text), [expected], "{end:?}: {text}");
        let comment = text.split_once("apiVersion: serving.kserve.io").unwrap().0;
        assert!(comment.lines().all(|line| line.starts_with('#')), "{comment}");
        assert!(!comment.contains(['\r', '\u{85}', '\u{2028}', '\u{2029}', '\u{b}', '\u{c}', '\u{1b}']), "{comment}");
    }
}

#[test]
fn a_header_made_by_hand_stays_a_comment() {
    let mut rendered = render(&qwen(), &RenderOptions::default()).unwrap();
    rendered.header = vec![format!("x\n{POD}\n---\n")];
    assert_eq!(objects(&rendered.to_yaml().unwrap()).len(), 1);
}

#[test]
fn a_files_name_is_no_command() {
    let served = |file: &str| {
        let mut served = qwen();
        served.facts.format = Some(WeightFormat::Gguf);
        served.facts.file = Some(file.to_owned());
        served
    };
    let custom = options(|options| options.custom_container = Some("r.io/server:1".into()));
    for options in [RenderOptions::default(), custom] {
        let rendered = render(&served("$(HF_TOKEN)-$HOME-$$.gguf"), &options).unwrap().to_yaml().unwrap();
        assert!(rendered.contains("/mnt/models/$$(HF_TOKEN)-$$HOME-$$$$.gguf"), "{rendered}");
        for hostile in
            ["{{.Name}}.gguf", "a}}.gguf", "`id`.gguf", "a;id.gguf", "a' 'b.gguf", "a\n{{b.gguf", "a\u{1b}.gguf"]
        {
            let error = render(&served(hostile), &options).unwrap_err();
            assert!(matches!(error, RenderError::UnsafeFile { .. }), "{error}");
            assert!(!error.to_string().contains(char::is_control), "{error}");
        }
        assert!(render(&served("Q4/model (1), new.gguf"), &options).is_ok());
    }
    let prepull = options(|options| options.kind = Kind::Prepull);
    assert!(render(&served("{{.Name}}.gguf"), &prepull).is_ok());
}

#[test]
fn attestations_are_no_platforms() {
    let image: ImageRef = "r.io/m:v1".parse().unwrap();
    let digest: Digest = DIGEST.parse().unwrap();
    let of = |platforms: &[(&str, &str)]| {
        let manifest = |(os, architecture): &(&str, &str)| InspectedManifest {
            platform: Platform::new((*os).to_owned(), (*architecture).to_owned(), None),
            digest,
            layers: Vec::new(),
        };
        let manifests = platforms.iter().map(manifest).collect();
        ServedImage::new(
            &image,
            &Inspection { digest, annotations: std::collections::BTreeMap::new(), manifests, missing: Vec::new() },
        )
    };
    assert_eq!(of(&[("linux", "arm64"), ("unknown", "unknown")]).platforms, ["linux/arm64"]);
    assert_eq!(of(&[("unknown", "unknown")]).platforms, [""; 0]);
}
