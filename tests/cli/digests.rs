//! Digests of images, by source, base, options and place: a change of any is a new image for everybody who pushes the
//! same model again, and every layer is moved once more. The table changes knowingly, never by the way.

use super::*;
use modelcar_core::Digest;
use modelcar_testkit::synthetic_model;

/// A model in an image: its options beside source, base and place.
const OPTIONS: [(&str, &[&str]); 8] = [
    ("", &[]),
    ("all", &["--all"]),
    ("exclude", &["--exclude", "tokenizer.json"]),
    ("include", &["--include", "*.json", "--include", "*.safetensors"]),
    ("annotation", &["--annotation", "org.example.team=search"]),
    ("platform", &["--platform", "linux/arm64"]),
    ("one job", &["--jobs", "1"]),
    ("epoch", &[]),
];

#[test]
fn digests_stay_as_they_are() {
    // The listing is one page: the address of a next page would have the port in it.
    let hub = FakeHub::start_blocking(HubConfig::default());
    hub.add_repo(MODEL, "main", tiny_model());
    let env = Env { hub, ..Env::new() };
    write_base(&env.dir.path().join("base"));
    env.registry.add_base_image("base/tools", "v1", &["linux/amd64", "linux/arm64"]);
    env.hub.add_repo("acme/shards", "main", synthetic_model(3, 300_000));
    let folder = env.dir.path().join("model");
    tiny_model().write_to(&folder).unwrap();
    let mut rows = Vec::new();
    for source in [MODEL, "./model", "acme/shards"] {
        for base in ["scratch", "oci:base"] {
            for (name, options) in OPTIONS.iter().filter(|(name, _)| *name != "platform" || base != "scratch") {
                let args = [&[source, "--base", base], *options].concat();
                rows.push(row(&env, source, base, name, &args));
            }
        }
        // The base's name is a part of the image, and has the registry's port in it: the layers tell.
        let base = env.image("base/tools:v1");
        let image = env.image("by/registry:v1");
        let answer = env.answer(&["push", source, &image, "--base", &base, "--format", "json", "--no-reuse"]);
        rows.push(format!("{source:<12} {:<9} {:<11} layers {}", "registry", "", layers(&answer).join(" ")));
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("digests", rows.join("\n")));
}

/// Makes one image in every place, which has to be the same one, and returns its line.
fn row(env: &Env, source: &str, base: &str, name: &str, args: &[&str]) -> String {
    let place = format!("{}-{base}-{name}", source.replace(['/', '.'], "")).replace([' ', ':'], "-");
    let place = place.trim_end_matches('-');
    let (layout, archive) = (format!("oci:{place}"), format!("oci-archive:{place}.tar"));
    let image = env.image(&format!("by/{place}:v1"));
    let made = |words: &[&str]| {
        let mut command = named_hub(env, &[words, args].concat());
        if name == "epoch" {
            command.env("SOURCE_DATE_EPOCH", "1700000000");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?} {args:?}: {}", text(&output.stderr));
        let answer = text(&output.stdout);
        answer.trim().rsplit('@').next().unwrap().to_owned()
    };
    let digest = made(&["build", "--output", &layout]);
    assert_eq!(made(&["build", "--output", &archive]), digest, "{place} as an archive");
    // The image is an argument, and stands behind the source.
    let mut push = vec!["push", args[0], &image];
    push.extend(&args[1..]);
    let mut command = named_hub(env, &push);
    if name == "epoch" {
        command.env("SOURCE_DATE_EPOCH", "1700000000");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{push:?}: {}", text(&output.stderr));
    let pushed = text(&output.stdout);
    assert_eq!(pushed.trim().rsplit('@').next().unwrap(), digest, "{place} in a registry");
    format!("{source:<12} {base:<9} {name:<11} {digest}")
}

/// The model's address at the Hub is an annotation of the image: here it has a name, and no port that changes.
fn named_hub(env: &Env, args: &[&str]) -> Command {
    let mut command = env.command(args);
    command.env("HF_ENDPOINT", "http://hub.example").env("HTTP_PROXY", env.hub.endpoint()).env("NO_PROXY", "127.0.0.1");
    command
}

/// Writes an image of two platforms as a layout: an empty tar below two configs.
fn write_base(folder: &std::path::Path) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let blob = |bytes: &[u8], kind: &str| {
        let digest = Digest::of(bytes).to_string();
        fs::write(blobs.join(digest.strip_prefix("sha256:").unwrap()), bytes).unwrap();
        json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": bytes.len()})
    };
    let layer = blob(&[0; 1024], "layer.v1.tar");
    let manifests: Vec<Value> = ["amd64", "arm64"]
        .into_iter()
        .map(|architecture| {
            let config = json!({"os": "linux", "architecture": architecture, "config": {"Env": ["PATH=/bin"]},
                "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}});
            let config = blob(config.to_string().as_bytes(), "config.v1+json");
            let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": config, "layers": [layer]});
            let mut entry = blob(manifest.to_string().as_bytes(), "manifest.v1+json");
            entry["platform"] = json!({"os": "linux", "architecture": architecture});
            entry
        })
        .collect();
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests});
    let entry = blob(index.to_string().as_bytes(), "index.v1+json");
    let top = json!({"schemaVersion": 2, "manifests": [entry]});
    fs::write(folder.join("index.json"), top.to_string()).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}
