//! `InferenceService` and `LLMInferenceService`.

use std::collections::BTreeMap;

use super::{
    objects::{
        Container, Empty, EnvVar, HttpGet, InferenceService, InferenceServiceSpec, LlmInferenceService, LlmModel,
        LlmSpec, Model, ModelFormat, Object, ObjectMeta, Parallelism, PodSpec, Port, Predictor, Probe, RollingUpdate,
        Router, StorageUri, Strategy, Workers,
    },
    options::{Autoscaler, DeploymentMode, DeploymentStrategy},
    pods,
    resolved::{MODEL_PATH, Resolved},
    rights,
};

/// The container that KServe looks for.
pub(super) const CONTAINER: &str = "kserve-container";
/// The container of the further pods that share a model.
const WORKER_CONTAINER: &str = "worker-container";
/// The container that an `LLMInferenceService` is merged into.
const LLM_CONTAINER: &str = "main";
const PORT: u32 = 8080;

pub(super) fn inference_service(resolved: &Resolved<'_>) -> Object {
    let options = resolved.options;
    let mut predictor = Predictor {
        min_replicas: options.min_replicas,
        max_replicas: options.max_replicas,
        service_account_name: options.service_account.clone(),
        image_pull_secrets: pods::pull_secrets(resolved),
        node_selector: resolved.node_selector(),
        tolerations: options.tolerations.clone(),
        deployment_strategy: options.deployment_strategy.map(strategy),
        security_context: rights::at_pod(resolved),
        storage_uris: storage_uris(resolved),
        worker_spec: resolved.is_spread().then(|| workers(resolved)),
        ..Predictor::default()
    };
    match &options.custom_container {
        Some(image) => custom_container(resolved, image, &mut predictor),
        None => predictor.model = Some(model(resolved)),
    }
    Object::InferenceService(Box::new(InferenceService {
        api_version: "serving.kserve.io/v1beta1",
        kind: "InferenceService",
        metadata: metadata(resolved, mode_annotations(resolved)),
        spec: InferenceServiceSpec { predictor },
    }))
}

fn strategy(wanted: DeploymentStrategy) -> Strategy {
    match wanted {
        DeploymentStrategy::Recreate => Strategy { strategy: "Recreate", rolling_update: None },
        DeploymentStrategy::NoSurge => Strategy {
            strategy: "RollingUpdate",
            rolling_update: Some(RollingUpdate { max_surge: 0, max_unavailable: 1 }),
        },
    }
}

/// Returns the model and its adapters, where they are not named by `storageUri`.
fn storage_uris(resolved: &Resolved<'_>) -> Vec<StorageUri> {
    if !resolved.has_storage_uris() {
        return Vec::new();
    }
    let scheme = resolved.options.delivery.scheme();
    let mut uris = vec![StorageUri { uri: resolved.uri.clone(), mount_path: MODEL_PATH.to_owned() }];
    uris.extend(resolved.options.loras.iter().map(|lora| StorageUri {
        uri: format!("{scheme}://{}", lora.image.pinned()),
        mount_path: pods::lora_path(lora),
    }));
    uris
}

/// Returns the further pods that share the model: like the first one, under the names that KServe gives them.
fn workers(resolved: &Resolved<'_>) -> Workers {
    let options = resolved.options;
    Workers {
        pipeline_parallel_size: options.pipeline_parallel,
        tensor_parallel_size: resolved.gpus,
        service_account_name: options.service_account.clone(),
        image_pull_secrets: pods::pull_secrets(resolved),
        node_selector: resolved.node_selector(),
        tolerations: options.tolerations.clone(),
        security_context: rights::at_pod(resolved),
        containers: vec![Container {
            name: WORKER_CONTAINER.to_owned(),
            image: options.runtime_image.clone(),
            env: pods::environment(resolved),
            resources: Some(pods::resources(resolved)),
            ..Container::default()
        }],
    }
}

fn model(resolved: &Resolved<'_>) -> Model {
    let options = resolved.options;
    Model {
        model_format: ModelFormat { name: resolved.server.format.clone() },
        runtime: resolved.server.runtime.clone(),
        runtime_version: options.runtime_version.clone(),
        image: options.runtime_image.clone(),
        storage_uri: (!resolved.has_storage_uris()).then(|| resolved.uri.clone()),
        args: pods::arguments(resolved),
        env: pods::environment(resolved),
        resources: Some(pods::resources(resolved)),
        security_context: rights::at_container(resolved),
    }
}

/// KServe mounts the model and leaves the arguments to whoever brings the image.
fn custom_container(resolved: &Resolved<'_>, image: &str, predictor: &mut Predictor) {
    let mut env = pods::environment(resolved);
    if !resolved.has_storage_uris() {
        env.insert(0, EnvVar::new("STORAGE_URI", &resolved.uri));
    }
    let mut args = vec![
        format!("--model={}", resolved.model_path()),
        format!("--served-model-name={}", resolved.served_name),
        format!("--port={PORT}"),
    ];
    args.extend(pods::arguments(resolved));
    let probe = |failure_threshold| Probe {
        http_get: HttpGet { path: "/health", port: PORT },
        period_seconds: 10,
        failure_threshold,
    };
    let (volume, mount) = pods::shared_memory();
    predictor.containers = vec![Container {
        name: CONTAINER.to_owned(),
        image: Some(image.to_owned()),
        args,
        env,
        ports: vec![Port { container_port: PORT, protocol: "TCP" }],
        resources: Some(pods::resources(resolved)),
        security_context: Some(rights::of_custom_container(resolved)),
        volume_mounts: vec![mount],
        // Half an hour for large models; Knative has its own deadline.
        startup_probe: (!resolved.is_knative()).then(|| probe(180)),
        readiness_probe: Some(probe(3)),
        ..Container::default()
    }];
    predictor.volumes = vec![volume];
}

pub(super) fn llm_inference_service(resolved: &Resolved<'_>) -> Object {
    let options = resolved.options;
    // The template of KServe has a home of its own and mounts a folder at it.
    let env = pods::environment(resolved)
        .into_iter()
        .filter(|variable| variable.name != "HOME" || options.env.iter().any(|(name, _)| name == "HOME"));
    let container = Container {
        name: LLM_CONTAINER.to_owned(),
        image: options.runtime_image.clone(),
        args: pods::arguments(resolved),
        env: env.collect(),
        resources: Some(pods::resources(resolved)),
        ..Container::default()
    };
    let template = PodSpec {
        service_account_name: options.service_account.clone(),
        image_pull_secrets: pods::pull_secrets(resolved),
        node_selector: resolved.node_selector(),
        tolerations: options.tolerations.clone(),
        // Beside an image volume the template of KServe has what is needed.
        security_context: rights::at_pod(resolved).filter(|_| resolved.is_sidecar()),
        containers: vec![container],
        ..PodSpec::default()
    };
    Object::LlmInferenceService(Box::new(LlmInferenceService {
        api_version: "serving.kserve.io/v1alpha2",
        kind: "LLMInferenceService",
        metadata: metadata(resolved, stop_annotation(resolved)),
        spec: LlmSpec {
            model: LlmModel { uri: resolved.uri.clone(), name: Some(resolved.served_name.clone()) },
            replicas: options.min_replicas,
            parallelism: (resolved.gpus > 1).then_some(Parallelism { tensor: resolved.gpus }),
            router: Some(Router {
                gateway: Empty {},
                route: Empty {},
                scheduler: (!options.no_scheduler).then_some(Empty {}),
            }),
            template,
        },
    }))
}

fn metadata(resolved: &Resolved<'_>, annotations: BTreeMap<String, String>) -> ObjectMeta {
    ObjectMeta {
        name: Some(resolved.name.clone()),
        namespace: resolved.namespace.clone(),
        labels: resolved.options.labels.clone(),
        // What the user names comes before what follows from the model.
        annotations: annotations.into_iter().chain(resolved.options.annotations.clone()).collect(),
    }
}

fn mode_annotations(resolved: &Resolved<'_>) -> BTreeMap<String, String> {
    let options = resolved.options;
    let mode = match (options.mode, options.version.has_new_mode_names()) {
        (DeploymentMode::Standard, true) => "Standard",
        (DeploymentMode::Standard, false) => "RawDeployment",
        (DeploymentMode::Knative, true) => "Knative",
        (DeploymentMode::Knative, false) => "Serverless",
    };
    let mut annotations = stop_annotation(resolved);
    annotations.insert("serving.kserve.io/deploymentMode".to_owned(), mode.to_owned());
    // Several pods of one model are not scaled, and KServe refuses to try.
    let autoscaler = options.autoscaler.or(resolved.is_spread().then_some(Autoscaler::None));
    if let Some(autoscaler) = autoscaler {
        annotations.insert("serving.kserve.io/autoscalerClass".to_owned(), autoscaler.name().to_owned());
    }
    if resolved.is_knative() {
        let minutes = resolved.served.pull.minutes_to_ready(resolved.server_bytes() > 0);
        annotations.insert("serving.knative.dev/progress-deadline".to_owned(), format!("{minutes}m"));
    }
    annotations
}

fn stop_annotation(resolved: &Resolved<'_>) -> BTreeMap<String, String> {
    let stop = resolved.options.stop.then(|| ("serving.kserve.io/stop".to_owned(), "true".to_owned()));
    stop.into_iter().collect()
}
