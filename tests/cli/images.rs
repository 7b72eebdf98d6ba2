//! Images that other tools wrote: `--base`, `inspect` and `inspect --lint` give one answer for each.

use std::path::Path;

use super::*;
use modelcar_core::Digest;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// What gzip makes of nothing.
const EMPTY_GZIP: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A layout that is filled by hand.
struct Layout<'a>(&'a Path);

impl Layout<'_> {
    fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        fs::create_dir_all(self.0.join("blobs/sha256")).unwrap();
        fs::write(self.0.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    fn json(&self, media_type: &str, json: &Value) -> Value {
        self.blob(media_type, json.to_string().as_bytes())
    }

    /// The manifest of an image with one small layer, for `linux/architecture`.
    fn manifest(&self, architecture: &str, layer_type: &str) -> Value {
        let layer = self.blob(layer_type, &[0; 1024]);
        let config = self.json(
            "application/vnd.oci.image.config.v1+json",
            &json!({"os": "linux", "architecture": architecture, "config": {"User": "1010"},
                "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}),
        );
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]})
    }

    fn image(&self, architecture: &str) -> Value {
        self.json(MANIFEST, &self.manifest(architecture, "application/vnd.oci.image.layer.v1.tar"))
    }

    fn index(&self, entries: &[Value]) -> Value {
        self.json(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}))
    }

    fn publish(&self, top: &Value) {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [top]});
        fs::write(self.0.join("index.json"), index.to_string()).unwrap();
        fs::write(self.0.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }
}

fn on(mut entry: Value, os: &str, architecture: &str) -> Value {
    entry["platform"] = json!({"os": os, "architecture": architecture});
    entry
}

fn variant(mut entry: Value, variant: &str) -> Value {
    entry["platform"]["variant"] = json!(variant);
    entry
}

/// Writes an image and returns the entry of its top.
type Write = fn(&Layout<'_>) -> Value;

/// Each image by name, and how it is written.
fn samples() -> [(&'static str, Write); 14] {
    [
        ("nested", |layout| {
            let images = [("amd64"), ("arm64")].map(|name| on(layout.image(name), "linux", name));
            layout.index(&[layout.index(&images)])
        }),
        ("both", |layout| {
            let mut both = layout.manifest("amd64", "application/vnd.oci.image.layer.v1.tar");
            both["manifests"] = json!([]);
            layout.json(MANIFEST, &both)
        }),
        ("attested", |layout| {
            let mut attestation = on(layout.image("unknown"), "unknown", "unknown");
            attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
            layout.index(&[on(layout.image("amd64"), "linux", "amd64"), attestation])
        }),
        ("single", |layout| layout.image("amd64")),
        ("docker", |layout| {
            let mut manifest = layout.manifest("arm64", "application/vnd.docker.image.rootfs.diff.tar");
            manifest["mediaType"] = json!(DOCKER_MANIFEST);
            manifest["config"]["mediaType"] = json!("application/vnd.docker.container.image.v1+json");
            let entry = on(layout.json(DOCKER_MANIFEST, &manifest), "linux", "arm64");
            layout.json(DOCKER_LIST, &json!({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [entry]}))
        }),
        ("holed", |layout| {
            let gone = json!({"mediaType": MANIFEST, "digest": Digest::of("gone"), "size": 4});
            layout.index(&[on(layout.image("amd64"), "linux", "amd64"), on(gone, "linux", "arm64")])
        }),
        ("empty", |layout| {
            let gone = json!({"mediaType": MANIFEST, "digest": Digest::of("gone"), "size": 4});
            layout.index(&[on(gone, "linux", "arm64")])
        }),
        ("artifact", |layout| {
            let mut manifest = layout.manifest("amd64", "text/plain");
            manifest["config"]["mediaType"] = json!("application/vnd.acme.notes+json");
            layout.json(MANIFEST, &manifest)
        }),
        ("beside", |layout| {
            let mut notes = layout.json(MANIFEST, &layout.manifest("amd64", "text/plain"));
            notes["artifactType"] = json!("application/vnd.acme.notes");
            layout.index(&[notes, on(layout.image("arm64"), "linux", "arm64")])
        }),
        // The table of contents of a layer that stargz-snapshotter mounts without a pull.
        ("estargz", |layout| {
            let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
            let mut manifest = layout.manifest("amd64", gzip);
            let layer = layout.blob(gzip, EMPTY_GZIP);
            manifest["layers"] = json!([layer]);
            manifest["layers"][0]["annotations"] = json!({
                "containerd.io/snapshot/stargz/toc.digest": Digest::of("toc"),
                "io.containers.estargz.uncompressed-size": "0",
            });
            layout.index(&[on(layout.json(MANIFEST, &manifest), "linux", "amd64")])
        }),
        // 32 bits, which no server of models runs on, beside 64.
        ("arm32", |layout| {
            let old = variant(on(layout.image("arm"), "linux", "arm"), "v7");
            layout.index(&[old, variant(on(layout.image("arm64"), "linux", "arm64"), "v8")])
        }),
        ("windows", |layout| {
            let mut windows = on(layout.image("amd64"), "windows", "amd64");
            windows["platform"]["os.version"] = json!("10.0.20348.2700");
            layout.index(&[windows, on(layout.image("amd64"), "linux", "amd64")])
        }),
        // Two levels of instructions of one architecture are two platforms.
        ("levels", |layout| {
            let newest = variant(on(layout.image("amd64 of v3"), "linux", "amd64"), "v3");
            layout.index(&[newest, on(layout.image("amd64"), "linux", "amd64")])
        }),
        ("foreign", |layout| layout.index(&[on(layout.image("s390x"), "linux", "s390x")])),
    ]
}

/// Writes the image called `name` as a layout.
pub(super) fn write(name: &str, folder: &Path) {
    let (_, make) = samples().into_iter().find(|(known, _)| *known == name).unwrap();
    let layout = Layout(folder);
    layout.publish(&make(&layout));
}

/// The platforms that an answer names, and the first line of a failure.
fn told(output: &Output, platforms: impl Fn(&Value) -> Vec<String>) -> String {
    let stderr = text(&output.stderr);
    let first = |prefix: &str| stderr.lines().find_map(|line| line.strip_prefix(prefix)).map(str::to_owned);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let platforms = platforms(&answer).join(" ");
    let cause = first("  caused by: ").or_else(|| first("error: "));
    let warning = first("warning: ").map(|warning| format!(" (warning: {warning})")).unwrap_or_default();
    cause.map_or(platforms + &warning, |cause| format!("refused: {cause}"))
}

fn names(list: &Value) -> Vec<String> {
    let of = |entry: &Value| entry["platform"].as_str().unwrap_or("?").to_owned();
    list.as_array().map(|entries| entries.iter().map(of).collect()).unwrap_or_default()
}

#[test]
fn every_command_sees_the_same_image() {
    let env = Env::new();
    let mut rows = Vec::new();
    for (name, _) in samples() {
        write(name, &env.dir.path().join(name));
        let place = format!("oci:{name}");
        let out = format!("oci:out-{name}");
        let built = env.run(&["build", MODEL, "--output", &out, "--base", &place, "--format", "json"]);
        let inspected = env.run(&["inspect", &place, "--format", "json"]);
        let linted = env.run(&["inspect", "--lint", &place, "--format", "json"]);
        rows.push(format!("{name}\n  --base   {}", told(&built, |answer| names(&answer["manifests"]))));
        let with_missing = |answer: &Value| {
            let missing = names(&answer["missing"]).into_iter().map(|platform| format!("missing:{platform}"));
            names(&answer["manifests"]).into_iter().chain(missing).collect()
        };
        rows.push(format!("  inspect  {}", told(&inspected, with_missing)));
        rows.push(format!("  --lint   {}", told(&linted, |answer| names(&answer["platforms"]))));
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("images", rows.join("\n")));
}

/// `--lint` says what is missing and to push again, and that works though the index itself is still there.
#[test]
fn a_push_brings_back_a_manifest_that_the_registry_lost() {
    let env = Env::new();
    let image = env.image("acme/tiny:v1");
    let push = ["push", MODEL, &image, "--base", "scratch"];
    let pinned = env.answer(&push);
    let index = env.registry.manifest("acme/tiny", "v1").unwrap();
    let index: Value = serde_json::from_slice(&index.bytes).unwrap();
    let gone = index["manifests"][0]["digest"].as_str().unwrap();
    env.registry.lose_manifest("acme/tiny", gone);

    let linted = env.run(&["inspect", "--lint", &pinned]);
    let said = text(&linted.stdout);
    assert_eq!(linted.status.code(), Some(1), "{said}");
    assert!(
        said.contains(gone) && said.contains("[missing-manifest") && said.contains("push the image again"),
        "{said}"
    );

    let again = env.run(&push);
    let stderr = text(&again.stderr);
    assert!(again.status.success(), "{stderr}");
    assert_eq!(text(&again.stdout).trim(), pinned);
    assert!(stderr.contains("lost a part of the image; modelcar puts it again") && stderr.contains(gone), "{stderr}");
    assert!(env.registry.manifest("acme/tiny", gone).is_some());
}

#[test]
fn who_names_an_image_that_is_not_there_hears_which_tags_are() {
    let env = Env::new();
    env.answer(&["push", MODEL, &env.image("acme/tiny:v1"), "--tag", "v2", "--base", "scratch"]);
    let wrong = format!("{}@{}", env.image("acme/tiny"), Digest::of("wrong"));
    for command in [&["inspect", &wrong][..], &["inspect", "--lint", &wrong], &["render", &wrong]] {
        let output = env.run(command);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("hint: the repository has the tags `v1`, `v2`\n"), "{command:?}: {stderr}");
    }
    let many: Vec<String> = (10..22).map(|number| format!("t{number}")).collect();
    let index = env.registry.manifest("acme/tiny", "v1").unwrap();
    for tag in &many {
        env.registry.add_manifest("acme/many", tag, INDEX, String::from_utf8(index.bytes.to_vec()).unwrap());
    }
    let stderr = text(&env.run(&["inspect", &env.image("acme/many:v1")]).stderr);
    assert!(stderr.contains("`t10`, `t11`") && stderr.contains("`t19` and more\n"), "{stderr}");
    // A registry that lists no tags, or nonsense.
    let gone = env.image("acme/none:v1");
    assert!(!text(&env.run(&["inspect", &gone]).stderr).contains("has the tags"));
    let page = RegistryAction::Status { code: 200, headers: Vec::new(), body: "<html>".to_owned() };
    env.registry.fault(FaultRule::new("/tags/list", page));
    let output = env.run(&["inspect", &wrong]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("was not found"), "{}", text(&output.stderr));
}

/// Manifests that may not be read are not lost: the push fails with the refusal, and puts nothing again.
#[test]
fn a_manifest_that_may_not_be_read_back_is_not_put_again() {
    let env = Env::new();
    let image = env.image("acme/tiny:v1");
    let push = ["push", MODEL, &image, "--base", "scratch"];
    env.answer(&push);
    let index = env.registry.manifest("acme/tiny", "v1").unwrap();
    let index: Value = serde_json::from_slice(&index.bytes).unwrap();
    let child = index["manifests"][0]["digest"].as_str().unwrap();
    // When the push looks for layers to reuse, the manifest is still given.
    env.registry.fault(FaultRule::new(child, RegistryAction::error(403, "DENIED")).method("GET").after(1));
    env.registry.clear_requests();

    let again = env.run(&push);
    let stderr = text(&again.stderr);
    assert_eq!((again.status.code(), text(&again.stdout).as_str()), (Some(2), ""), "{stderr}");
    assert!(stderr.contains("403 Forbidden") && !stderr.contains("lost"), "{stderr}");
    assert!(stderr.contains("hint: the registry refuses to give a part of the image"), "{stderr}");
    let puts = env.registry.requests().into_iter().filter(|request| request.method == "PUT");
    assert!(puts.into_iter().all(|put| put.path.contains("modelcar-part-")), "{stderr}");
}

/// An index of a sparse mirror, or one of whose children a retention rule has deleted: what is left is an image.
#[test]
fn an_index_in_a_registry_is_worth_what_is_left_of_it() {
    let env = Env::new();
    let image = env.image("acme/tiny:v1");
    env.answer(&["push", MODEL, &image, "--base", "scratch"]);
    let tags = env.registry.tags();
    let index = env.registry.manifest("acme/tiny", &tags[0].2).unwrap();
    let index: Value = serde_json::from_slice(&index.bytes).unwrap();
    let platform = |entry: &Value| entry["platform"]["architecture"].as_str().unwrap().to_owned();
    let entries = index["manifests"].as_array().unwrap();
    let (gone, left) = (&entries[1], &entries[0]);
    let lost = || FaultRule::new(gone["digest"].as_str().unwrap(), RegistryAction::error(404, "MANIFEST_UNKNOWN"));
    env.registry.fault(lost());

    let inspected: Value = serde_json::from_str(&env.answer(&["inspect", &image, "--format", "json"])).unwrap();
    assert_eq!(names(&inspected["manifests"]), [format!("linux/{}", platform(left))]);
    assert_eq!(names(&inspected["missing"]), [format!("linux/{}", platform(gone))]);

    // As a base, for the platform that is left.
    let on_top = ["build", MODEL, "--base", &image, "--output", "oci:out", "--format", "json"];
    let built = env.run(&on_top);
    assert!(built.status.success(), "{}", text(&built.stderr));
    let answer: Value = serde_json::from_slice(&built.stdout).unwrap();
    assert_eq!(names(&answer["manifests"]), [format!("linux/{}", platform(left))]);
    let stderr = text(&built.stderr);
    assert!(stderr.contains(&format!("base `{image}` already has files in `/models`")), "{stderr}");
    assert!(
        stderr.contains("config.json` and 6 more files") && stderr.contains("use a base without a model"),
        "{stderr}"
    );
    let remaining = format!("linux/{}", platform(left));
    let of_left = [&on_top[..], &["--platform", &remaining]].concat();
    assert!(env.run(&of_left).status.success());
    let refused = env.run(&["build", MODEL, "--base", &image, "--output", "oci:out2", "--platform", "linux/riscv64"]);
    assert_eq!(refused.status.code(), Some(2));

    // As an image of --reuse-from. The annotation gives the new image manifests that are not missing.
    for target in ["acme/tiny:v2", "acme/other:v1"].map(|name| env.image(name)) {
        env.registry.clear_requests();
        let push =
            ["push", MODEL, &target, "--base", "scratch", "--no-cache", "--no-checkpoint", "--annotation", "a=b"];
        env.answer(&[&push[..], &["--reuse-from", &image]].concat());
        let sent = env.registry.requests().iter().filter(|request| request.method == "PATCH").count();
        assert_eq!(sent, 0, "{target}: the layers of the platform that is left are used");
    }
}
