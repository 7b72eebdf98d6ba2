//! What is believed, and how a lie shows.

use modelcar_testkit::Auth;

use super::*;

const REPOSITORY: &str = "a/b";

fn push(env: &Env, more: &[&str]) -> (String, String) {
    let image = env.image("a/b:v1");
    let output = env.run(&[&["push", MODEL, &image, "--base", "scratch", "--no-cache"], more].concat());
    (succeeded(&output), text(&output.stderr))
}

/// The layer of the only bundle, and its size.
fn layer(env: &Env) -> (String, u64) {
    let document = env.answer(&["inspect", &env.image("a/b:v1"), "--format", "json"]);
    let document: Value = serde_json::from_str(&document).unwrap();
    let layer = &document["manifests"][0]["layers"][0];
    (layer["digest"].as_str().unwrap().to_owned(), layer["size"].as_u64().unwrap())
}

/// Rewrites the layers of the image at the tag, as somebody who may push there could.
fn forge(env: &Env, change: impl Fn(&mut Value)) {
    let index = env.registry.manifest(REPOSITORY, "v1").unwrap();
    let mut json: Value = serde_json::from_slice(&index.bytes).unwrap();
    for child in json["manifests"].as_array_mut().unwrap() {
        let manifest = env.registry.manifest(REPOSITORY, child["digest"].as_str().unwrap()).unwrap();
        let mut forged: Value = serde_json::from_slice(&manifest.bytes).unwrap();
        change(&mut forged["layers"]);
        let bytes = serde_json::to_vec(&forged).unwrap();
        child["size"] = json!(bytes.len());
        child["digest"] = json!(env.registry.add_manifest(REPOSITORY, "forged", &manifest.media_type, bytes));
    }
    env.registry.add_manifest(REPOSITORY, "v1", &index.media_type, serde_json::to_vec(&json).unwrap());
}

#[test]
fn a_lost_blob_shows_when_the_manifest_is_refused() {
    let env = Env::new();
    push(&env, &[]);
    let (digest, size) = layer(&env);
    env.registry.lose_blob(REPOSITORY, &digest);
    env.registry.fault(FaultRule::new(&digest, RegistryAction::LieHead200 { len: size }).method("HEAD"));
    let (answer, stderr) = push(&env, &["--annotation", "a=b"]);
    assert!(stderr.contains("the registry reported blobs that it does not have"), "{stderr}");
    assert!(env.registry.blob(REPOSITORY, &digest).is_some(), "the layer is back");
    env.registry.clear_faults();
    assert!(env.answer(&["inspect", &answer]).contains(&digest[..19]));
}

#[test]
fn a_lost_blob_shows_when_it_is_read() {
    let env = Env::new();
    let (clean, _) = push(&env, &[]);
    let (digest, size) = layer(&env);
    env.registry.lose_blob(REPOSITORY, &digest);
    env.registry.fault(FaultRule::new(&digest, RegistryAction::LieHead200 { len: size }).method("HEAD"));
    let (answer, stderr) = push(&env, &["--verify-reuse"]);
    assert!(stderr.contains("is not used: it could not be read"), "{stderr}");
    assert_eq!(answer, clean);
    assert!(env.registry.blob(REPOSITORY, &digest).is_some(), "the layer is back");
}

#[test]
fn a_forged_layer_shows_when_it_is_read() {
    let env = Env::new();
    let (clean, _) = push(&env, &[]);
    let (digest, size) = layer(&env);
    let mut bytes = env.registry.blob(REPOSITORY, &digest).unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let evil = env.registry.add_blob(REPOSITORY, bytes);
    assert_eq!(size, env.registry.blob(REPOSITORY, &evil).unwrap().len() as u64);
    forge(&env, |layers| layers[0]["digest"] = json!(evil));

    let planned = env.answer(&["plan", MODEL, &env.image("a/b:v1"), "--base", "scratch", "--format", "json"]);
    assert!(planned.contains(&evil), "annotations are believed: whoever may push there is trusted");
    let (answer, stderr) = push(&env, &["--verify-reuse"]);
    assert!(stderr.contains("is not used: its bytes differ"), "{stderr}");
    assert_eq!(answer, clean);
    forge(&env, |layers| layers[0]["digest"] = json!(evil));
    let (answer, _) = push(&env, &["--no-reuse"]);
    assert_eq!(answer, clean);
}

#[test]
fn a_layer_that_can_not_be_read_at_first_is_read_again() {
    let env = Env::new();
    let (clean, _) = push(&env, &[]);
    let (digest, _) = layer(&env);
    let broken = RegistryAction::DropConnection { after_body_bytes: 100 };
    env.registry.fault(FaultRule::new(format!("blobs/{digest}"), broken).method("GET").times(1));
    env.registry.clear_requests();
    let (answer, stderr) = push(&env, &["--verify-reuse"]);
    assert_eq!((answer, stderr.contains("is not used")), (clean, false), "{stderr}");
    let reads = env.registry.requests().into_iter().filter(|request| request.method == "GET");
    let whole = reads.filter(|request| request.path.contains(&digest) && request.range.is_none());
    assert_eq!(whole.count(), 2);
}

#[test]
fn planning_takes_the_login_of_a_push() {
    let mut env = Env::new();
    let auth = Auth::basic("robot", "hunter2");
    env.registry = FakeRegistry::start_blocking(RegistryConfig { auth, ..RegistryConfig::default() });
    let image = env.image("a/b:v1");
    let logged_in = |args: &[&str]| {
        let mut command = env.command(args);
        command.env("MODELCAR_REGISTRY_USERNAME", "robot").env("MODELCAR_REGISTRY_PASSWORD", "hunter2");
        succeeded(&command.output().unwrap())
    };
    logged_in(&["push", MODEL, &image, "--base", "scratch"]);
    let told = logged_in(&["plan", MODEL, &image, "--base", "scratch"]);
    assert!(told.contains("is this image already"), "{told}");
    let tagged = logged_in(&["plan", MODEL, &image, "--base", "scratch", "--tag", "v2"]);
    assert!(tagged.contains("0 B to send") && !tagged.contains("already"), "{tagged}");
}

#[test]
fn annotations_that_contradict_each_other_are_not_used() {
    let env = Env::new();
    let (clean, _) = push(&env, &[]);
    forge(&env, |layers| {
        let layer = &mut layers[0];
        let files =
            layer["annotations"]["io.modelcar.layer.files"].as_str().unwrap().replacen("config.json", "konfig.json", 1);
        layer["annotations"]["io.modelcar.layer.files"] = json!(files);
    });
    let (answer, stderr) = push(&env, &[]);
    assert!(stderr.contains("states a recipe that is not that of its files"), "{stderr}");
    assert_eq!(answer, clean);
}

#[test]
fn ten_thousand_false_statements_are_one_warning() {
    let env = Env::new();
    let (clean, _) = push(&env, &[]);
    forge(&env, |layers| {
        let lie = |number: usize| {
            let mut layer = layers[0].clone();
            layer["digest"] = json!(format!("sha256:{number:064x}"));
            layer["annotations"]["io.modelcar.layer.files"] = json!(json!([{"path": "a", "size": number}]).to_string());
            layer
        };
        *layers = (0..10_000).map(lie).collect();
    });
    let (answer, stderr) = push(&env, &[]);
    assert_eq!(answer, clean);
    assert_eq!(stderr.matches("states a recipe that is not that of its files").count(), 1, "{stderr}");
    assert!(stderr.contains("nor are 9999 others that state this recipe falsely"), "{stderr}");
}

#[test]
fn a_directory_is_hashed_only_where_an_image_fits() {
    let env = Env::new();
    let dir = env.dir.path().join("model");
    tiny_model().write_to(&dir).unwrap();
    let image = env.image("a/b:v1");
    let args = ["push", "./model", &image, "--base", "scratch"];
    let first = env.answer(&args);
    env.registry.clear_requests();
    assert_eq!(env.answer(&args), first);
    let writes = env.registry.requests().into_iter().filter(|request| !["GET", "HEAD"].contains(&&*request.method));
    assert_eq!(writes.count(), 0);
    let config = fs::read_to_string(dir.join("config.json")).unwrap();
    fs::write(dir.join("config.json"), config.replacen("128", "129", 1)).unwrap();
    let second = env.answer(&args);
    assert_ne!(second, first, "the same sizes and other bytes are another image");
}
