//! `--progress json`: the stream on stderr against its description in `docs/json.md`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::*;

/// Runs with `--progress json` and returns the exit status and the events. Every line of stderr is one.
fn events(env: &Env, args: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = env.run(&[args, &["--progress", "json"]].concat());
    let stderr = text(&output.stderr);
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    (output.status.code(), stderr.lines().map(parse).collect())
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

/// Reads the fields of each event off the page.
fn described() -> BTreeMap<String, BTreeSet<String>> {
    let page = include_str!("../../docs/json.md").split_once("## Events").expect("the page has the section").1;
    let section = page.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let rows = rows.filter(|(name, _)| *name != "event" && !name.starts_with('-'));
    let fields = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    rows.map(|(name, rest)| (name.to_owned(), fields(rest.split(" | ").next().unwrap()))).collect()
}

/// Runs in which each event occurs, but for the heartbeat, which takes ten seconds.
fn all(env: &Env) -> Vec<Value> {
    let weights: Vec<u8> = (0..8_u32 << 20).map(|byte| byte.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let tree = tiny_model().file("vocabulary.txt", weights).file("pytorch_model.bin", vec![7; 200_000]);
    env.hub.add_repo("acme/slow", "main", tree);
    let stall = HubAction::Stall { at: 2 << 20, pause: Duration::from_millis(1300) };
    env.hub.fault(FaultRule::new("vocabulary.txt", stall).times(1));
    env.hub.fault(FaultRule::new("/tree/", HubAction::status(503)).times(1));
    env.registry
        .fault(FaultRule::new("/blobs/uploads/", RegistryAction::StatusAfterBody(502)).method("PATCH").times(1));
    let image = env.image("a/b:v1");
    fs::write(env.dir.path().join("m.yaml"), format!("storageUri: oci://{image}\n")).unwrap();
    let push = ["push", "acme/slow", &image, "--base", "scratch", "--jobs", "1", "--connections", "1"];
    let (status, mut all) = events(env, &[&push[..], &["--pin", "m.yaml", "-v"]].concat());
    assert_eq!(status, Some(0), "{all:?}");
    let (_, again) = events(env, &push);
    // Without weights, which is a warning.
    env.hub.add_repo("acme/one", "main", ModelTree::new().file("config.json", "{}"));
    let (_, warned) = events(env, &["push", "acme/one", &env.image("a/c:v1"), "--base", "scratch"]);
    let (_, gone) = events(env, &["push", "acme/none", &image]);
    assert_eq!(names(&gone).last(), Some(&"done"));
    all.extend(again);
    all.extend(warned);
    all.extend(gone);
    all
}

#[test]
fn each_line_is_an_event_with_the_fields_of_the_page() {
    let env = Env::new();
    let page = described();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let schema = super::json::strict_schema("event");
    for event in all(&env) {
        let errors: Vec<String> = schema.iter_errors(&event).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{event}");
        let event = event.as_object().unwrap();
        let fields =
            event.iter().filter(|(key, value)| !["event", "seconds"].contains(&key.as_str()) && !value.is_null());
        let fields: Vec<String> = fields.map(|(key, _)| key.clone()).collect();
        assert!(event["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0), "{event:?}");
        seen.entry(event["event"].as_str().unwrap().to_owned()).or_default().extend(fields);
    }
    for (name, fields) in &seen {
        assert_eq!(page.get(name), Some(fields), "{name}");
    }
    let unseen: Vec<_> = page.keys().filter(|name| !seen.contains_key(*name)).collect();
    assert_eq!(unseen, ["filesDone", "filesProgress", "filesStarted", "heartbeat", "interrupted"]);
}

#[test]
fn a_download_tells_of_its_files() {
    let env = Env::new();
    let weights = vec![7; 8 << 20];
    env.hub.add_repo("acme/slow", "main", ModelTree::new().file("model.safetensors", weights));
    let stall = HubAction::Stall { at: 2 << 20, pause: Duration::from_millis(1300) };
    env.hub.fault(FaultRule::new("model.safetensors", stall).times(1));
    let (status, events) = events(&env, &["download", "acme/slow", "out", "--connections", "1"]);
    assert_eq!(status, Some(0), "{events:?}");
    let fields = |name: &str| {
        let event = named(&events, name)[0].as_object().unwrap();
        event.keys().map(String::as_str).filter(|key| !["event", "seconds"].contains(key)).collect::<BTreeSet<_>>()
    };
    let page = described();
    for name in ["filesStarted", "filesProgress", "filesDone"] {
        assert_eq!(fields(name), page[name].iter().map(String::as_str).collect(), "{name}");
        assert_eq!(named(&events, name)[0]["act"], "fetch");
    }
    let so_far = named(&events, "filesProgress")[0];
    assert_eq!(so_far["bytes"], json!(8 << 20));
    assert!(so_far["doneBytes"].as_u64().unwrap() <= 8 << 20);
}

#[test]
fn the_stream_begins_and_ends_whatever_happens() {
    let env = Env::new();
    let image = env.image("a/b:v1");
    for (args, status, last) in [
        (&["push", MODEL, &image, "--base", "scratch", "-q"][..], 0, "summary"),
        (&["plan", MODEL, "--base", "scratch"], 0, "phase"),
        (&["push", MODEL, "Upper/Case:v1"], 2, "error"),
        (&["push", "acme/none", &image, "--base", "scratch"], 2, "error"),
    ] {
        let (exit, events) = events(&env, args);
        let names = names(&events);
        assert_eq!(exit, Some(status), "{args:?}: {events:?}");
        assert_eq!((names[0], names[names.len() - 2], names[names.len() - 1]), ("start", last, "done"), "{args:?}");
        assert_eq!(events.last().unwrap()["exitStatus"], json!(status));
        assert_eq!(events[0]["schemaVersion"], json!(1));
        let seconds: Vec<_> = events.iter().map(|event| event["seconds"].as_f64().unwrap()).collect();
        assert!(seconds.is_sorted(), "{seconds:?}");
    }
    let (_, refused) = events(&env, &["push", "acme/none", &image, "--base", "scratch"]);
    let error = named(&refused, "error")[0];
    assert!(error["message"].as_str().unwrap().contains("acme/none"), "{error}");
    assert!(error["hints"].as_array().is_some_and(|hints| !hints.is_empty()), "{error}");
}

#[test]
fn a_layer_that_is_kept_is_told_as_reused() {
    let env = Env::new();
    let push = ["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"];
    let (_, first) = events(&env, &push);
    assert_eq!(named(&first, "layerDone")[0]["layer"], json!(1));
    assert_eq!(named(&first, "summary")[0]["reusedLayers"], json!(0));
    let (_, second) = events(&env, &[&push[..], &["--tag", "v2"]].concat());
    let summary = named(&second, "summary")[0];
    assert_eq!((&summary["layers"], &summary["reusedLayers"]), (&json!(1), &json!(1)), "{second:?}");
    assert_eq!(summary["tags"], json!(["v1", "v2"]));
    assert_eq!(named(&second, "layerReused")[0]["layer"], json!(1));
}
