//! What `modelcar render` prints is read by the Python models of KServe and Kubernetes.

use tempfile::TempDir;

use crate::{
    fixture,
    parts::{BUSYBOX, Part, available, modelcar, python_with_packages, run, script},
    registry::Registry,
};

#[test]
fn manifests_are_read_by_the_python_models() {
    if !available(&[Part::Registry, Part::Busybox, Part::KservePackages]) {
        return;
    }
    let (home, registry) = (TempDir::new().unwrap(), Registry::start());
    let image = format!("{}/m/tiny:v1", registry.address());
    let image = run(modelcar(home.path()).arg("push").arg(fixture()).args([&image, "--base-binary", BUSYBOX]));
    let lora = format!("--lora=sql={}", image.trim());
    let sets: [&[&str]; 17] = [
        &[],
        &["--native"],
        &["--storage-uris", "--min-replicas=1", "--max-replicas=2"],
        &["--custom-container=vllm/vllm-openai:v0.23.0", "--gpu-type=nvidia-l4"],
        &["--mode=knative", "--min-replicas=0", "--toleration=a=b:NoSchedule"],
        &["--kind=llm-inference-service", "--gpus=4"],
        &["--kind=smoke-test", "--stop", "--image-pull-secret=s"],
        &["--kind=prepull"],
        &["--kserve-version=0.15", "--autoscaler=none", "--min-replicas=0"],
        &["--kserve-version=0.21"],
        &["--kserve-version=0.21", "--fetch", "--label=team=a", "--annotation=x.io/y=z"],
        &["--kserve-version=0.21", "--native", "--deployment-strategy=no-surge"],
        &["--kserve-version=0.21", "--gpus=8", "--pipeline-parallel=2", "--deployment-strategy=recreate"],
        &["--kserve-version=0.21", &lora],
        &["--kserve-version=0.21", "--mode=knative"],
        &["--kserve-version=0.21", "--kind=llm-inference-service", "--no-scheduler"],
        &["--kserve-version=0.21", "--kind=admission-pod"],
    ];
    let mut kinds = Vec::new();
    for (index, options) in sets.iter().enumerate() {
        let yaml = home.path().join(format!("{index}.yaml"));
        std::fs::write(&yaml, run(modelcar(home.path()).args(["render", image.trim()]).args(*options))).unwrap();
        kinds.push(run(python_with_packages().arg(script("check_manifests.py")).arg(&yaml)).trim().to_owned());
    }
    let service = "InferenceService";
    let namespaced = "Namespace InferenceService";
    let llm = "LLMInferenceService";
    let expected = [
        service,
        service,
        service,
        service,
        service,
        llm,
        namespaced,
        "DaemonSet",
        service,
        service,
        service,
        service,
        service,
        service,
        service,
        llm,
        "Pod",
    ];
    assert_eq!(kinds, expected);
}
