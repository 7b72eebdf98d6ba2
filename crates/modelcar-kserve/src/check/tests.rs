//! One document for each release, mode and hazard that is known.
#![expect(clippy::needless_pass_by_value, clippy::too_many_lines, reason = "tables of documents, written in place")]

use serde_json::{Value, json};

mod cluster;
mod values;

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const OTHER: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn image() -> String {
    format!("reg.example/m@{DIGEST}")
}

fn sidecar_args(command: &str) -> Value {
    json!(["sh", "-c", command])
}

fn resources() -> Value {
    json!({"limits": {"cpu": "10m", "memory": "15Mi"}, "requests": {"cpu": "10m", "memory": "15Mi"}})
}

/// The pod that KServe 0.18 to 0.20 makes with its default configuration.
fn modern() -> Value {
    let init = format!(
        "echo 'Pre-fetching modelcar {}: ' && [ -d /models ] && [ \"$$(ls -A /models)\" ] && echo 'OK ... Prefetched \
         and valid (/models exists)' || (echo 'NOK ...' && exit 1)",
        image()
    );
    json!({"apiVersion": "v1", "kind": "Pod",
      "metadata": {"name": "m-predictor-0", "namespace": "team",
        "labels": {"serving.kserve.io/inferenceservice": "m"},
        "annotations": {"internal.serving.kserve.io/storage-initializer-sourceuri": format!("oci://{}", image())}},
      "spec": {"shareProcessNamespace": true,
        "volumes": [{"name": "kserve-provision-location", "emptyDir": {}}],
        "initContainers": [{"name": "modelcar-init", "image": image(), "args": sidecar_args(&init),
          "resources": resources()}],
        "containers": [
          {"name": "kserve-container", "image": "vllm/vllm-openai:v0.23.0",
           "env": [{"name": "MODEL_INIT_MODE", "value": "async"}],
           "volumeMounts": [{"name": "kserve-provision-location", "mountPath": "/mnt"}],
           "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
             "runAsUser": 1010}},
          {"name": "modelcar", "image": image(), "resources": resources(),
           "args": sidecar_args("ln -sf /proc/$$$$/root/models /mnt/models && sleep infinity"),
           "volumeMounts": [{"name": "kserve-provision-location", "mountPath": "/mnt"}],
           "securityContext": {"runAsUser": 1010}, "terminationMessagePolicy": "FallbackToLogsOnError"}]}})
}

/// The same pod with `value` in the place of `pointer`, which is made when its parent is there.
fn with(mut pod: Value, pointer: &str, value: Value) -> Value {
    if let Some(place) = pod.pointer_mut(pointer) {
        *place = value;
        return pod;
    }
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = pod.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer} has no parent"));
    match parent {
        Value::Object(map) => drop(map.insert(key.replace("~1", "/"), value)),
        Value::Array(items) => items.push(value),
        _ => panic!("{pointer} is inside a scalar"),
    }
    pod
}

fn without(mut pod: Value, parent: &str, key: &str) -> Value {
    pod.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    pod
}

fn status(name: &str, state: Value) -> Value {
    json!({"containerStatuses": [{"name": name, "ready": false, "restartCount": 3, "imageID": "", "state": state}]})
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": message}})
}

/// What KServe 0.14 made: no `-f`, and the server's security context replaced.
fn v14() -> Value {
    let pod = with(
        modern(),
        "/spec/containers/1/args/2",
        json!("ln -s /proc/$$$$/root/models /mnt/models && sleep infinity"),
    );
    with(pod, "/spec/containers/0/securityContext", json!({"runAsUser": 1010}))
}

fn v15() -> Value {
    with(modern(), "/spec/containers/0/securityContext", json!({"runAsUser": 1010}))
}

fn v12() -> Value {
    without(v14(), "/spec", "initContainers")
}

fn native() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
      "metadata": {"name": "m-predictor-0", "namespace": "team",
        "labels": {"serving.kserve.io/inferenceservice": "m"},
        "annotations": {"internal.serving.kserve.io/storage-initializer-sourceuri": format!("oci+native://{}", image())}},
      "spec": {"volumes": [{"name": "mnt-models", "image": {"reference": image(), "pullPolicy": "IfNotPresent"}}],
        "containers": [{"name": "kserve-container", "image": "vllm/vllm-openai:v0.23.0", "volumeMounts": [
          {"name": "mnt-models", "mountPath": "/mnt/models", "subPath": "models", "readOnly": true}]}]}})
}

/// The pod of 0.20 with two images, by `storageUris`.
fn two() -> Value {
    let mount = json!({"name": "kserve-provision-location-1", "mountPath": "/mnt/adapters"});
    let pod = with(modern(), "/spec/volumes/9", json!({"name": "kserve-provision-location-1", "emptyDir": {}}));
    let pod = with(pod, "/spec/containers/0/volumeMounts/9", mount.clone());
    let pod = with(pod, "/spec/initContainers/9", json!({"name": "modelcar-init-1", "image": image()}));
    let link = "mkdir -p /mnt/adapters && ln -sf /proc/$$$$/root/models /mnt/adapters/a && sleep infinity";
    let sidecar = json!({"name": "modelcar-1", "image": format!("reg.example/a@{OTHER}"), "args": sidecar_args(link),
        "volumeMounts": [mount], "securityContext": {"runAsUser": 1010}});
    with(pod, "/spec/containers/9", sidecar)
}

/// A pod that nobody injected anything into.
fn bare() -> Value {
    let pod = without(modern(), "/spec", "initContainers");
    let pod = with(pod, "/spec/containers", json!([{"name": "kserve-container", "image": "s:1"}]));
    without(pod, "/spec", "volumes")
}

fn download(volume: &str) -> Value {
    with(
        bare(),
        "/spec/initContainers",
        json!([{"name": "storage-initializer", "args": [format!("oci://{}", image()), "/mnt/models"],
          "volumeMounts": [{"name": volume, "mountPath": "/mnt/models"}]}]),
    )
}

fn list(items: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn namespace(labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team", "labels": labels}})
}

fn template(kind: &str, pod: &Value) -> Value {
    json!({"kind": kind, "metadata": {"name": "m", "namespace": "team"}, "spec": {"template": pod}})
}

struct Case {
    name: &'static str,
    document: Value,
    mode: Mode,
    versions: &'static str,
    /// Codes of all findings; errors carry `!`, warnings `?`.
    findings: &'static [&'static str],
}

fn case(
    name: &'static str,
    document: Value,
    mode: Mode,
    versions: &'static str,
    findings: &'static [&'static str],
) -> Case {
    Case { name, document, mode, versions, findings }
}

fn releases() -> Vec<Case> {
    use Mode::{Deferred, Disabled, Fetch, Missed, Modelcar, Native, None};
    let lws = json!({"kind": "LeaderWorkerSet", "metadata": {"name": "m", "namespace": "team"},
        "spec": {"leaderWorkerTemplate": {"workerTemplate": with(modern(), "/spec/containers/0/name", json!("worker-container"))}}});
    let main = with(modern(), "/spec/containers/0/name", json!("main"));
    let llm = with(main, "/spec/containers/0/volumeMounts/9", json!({"name": "model-cache", "mountPath": "/models"}));
    let adapters = with(
        modern(),
        "/spec/containers/1/args/2",
        json!("mkdir -p /mnt/adapters && ln -sf /proc/$$$$/root/models /mnt/adapters/a && sleep infinity"),
    );
    let adapters = with(adapters, "/spec/containers/1/volumeMounts/0/mountPath", json!("/mnt/adapters"));
    let adapters = with(adapters, "/spec/containers/0/volumeMounts/0/mountPath", json!("/mnt/adapters"));
    let ksvc = template("Service", &bare());
    let ksvc = with(ksvc, "/apiVersion", json!("serving.knative.dev/v1"));
    vec![
        case("0.12", v12(), Modelcar, "0.12 to 0.13", &["?no-prefetch", "?link-not-forced"]),
        case("0.14", v14(), Modelcar, "0.14", &["?link-not-forced"]),
        case("0.15 to 0.17", v15(), Modelcar, "0.15 or later", &[]),
        case("0.18 and later", modern(), Modelcar, "0.18 or later", &[]),
        case("a sub-path of 0.18", adapters, Modelcar, "0.18 or later", &[]),
        case("several images of 0.20", two(), Modelcar, "0.20 or later", &[]),
        case(
            "an image volume of the user's",
            with(modern(), "/spec/volumes/9", json!({"name": "tools", "image": {"reference": "r.io/tools:1"}})),
            Modelcar,
            "0.18 or later",
            &[],
        ),
        case(
            "an image volume of the user's, and no model",
            with(
                with(bare(), "/spec/volumes", json!([{"name": "tools", "image": {"reference": "r.io/tools:1"}}])),
                "/spec/containers/0/volumeMounts",
                json!([{"name": "tools", "mountPath": "/tools"}]),
            ),
            Missed,
            "unknown",
            &["!not-injected"],
        ),
        case("multi-node worker", lws, Modelcar, "0.18 or later", &[]),
        case("LLMInferenceService", template("Deployment", &llm), Modelcar, "0.18 or later", &["?real-path"]),
        case("native", native(), Native, "0.20 or later", &[]),
        case("fetch", download("mnt-models"), Fetch, "0.21 or later", &[]),
        case("switched off", download("kserve-provision-location"), Disabled, "0.20 or earlier", &["!oci-disabled"]),
        case("missed", bare(), Missed, "unknown", &["!not-injected"]),
        case(
            "no label",
            without(bare(), "/metadata/labels", "serving.kserve.io/inferenceservice"),
            Missed,
            "unknown",
            &["!no-label"],
        ),
        case(
            "control plane",
            list(json!([namespace(json!({"control-plane": "x"})), bare()])),
            Missed,
            "unknown",
            &["!control-plane"],
        ),
        case(
            "native switched off",
            with(
                bare(),
                "/metadata/annotations/internal.serving.kserve.io~1storage-initializer-sourceuri",
                json!("oci+native://r.io/m:1"),
            ),
            Missed,
            "unknown",
            &["!native-off", "?unpinned"],
        ),
        case(
            "a container of the user's called modelcar",
            with(bare(), "/spec/containers/9", json!({"name": "modelcar", "image": "mine:1", "args": ["serve"]})),
            Missed,
            "unknown",
            &["!name-taken"],
        ),
        case(
            "Deployment of an InferenceService",
            template("Deployment", &bare()),
            Deferred,
            "unknown",
            &["!look-at-pods"],
        ),
        case("Knative service", ksvc, Deferred, "unknown", &["!look-at-pods"]),
        case(
            "something else",
            json!({"kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "app"}]}}),
            None,
            "unknown",
            &["!no-model"],
        ),
        case(
            "storageUris before 0.19",
            without(bare(), "/metadata/annotations", "internal.serving.kserve.io/storage-initializer-sourceuri"),
            None,
            "unknown",
            &["!no-model"],
        ),
    ]
}

fn hazards() -> Vec<Case> {
    let wrong = |name, document, findings| case(name, document, Mode::Modelcar, "0.18 or later", findings);
    let server = "/spec/containers/0/securityContext";
    let wish = "/metadata/annotations/internal.serving.kserve.io~1storage-initializer-sourceuri";
    let pod_group = with(modern(), "/spec/securityContext", json!({"runAsGroup": 0}));
    let root = with(modern(), "/spec/containers/0/securityContext/runAsUser", json!(0));
    let root = with(root, "/spec/containers/1/securityContext/runAsUser", json!(0));
    let nobody = without(modern(), server, "runAsUser");
    let nobody = without(nobody, "/spec/containers/1/securityContext", "runAsUser");
    let mount =
        |path: &str| with(modern(), "/spec/containers/0/volumeMounts/9", json!({"name": "cache", "mountPath": path}));
    let latest = |reference: &str| {
        let text = modern().to_string().replace(&image(), reference);
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let custom = with(
        modern(),
        "/spec/containers/0/env/9",
        json!({"name": "STORAGE_URI", "value": format!("oci://{}", image())}),
    );
    vec![
        wrong(
            "other user",
            with(modern(), "/spec/containers/0/securityContext/runAsUser", json!(1000)),
            &["!users-differ"],
        ),
        wrong(
            "other group",
            with(modern(), "/spec/containers/0/securityContext/runAsGroup", json!(1010)),
            &["!groups-differ"],
        ),
        wrong("group 0 written once", with(modern(), "/spec/containers/0/securityContext/runAsGroup", json!(0)), &[]),
        wrong("group of the pod alone", pod_group.clone(), &["!group-without-user"]),
        wrong("user and group of the pod", with(pod_group, "/spec/securityContext/runAsUser", json!(1010)), &[]),
        wrong(
            "group of the pod, another of the server",
            with(
                with(modern(), "/spec/securityContext", json!({"runAsUser": 1010, "runAsGroup": 0})),
                "/spec/containers/0/securityContext/runAsGroup",
                json!(5),
            ),
            &["!groups-differ"],
        ),
        wrong("root without capabilities", root, &["!root-without-capabilities"]),
        wrong("users of the images", nobody, &["?users-unknown"]),
        wrong(
            "must not be root",
            with(modern(), "/spec/securityContext", json!({"runAsNonRoot": true})),
            &["?init-user"],
        ),
        wrong(
            "no shared processes",
            with(modern(), "/spec/shareProcessNamespace", Value::Null),
            &["!no-shared-processes"],
        ),
        wrong(
            "volume of another kind",
            with(
                modern(),
                "/spec/volumes/0",
                json!({"name": "kserve-provision-location", "persistentVolumeClaim": {}}),
            ),
            &["!volume-kind"],
        ),
        wrong(
            "mounted elsewhere",
            with(modern(), "/spec/containers/0/volumeMounts/0/mountPath", json!("/data")),
            &["!mounts-differ"],
        ),
        wrong("hidden", mount("/mnt/models"), &["!hidden-link"]),
        wrong("hidden with all", mount("/mnt/"), &["!hidden-link"]),
        wrong("beside", mount("/mnt/cache"), &["mount-beside"]),
        wrong("elsewhere", mount("/mntx"), &[]),
        wrong("no tag", latest("reg.example:5000/m"), &["?unpinned"]),
        wrong("latest", latest("reg.example/m:latest"), &["?unpinned"]),
        wrong("a tag", latest("reg.example/m:v1"), &["?unpinned"]),
        wrong(
            "an old pod",
            with(modern(), "/spec/containers/1/image", json!(format!("reg.example/m@{OTHER}"))),
            &["!other-image", "!unexpected-digest"],
        ),
        wrong("a tag that a policy pinned", with(modern(), wish, json!("oci://reg.example/m:v1")), &[]),
        wrong("another tag", with(modern(), wish, json!("oci://reg.example/n:v1")), &["!other-image"]),
        wrong("custom container", custom, &["storage-uri"]),
        case(
            "the second image runs as another user",
            with(two(), "/spec/containers/2/securityContext/runAsUser", json!(5)),
            Mode::Modelcar,
            "0.20 or later",
            &["!users-differ"],
        ),
        case(
            "the second image is mounted elsewhere",
            with(two(), "/spec/containers/2/volumeMounts/0/mountPath", json!("/data")),
            Mode::Modelcar,
            "0.20 or later",
            &["!mounts-differ"],
        ),
        case(
            "the second image by a tag",
            with(two(), "/spec/containers/2/image", json!("reg.example/a:v1")),
            Mode::Modelcar,
            "0.20 or later",
            &["?unpinned"],
        ),
        wrong(
            "restricted",
            list(json!([modern(), namespace(json!({"pod-security.kubernetes.io/enforce": "restricted"}))])),
            &["!pod-security"],
        ),
        case(
            "native, not mounted",
            with(native(), "/spec/containers/0/volumeMounts", Value::Null),
            Mode::Native,
            "0.20 or later",
            &["!not-mounted"],
        ),
        case(
            "native, whole image",
            with(native(), "/spec/containers/0/volumeMounts/0/subPath", Value::Null),
            Mode::Native,
            "0.20 or later",
            &["!sub-path"],
        ),
        case(
            "native, writable",
            with(native(), "/spec/containers/0/volumeMounts/0/readOnly", json!(false)),
            Mode::Native,
            "0.20 or later",
            &["?writable"],
        ),
        case(
            "0.17 loses rights",
            with(v15(), "/spec/securityContext", json!({"runAsUser": 1010, "runAsGroup": 0})),
            Mode::Modelcar,
            "0.15 or later",
            &[],
        ),
    ]
}

fn failures() -> Vec<Case> {
    let failing = |name, status, findings| {
        case(name, with(modern(), "/status", status), Mode::Modelcar, "0.18 or later", findings)
    };
    let init = json!({"initContainerStatuses": [{"name": "modelcar-init", "ready": false, "restartCount": 4, "imageID": "",
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
        "lastState": {"terminated": {"reason": "Error", "exitCode": 1, "message": "NOK ... Prefetched"}}}]});
    let ended = |code: i64, message: &str| {
        json!({"initContainerStatuses": [{"name": "modelcar-init", "ready": false, "restartCount": 4, "imageID": "",
            "state": {"terminated": {"reason": "Error", "exitCode": code, "message": message}}}]})
    };
    let crun = "executable file `sh` not found in $PATH: No such file or directory: OCI runtime attempted to invoke";
    let no_shell = "failed to create containerd task: exec: \"sh\": executable file not found in $PATH";
    let raced = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [
        {"name": "kserve-container", "ready": true, "restartCount": 1, "imageID": "", "state": {"running": {}}},
        {"name": "modelcar", "ready": true, "restartCount": 0, "imageID": "", "state": {"running": {}}}]});
    let often = with(raced.clone(), "/containerStatuses/0/restartCount", json!(9));
    let killed = json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}});
    let hungry = with(raced.clone(), "/containerStatuses/0/lastState", killed);
    let again = with(raced.clone(), "/containerStatuses/1/restartCount", json!(2));
    vec![
        failing("empty /models", init, &["!no-models"]),
        failing("init fails without words", ended(1, ""), &["!no-models"]),
        failing("entrypoint of the init container", ended(2, "usage: serve"), &["!entrypoint"]),
        failing("init killed again and again", ended(143, ""), &["!sidecar-crashes"]),
        failing("no shell, by crun", status("modelcar", waiting("RunContainerError", crun)), &["!no-shell"]),
        failing(
            "no shell, quoted otherwise",
            status("modelcar", waiting("CreateContainerError", "exec 'sh': no such file or directory")),
            &["!no-shell"],
        ),
        failing("no shell", status("modelcar", waiting("RunContainerError", no_shell)), &["!no-shell"]),
        failing(
            "no shell, terminated",
            status("modelcar", json!({"terminated": {"reason": "StartError", "exitCode": 128, "message": no_shell}})),
            &["!no-shell"],
        ),
        failing(
            "entrypoint",
            status("modelcar", waiting("RunContainerError", "exec: \"/serve\": permission denied")),
            &["!entrypoint"],
        ),
        failing(
            "entrypoint that ends",
            status("modelcar", waiting("CrashLoopBackOff", "back-off")),
            &["!sidecar-crashes"],
        ),
        failing(
            "out of memory",
            status("modelcar", json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}})),
            &["!sidecar-memory"],
        ),
        failing("pull", status("modelcar", waiting("ImagePullBackOff", "401 Unauthorized")), &["!pull-denied"]),
        failing("full disk", status("modelcar", waiting("ErrImagePull", "write: no space left on device")), &["!disk"]),
        failing(
            "root user",
            status(
                "modelcar",
                waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
            ),
            &["!runs-as-root"],
        ),
        failing("server", status("kserve-container", waiting("CrashLoopBackOff", "back-off")), &["!server-crashes"]),
        failing(
            "evicted",
            json!({"phase": "Failed", "reason": "Evicted", "message": "low on resource: ephemeral-storage"}),
            &["!disk"],
        ),
        failing(
            "evicted for memory",
            json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}),
            &["!evicted"],
        ),
        failing(
            "refused",
            json!({"conditions": [{"type": "ReplicaFailure", "reason": "FailedCreate", "message": "pods is forbidden: violates PodSecurity \"restricted:latest\""}]}),
            &["!pod-security"],
        ),
        failing("the race", raced, &["start-race"]),
        failing("too often for the race", often, &["?server-restarted"]),
        failing("server out of memory", hungry, &["?server-memory"]),
        failing("sidecar restarted", again, &["?sidecar-restarted", "start-race"]),
    ]
}

fn codes(report: &CheckReport) -> Vec<String> {
    let mark = |severity| match severity {
        Severity::Error => "!",
        Severity::Warning => "?",
        Severity::Info => "",
    };
    let findings = report.pods.iter().flat_map(|pod| &pod.findings);
    findings.map(|finding| format!("{}{}", mark(finding.severity()), finding.code())).collect()
}

#[test]
fn every_document_gets_its_verdict() {
    let cases: Vec<Case> = releases().into_iter().chain(hazards()).chain(failures()).collect();
    assert!(cases.len() >= 25);
    let expected = Expected { digest: Some(DIGEST.parse().unwrap()), ..Expected::default() };
    for case in &cases {
        // Unpinned images are an error only for whoever expects a digest.
        let asks = case.findings.contains(&"!unexpected-digest");
        let expected = if asks { expected.clone() } else { Expected::default() };
        let report = check(case.document.to_string().as_bytes(), &expected).unwrap();
        assert_eq!(report.pods.len(), 1, "{}", case.name);
        let pod = &report.pods[0];
        assert_eq!(codes(&report), case.findings, "{}", case.name);
        assert_eq!(pod.mode, case.mode, "{}", case.name);
        assert_eq!(pod.kserve.to_string(), case.versions, "{}", case.name);
        assert_eq!(report.is_ok(), !case.findings.iter().any(|code| code.starts_with('!')), "{}", case.name);
    }
}

#[test]
fn an_expected_digest_is_compared() {
    let of = |digest: &str| Expected { digest: Some(digest.parse().unwrap()), ..Expected::default() };
    let check = |pod: &Value, expected| codes(&check(pod.to_string().as_bytes(), &expected).unwrap());
    assert_eq!(check(&modern(), of(DIGEST)), [""; 0]);
    assert_eq!(check(&modern(), of(OTHER)), ["!unexpected-digest"]);
    assert_eq!(check(&native(), of(OTHER)), ["!unexpected-digest"]);
    let text = modern().to_string().replace(&image(), "reg.example/m:v1");
    let tagged: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(check(&tagged, of(DIGEST)), ["!unpinned"]);
    let running = json!({"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"name": "modelcar", "ready": true, "restartCount": 0,
        "imageID": format!("reg.example/m@{DIGEST}"), "state": {"running": {}}}]});
    assert_eq!(check(&with(tagged, "/status", running), of(DIGEST)), ["?unpinned"]);
}

#[test]
fn an_expected_digest_may_be_that_of_any_image() {
    let of = |digest: &str| Expected { digest: Some(digest.parse().unwrap()), ..Expected::default() };
    let check = |pod: &Value, digest| codes(&check(pod.to_string().as_bytes(), &of(digest)).unwrap());
    assert_eq!(check(&two(), DIGEST), [""; 0]);
    assert_eq!(check(&two(), OTHER), [""; 0]);
    let neither = format!("sha256:{}", "1".repeat(64));
    assert_eq!(check(&two(), &neither), ["!unexpected-digest", "!unexpected-digest"]);
    let tagged = with(two(), "/spec/containers/2/image", json!("reg.example/a:v1"));
    assert_eq!(check(&tagged, DIGEST), ["?unpinned"]);
    assert_eq!(check(&tagged, OTHER), ["!unexpected-digest", "!unpinned"]);
}

#[test]
fn what_needs_no_model_is_healthy_beside_what_has_it() {
    let of = |items: Value| codes(&check(list(items).to_string().as_bytes(), &Expected::default()).unwrap());
    let stranger = json!({"kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "app"}]}});
    let deployment = template("Deployment", &bare());
    assert_eq!(of(json!([deployment, modern(), stranger])), ["look-at-pods", "no-model"]);
    assert_eq!(of(json!([native(), stranger])), ["no-model"]);
    // Nothing is known of the service where nobody shows its model.
    assert_eq!(of(json!([deployment, stranger])), ["!look-at-pods", "!no-model"]);
    assert_eq!(of(json!([stranger, bare()])), ["!no-model", "!not-injected"]);
    let other = with(modern(), "/metadata/labels", json!({"serving.kserve.io/inferenceservice": "other"}));
    assert_eq!(of(json!([deployment, other])), ["!look-at-pods"]);
}

#[test]
fn a_list_gives_a_report_for_each_pod() {
    let pods = list(json!([modern(), native(), {"kind": "ConfigMap", "metadata": {"name": "x"}}]));
    let report = check(pods.to_string().as_bytes(), &Expected::default()).unwrap();
    assert_eq!(report.pods.iter().map(|pod| pod.mode).collect::<Vec<_>>(), [Mode::Modelcar, Mode::Native]);
    let mut untyped = modern();
    untyped.as_object_mut().unwrap().remove("kind");
    let report = check(json!({"kind": "PodList", "items": [untyped]}).to_string().as_bytes(), &Expected::default());
    assert_eq!(report.unwrap().pods[0].mode, Mode::Modelcar);
}

#[test]
fn a_service_that_no_controller_has_seen_waits() {
    let service =
        |metadata: Value| json!({"kind": "InferenceService", "metadata": metadata, "spec": {"predictor": {}}});
    let list =
        json!({"kind": "List", "items": [service(json!({"name": "m", "namespace": "n", "resourceVersion": "7"}))]});
    let report = check(list.to_string().as_bytes(), &Expected::default()).unwrap();
    assert_eq!(report.state, Some(State::Waiting));
    assert!(report.pods[0].findings[0].to_string().contains("controller has not looked at the service yet"));
    let manifest = service(json!({"name": "m"})).to_string();
    assert!(check(manifest.as_bytes(), &Expected::default()).is_err());
}

#[test]
fn a_template_without_a_pod_waits_until_one_is_made() {
    let list = |replicas: Value, status: Value| {
        let labels = json!({"serving.kserve.io/inferenceservice": "m"});
        let metadata = json!({"name": "m-predictor", "namespace": "n", "resourceVersion": "7", "labels": labels});
        let template = json!({"metadata": {"labels": labels, "annotations": {
            "internal.serving.kserve.io/storage-initializer-sourceuri": format!("oci://{}", image())}},
            "spec": {"containers": [{"name": "kserve-container"}]}});
        let deployment = json!({"kind": "Deployment", "metadata": metadata, "status": status,
            "spec": {"replicas": replicas, "template": template}});
        let service = json!({"kind": "InferenceService", "spec": {"predictor": {}}, "status": {"conditions": []},
            "metadata": {"name": "m", "namespace": "n", "resourceVersion": "6"}});
        let list = json!({"kind": "List", "items": [service, deployment]});
        check(list.to_string().as_bytes(), &Expected::default()).unwrap()
    };
    for status in [json!({}), json!({"replicas": 0, "observedGeneration": 1})] {
        let report = list(json!(1), status);
        assert_eq!(report.state, Some(State::Waiting), "{report:?}");
        assert!(report.pods.iter().flat_map(|pod| &pod.findings).any(|finding| finding.code() == "not-made"));
    }
    // The pod is there, and the document lacks it.
    assert_eq!(list(json!(1), json!({"replicas": 1})).state, Some(State::Failing));
}

#[test]
fn what_holds_no_pod_is_refused() {
    for (text, said) in [
        ("", "not JSON"),
        ("{}", "not an object of Kubernetes"),
        ("[]", "not an object of Kubernetes"),
        (r#"{"kind": "InferenceService", "metadata": {"name": "m"}}"#, "`InferenceService` holds no pod"),
        (r#"{"kind": "List", "items": []}"#, "`List` holds no pod"),
        (r#"{"kind": "Pod", "metadata": {"name": "m"}, "spec": {"containers": 7}}"#, "Pod `m` can't be read"),
    ] {
        let error = check(text.as_bytes(), &Expected::default()).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
}
