//! The hostile inputs: what each is made of, and the command that reads it.

use std::{fmt, fs, io, path::Path};

use modelcar_testkit::{
    FakeHub, FakeRegistry, FaultRule, HubAction, HubConfig, ModelTree, RegistryConfig, safetensors_bytes,
};
use serde_json::json;

use super::{files, layouts};

const MODEL: &str = "acme/tiny";
const MIB: usize = 1 << 20;
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A hostile input.
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    make: fn(&Path) -> io::Result<Scene>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

/// An input that is made, and how it is read.
#[derive(Debug, Default)]
pub(super) struct Scene {
    /// What stands on the command line.
    pub(super) args: Vec<String>,
    /// Variables of the environment.
    pub(super) variables: Vec<(&'static str, String)>,
    /// They answer as long as the scene lasts.
    _hub: Option<FakeHub>,
    _registry: Option<FakeRegistry>,
}

impl Scene {
    fn new(args: &[&str]) -> Self {
        Self { args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..Self::default() }
    }
}

impl Case {
    /// Makes the input below `dir`, an empty folder.
    pub(super) fn scene(self, dir: &Path) -> io::Result<Scene> {
        (self.make)(dir)
    }
}

/// Returns all inputs.
pub fn cases() -> Vec<Case> {
    let case = |name, make| Case { name, make };
    vec![
        case("layer: one GNU long name of 3 GiB", |dir| lint(dir, &[layouts::long_field(b'L')])),
        case("layer: one PAX header of 3 GiB", |dir| lint(dir, &[layouts::long_field(b'x')])),
        case("layer: 2,000 names of 1 MiB", |dir| lint(dir, &[layouts::long_names(2000)])),
        case("layers: 80,000 files, 80,000 white-outs", |dir| lint(dir, &layouts::white_outs(80_000))),
        case("index: one manifest of 3.9 MiB, 400 times", |dir| {
            layouts::write_many_times(dir, 35_000, 400)?;
            Ok(Scene::new(&["inspect", &layout(dir)]))
        }),
        case("Hub: a size is 31 MiB of numbers", |_| listing("\"size\":[", "0,", "0]")),
        case("Hub: a size in lfs is 31 MiB of numbers", |_| {
            listing("\"size\":1,\"lfs\":{\"oid\":\"ab\",\"size\":[", "0,", "0]}")
        }),
        case("Hub: the card is 31 MiB of numbers", |_| {
            let start = format!(r#"{{"id":"{MODEL}","sha":"{}","cardData":["#, "ab".repeat(20));
            hub([answer("/revision/", 200, files::text(&start, "0,", 31 * MIB, "0]}"))])
        }),
        case("Hub: a path of 31 MiB", |_| listing("\"size\":1,\"x\":\"\",\"path\":\"", "a", "\"")),
        case("Hub: a path of 31 MiB of words", |_| listing("\"size\":1,\"path\":\"", "a ", "\"")),
        case("Hub: 31 MiB of entries", |_| {
            let entry = r#"{"type":"file","path":"a","size":1},"#;
            hub([answer("/tree/", 200, files::text("[", entry, 31 * MIB, "{}]"))])
        }),
        case("Hub: pages of 20 MiB without an end", |_| hub((0..9).map(large_page))),
        case("Hub: small pages without an end", |_| hub([FaultRule::new("/tree/", HubAction::EndlessListing)])),
        case("Hub: a refusal of 31 MiB", |_| {
            hub([answer("/revision/", 403, files::text("{\"error\":\"", "no ", 31 * MIB, "\"}"))])
        }),
        case("model: config.json of 100 MB", |dir| {
            plan(dir, |dir| files::filled(&dir.join("config.json"), "{\"a\":[", "0,", 100_000_000, "0]}"))
        }),
        case("model: tokenizer.json of 100 MB", |dir| {
            plan(dir, |dir| files::filled(&dir.join("tokenizer.json"), "{\"a\":[", "0,", 100_000_000, "0]}"))
        }),
        case("model: index of shards of 100 MB", |dir| {
            plan(dir, |dir| {
                let file = dir.join("model.safetensors.index.json");
                files::filled(&file, "{\"weight_map\":{\"z\":[", "0,", 100_000_000, "0]}}")
            })
        }),
        case("model: index of shards, 31 MiB of tensors", |dir| {
            plan(dir, |dir| {
                let (file, tensor) = (dir.join("model.safetensors.index.json"), "\"a\":\"model.safetensors\",");
                files::filled(&file, "{\"weight_map\":{", tensor, 31 * MIB, "\"z\":\"model.safetensors\"}}")
            })
        }),
        case("model: safetensors header of 100 MB", |dir| {
            plan(dir, |dir| files::safetensors(&dir.join("model.safetensors"), 100_000_000))
        }),
        case("model: safetensors header of 24 MB", |dir| {
            plan(dir, |dir| files::safetensors(&dir.join("model.safetensors"), 24_000_000))
        }),
        case("model: GGUF of 2^60 tensors", |dir| plan(dir, |dir| files::gguf(&dir.join("m.gguf"), 1 << 60))),
        case("model: GGUF of 2^20 tensors and properties", |dir| {
            plan(dir, |dir| files::gguf(&dir.join("m.gguf"), 1 << 20))
        }),
        case("login file of 300 MB", |dir| {
            let registry = FakeRegistry::start_blocking(RegistryConfig::default());
            files::filled(&dir.join("config.json"), "{\"a\":[", "0,", 300_000_000, "0]}")?;
            let mut scene = Scene::new(&["inspect", &format!("{}/team/tiny:v1", registry.host())]);
            scene.variables.push(("DOCKER_CONFIG", dir.display().to_string()));
            Ok(Scene { _registry: Some(registry), ..scene })
        }),
        case("lock file of 200 MB", |dir| {
            let file = dir.join("plan.json");
            files::filled(&file, "{\"a\":[", "0,", 200_000_000, "0]}")?;
            Ok(Scene::new(&["plan", "--check", &file.display().to_string()]))
        }),
        case("check: 20,000 deployments", |dir| {
            let file = dir.join("pods.json");
            files::deployments(&file, 20_000)?;
            Ok(Scene::new(&["check", &file.display().to_string()]))
        }),
        case("check: 200 MB of numbers", |dir| {
            let file = dir.join("pods.json");
            files::filled(&file, r#"{"kind":"List","items":["#, "0,", 200_000_000, "0]}")?;
            Ok(Scene::new(&["check", &file.display().to_string()]))
        }),
        case("push: the tag has an image of 175,000 layers", taken_tag),
    ]
}

fn layout(dir: &Path) -> String {
    format!("oci:{}", dir.display())
}

fn lint(dir: &Path, layers: &[layouts::Pieces]) -> io::Result<Scene> {
    layouts::write(dir, layers)?;
    Ok(Scene::new(&["inspect", "--lint", &layout(dir)]))
}

/// A plan of a model in a folder, to which `add` does something.
fn plan(dir: &Path, add: fn(&Path) -> io::Result<()>) -> io::Result<Scene> {
    files::model(dir)?;
    add(dir)?;
    Ok(Scene::new(&["plan", &dir.display().to_string(), "--base", "scratch"]))
}

fn answer(place: &str, code: u16, body: String) -> FaultRule<HubAction> {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    FaultRule::new(place, HubAction::Status { code, headers, body })
}

/// A plan of a model of a Hub with these faults.
fn hub(rules: impl IntoIterator<Item = FaultRule<HubAction>>) -> io::Result<Scene> {
    let hub = FakeHub::start_blocking(HubConfig::default());
    let tree = ModelTree::new().file("config.json", "{}").lfs("model.safetensors", safetensors_bytes("a", 1, 1));
    hub.add_repo(MODEL, "main", tree);
    rules.into_iter().for_each(|rule| hub.fault(rule));
    let mut scene = Scene::new(&["plan", MODEL, "--base", "scratch"]);
    scene.variables.push(("HF_ENDPOINT", hub.endpoint()));
    Ok(Scene { _hub: Some(hub), ..scene })
}

/// A listing of one file, one field of which has 31 MiB.
fn listing(start: &str, piece: &str, end: &str) -> io::Result<Scene> {
    let path = if start.contains("\"path\"") { "" } else { "\"path\":\"a\"," };
    let start = format!(r#"[{{"type":"file","oid":"{}",{path}{start}"#, "ab".repeat(20));
    hub([answer("/tree/", 200, files::text(&start, piece, 31 * MIB, &format!("{end}}}]")))])
}

/// A page of a listing, and the address of the next one.
fn large_page(number: usize) -> FaultRule<HubAction> {
    let path = "x".repeat(20 * MIB);
    let body = json!([{"type": "file", "path": format!("{number}{path}"), "size": 1, "oid": "ab".repeat(20)}]);
    let link = format!("<?cursor={}>; rel=\"next\"", number + 1);
    let headers = vec![("content-type".to_owned(), "application/json".to_owned()), ("link".to_owned(), link)];
    FaultRule::new("/tree/", HubAction::Status { code: 200, headers, body: body.to_string() }).times(1)
}

/// A push to a tag that has another image: five manifests, each as large as one may be.
fn taken_tag(dir: &Path) -> io::Result<Scene> {
    let registry = FakeRegistry::start_blocking(RegistryConfig::default());
    let repository = "team/tiny";
    let children = (0..5).map(|number| {
        let manifest = layouts::many_layers(35_000 - number);
        let size = manifest.len();
        let digest = registry.add_manifest(repository, &format!("m{number}"), MANIFEST, manifest);
        let platform = json!({"os": "linux", "architecture": format!("a{number}")});
        json!({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": platform})
    });
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children.collect::<Vec<_>>()});
    registry.add_manifest(repository, "v1", INDEX, index.to_string());
    files::model(dir)?;
    fs::write(dir.join("vocab.json"), "{}")?;
    let image = format!("{}/{repository}:v1", registry.host());
    let scene = Scene::new(&["push", &dir.display().to_string(), &image, "--base", "scratch"]);
    Ok(Scene { _registry: Some(registry), ..scene })
}
