//! Every kind with every option, in one namespace: the API server and KServe's webhooks read each manifest strictly and
//! make nothing (`kubectl apply --dry-run=server --validate=strict`).

use super::{Outcome, Scenario, kinds::SERVER, models::Models};
use crate::{
    program::output,
    scene::{Model, SMALL, Scene, text},
    wait::Result,
};

const KINDS: [&str; 5] = ["inference-service", "llm-inference-service", "smoke-test", "prepull", "admission-pod"];

/// Options of `render`. `{IMAGE}` is an image with a model.
const SETS: [&[&str]; 34] = [
    &[],
    &["--native"],
    &["--storage-uris"],
    &["--custom-container", SERVER],
    &["--custom-container", SERVER, "--storage-uris"],
    &["--native", "--storage-uris"],
    &["--mode", "knative", "--min-replicas", "0"],
    &["--mode", "knative", "--custom-container", SERVER],
    &["--autoscaler", "hpa", "--min-replicas", "1", "--max-replicas", "2"],
    &["--autoscaler", "keda", "--min-replicas", "1", "--max-replicas", "2"],
    &["--autoscaler", "external"],
    &["--autoscaler", "none", "--min-replicas", "0"],
    &["--runtime", "kserve-vllmserver", "--model-format", "vLLM"],
    &["--runtime-image", "vllm/vllm-openai:v0.23.0"],
    &["--runtime-version", "v0.23.0"],
    &["--gpus", "0"],
    &["--gpus", "8", "--gpu-type", "nvidia-l4"],
    &["--gpu-resource", "example.com/gpu"],
    &["--stop"],
    &["--kserve-uid", "none"],
    &["--kserve-uid", "0", "--custom-container", SERVER],
    &["--lora", "sql={IMAGE}"],
    &["--lora", "sql={IMAGE}", "--native"],
    &["--deployment-strategy", "recreate"],
    &["--deployment-strategy", "no-surge"],
    &["--pipeline-parallel", "3", "--gpus", "8", "--gpu-type", "nvidia-l4"],
    &["--no-scheduler"],
    &["--load-format", "runai_streamer"],
    &["--trust-remote-code"],
    &["--label", "team=a", "--annotation", "x.io/Y=any text: {{.Name}}"],
    &["--ephemeral-storage", "1Gi", "--toleration", "spot=yes:NoSchedule", "--node-selector", "pool=models"],
    &["--service-account", "reader", "--image-pull-secret", "registry"],
    &["--arg=--seed=7", "--env", "A=$(B) ${C}", "--max-model-len", "64", "--served-name", "other"],
    &["--name", "another-name"],
];
/// The least number of manifests that must have been read: more options in vain are no options.
const LEAST: usize = 150;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("strict", strict)]
}

/// What `render` answers to one set of options.
enum Answer {
    Manifests(String),
    /// These options do not go together, and the message says so.
    Refused,
}

fn strict(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    // The schemas of 0.20 are the ones that every option is for.
    if !scene.is_at_least(20) {
        return Ok(super::kinds::not_in_release());
    }
    scene.kubectl(&["create", "serviceaccount", "reader"])?;
    let all = KINDS.map(|kind| (&models.tiny, kind)).into_iter().chain([(&models.gguf, KINDS[0])]);
    let (mut read, mut refused) = (0, 0);
    for (model, kind) in all {
        let mut rendered = Vec::new();
        for set in SETS {
            match render(scene, model, kind, set)? {
                Answer::Manifests(manifests) => rendered.push((set, manifests)),
                Answer::Refused => refused += 1,
            }
        }
        admit_all(scene, kind, &rendered)?;
        read += rendered.len();
    }
    if read < LEAST {
        return Err(format!("only {read} sets of options were rendered").into());
    }
    Ok(Outcome::As(format!("{read} sets of options are valid, {refused} do not go together")))
}

fn render(scene: &Scene<'_>, model: &Model, kind: &str, set: &[&str]) -> Result<Answer> {
    let mut render = scene.cluster.modelcar();
    render.arg("render").arg(&model.image).args(scene.release()).args(["--kind", kind]);
    if kind != "prepull" {
        render.args(SMALL);
    }
    if !set.contains(&"--name") {
        render.args(["--name", "model"]);
    }
    render.args(set.iter().map(|arg| arg.replace("{IMAGE}", &model.image)));
    let answer = output(&mut render)?;
    let said = text(&answer.stderr);
    match answer.status.code() {
        Some(0) => Ok(Answer::Manifests(String::from_utf8(answer.stdout)?)),
        Some(2) if !said.contains("panicked") => Ok(Answer::Refused),
        status => Err(format!("render {kind} {set:?} ended with {status:?}: {said}").into()),
    }
}

/// Reads the manifests of all sets in one go. When they are refused, each is read alone, to name the first wrong one.
fn admit_all(scene: &Scene<'_>, kind: &str, rendered: &[(&[&str], String)]) -> Result {
    let together: String = rendered.iter().flat_map(|(_, manifests)| ["---\n", manifests]).collect();
    if admit(scene, kind, &together).is_ok() {
        return Ok(());
    }
    rendered.iter().try_for_each(|(set, manifests)| {
        admit(scene, kind, manifests).map_err(|error| format!("{kind} {}: {error}", set.join(" ")).into())
    })
}

/// Lets the API server and its webhooks read manifests as they would be applied.
fn admit(scene: &Scene<'_>, kind: &str, manifests: &str) -> Result {
    let own = ["--namespace", scene.namespace.as_str()];
    // A dry run does not make the smoke test's own namespace, which its other objects would need.
    let manifests = match kind {
        "smoke-test" => without_namespace(manifests),
        _ => manifests.to_owned(),
    };
    let dry = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
    scene.cluster.kubectl.feed(&[&dry[..], &own].concat(), &manifests).map(drop)
}

/// Takes the lines that name a namespace out of manifests.
fn without_namespace(manifests: &str) -> String {
    let lines = manifests.lines().filter(|line| !line.starts_with("  namespace: "));
    lines.flat_map(|line| [line, "\n"]).collect()
}
