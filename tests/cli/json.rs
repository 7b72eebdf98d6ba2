//! The JSON answers against their description, `docs/json.md`, and their schemas, `docs/schemas`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::LazyLock,
};

use super::*;

/// Real answers of every command, by the command's heading in the description.
static ANSWERS: LazyLock<Vec<(&str, Value)>> = LazyLock::new(|| answers(&Env::new()));

/// Gets an answer of every command.
fn answers(env: &Env) -> Vec<(&'static str, Value)> {
    let image = env.image("a/b:v1");
    let base = env.image("base/tools:v1");
    env.registry.add_base_image("base/tools", "v1", &["linux/amd64", "linux/arm64"]);
    fs::write(env.dir.path().join("pods.json"), PODS).unwrap();
    fs::write(env.dir.path().join("model.yaml"), "storageUri: oci://r.io/m:v1\n").unwrap();
    tiny_model().write_to(&env.dir.path().join("model")).unwrap();
    let json = |args: &[&str]| {
        let output = env.run(&[args, &["--format", "json"]].concat());
        assert!(matches!(output.status.code(), Some(0 | 1)), "{args:?}: {}", text(&output.stderr));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        (document, output.status.success())
    };
    let mut answers = Vec::new();
    let mut add = |heading: &'static str, args: &[&str]| {
        let (mut document, ok) = json(args);
        if heading == "plan" {
            // The same value twice: its fields are on the page once.
            let plan = std::mem::replace(&mut document["plan"], json!("as in the lock file"));
            assert_eq!(plan, document["lock"]["plan"]);
        }
        assert_eq!(document["schemaVersion"], json!(if heading == "plan" { 2 } else { 1 }), "{args:?}");
        let is_verdict =
            matches!(heading, "plan --check" | "base" | "inspect --lint" | "doctor" | "pin --check" | "check");
        assert_eq!(document.get("ok"), is_verdict.then_some(&json!(ok)), "{args:?}");
        answers.push((heading, document));
    };
    env.answer(&["plan", MODEL, "--base", &base, "--output", "plan.json"]);
    add("plan", &["plan", MODEL, &image, "--base", &base, "--exclude", "tokenizer.json"]);
    add("push", &["push", MODEL, &image, "--base", &base]);
    add("plan", &["plan", MODEL, &image, "--base", &base]);
    add("push", &["push", MODEL, &image, "--base", &base]);
    add("build", &["build", MODEL, "--base", &base, "--output", "oci:lay"]);
    add("download", &["download", MODEL, "got"]);
    add("inspect", &["inspect", &image]);
    add("inspect", &["inspect", "oci:lay"]);
    super::images::write("holed", &env.dir.path().join("holed"));
    add("inspect", &["inspect", "oci:holed"]);
    add("inspect --lint", &["inspect", "--lint", &image]);
    env.answer(&["push", MODEL, &env.image("a/scratch:v1"), "--base", "scratch"]);
    add("inspect --lint", &["inspect", "--lint", &env.image("a/scratch:v1")]);
    add("doctor", &["doctor", MODEL, &image, "--base", "scratch"]);
    let pin = format!("r.io/m@sha256:{}", "1".repeat(64));
    add("pin --check", &["pin", "--check", &pin, "model.yaml"]);
    add("pin", &["pin", &pin, "model.yaml"]);
    add("pin --check", &["pin", "--check", &pin, "model.yaml"]);
    add("check", &["check", "pods.json", "--expect", &format!("sha256:{}", "1".repeat(64))]);
    add("plan --check", &["plan", "--check", "plan.json"]);
    let config = std::sync::Arc::clone(tiny_model().get("config.json").unwrap());
    let renamed = tiny_model().without("config.json").file("sub/config.json", config.content.clone());
    env.hub.add_repo(MODEL, "main", renamed);
    add("plan --check", &["plan", "--check", "plan.json"]);
    add("plan", &["plan", MODEL, &image, "--base", &base]);
    add("base", &["base", &base]);
    add("base --copy-to", &["base", &base, "--copy-to", &env.image("copy/tools:v1")]);
    let (offline, _) = env.offline(&["base", "--format", "json"]);
    answers.push(("base", serde_json::from_slice(&offline.stdout).unwrap()));
    answers.push(("A command that fails", failure(env, &["inspect", "127.0.0.1:1/x"])));
    answers
}

/// The documents of every command that has JSON answers, when the command fails.
fn failures(env: &Env) -> Vec<Value> {
    let missing = env.image("a/missing:v1");
    // Nothing listens on port 1.
    let commands: [&[&str]; 10] = [
        &["inspect", "127.0.0.1:1/x"],
        &["inspect", &missing],
        &["inspect", "--lint", &missing],
        &["plan", "acme/none"],
        &["plan", "--check", "none.json"],
        &["push", "./none", &missing],
        &["build", "./none", "--output", "oci:none"],
        &["download", "acme/none", "none"],
        &["doctor", "no image"],
        &["check", "none.json"],
    ];
    let pins: [&[&str]; 2] = [&["pin", &missing, "none.yaml"], &["pin", "--check", &missing, "none.yaml"]];
    commands.iter().chain(&pins).map(|args| failure(env, args)).collect()
}

/// The document of a command that fails. stderr has the same texts.
fn failure(env: &Env, args: &[&str]) -> Value {
    let output = env.run(&[args, &["--format", "json"]].concat());
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{args:?}: {stderr}"));
    let error = &document["error"];
    let told = |prefix: &str, told: &Value| stderr.contains(&format!("{prefix}{}", told.as_str().unwrap()));
    assert!(told("error: ", &error["message"]), "{document}: {stderr}");
    assert!(error["causes"].as_array().unwrap().iter().all(|cause| told("caused by: ", cause)), "{stderr}");
    assert!(error["hints"].as_array().unwrap().iter().all(|hint| told("hint: ", hint)), "{stderr}");
    document
}

#[test]
fn a_failure_has_a_kind() {
    let documents = failures(&Env::new());
    let kinds: Vec<_> = documents.iter().map(|document| document["error"]["kind"].as_str()).collect();
    assert_eq!(kinds[..3], [Some("network"), Some("not-found"), Some("not-found")]);
    assert_eq!(kinds[8], Some("invalid-input"));
    assert_eq!(documents[0]["error"]["retryable"], json!(true));
    assert_eq!(documents[1]["error"]["retryable"], json!(false));
}

/// A pod with the image as a volume, which is Ready, and one with the sidecar of an old KServe. Neither image is the
/// expected one.
const PODS: &str = r#"{"kind": "List", "items": [
    {"kind": "Pod", "metadata": {"name": "p", "namespace": "n"}, "spec": {
        "volumes": [{"name": "mnt-models", "image": {"reference": "r.io/m:v1"}}],
        "containers": [{"name": "kserve-container", "volumeMounts": [
            {"name": "mnt-models", "mountPath": "/mnt/models", "subPath": "models", "readOnly": true}]}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}},
    {"kind": "Pod", "metadata": {"name": "q", "namespace": "n"}, "spec": {
        "shareProcessNamespace": true, "securityContext": {"runAsUser": 1010},
        "volumes": [{"name": "kserve-provision-location", "emptyDir": {}}],
        "containers": [
            {"name": "kserve-container", "securityContext": {"runAsUser": 1},
             "volumeMounts": [{"name": "kserve-provision-location", "mountPath": "/mnt"}]},
            {"name": "modelcar", "image": "r.io/m:v1",
             "args": ["sh", "-c", "ln -s /proc/$$$$/root/models /mnt/models && sleep infinity"],
             "volumeMounts": [{"name": "kserve-provision-location", "mountPath": "/mnt"}]}]}}]}"#;

/// Adds the paths of all values in a document. Annotations have keys of their own.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) if !path.ends_with("annotations") => {
            let dot = if path.is_empty() { "" } else { "." };
            map.iter().for_each(|(key, value)| fields(value, &format!("{path}{dot}{key}"), found));
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, &format!("{path}[]"), found)),
        Value::Null => {}
        _ => {
            found.insert(path.to_owned());
        }
    }
}

/// Reads the fields off the tables of the page, by heading: the first column holds paths in backquotes, and one that
/// begins with a dot takes the place of the last part of the one before it.
fn described(page: &str) -> BTreeMap<&str, BTreeSet<String>> {
    let mut sections: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut heading = "";
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            heading = name;
        }
        let Some(cell) = line.strip_prefix("| `").and_then(|rest| rest.split(" | ").next()) else { continue };
        let mut last = String::new();
        for path in format!("`{cell}").split('`').skip(1).step_by(2) {
            last = match (path.strip_prefix('.'), last.rsplit_once('.')) {
                (Some(part), Some((above, _))) => format!("{above}.{part}"),
                _ => path.to_owned(),
            };
            sections.entry(heading).or_default().insert(last.clone());
        }
    }
    sections
}

#[test]
fn the_page_lists_the_fields_that_answers_have() {
    let page = described(include_str!("../../docs/json.md"));
    let mut real: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (heading, document) in &*ANSWERS {
        fields(document, "", real.entry(heading).or_default());
    }
    let mut wrong = Vec::new();
    for heading in page.keys().chain(real.keys()).collect::<BTreeSet<_>>() {
        let none = BTreeSet::new();
        let (page, real) = (page.get(heading).unwrap_or(&none), real.get(heading).unwrap_or(&none));
        wrong.extend(real.difference(page).map(|field| format!("{heading}: {field} is not on the page")));
        wrong.extend(page.difference(real).map(|field| format!("{heading}: {field} is in no answer")));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Reads the schema of `docs/schemas`, and makes it refuse what it does not describe, which a later release may add.
pub(super) fn strict_schema(name: &str) -> jsonschema::Validator {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
    let mut schema: Value = serde_json::from_slice(&fs::read(folder.join(format!("{name}.json"))).unwrap()).unwrap();
    schema["unevaluatedProperties"] = json!(false);
    // A part that a variant takes in describes only some of the fields.
    let variants = schema["oneOf"].as_array().into_iter().flatten();
    let taken_in: BTreeSet<String> =
        variants.filter_map(|variant| Some(variant["$ref"].as_str()?.rsplit_once('/')?.1.to_owned())).collect();
    let parts = schema.get_mut("$defs").and_then(Value::as_object_mut).into_iter().flatten();
    for (_, part) in parts.filter(|(name, part)| !taken_in.contains(*name) && part.get("properties").is_some()) {
        part["unevaluatedProperties"] = json!(false);
    }
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn every_answer_fits_its_schema() {
    let page = include_str!("../../docs/json.md");
    for (heading, document) in &*ANSWERS {
        let section = page.split_once(&format!("\n## {heading}\n\n")).unwrap().1;
        let name = section.split_once("(schemas/").and_then(|(_, rest)| rest.split_once(".json)")).unwrap().0;
        let mut document = document.clone();
        if *heading == "plan" {
            document["plan"] = document["lock"]["plan"].clone();
            let errors: Vec<String> =
                strict_schema("lock").iter_errors(&document["lock"]).map(|e| e.to_string()).collect();
            assert_eq!(errors, [""; 0]);
        }
        let schema = strict_schema(name);
        let errors: Vec<String> = schema.iter_errors(&document).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{heading}: {document}");
        document["other"] = json!(1);
        assert!(!schema.is_valid(&document), "{heading}: a field that the schema lacks");
    }
}

#[test]
fn what_has_moved_is_told_in_fields() {
    let env = Env::new();
    env.answer(&["plan", MODEL, "--base", "scratch", "--output", "plan.json"]);
    let changed = tiny_model().file("config.json", "{}").file("new.json", "{}").without("tokenizer.json");
    let old = env.answer(&["plan", MODEL, "--base", "scratch", "--format", "json"]);
    let commit = env.hub.add_repo(MODEL, "main", changed);
    let output = env.run(&["plan", "--check", "plan.json", "--format", "json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let old: Value = serde_json::from_str(&old).unwrap();
    let sizes =
        ["config.json", "tokenizer.json"].map(|path| format!("{} bytes", tiny_model().get(path).unwrap().size()));
    assert_eq!(
        document["moved"],
        json!([
            {"kind": "revision", "name": "main", "was": old["lock"]["plan"]["origin"]["commit"], "is": commit},
            {"kind": "file", "name": "config.json", "was": sizes[0], "is": "2 bytes"},
            {"kind": "file", "name": "tokenizer.json", "was": sizes[1], "is": null},
            {"kind": "file", "name": "new.json", "was": null, "is": "2 bytes"},
        ])
    );
}

#[test]
fn the_answer_of_plan_replays_where_it_pins_all_content() {
    let env = Env::new();
    let answer = env.answer(&["plan", MODEL, &env.image("a/b:v1"), "--base", "scratch", "--format", "json"]);
    fs::write(env.dir.path().join("answer.json"), &answer).unwrap();
    let replayed = env.answer(&["push", "--plan", "answer.json", &env.image("a/b:v1")]);
    assert_eq!(replayed, env.answer(&["push", MODEL, &env.image("a/b:v2"), "--base", "scratch"]));
    assert!(env.answer(&["plan", "--check", "answer.json"]).contains("are as the lock file has them"));

    let env = Env::new();
    tiny_model().write_to(&env.dir.path().join("model")).unwrap();
    let answer = env.answer(&["plan", "./model", "--base", "scratch", "--format", "json"]);
    fs::write(env.dir.path().join("answer.json"), &answer).unwrap();
    let said = ["`answer.json`", "does not pin the content of `1_Pooling/config.json`", "plan SOURCE --output"];
    env.refused(&["push", "--plan", "answer.json", &env.image("a/b:v1")], &said);
    fs::write(env.dir.path().join("answer.json"), answer.replacen("{\"base\"", "{\"other\": 1, \"base\"", 1)).unwrap();
    env.refused(&["push", "--plan", "answer.json", &env.image("a/b:v1")], &["unknown field `other`"]);
}
