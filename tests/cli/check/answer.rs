//! The answer as text: the last line, and what is left out.

use serde_json::json;

use super::{super::*, documents::*};

#[test]
fn the_last_line_names_the_pods_in_the_worst_state() {
    let dir = TempDir::new().unwrap();
    let shown = |items: &[Value]| {
        let file = dir.path().join("list.json");
        fs::write(&file, list(items).to_string()).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_modelcar")).arg("check").arg(&file).env_clear().output().unwrap();
        text(&output.stdout)
    };
    let refused = waiting("ErrImagePull", "unexpected status code 401 Unauthorized");
    let denied = pod("m-0", spec(), init(refused, json!({}), 0));
    let fine = pod("fine", spec(), ready());
    let last = |items: &[Value]| shown(items).lines().last().unwrap().to_owned();
    assert_eq!(last(&[fine.clone(), denied.clone()]), "failing: team/m-0 [pull-denied]");
    assert_eq!(last(std::slice::from_ref(&denied)), "failing");
    assert_eq!(last(&[fine.clone(), pod("other", spec(), ready())]), "ready");
    let slow =
        |name: &str| pod(name, spec(), unscheduled("Unschedulable", "0/1 nodes are available: 1 Insufficient cpu."));
    let many: Vec<Value> = (0..7).map(|number| slow(&format!("m-{number}"))).collect();
    let said = last(&many);
    assert!(said.starts_with("waiting: team/m-0 [unschedulable], ") && said.ends_with(", and 2 more"), "{said}");
    // Whoever mends what fails should know what still waits.
    let both = last(&[slow("m-1"), fine.clone(), denied]);
    assert_eq!(both, "failing: team/m-0 [pull-denied]; waiting: team/m-1 [unschedulable]");

    // A template about which there is nothing to say is left out beside its pods, and only there.
    let template = json!({"kind": "Deployment", "metadata": {"name": "m", "namespace": "team"},
        "spec": {"template": {"metadata": fine["metadata"], "spec": spec()}}});
    assert!(shown(std::slice::from_ref(&template)).contains("Deployment team/m"));
    let both = shown(&[template.clone(), fine.clone()]);
    assert!(!both.contains("Deployment") && both.contains("Pod team/fine"), "{both}");
    let wish = json!({"internal.serving.kserve.io/storage-initializer-sourceuri": "oci://reg.example/models/m:v1"});
    let deferred =
        with(with(template, "/spec/template/metadata/annotations", wish), "/spec/template/spec/volumes", json!([]));
    assert!(shown(std::slice::from_ref(&deferred)).contains("Deployment team/m"));
    let both = shown(&[deferred, fine]);
    assert!(!both.contains("look-at-pods"), "{both}");
}
