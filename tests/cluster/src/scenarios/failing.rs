//! Pods that do not run, each in its own way: what `check` says of the documents that the cluster really writes.
//!
//! With `--documents DIR` the documents are kept, small and without the machine's particulars, with what is right to say.

use serde_json::{Value, json};

use super::{Outcome, Scenario, kinds::SERVER, models::Models};
use crate::{
    documents,
    scene::{Checked, Scene},
    wait::{Look, Result, slowly},
};

/// What is right to say: the exit status, and the code of the worst finding.
type Right = (i32, &'static str);

/// A change of the pod that would run.
type Change = fn(&mut Value, &Models);

/// A situation: its name, what is made before the pod, how the pod differs, and what is right to say.
struct Situation {
    name: &'static str,
    before: &'static [&'static [&'static str]],
    change: Change,
    right: Right,
}

const fn case(name: &'static str, change: Change, right: Right) -> Situation {
    Situation { name, before: &[], change, right }
}

fn server(pod: &mut Value) -> &mut Value {
    &mut pod["spec"]["containers"][0]
}

/// Lets the server be a shell's command, in an image that has a shell.
fn shell(pod: &mut Value, models: &Models, command: &str) {
    server(pod)["image"] = json!(models.tiny.image);
    server(pod)["command"] = json!(["sh", "-c", command]);
    remove(server(pod), "args");
    remove(server(pod), "readinessProbe");
}

fn image(pod: &mut Value, image: &str) {
    pod["metadata"]["annotations"][SOURCE] = json!(format!("oci://{image}"));
}

fn volume(pod: &mut Value, path: &str, mut source: Value) {
    source["name"] = json!("extra");
    pod["spec"]["volumes"] = json!([source]);
    server(pod)["volumeMounts"] = json!([{"name": "extra", "mountPath": path}]);
}

fn env(pod: &mut Value, from: &Value) {
    server(pod)["env"] = json!([{"name": "TOKEN", "valueFrom": from}]);
}

fn probe(pod: &mut Value, kind: &str, period: u32) {
    server(pod)[kind] = json!({"exec": {"command": ["false"]}, "periodSeconds": period, "failureThreshold": 1});
}

fn native(pod: &mut Value, models: &Models) {
    pod["metadata"]["annotations"][SOURCE] = json!(format!("oci+native://{}", models.tiny.image));
}

fn remove(fields: &mut Value, name: &str) {
    if let Some(fields) = fields.as_object_mut() {
        fields.remove(name);
    }
}

const SOURCE: &str = "internal.serving.kserve.io/storage-initializer-sourceuri";
const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

const SITUATIONS: &[Situation] = &[
    case("serves", |_, _| {}, (0, "")),
    case("serves-natively", native, (0, "")),
    case(
        "digest-unknown",
        |pod, _| image(pod, &format!("127.0.0.1:5000/models/tiny@{DIGEST}")),
        (1, "image-not-found"),
    ),
    case("repository-unknown", |pod, _| image(pod, "127.0.0.1:5000/models/none:v1"), (1, "image-not-found")),
    case(
        "registry-down",
        |pod, _| image(pod, &format!("127.0.0.1:5999/models/tiny@{DIGEST}")),
        (1, "registry-unreachable"),
    ),
    case(
        "registry-without-name",
        |pod, _| image(pod, &format!("registry.invalid/models/tiny@{DIGEST}")),
        (1, "registry-unreachable"),
    ),
    case("no-login", |pod, models| image(pod, &models.private.image), (1, "pull-denied")),
    case(
        "native-no-login",
        |pod, models| {
            pod["metadata"]["annotations"][SOURCE] = json!(format!("oci+native://{}", models.private.image));
        },
        (1, "pull-denied"),
    ),
    case(
        "server-image-unknown",
        |pod, _| server(pod)["image"] = json!("127.0.0.1:5000/servers/none:v1"),
        (1, "image-not-found"),
    ),
    case(
        "server-image-never",
        |pod, _| {
            server(pod)["image"] = json!("127.0.0.1:5000/servers/none:v1");
            server(pod)["imagePullPolicy"] = json!("Never");
        },
        (1, "image-never-pulled"),
    ),
    case("server-image-name", |pod, _| server(pod)["image"] = json!("Not A Name"), (1, "image-name")),
    case("model-without-shell", |pod, models| image(pod, &models.scratch.image), (1, "no-shell")),
    case("model-without-models", |pod, models| image(pod, &models.shell), (1, "no-models")),
    case(
        "native-without-models",
        |pod, models| {
            pod["metadata"]["annotations"][SOURCE] = json!(format!("oci+native://{}", models.shell));
        },
        (1, "no-models"),
    ),
    case("server-exits", |pod, models| shell(pod, models, "exit 3"), (1, "server-crashes")),
    case("server-ends-well", |pod, models| shell(pod, models, "exit 0"), (1, "server-crashes")),
    case(
        "server-says-why",
        |pod, models| {
            shell(pod, models, "echo 'no such option: --fast' >&2; exit 2");
            server(pod)["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
        },
        (1, "server-crashes"),
    ),
    case(
        "server-denied",
        |pod, models| {
            shell(pod, models, "echo \"PermissionError: Permission denied: '/mnt/models/config.json'\" >&2; exit 1");
            server(pod)["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
        },
        (1, "model-denied"),
    ),
    case(
        "server-out-of-memory",
        |pod, models| {
            shell(pod, models, "x=a; while true; do x=$x$x; done");
            server(pod)["resources"]["limits"]["memory"] = json!("16Mi");
            server(pod)["resources"]["requests"]["memory"] = json!("16Mi");
        },
        (1, "server-memory"),
    ),
    case(
        "server-without-program",
        |pod, models| {
            shell(pod, models, "");
            server(pod)["command"] = json!(["/no/such/program"]);
        },
        (1, "create-container"),
    ),
    case(
        "startup-probe-fails",
        |pod, models| {
            shell(pod, models, "sleep 1000");
            probe(pod, "startupProbe", 3);
        },
        (1, "probe-killed"),
    ),
    case(
        "liveness-probe-fails",
        |pod, models| {
            shell(pod, models, "sleep 1000");
            probe(pod, "livenessProbe", 3);
        },
        (1, "probe-killed"),
    ),
    case(
        "readiness-probe-fails",
        |pod, models| {
            shell(pod, models, "sleep 1000");
            probe(pod, "readinessProbe", 3);
        },
        (3, "probe"),
    ),
    case(
        "secret-missing",
        |pod, _| env(pod, &json!({"secretKeyRef": {"name": "hf", "key": "token"}})),
        (3, "missing-secret"),
    ),
    case(
        "config-map-missing",
        |pod, _| env(pod, &json!({"configMapKeyRef": {"name": "chat", "key": "template"}})),
        (3, "missing-configmap"),
    ),
    Situation {
        name: "secret-key-missing",
        before: &[&["create", "secret", "generic", "hf", "--from-literal=other=1"]],
        change: |pod, _| env(pod, &json!({"secretKeyRef": {"name": "hf", "key": "token"}})),
        right: (3, "missing-secret"),
    },
    case(
        "secret-volume-missing",
        |pod, _| volume(pod, "/secret", json!({"secret": {"secretName": "hf"}})),
        (3, "missing-secret"),
    ),
    case(
        "config-map-volume-missing",
        |pod, _| volume(pod, "/chat", json!({"configMap": {"name": "chat"}})),
        (3, "missing-configmap"),
    ),
    case(
        "claim-missing",
        |pod, _| volume(pod, "/cache", json!({"persistentVolumeClaim": {"claimName": "cache"}})),
        (3, "unschedulable"),
    ),
    case(
        "no-gpu",
        |pod, _| {
            server(pod)["resources"]["limits"]["nvidia.com/gpu"] = json!("1000");
        },
        (3, "unschedulable"),
    ),
    case(
        "no-processors",
        |pod, _| {
            server(pod)["resources"] = json!({"requests": {"cpu": "10000", "memory": "64Mi"}});
        },
        (3, "unschedulable"),
    ),
    case(
        "no-memory",
        |pod, _| {
            server(pod)["resources"] = json!({"requests": {"cpu": "20m", "memory": "100Ti"}});
        },
        (3, "unschedulable"),
    ),
    case("no-such-node", |pod, _| pod["spec"]["nodeSelector"] = json!({"pool": "none"}), (3, "unschedulable")),
    case(
        "scheduling-gate",
        |pod, _| pod["spec"]["schedulingGates"] = json!([{"name": "example.com/queue"}]),
        (3, "scheduling-gated"),
    ),
    case("no-such-scheduler", |pod, _| pod["spec"]["schedulerName"] = json!("none"), (3, "not-scheduled")),
    case(
        "readiness-gate",
        |pod, _| {
            pod["spec"]["readinessGates"] = json!([{"conditionType": "example.com/balanced"}]);
        },
        (3, "not-ready"),
    ),
    case(
        "group-without-user",
        |pod, _| remove(&mut pod["spec"]["securityContext"], "runAsUser"),
        (1, "group-without-user"),
    ),
    case(
        "model-as-root",
        |pod, models| {
            image(pod, &models.root);
            pod["spec"]["securityContext"] = json!({"runAsNonRoot": true});
        },
        (1, "runs-as-root"),
    ),
    case(
        "model-as-named-user",
        |pod, models| {
            image(pod, &models.named);
            pod["spec"]["securityContext"] = json!({"runAsNonRoot": true});
        },
        (1, "named-user"),
    ),
    case("mount-over-the-model", |pod, _| volume(pod, "/mnt/models", json!({"emptyDir": {}})), (1, "hidden-link")),
    case(
        "mount-below-the-model",
        |pod, _| volume(pod, "/mnt/models/chat", json!({"emptyDir": {}})),
        (1, "mount-below"),
    ),
    case(
        "native-mount-below",
        |pod, models| {
            native(pod, models);
            volume(pod, "/mnt/models/chat", json!({"emptyDir": {}}));
        },
        (1, "mount-below"),
    ),
    case("groups-differ", |pod, _| server(pod)["securityContext"] = json!({"runAsGroup": 1000}), (1, "groups-differ")),
    case("not-injected", |pod, _| pod["metadata"]["labels"] = json!({}), (1, "no-label")),
    case(
        "empty-dir-full",
        |pod, models| {
            shell(pod, models, "while true; do head -c 1000000 /dev/zero >> /scratch/x; sleep 1; done");
            volume(pod, "/scratch", json!({"emptyDir": {"sizeLimit": "2Mi"}}));
        },
        (1, "empty-dir-limit"),
    ),
    case("deadline", |pod, _| pod["spec"]["activeDeadlineSeconds"] = json!(5), (1, "pod-deadline")),
    Situation {
        name: "quota",
        before: &[&["create", "quota", "none", "--hard=pods=0"]],
        change: template,
        right: (1, "quota"),
    },
    case(
        "account-missing",
        |pod, models| {
            pod["spec"]["serviceAccountName"] = json!("none");
            template(pod, models);
        },
        (1, "missing-object"),
    ),
    case(
        "priority-missing",
        |pod, models| {
            pod["spec"]["priorityClassName"] = json!("none");
            template(pod, models);
        },
        (1, "pod-refused"),
    ),
];

/// Wraps a pod into a `ReplicaSet`: what the API server refuses, it refuses its controller.
fn template(pod: &mut Value, _: &Models) {
    let labels = pod["metadata"]["labels"].clone();
    let pod_template = json!({"metadata": {"labels": labels, "annotations": pod["metadata"]["annotations"]},
        "spec": pod["spec"]});
    *pod = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "model", "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod_template}});
}

pub(super) fn scenarios() -> Vec<Scenario> {
    SITUATIONS
        .iter()
        .map(|situation| {
            Scenario::new(&format!("pod-{}", situation.name), move |scene, models| run(scene, models, situation))
        })
        .collect()
}

/// The pod that would run.
fn pod(models: &Models) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "model",
            "labels": {"serving.kserve.io/inferenceservice": "model", "component": "predictor"},
            "annotations": {SOURCE: format!("oci://{}", models.tiny.image)}},
        "spec": {"terminationGracePeriodSeconds": 1, "securityContext": {"runAsUser": 1010, "runAsGroup": 0},
            "containers": [{"name": "kserve-container", "image": SERVER, "args": ["--model=/mnt/models", "--port=8080"],
                "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}},
                "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 2}}]}})
}

fn run(scene: &Scene<'_>, models: &Models, situation: &Situation) -> Result<Outcome> {
    if situation.name.contains("native") && !scene.is_at_least(20) {
        return Ok(Outcome::As("needs KServe 0.20".to_owned()));
    }
    for command in situation.before {
        scene.kubectl(command)?;
    }
    let mut wanted = pod(models);
    (situation.change)(&mut wanted, models);
    scene.apply(&wanted.to_string())?;
    let (status, code) = situation.right;
    let (checked, document) = slowly(&format!("check to say {status} {code}"), || {
        let document = scene.documents()?;
        Ok(match scene.check_document(document.as_bytes(), &[]) {
            Ok(checked) if checked.status == status && worst(&checked) == code => Look::Done((checked, document)),
            Ok(checked) => Look::NotYet(format!("{} {:?}", checked.status, worst(&checked))),
            Err(error) => Look::NotYet(error.to_string()),
        })
    })?;
    documents::keep(scene.cluster, situation.name, &document, status, code)?;
    Ok(Outcome::As(format!("check says {status} {code}: {}", checked.first())))
}

/// The code of the first finding that is no information.
fn worst(checked: &Checked) -> String {
    checked.codes().first().cloned().unwrap_or_default()
}
