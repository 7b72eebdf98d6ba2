//! `render`, `check`, `inspect --lint`, and what an image says of its model.

use std::{fs, io::Write, process::Stdio};

use modelcar_testkit::ModelTree;
use serde_json::{Value, json};

use crate::{Env, MODEL, text};

/// A base with the programs that KServe's sidecar runs; nothing here runs them.
const BUSYBOX: &str = "/bin/busybox";

fn annotations(env: &Env, image: &str) -> Value {
    let document = env.answer(&["inspect", image, "--format", "json"]);
    serde_json::from_str::<Value>(&document).unwrap()["annotations"].take()
}

fn model(annotations: &Value) -> Vec<(String, String)> {
    let all = annotations.as_object().unwrap().iter();
    let own = all.filter(|(key, _)| key.starts_with("io.modelcar.model."));
    own.map(|(key, value)| (key["io.modelcar.model.".len()..].to_owned(), value.as_str().unwrap().to_owned())).collect()
}

#[test]
fn an_image_says_what_model_it_holds_wherever_it_comes_from() {
    let env = Env::new();
    modelcar_testkit::tiny_model().write_to(&env.dir.path().join("model")).unwrap();
    let push = |source, name| env.answer(&["push", source, &env.image(name), "--base", "scratch"]);
    let (hub, dir) = (push(MODEL, "a/hub:v1"), push("./model", "a/dir:v1"));
    let told = model(&annotations(&env, &hub));
    assert_eq!(told, model(&annotations(&env, &dir)));
    let of = |key: &str| told.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    assert_eq!(of("architecture"), Some("LlamaForCausalLM"));
    assert_eq!(of("format"), Some("safetensors"));
    assert_eq!(of("dtype"), Some("BF16"));
    assert_eq!(of("parameters"), Some("100000"));
    // A wish of the user comes first.
    let own = ["--annotation", "io.modelcar.model.architecture=Mine"];
    let image = env.image("a/own:v1");
    let pinned = env.answer(&[&["push", MODEL, &image, "--base", "scratch"], &own[..]].concat());
    assert!(model(&annotations(&env, &pinned)).contains(&("architecture".to_owned(), "Mine".to_owned())));
}

#[test]
fn facts_are_part_of_the_lock_file() {
    let env = Env::new();
    env.answer(&["plan", MODEL, "--base", "scratch", "--output", "plan.json"]);
    let lock: Value = serde_json::from_slice(&fs::read(env.dir.path().join("plan.json")).unwrap()).unwrap();
    assert_eq!(lock["plan"]["annotations"]["io.modelcar.model.parameters"], json!("100000"));
    let plan: Value =
        serde_json::from_str(&env.answer(&["plan", MODEL, "--base", "scratch", "--format", "json"])).unwrap();
    assert_eq!(plan["nodeDisk"]["gke"]["gib"], json!(30));
    assert_eq!(plan["pullTime"]["defaultSeconds"], json!(1));
    assert!(env.answer(&["plan", MODEL, "--base", "scratch"]).contains("boot disk of 30 GiB"));
}

#[test]
fn render_pins() {
    let env = Env::new();
    let tagged = env.image("a/m:v1");
    let pinned = env.answer(&["push", MODEL, &tagged, "--base", "scratch"]);
    let output = env.run(&["render", &tagged, "--native"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = text(&output.stderr);
    assert!(stderr.contains(&pinned) && stderr.contains("--resolve"), "{stderr}");
    let yaml = env.answer(&["render", &tagged, "--native", "--resolve"]);
    assert_eq!(yaml, env.answer(&["render", &pinned, "--native"]));
    assert_eq!(yaml, env.answer(&["render", &format!("oci://{pinned}"), "--native"]));
    assert!(yaml.contains(&format!("storageUri: oci+native://{pinned}\n")), "{yaml}");
    assert!(yaml.starts_with("# acme/tiny at "), "{yaml}");
    assert!(yaml.contains("runAsUser: 1010\n"), "{yaml}");
    assert!(env.answer(&["render", &pinned, "--native", "--kserve-uid", "7"]).contains("runAsUser: 7\n"));
    assert!(!env.answer(&["render", &pinned, "--native", "--kserve-uid", "none"]).contains("runAsUser"));
    assert!(yaml.contains("LlamaForCausalLM, 100 k parameters"), "{yaml}");
}

#[test]
fn render_refuses_what_can_not_work() {
    let env = Env::new();
    let pinned = env.answer(&["push", MODEL, &env.image("a/m:v1"), "--base", "scratch"]);
    let refused = |options: &[&str], said: &[&str]| {
        let output = env.run(&[&["render", &pinned], options].concat());
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""), "{stderr}");
        for part in said {
            assert!(stderr.contains(part), "{options:?} does not say {part:?}:\n{stderr}");
        }
    };
    refused(&[], &["no shell", "hint:", "--native"]);
    refused(&["--native", "--kserve-version", "0.19"], &["came with 0.20", "hint:"]);
    refused(&["--native", "--name", "A"], &["not a Kubernetes name", "--name"]);
    refused(&["--kserve-version", "0.3"], &["between 0.15 and 0.21"]);
    // Values are looked at before the image is.
    refused(&["--cpu", "four"], &["`four` is not an amount of CPU", "hint: correct --cpu"]);
    refused(&["--memory", "16GB"], &["is not an amount of memory", "--memory"]);
    refused(&["--label", "a b=c"], &["is not a part of a label", "--label"]);
    refused(&["--custom-container", "Vllm:v1"], &["is not an image", "--custom-container"]);
    refused(&["--native", "--lora", "a=nothing.invalid/a:1", "--kserve-version", "0.19"], &["nothing.invalid"]);
    for bad in ["-1", "2147483648", "root", ""] {
        refused(&["--kserve-uid", bad], &["`", "is not a user: write a number from 0 to 2147483647, or none"]);
    }
    refused(&["--native", "--kserve-uid", "0"], &["an image volume and the user root do not go together", "hint:"]);
    refused(&["--native", "--template", "nothing.j2"], &["nothing.j2"]);
    fs::write(env.dir.path().join("bad.j2"), "{{ nothing }}").unwrap();
    refused(&["--native", "--template", "bad.j2"], &["fill the template", "docs/kserve.md"]);
    fs::write(env.dir.path().join("good.j2"), "{{ name }} {{ digest }}\n").unwrap();
    let filled = env.answer(&["render", &pinned, "--native", "--template", "good.j2"]);
    assert_eq!(filled, format!("tiny {}", pinned.split_once('@').unwrap().1));
}

#[test]
fn warnings_go_to_stderr_and_into_the_comment() {
    let env = Env::new();
    let pinned = env.answer(&["push", MODEL, &env.image("a/m:v1"), "--base", "scratch"]);
    let output = env.run(&["render", &pinned, "--native", "--min-replicas", "0"]);
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("warning: KServe runs one replica"));
    assert!(text(&output.stdout).contains("# Warning: KServe runs one replica"));
}

#[test]
fn an_image_writes_no_manifest_and_moves_no_cursor() {
    let env = Env::new();
    let title = "org.opencontainers.image.title=x\napiVersion: v1\nkind: Pod\n---\n\u{1b}[2J";
    let pinned = env.answer(&["push", MODEL, &env.image("a/m:v1"), "--base", "scratch", "--annotation", title]);
    let output = env.run(&["render", &pinned, "--native", "--name", "m"]);
    let (yaml, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    assert!(yaml.starts_with("# x apiVersion: v1 kind: Pod --- \u{fffd}[2J"), "{yaml}");
    assert_eq!(yaml.matches("\napiVersion: ").count(), 1, "{yaml}");
    assert!(!stderr.contains('\u{1b}'), "{stderr}");
    for arguments in [["inspect", pinned.as_str()].as_slice(), &["inspect", &pinned, "--lint"]] {
        let shown = text(&env.run(arguments).stdout);
        assert!(!shown.contains('\u{1b}') && !shown.contains("\nkind: Pod"), "{shown}");
    }
}

#[test]
fn lint_answers_with_its_status() {
    let env = Env::new();
    let pinned = env.answer(&["push", MODEL, &env.image("a/m:v1"), "--base", "scratch"]);
    let lint = |options: &[&str]| {
        let output = env.run(&[&["inspect", &pinned, "--lint"], options].concat());
        (output.status.code(), text(&output.stdout))
    };
    let (status, table) = lint(&[]);
    assert_eq!(status, Some(1), "{table}");
    assert!(table.contains("sidecar can't serve") && table.contains("native  can serve"), "{table}");
    assert!(table.contains("no-shell; sidecar"), "{table}");
    assert_eq!(lint(&["--mode", "native", "--mode", "fetch"]).0, Some(0));
    for scheme in ["oci", "oci+native", "oci+fetch"] {
        let named = format!("{scheme}://{pinned}");
        assert!(env.answer(&["inspect", &named]).contains("a/m@sha256:"), "{named}");
    }
    let (_, document) = lint(&["--format", "json"]);
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["serves"], json!(["native", "fetch"]));
    assert_eq!(env.run(&["inspect", &pinned, "--mode", "native"]).status.code(), Some(2), "--mode needs --lint");
    let tag = env.run(&["inspect", &env.image("a/m:v1"), "--lint"]);
    assert!(text(&tag.stdout).contains("unpinned"));
    if fs::exists(BUSYBOX).unwrap() {
        let built = env.run(&["build", MODEL, "--base-binary", BUSYBOX, "--output", "oci:image"]);
        let said = text(&built.stderr);
        assert!(built.status.success() && said.contains(&format!(" alone, as `{BUSYBOX}` is")), "{said}");
        let output = env.run(&["inspect", "oci:image", "--lint"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    }
}

#[test]
fn a_large_layer_is_linted_by_its_first_names() {
    let env = Env::new();
    env.hub.add_repo("acme/large", "main", modelcar_testkit::synthetic_model(1, 80 << 20));
    let pinned = env.answer(&["push", "acme/large", &env.image("a/m:v1"), "--base", "scratch"]);
    let lint = |options: &[&str]| {
        let output = env.run(&[&["inspect", &pinned, "--lint", "--mode", "native"], options].concat());
        assert_eq!(output.status.code(), Some(0));
        text(&output.stdout)
    };
    assert!(lint(&[]).contains("1 of 2 layers were not read to their end"));
    assert!(!lint(&["--all"]).contains("not read"));
}

#[test]
fn check_answers_with_its_status() {
    let env = Env::new();
    let pod = json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "n"}, "spec": {
        "volumes": [{"name": "mnt-models", "image": {"reference": format!("r.io/m@sha256:{}", "0".repeat(64))}}],
        "containers": [{"name": "kserve-container", "volumeMounts": [
            {"name": "mnt-models", "mountPath": "/mnt/models", "subPath": "models", "readOnly": true}]}]}});
    fs::write(env.dir.path().join("pod.json"), pod.to_string()).unwrap();
    let answer = env.answer(&["check", "pod.json"]);
    assert!(answer.starts_with("Pod n/p\n  mode    native\n  kserve  0.20 or later\n"), "{answer}");
    assert!(answer.ends_with("\nok"), "{answer}");
    let expect = format!("r.io/m@sha256:{}", "1".repeat(64));
    let output = env.run(&["check", "pod.json", "--expect", &expect, "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["pods"][0]["findings"][0]["code"], json!("unexpected-digest"));
    fs::write(env.dir.path().join("pod.yaml"), "kind: Pod\n").unwrap();
    for (arguments, said) in [
        (["check", "missing.json"].as_slice(), "missing.json"),
        (&["check", "pod.json", "--expect", "r.io/m:v1"], "names no digest"),
        (&["check", "-"], "the document is empty"),
        (&["check", "pod.yaml"], "kubectl create --dry-run=server -o json -f FILE"),
    ] {
        let output = env.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(said), "{arguments:?}: {}", text(&output.stderr));
    }
    let mut piped = env.command(&["check", "-"]);
    let mut child = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(pod.to_string().as_bytes()).unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stdout), format!("{answer}\n"));
}

#[test]
fn check_waits_for_ready_and_prints_no_cursor() {
    let env = Env::new();
    let words = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.\n\u{1b}[2J";
    let with = |status: Value| {
        json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "n", "resourceVersion": "7"}, "status": status,
            "spec": {"volumes": [{"name": "mnt-models", "image": {"reference": format!("r.io/m@sha256:{}", "0".repeat(64))}}],
                "containers": [{"name": "kserve-container", "volumeMounts": [
                    {"name": "mnt-models", "mountPath": "/mnt/models", "subPath": "models", "readOnly": true}]}]}})
    };
    let ask = |pod: Value, options: &[&str]| {
        fs::write(env.dir.path().join("pod.json"), pod.to_string()).unwrap();
        let output = env.run(&[&["check", "pod.json"], options].concat());
        (output.status.code(), text(&output.stdout))
    };
    let (status, shown) = ask(with(json!({"conditions": [{"type": "Ready", "status": "True"}]})), &[]);
    assert_eq!(status, Some(0));
    assert!(
        shown.starts_with("Pod n/p\n  state   ready\n  mode    native\n") && shown.ends_with("\nready\n"),
        "{shown}"
    );
    let waits = with(json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}]}));
    let (status, shown) = ask(waits.clone(), &[]);
    assert_eq!(status, Some(3));
    assert!(
        shown.contains("  waits: the scheduler finds no node for the pod: Unschedulable: 0/1 nodes")
            && shown.ends_with("\nwaiting\n"),
        "{shown}"
    );
    assert!(!shown.contains('\u{1b}'), "{shown}");
    let (_, document) = ask(waits, &["--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&document).unwrap()["pods"][0]["ready"], json!(false));
    let service = json!({"kind": "InferenceService", "metadata": {"name": "m"}, "spec": {
        "predictor": {"securityContext": {"runAsGroup": 0}, "model": {"storageUri": "oci://r.io/m:v1"}}}});
    let (status, shown) = ask(service, &[]);
    assert_eq!(status, Some(1));
    assert!(
        shown.contains("runAsGroup 0 and no runAsUser") && !shown.contains("ready") && shown.ends_with("\nfailing\n"),
        "{shown}"
    );
}

#[test]
fn a_model_of_one_file_has_no_facts() {
    let env = Env::new();
    env.hub.add_repo("acme/one", "main", ModelTree::new().file("notes.txt", "hello"));
    let pinned = env.answer(&["push", "acme/one", &env.image("a/one:v1"), "--base", "scratch"]);
    assert_eq!(
        model(&annotations(&env, &pinned)),
        [("flaws".to_owned(), "no-weights".to_owned()), ("rules".to_owned(), "3".to_owned())]
    );
    assert!(env.answer(&["render", &pinned, "--native"]).contains("does not say what model it holds"));
}
