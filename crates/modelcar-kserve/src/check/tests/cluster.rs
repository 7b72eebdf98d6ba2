//! Documents of a cluster that tried: which pods count, whether they are Ready, and whose words say why not.

use std::slice::from_ref;

use super::*;

fn report(document: &Value) -> CheckReport {
    check(document.to_string().as_bytes(), &Expected::default()).unwrap()
}

fn found(items: &[Value]) -> Vec<String> {
    codes(&report(&list(json!(items))))
}

/// The message of the finding with this code.
fn message(items: &[Value], code: &str) -> String {
    let report = report(&list(json!(items)));
    let mut findings = report.pods.iter().flat_map(|pod| &pod.findings);
    findings.find(|finding| finding.code() == code).unwrap_or_else(|| panic!("no {code}: {report:?}")).to_string()
}

fn says(items: &[Value], code: &str, parts: &[&str]) {
    let message = message(items, code);
    for part in parts {
        assert!(message.contains(part), "{part}: {message}");
    }
}

/// A pod that the API server stored, under another name.
fn tried(name: &str, status: Value) -> Value {
    let pod = with(with(modern(), "/metadata/name", json!(name)), "/metadata/resourceVersion", json!("7"));
    with(pod, "/status", status)
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

fn ready(name: &str) -> Value {
    tried(name, json!({"phase": "Running", "conditions": [condition("Ready", "True", "", "")]}))
}

fn pending(name: &str) -> Value {
    let not = condition("Ready", "False", "ContainersNotReady", "containers with unready status");
    let begins = |name: &str| {
        json!({"name": name, "ready": false, "restartCount": 0, "imageID": "", "lastState": {},
        "state": {"waiting": {"reason": "PodInitializing"}}})
    };
    tried(
        name,
        json!({"phase": "Pending", "conditions": [not],
        "initContainerStatuses": [begins("modelcar-init")], "containerStatuses": [begins("kserve-container")]}),
    )
}

/// A pod that runs while its server is in this state.
fn server(state: Value, last: Value, restarts: u64) -> Value {
    let server = json!({"name": "kserve-container", "ready": false, "restartCount": restarts, "imageID": "",
        "state": state, "lastState": last});
    let not = condition("Ready", "False", "ContainersNotReady", "containers with unready status");
    tried("p", json!({"phase": "Running", "conditions": [not], "containerStatuses": [server]}))
}

fn ended(reason: &str, code: i64, message: &str) -> Value {
    json!({"terminated": {"reason": reason, "exitCode": code, "message": message}})
}

fn event(kind: &str, name: &str, reason: &str, message: &str) -> Value {
    json!({"kind": "Event", "metadata": {"name": "e", "namespace": "team"}, "type": "Warning", "reason": reason,
        "message": message, "count": 3, "reportingComponent": "kubelet",
        "involvedObject": {"kind": kind, "namespace": "team", "name": name}})
}

/// A Deployment or `ReplicaSet` of the service, as KServe makes it.
fn owner(kind: &str, conditions: Value) -> Value {
    with(template(kind, &bare()), "/status", json!({"conditions": conditions}))
}

fn refused(message: &str) -> Value {
    json!([
        condition("Available", "False", "MinimumReplicasUnavailable", "no minimum availability"),
        condition("ReplicaFailure", "True", "FailedCreate", message)
    ])
}

#[test]
fn what_is_ready_is_ok_and_what_is_not_is_not() {
    let shown = |pod: Value| {
        let report = report(&pod);
        (report.pods[0].ready, codes(&report))
    };
    assert_eq!(shown(ready("p")), (Some(true), vec![]));
    assert_eq!(shown(pending("p")), (Some(false), vec!["?setting-up".to_owned()]));
    // Stored a moment ago: nobody has looked at it yet.
    let new = tried("p", json!({"phase": "Pending"}));
    assert_eq!(shown(new.clone()).0, Some(false));
    says(&[new], "not-scheduled", &["no scheduler has looked at the pod yet"]);
    assert_eq!(shown(with(modern(), "/status", json!({"phase": "Unknown"}))).0, Some(false));
}

#[test]
fn what_nobody_tried_is_judged_by_what_was_injected() {
    let status = json!({"phase": "Pending", "qosClass": "Burstable"});
    let answer = with(with(modern(), "/metadata/uid", json!("u")), "/status", status.clone());
    let answer = with(answer, "/metadata/creationTimestamp", json!("2026-11-25T17:45:22Z"));
    let judged = report(&answer);
    assert_eq!((judged.pods[0].ready, judged.pods[0].mode, codes(&judged)), (None, Mode::Modelcar, vec![]));
    assert_eq!(found(&[with(bare(), "/status", status)]), ["!not-injected"]);
    assert_eq!(report(&template("Deployment", &modern())).pods[0].ready, None);
}

#[test]
fn the_scheduler_is_quoted() {
    let words = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.";
    let scheduled = condition("PodScheduled", "False", "Unschedulable", words);
    let pod = tried("p", json!({"phase": "Pending", "conditions": [scheduled]}));
    says(from_ref(&pod), "unschedulable", &["Unschedulable", words.trim_end_matches('.')]);
    // The event has the same words: once is enough.
    assert_eq!(found(&[pod, event("Pod", "p", "FailedScheduling", words)]), ["?unschedulable"]);
}

#[test]
fn the_kubelet_is_quoted() {
    let secret = server(waiting("CreateContainerConfigError", "secret \"hf\" not found"), json!({}), 0);
    says(&[secret], "missing-secret", &["`kserve-container` needs the Secret `hf`", "secret \"hf\" not found"]);
    let probed = server(json!({"running": {}}), ended("Error", 137, ""), 5);
    says(&[probed], "probe-killed", &["`kserve-container` was killed", "restarts: 5"]);
    let exits = server(waiting("CrashLoopBackOff", "back-off 20s"), ended("Error", 3, "no such file"), 2);
    says(&[exits], "server-crashes", &["ended with 3 (Error): no such file", "back-off 20s"]);
    let gate = condition("example.com/gate", "False", "Waits", "for the balancer");
    let scheduled = condition("PodScheduled", "True", "", "");
    says(&[tried("p", json!({"conditions": [scheduled, gate]}))], "readiness-gate", &["Waits: for the balancer"]);
    let shut = json!({"phase": "Failed", "reason": "NodeShutdown", "message": "imminent node shutdown"});
    says(&[tried("p", shut)], "node-shutdown", &["the node shut down: imminent node shutdown"]);
}

#[test]
fn a_server_out_of_memory_fails_while_it_is_down_and_while_it_starts() {
    let killed = || ended("OOMKilled", 137, "");
    for pod in [
        server(killed(), killed(), 2),
        server(json!({"running": {}}), killed(), 4),
        server(waiting("CrashLoopBackOff", "back-off"), killed(), 6),
    ] {
        assert_eq!(found(from_ref(&pod)), ["!server-memory"]);
        says(&[pod], "server-memory", &["`kserve-container` ran out of memory", "restarts: "]);
    }
}

#[test]
fn what_a_container_got_over_is_no_error() {
    let over = |name: &str, last: Value| {
        json!({"name": name, "ready": true, "restartCount": 1, "imageID": "",
        "state": {"running": {}}, "lastState": last})
    };
    let status = json!({"conditions": [condition("Ready", "True", "", "")],
        "initContainerStatuses": [over("modelcar-init", ended("OOMKilled", 137, ""))],
        "containerStatuses": [over("modelcar", ended("StartError", 128, "context deadline exceeded"))]});
    assert_eq!(found(&[tried("p", status)]), ["?sidecar-restarted"]);
}

#[test]
fn what_was_foreseen_and_happened_is_said_once() {
    let root = waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root");
    let init = json!({"name": "modelcar-init", "ready": false, "restartCount": 0, "imageID": "", "state": root});
    let pod = tried("p", json!({"phase": "Pending", "initContainerStatuses": [init]}));
    assert_eq!(found(&[with(pod, "/spec/securityContext", json!({"runAsNonRoot": true}))]), ["!runs-as-root"]);
}

#[test]
fn events_of_a_pod_are_told_while_it_is_not_ready() {
    let mount = event("Pod", "p", "FailedToRetrieveImagePullSecret", "unable to retrieve some secrets");
    let items = [pending("p"), mount.clone()];
    assert_eq!(found(&items), ["?setting-up", "event"]);
    says(&items, "event", &["kubelet says FailedToRetrieveImagePullSecret, 3 times: unable to retrieve some secrets"]);
    assert_eq!(found(&[ready("p"), mount.clone()]), [""; 0]);
    assert_eq!(found(&[pending("q"), mount.clone()]), ["?setting-up"]);
    let elsewhere = with(mount.clone(), "/involvedObject/namespace", json!("other"));
    assert_eq!(found(&[pending("p"), elsewhere]), ["?setting-up"]);
    let normal = with(mount.clone(), "/type", json!("Normal"));
    assert_eq!(found(&[pending("p"), normal]), ["?setting-up"]);
    // The latest of each reason; nothing that is said of every pod, or by the container's state.
    let noise = [
        event("Pod", "p", "MissingClusterDNS", "kubelet does not have ClusterDNS IP configured"),
        event("Pod", "p", "BackOff", "Back-off restarting failed container"),
        event("Pod", "p", "Failed", "Error: ErrImagePull"),
        json!({"kind": "Event", "type": 7}),
        json!({"kind": "Event", "type": "Warning", "involvedObject": {}}),
    ];
    let later = event("Pod", "p", "FailedToRetrieveImagePullSecret", "timed out");
    let items: Vec<Value> = [pending("p"), mount, later].into_iter().chain(noise).collect();
    assert_eq!(found(&items), ["?setting-up", "event"]);
    says(&items, "event", &["timed out"]);
    let many = (0..9).map(|at| event("Pod", "p", &format!("R{at}"), &format!("m{at}")));
    let items: Vec<Value> = std::iter::once(pending("p")).chain(many).collect();
    assert_eq!(found(&items), ["?setting-up", "event", "event", "event"]);
}

#[test]
fn events_of_what_has_worked_since_are_not_told() {
    let field = |event: Value, name: &str| {
        with(event, "/involvedObject/fieldPath", json!(format!("spec.containers{{{name}}}")))
    };
    let pull = event("Pod", "p", "Failed", "Failed to pull image \"r.io/s:v1\": 429 Too Many Requests");
    let mount = event("Pod", "p", "FailedMount", "configmap \"chat\" not found");
    let sandbox = event("Pod", "p", "FailedCreatePodSandBox", "network is not ready");
    let loads = server(json!({"running": {}}), json!({}), 0);
    let old = [field(pull.clone(), "kserve-container"), mount.clone(), sandbox];
    assert_eq!(found(&[vec![loads.clone()], old.to_vec()].concat()), ["?probe"]);
    // Another container's pull, and what fails before there is a sandbox.
    assert_eq!(found(&[loads, field(pull, "proxy")]), ["?probe", "event"]);
    assert_eq!(found(&[pending("p"), mount]).len(), 1);
    // Another failure of the container that runs.
    let hook = event("Pod", "p", "FailedPostStartHook", "exit status 1");
    assert_eq!(
        found(&[server(json!({"running": {}}), json!({}), 0), field(hook, "kserve-container")]),
        ["?probe", "event"]
    );
}

#[test]
fn a_request_that_no_node_can_meet_is_told() {
    let words = "0/2 nodes are available: 2 Insufficient cpu.";
    let of = |server: &str, sidecar: Option<&str>| {
        let scheduled = condition("PodScheduled", "False", "Unschedulable", words);
        let pod = tried("p", json!({"phase": "Pending", "conditions": [scheduled]}));
        let wish = |cpu: Option<&str>| cpu.map_or(json!({}), |cpu| json!({"requests": {"cpu": cpu}}));
        let pod = with(pod, "/spec/containers/0/resources", wish(Some(server)));
        with(pod, "/spec/containers/1/resources", wish(sidecar))
    };
    let node = |name: &str, cpu: &str| json!({"kind": "Node", "metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu}}});
    let nodes = [node("a", "3920m"), node("b", "2")];
    let said = |pod: Value, nodes: &[Value]| message(&[&[pod], nodes].concat(), "unschedulable");
    let two = said(of("4", Some("10m")), &nodes);
    assert!(
        two.contains("The pod requests cpu: `kserve-container` 4 + `modelcar` 10m; of the nodes `a` has 3920m"),
        "{two}"
    );
    assert!(two.contains("No node of the document has so much"), "{two}");
    // What other pods of the document request, those that have ended aside.
    let other = |name: &str, phase: &str| {
        let pod = with(tried(name, json!({"phase": phase, "conditions": []})), "/spec/nodeName", json!("a"));
        with(pod, "/spec/containers/0/resources", json!({"requests": {"cpu": "650m"}}))
    };
    let others = [other("q", "Running"), other("r", "Succeeded"), nodes[0].clone()];
    let shared = said(of("3500m", None), &others);
    assert!(shared.contains("`a` has 3920m, of which its pods in the document request 660m"), "{shared}");
    // A node has as much when nothing else is on it; a node of which that is not known; no node at all.
    assert!(!said(of("3", Some("10m")), &nodes).contains("No node"));
    assert!(!said(of("3500m", Some("500m")), &[node("a", "4")]).contains("No node"));
    let unknown = json!({"kind": "Node", "metadata": {"name": "c"}, "status": {}});
    assert!(!said(of("40", None), &[node("a", "4"), unknown]).contains("No node"));
    assert!(!said(of("40", None), &[]).contains("No node"));
}

#[test]
fn a_secret_for_the_pull_that_is_missing_is_told_with_the_pull() {
    let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"r.io/m:v1\": \
        ErrImagePull: failed to pull and unpack image: 401 Unauthorized"}});
    let init = json!({"name": "modelcar-init", "ready": false, "restartCount": 0, "imageID": "", "state": waiting});
    let pod = tried("p", json!({"phase": "Pending", "initContainerStatuses": [init]}));
    let secret =
        event("Pod", "p", "FailedToRetrieveImagePullSecret", "Unable to retrieve some image pull secrets (typo)");
    says(from_ref(&pod), "pull-denied", &["401 Unauthorized"]);
    says(&[pod, secret], "pull-denied", &["image pull secrets (typo)", "401 Unauthorized"]);
}

#[test]
fn a_pod_that_a_rollout_replaces_does_not_count() {
    let of = |pod: Value, set: &str| {
        let owner = json!([{"kind": "ReplicaSet", "name": set, "controller": true}]);
        with(pod, "/metadata/ownerReferences", owner)
    };
    let set = |name: &str, revision: &str| {
        json!({"kind": "ReplicaSet", "spec": {"replicas": 0}, "metadata": {"name": name, "namespace": "team",
            "annotations": {"deployment.kubernetes.io/revision": revision},
            "ownerReferences": [{"kind": "Deployment", "name": "m-predictor"}]}})
    };
    let ended = json!({"terminated": {"reason": "Error", "exitCode": 1, "message": ""}});
    let init = json!({"name": "modelcar-init", "ready": false, "restartCount": 4, "imageID": "", "state": ended});
    let failing = |name| tried(name, json!({"phase": "Pending", "initContainerStatuses": [init.clone()]}));
    let state = |items: &[Value]| {
        let list = json!({"kind": "List", "items": items}).to_string();
        check(list.as_bytes(), &Expected::default()).unwrap().state
    };
    let (old, new) = (of(failing("p"), "m-1"), of(pending("q"), "m-2"));
    assert_eq!(state(&[old.clone(), new.clone(), set("m-1", "1"), set("m-2", "2")]), Some(State::Waiting));
    says(&[old.clone(), new.clone(), set("m-1", "1"), set("m-2", "2")], "not-counted", &["pod `q` takes its place"]);
    // A rollout back to the first template counts on.
    assert_eq!(state(&[old.clone(), new.clone(), set("m-1", "3"), set("m-2", "2")]), Some(State::Failing));
    // Without the sets nobody knows which pod is the newer one, and without a newer pod the old one is all there is.
    assert_eq!(state(&[old.clone(), new]), Some(State::Failing));
    assert_eq!(state(&[old, set("m-1", "1"), set("m-2", "2")]), Some(State::Failing));
}

#[test]
fn the_words_of_a_probe_are_told_of_its_container() {
    let failed = |container: &str, words: &str| {
        let field = json!(format!("spec.containers{{{container}}}"));
        with(event("Pod", "p", "Unhealthy", words), "/involvedObject/fieldPath", field)
    };
    let items =
        [server(json!({"running": {}}), json!({}), 0), failed("kserve-container", "loads"), failed("proxy", "waits")];
    says(&items, "probe", &["its startup or readiness probe has not passed: loads"]);
    let items = [server(json!({"running": {}}), json!({}), 0), failed("proxy", "waits")];
    assert!(message(&items, "probe").ends_with("has not passed"));
}

#[test]
fn strangers_do_not_count() {
    let redis = json!({"kind": "Pod", "metadata": {"name": "redis", "namespace": "team", "resourceVersion": "3"},
        "spec": {"containers": [{"name": "redis"}]}, "status": {"phase": "Running", "containerStatuses": [
            {"name": "redis", "ready": false, "restartCount": 4, "imageID": "",
             "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}});
    let items = [ready("p"), redis];
    assert_eq!(found(&items), ["no-model"]);
    assert_eq!(report(&list(json!(items))).pods[1].ready, None);
    // KServe's own do: a transformer has no model, and a service with one that is down does not answer.
    let label = json!({"serving.kserve.io/inferenceservice": "m", "component": "transformer"});
    let transformer = json!({"kind": "Pod", "metadata": {"name": "t", "namespace": "team", "labels": label},
        "spec": {"containers": [{"name": "kserve-container"}]}, "status": {"phase": "Pending", "conditions": [
            condition("PodScheduled", "False", "Unschedulable", "no node")]}});
    assert_eq!(found(&[ready("p"), transformer]), ["?unschedulable", "no-model"]);
    let llm = json!({"app.kubernetes.io/part-of": "llminferenceservice", "app.kubernetes.io/name": "m"});
    let scheduler =
        json!({"kind": "Pod", "metadata": {"name": "s", "labels": llm, "resourceVersion": "4"}, "spec": {}});
    assert_eq!(found(&[ready("p"), scheduler]), ["?not-scheduled", "no-model"]);
}

#[test]
fn pods_on_their_way_out_do_not_count_beside_others() {
    let going = with(pending("old"), "/metadata/deletionTimestamp", json!("2026-11-25T17:45:22Z"));
    let done = tried("job", json!({"phase": "Succeeded"}));
    let evicted = tried("old", json!({"phase": "Failed", "reason": "Evicted", "message": "low on resource: memory"}));
    for out in [&going, &done, &evicted] {
        assert_eq!(found(&[ready("p"), out.clone()]), ["not-counted"]);
        assert_eq!(report(&list(json!([ready("p"), out]))).pods[1].ready, None);
    }
    // An old pod does not speak for the new one, and alone it serves nothing.
    assert_eq!(found(&[pending("p"), going.clone()]), ["?setting-up", "not-counted"]);
    assert_eq!(found(&[pending("p"), evicted.clone()]), ["?setting-up", "!evicted"]);
    assert_eq!(found(from_ref(&going)), ["not-counted"]);
    assert_eq!(report(&going).state, Some(State::Waiting));
    assert_eq!(found(&[done]), ["?not-ready"]);
    // Ready in its place is a pod of the same service and the same part of it.
    let label = |pod: Value, key: &str, name: &str| with(pod, &format!("/metadata/labels/{key}"), json!(name));
    let other = label(ready("p"), "serving.kserve.io~1inferenceservice", "other");
    assert_eq!(found(&[other, evicted.clone()]), ["!evicted"]);
    let transformer = label(ready("p"), "component", "transformer");
    assert_eq!(found(&[transformer, evicted]), ["!evicted"]);
}

#[test]
fn every_replica_must_be_ready() {
    assert_eq!(found(&[ready("a"), ready("b")]), [""; 0]);
    assert_eq!(found(&[ready("a"), pending("b")]), ["?setting-up"]);
}

#[test]
fn a_pod_that_was_refused_is_told_in_the_words_of_its_controller() {
    let quota = "pods \"m-1\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0";
    let both = [owner("Deployment", refused(quota)), owner("ReplicaSet", refused(quota))];
    assert_eq!(found(&both), ["!quota", "look-at-pods"]);
    says(&both, "quota", &["FailedCreate", quota]);
    // A Deployment learns of it late, and an old ReplicaSet has only its event.
    let set = owner("ReplicaSet", json!([]));
    let told = [owner("Deployment", json!([])), set.clone(), event("ReplicaSet", "m", "FailedCreate", quota)];
    assert_eq!(found(&told), ["look-at-pods", "!quota"]);
    let psa = [owner("ReplicaSet", refused("violates PodSecurity \"restricted:latest\": runAsNonRoot != true"))];
    assert_eq!(found(&psa), ["!pod-security"]);
    says(&psa, "pod-security", &["runAsNonRoot != true"]);
    // What an event says may be over; what a condition says is not.
    let over = event("ReplicaSet", "m", "FailedCreate", quota);
    assert_eq!(found(&[set, ready("p"), over]), ["look-at-pods"]);
    assert_eq!(found(&[owner("ReplicaSet", refused(quota)), ready("p")]), ["!quota"]);
    let solved = json!([condition("ReplicaFailure", "False", "", "")]);
    assert_eq!(found(&[owner("ReplicaSet", solved), ready("p")]), ["look-at-pods"]);
    // Strangers are refused too.
    let foreign = json!({"kind": "ReplicaSet", "metadata": {"name": "redis", "namespace": "team"},
        "spec": {"template": {"spec": {"containers": [{"name": "redis"}]}}}, "status": {"conditions": refused(quota)}});
    assert_eq!(found(&[ready("p"), foreign]), ["no-model"]);
}

#[test]
fn templates_are_silent_beside_the_pod_they_are_of() {
    let missed = with(bare(), "/metadata/resourceVersion", json!("7"));
    assert_eq!(found(&[owner("Deployment", json!([])), missed]), ["look-at-pods", "!not-injected", "?not-scheduled"]);
    let wish = "internal.serving.kserve.io/storage-initializer-sourceuri";
    let wishless = without(bare(), "/metadata/annotations", wish);
    assert_eq!(found(&[template("Deployment", &wishless), wishless]), ["look-at-pods", "!no-model"]);
}

/// The words of containerd of which a pod with a group and no user dies.
const NO_SANDBOX: &str = "Failed to create pod sandbox: user group \"0\" is specified without user";

#[test]
fn a_group_without_its_user_is_named_before_a_pod_is_tried() {
    let group = json!({"runAsGroup": 0});
    let service = json!({"kind": "InferenceService", "metadata": {"name": "m", "namespace": "team"}, "spec": {
        "predictor": {"securityContext": group, "model": {"storageUri": format!("oci://{}", image())}}}});
    let judged = report(&service);
    assert_eq!(codes(&judged), ["!group-without-user"]);
    assert_eq!((judged.pods[0].kind.as_str(), judged.pods[0].mode), ("InferenceService", Mode::Deferred));
    assert_eq!(judged.pods[0].image, Some(image()));
    let llm = json!({"kind": "LLMInferenceService", "metadata": {"name": "m"}, "spec": {
        "model": {"uri": format!("oci://{}", image())}, "template": {"securityContext": group}}});
    assert_eq!(found(&[llm]), ["!group-without-user"]);
    let custom = json!({"kind": "InferenceService", "metadata": {"name": "m"}, "spec": {
        "predictor": {"securityContext": group, "containers": [{"name": "kserve-container"}]}}});
    assert_eq!(found(&[custom]), ["!group-without-user"]);
    let wrong = with(bare(), "/spec/securityContext", group);
    assert_eq!(found(&[template("Deployment", &wrong)]), ["!group-without-user"]);
    assert_eq!(found(&[service.clone(), template("Deployment", &wrong)]), ["!group-without-user", "look-at-pods"]);
    // With its user nothing of a service shows, as of one that has neither.
    for context in [json!({"runAsUser": 1010, "runAsGroup": 0}), json!({"runAsUser": 0, "runAsGroup": 0}), json!({})] {
        let good = with(service.clone(), "/spec/predictor/securityContext", context);
        let error = check(good.to_string().as_bytes(), &Expected::default()).unwrap_err();
        assert!(matches!(error, CheckError::NoPod(_)), "{error}");
        assert_eq!(found(&[good, ready("p")]), [""; 0]);
    }
}

#[test]
fn a_group_without_its_user_is_the_cause_after() {
    let group = json!({"runAsGroup": 0});
    let service = json!({"kind": "InferenceService", "metadata": {"name": "m", "namespace": "team"}, "spec": {
        "predictor": {"securityContext": group, "model": {"storageUri": format!("oci://{}", image())}}}});
    let of = |pod: Value| with(pod, "/spec/securityContext", group.clone());
    let event = event("Pod", "p", "FailedCreatePodSandBox", NO_SANDBOX);
    let items = [service, template("Deployment", &of(bare())), of(pending("p")), event];
    assert_eq!(found(&items), ["look-at-pods", "!group-without-user", "event"]);
    says(&items, "event", &[NO_SANDBOX]);
    // A runtime that made the sandbox took it; what else is wrong has its own words.
    assert_eq!(found(&[of(ready("p"))]), [""; 0]);
    assert_eq!(found(&[of(server(ended("Error", 1, ""), json!({}), 1))]), ["?restarting"]);
    let made = condition("PodReadyToStartContainers", "True", "", "");
    assert_eq!(found(&[of(tried("p", json!({"phase": "Pending", "conditions": [made]})))]), ["?not-scheduled"]);
    let scheduled = condition("PodScheduled", "False", "Unschedulable", "no node");
    let pod = of(tried("p", json!({"phase": "Pending", "conditions": [scheduled]})));
    assert_eq!(found(&[pod]), ["!group-without-user", "?unschedulable"]);
}

#[test]
fn words_of_others_are_cut_and_hold_no_values() {
    let long = format!("begin {} the cause", "x ".repeat(5_000));
    let told = message(&[server(waiting("CreateContainerError", &long), json!({}), 0)], "create-container");
    assert!(told.chars().count() < 1_000 && told.contains("begin") && told.contains("the cause"), "{told}");
    let secret = server(ended("Error", 1, "login as hunter2hunter2 failed"), json!({}), 1);
    let secret = with(secret, "/spec/containers/0/env/9", json!({"name": "TOKEN", "value": "hunter2hunter2"}));
    let secret = with(secret, "/spec/containers/0/env/9", json!({"name": "SERVICE", "value": "m-predictor-0"}));
    let secret = with(secret, "/metadata/name", json!("m-predictor-0-x"));
    says(from_ref(&secret), "restarting", &["login as $TOKEN failed"]);
    // The user that `render` writes has the sidecar's name.
    let secret = with(secret, "/spec/containers/0/env/10", json!({"name": "USER", "value": "modelcar"}));
    let event = event("Pod", "m-predictor-0-x", "Failed", "m-predictor-0 of modelcar-init with hunter2hunter2");
    let shown = serde_json::to_string(&report(&list(json!([secret, event])))).unwrap();
    assert!(!shown.contains("hunter2") && shown.contains("m-predictor-0 of modelcar-init with $TOKEN"), "{shown}");
}

#[test]
fn what_a_rollout_leaves_behind_is_not_judged() {
    let old = with(owner("ReplicaSet", json!([])), "/metadata/ownerReferences", json!([{"kind": "Deployment"}]));
    let left = with(old, "/spec/replicas", json!(0));
    let report = report(&list(json!([ready("new"), left])));
    assert!(report.pods.iter().all(|pod| pod.kind == "Pod"), "{report:?}");
}
