//! A real model, made into an image by us, is served the way KServe serves it: by KServe's own model server, from a
//! sidecar that runs KServe's own commands, in a pod that shares processes.
//!
//! What the documents say will fail does fail, and `modelcar check` and `modelcar inspect --lint` say so beforehand.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    kserve::{self, OTHER_PATH_LINK, expanded, releases},
    parts::{BUSYBOX, Part, available, command, modelcar, python_with_packages, run, script},
    podman::Podman,
    push_and_pull,
    registry::Registry,
};

/// A user as OpenShift gives to a namespace.
const RANDOM_USER: &str = "1000680000";

fn model() -> PathBuf {
    PathBuf::from(std::env::var_os("MODELCAR_REAL_MODEL").unwrap())
}

/// Pushes the real model and returns its pinned name.
fn push(registry: &Registry, name: &str, base: &[&str], home: &Path) -> String {
    let image = format!("{}/{name}:v1", registry.address());
    run(modelcar(home).arg("push").arg(model()).arg(&image).args(base)).trim().to_owned()
}

/// The embeddings of the original files.
fn original() -> String {
    run(python_with_packages().arg(script("serve_minilm.py")).arg("embed").arg(model()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `modelcar check -` on a pod.
fn check(pod: &Value, home: &Path) -> (Option<i32>, Value) {
    let mut check = modelcar(home);
    check.args(["check", "-", "--format", "json"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = check.spawn().unwrap();
    child.stdin.take().unwrap().write_all(pod.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

/// Runs `modelcar inspect --lint` and returns its status and the codes of the errors.
fn lint(image: &str, mode: &str, home: &Path) -> (Option<i32>, Vec<String>) {
    let mut lint = modelcar(home);
    let output = lint.args(["inspect", image, "--lint", "--mode", mode, "--format", "json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["platforms"].as_array().unwrap().iter().flat_map(|p| p["findings"].as_array().unwrap());
    let errors = findings.filter(|finding| finding["severity"] == "error");
    (output.status.code(), errors.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect())
}

fn codes(report: &Value) -> Vec<&str> {
    let findings = report["pods"][0]["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["code"].as_str().unwrap()).collect()
}

fn started(output: &Output) {
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// Returns podman, or says why the test without it has to do.
fn podman() -> Option<Podman> {
    match Podman::start() {
        Ok(podman) => Some(podman),
        Err(reason) => {
            eprintln!("podman can't run containers here, the pod without a runtime stands in for it: {reason}");
            None
        }
    }
}

const PARTS: [Part; 6] =
    [Part::Registry, Part::Busybox, Part::Podman, Part::KservePackages, Part::RealModel, Part::Root];

#[test]
fn every_release_of_kserve_serves_the_image() {
    if !available(&PARTS) {
        return;
    }
    let Some(podman) = podman() else { return };
    let (home, registry) = (TempDir::new().unwrap(), Registry::start());
    let image = push(&registry, "m/minilm", &["--base-binary", BUSYBOX], home.path());
    podman.pull(&image);
    assert_eq!(lint(&image, "sidecar", home.path()), (Some(0), vec![]));
    let expected = original();
    for release in releases() {
        let pod = podman.pod(&format!("kserve-{}", release.minor));
        if let Some(init) = release.init {
            // KServe sets no user: the image's own runs.
            started(&pod.modelcar(&image, "1010", &expanded(init), true));
        }
        started(&pod.modelcar(&image, "1010", &expanded(release.sidecar), false));
        assert_eq!(pod.ask_kserve("1010"), expected, "KServe 0.{}", release.minor);
        let (status, report) = check(&kserve::pod(&release, &image, &json!({"runAsUser": 1010})), home.path());
        let (mode, range) = (&report["pods"][0]["mode"], &report["pods"][0]["kserve"]);
        assert_eq!((status, mode.as_str()), (Some(0), Some("modelcar")), "{report}");
        let within = range["min"].as_u64().unwrap_or(0)..=range["max"].as_u64().unwrap_or(u64::MAX);
        assert!(within.contains(&u64::from(release.minor)), "{report}");
    }
    // A user that no image knows, and a path of its own.
    let pod = podman.pod("openshift");
    started(&pod.modelcar(&image, RANDOM_USER, &expanded(OTHER_PATH_LINK), false));
    let served = podman.minilm(pod.server(RANDOM_USER), &["embed", "/mnt/adapters/a"]).output().unwrap();
    assert_eq!(text(&served.stdout), expected, "{}", text(&served.stderr));
}

#[test]
fn an_image_volume_needs_no_shell() {
    if !available(&PARTS) {
        return;
    }
    let Some(podman) = podman() else { return };
    let (home, registry) = (TempDir::new().unwrap(), Registry::start());
    let image = push(&registry, "m/scratch", &["--base", "scratch"], home.path());
    assert_eq!(lint(&image, "native", home.path()), (Some(0), vec!["no-shell".to_owned(); 2]));
    podman.pull(&image);
    let mut server = podman.server("1010");
    server.arg(format!("--mount=type=image,source={image},destination=/mnt/image"));
    // podman 4 mounts no sub-path; KServe mounts the image's folder `models`.
    let answer = podman.minilm(server, &["embed", "/mnt/image/models"]).output().unwrap();
    assert_eq!(text(&answer.stdout), original(), "{}", text(&answer.stderr));
}

#[test]
fn what_is_said_to_fail_fails() {
    if !available(&PARTS) {
        return;
    }
    let Some(podman) = podman() else { return };
    let (home, registry) = (TempDir::new().unwrap(), Registry::start());
    let newest = releases().pop().unwrap();
    let link = expanded(newest.sidecar);
    let good = push(&registry, "m/minilm", &["--base-binary", BUSYBOX], home.path());
    podman.pull(&good);

    // The server has another group than the sidecar.
    let pod = podman.pod("group");
    started(&pod.modelcar(&good, "1010", &link, false));
    let served = podman.minilm(pod.server("1010:1010"), &["embed", "/mnt/models"]).output().unwrap();
    assert!(!served.status.success() && text(&served.stderr).contains("Permission denied"), "{}", text(&served.stderr));
    let other_group = json!({"runAsUser": 1010, "runAsGroup": 1010});
    let (status, report) = check(&kserve::pod(&newest, &good, &other_group), home.path());
    assert_eq!((status, codes(&report)), (Some(1), vec!["groups-differ"]));

    // The image gives the user another group.
    let etc = home.path().join("etc");
    fs::create_dir(&etc).unwrap();
    fs::write(etc.join("passwd"), "root:x:0:0::/:/bin/sh\nmodel:x:1010:1010::/:/bin/sh\n").unwrap();
    let image = format!("{}/m/passwd:v1", registry.address());
    podman.changed(&good, &image, "USER=1010", Some(&etc));
    let pod = podman.pod("passwd");
    started(&pod.modelcar(&image, "1010", &link, false));
    let served = podman.minilm(pod.server("1010"), &["embed", "/mnt/models"]).output().unwrap();
    assert!(!served.status.success() && text(&served.stderr).contains("Permission denied"), "{}", text(&served.stderr));
    assert_eq!(lint(&image, "sidecar", home.path()), (Some(1), vec!["passwd-group".to_owned()]));

    // The image has no shell.
    let scratch = push(&registry, "m/scratch", &["--base", "scratch"], home.path());
    podman.pull(&scratch);
    let failed = podman.pod("shell").modelcar(&scratch, "1010", &link, false);
    assert!(!failed.status.success());
    let mut shown = kserve::pod(&newest, &scratch, &json!({"runAsUser": 1010}));
    shown["status"] = json!({"containerStatuses": [{"name": "modelcar", "ready": false, "restartCount": 1,
        "imageID": "", "state": {"waiting": {"reason": "RunContainerError", "message": text(&failed.stderr)}}}]});
    let (status, report) = check(&shown, home.path());
    assert_eq!((status, codes(&report)), (Some(1), vec!["no-shell"]));
    assert_eq!(lint(&scratch, "sidecar", home.path()), (Some(1), vec!["no-shell".to_owned(); 2]));

    // The image has an entrypoint.
    let image = format!("{}/m/entrypoint:v1", registry.address());
    podman.changed(&good, &image, r#"ENTRYPOINT ["/bin/echo"]"#, None);
    let pod = podman.pod("entrypoint");
    started(&pod.modelcar(&image, "1010", &link, false));
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(!pod.shared.join("models").is_symlink(), "the command ran in spite of the entrypoint");
    assert_eq!(lint(&image, "sidecar", home.path()), (Some(1), vec!["entrypoint".to_owned()]));
}

/// What stands in for podman where it can't run, and runs beside it where it can.
#[test]
fn a_pod_without_a_container_runtime_serves_the_image() {
    let parts =
        [Part::Registry, Part::Skopeo, Part::Umoci, Part::Busybox, Part::PythonPackages, Part::RealModel, Part::Root];
    if !available(&parts) {
        return;
    }
    let (work, registry) = (TempDir::new().unwrap(), Registry::start());
    let (_, rootfs) = push_and_pull(model().to_str().unwrap(), None, &registry, work.path());
    let pod = |server: &str, sidecar: &str| {
        let shared = TempDir::new().unwrap();
        let command = expanded(releases().pop().unwrap().sidecar);
        let mut pod = python_with_packages();
        pod.arg(script("pod.py")).arg(&rootfs).arg(shared.path()).args([sidecar, server, command.as_str()]);
        // Everything ends with the group, the sidecar too.
        let mut alone = command_in_new_processes();
        alone.arg(pod.get_program()).args(pod.get_args()).output().unwrap()
    };
    let served = pod("1010:0", "1010:0");
    assert_eq!(text(&served.stdout), original(), "{}", text(&served.stderr));
    assert_eq!(text(&pod(&format!("{RANDOM_USER}:0"), &format!("{RANDOM_USER}:0")).stdout), original());
    for (server, sidecar) in [("1010:1010", "1010:0"), ("1000:0", "1010:0")] {
        let refused = pod(server, sidecar);
        assert_eq!(refused.status.code(), Some(3), "{server} {sidecar}: {}", text(&refused.stderr));
    }
}

/// A namespace of processes, which ends with its first one.
fn command_in_new_processes() -> std::process::Command {
    let mut unshare = command("unshare");
    unshare.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).env("PYTHONDONTWRITEBYTECODE", "1");
    unshare
}
