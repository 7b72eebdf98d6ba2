//! Clusters whose KServe runs models as another user, or as none.

use serde_json::{Value, json};

use super::{
    Outcome, Scenario,
    kinds::{SERVER, llm_served, served},
    models::Models,
};
use crate::{images::AS_MODEL_USER, kserve, scene::Scene, wait::Result};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("kserve-uid-2000", |scene, models| {
            let args = ["--custom-container", SERVER, "--kserve-uid", "2000"];
            with_uid(scene, &json!(2000), || served(scene, &models.tiny, &args))
        }),
        Scenario::alone("kserve-uid-none", |scene, models| {
            let args = ["--custom-container", AS_MODEL_USER, "--kserve-uid", "none"];
            with_uid(scene, &Value::Null, || served(scene, &models.tiny, &args))
        }),
        Scenario::alone("kserve-uid-2000-unsaid", unsaid),
        Scenario::alone("llm-kserve-uid-2000", |scene, models| {
            with_uid(scene, &json!(2000), || llm_served(scene, &models.tiny, &["--kserve-uid", "2000"]))
        }),
    ]
}

/// Acts while KServe's configuration has another user.
fn with_uid(scene: &Scene<'_>, uid: &Value, act: impl FnOnce() -> Result<Outcome>) -> Result<Outcome> {
    kserve::set_oci(&scene.cluster.kubectl, &json!({"uidModelcar": uid}))?;
    let outcome = act();
    kserve::set_oci(&scene.cluster.kubectl, &json!({"uidModelcar": 1010}))?;
    outcome
}

/// Where nobody says the cluster's user, KServe's own stands at both containers, over the pod's.
fn unsaid(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    with_uid(scene, &json!(2000), || served(scene, &models.tiny, &["--custom-container", SERVER]))
}
