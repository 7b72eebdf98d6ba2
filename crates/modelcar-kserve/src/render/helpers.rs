//! Objects that serve nothing: the daemon set that pulls an image, and the pod that KServe's webhook is asked about.

use std::collections::BTreeMap;

use super::{
    objects::{
        Container, DaemonSet, DaemonSetSpec, ImageVolume, Object, ObjectMeta, Pod, PodSpec, PodTemplate, Resources,
        Selector, Toleration, Volume, VolumeMount,
    },
    pods,
    resolved::{MODEL_PATH, Resolved},
    rights, services,
};

/// The label of the nodes that pull, unless others are named.
const PREPULL_LABEL: &str = "modelcar.io/prepull";
/// Runs nothing; part of every cluster.
const PAUSE_IMAGE: &str = "registry.k8s.io/pause:3.10";

/// Returns a daemon set whose pods hold the image: the kubelet removes no image that a container uses.
pub(super) fn prepull(resolved: &Resolved<'_>) -> Object {
    let name = format!("prepull-{}", resolved.name);
    let labels = BTreeMap::from([("app.kubernetes.io/name".to_owned(), name.clone())]);
    let mut holder = Container {
        name: "hold".to_owned(),
        resources: Some(little()),
        security_context: Some(rights::of_holder(resolved)),
        ..Container::default()
    };
    let mut volumes = Vec::new();
    let reference = resolved.served.pinned();
    if resolved.is_sidecar() {
        holder.image = Some(reference);
        holder.command = vec!["sleep".to_owned(), "infinity".to_owned()];
    } else {
        holder.image = Some(PAUSE_IMAGE.to_owned());
        holder.volume_mounts =
            vec![VolumeMount { name: "model".to_owned(), mount_path: MODEL_PATH.to_owned(), read_only: Some(true) }];
        let image = Some(ImageVolume { reference, pull_policy: "IfNotPresent" });
        volumes.push(Volume { name: "model".to_owned(), empty_dir: None, image });
    }
    let mut node_selector = resolved.node_selector();
    if node_selector.is_empty() {
        node_selector.insert(PREPULL_LABEL.to_owned(), "true".to_owned());
    }
    let spec = PodSpec {
        service_account_name: resolved.options.service_account.clone(),
        automount_service_account_token: Some(false),
        image_pull_secrets: pods::pull_secrets(resolved),
        node_selector,
        tolerations: tolerations(resolved),
        security_context: None,
        termination_grace_period_seconds: Some(0),
        containers: vec![holder],
        volumes,
    };
    let template = PodTemplate { metadata: ObjectMeta { labels: labels.clone(), ..ObjectMeta::default() }, spec };
    Object::DaemonSet(Box::new(DaemonSet {
        api_version: "apps/v1",
        kind: "DaemonSet",
        metadata: ObjectMeta {
            name: Some(name),
            namespace: resolved.namespace.clone(),
            labels: resolved.options.labels.clone().into_iter().chain(labels.clone()).collect(),
            annotations: resolved.options.annotations.clone(),
        },
        spec: DaemonSetSpec { selector: Selector { match_labels: labels }, template },
    }))
}

/// Returns the taints that the pods stand: those of nodes with GPUs too, which the pods of a server stand because they ask
/// for a GPU.
fn tolerations(resolved: &Resolved<'_>) -> Vec<Toleration> {
    let options = resolved.options;
    let mut all = options.tolerations.clone();
    let of_gpus = Toleration {
        key: Some(options.gpu_resource.clone()),
        operator: Some("Exists"),
        value: None,
        effect: Some("NoSchedule".to_owned()),
    };
    let is_named = all.iter().any(|named| named.key == of_gpus.key);
    if resolved.gpus > 0 && !is_named {
        all.push(of_gpus);
    }
    all
}

/// Returns the pod that KServe's webhook is asked about. It is never run, so its container is small and its image is one
/// of every cluster; users and rights are those of a server, so that the namespace's rules are asked about them too.
pub(super) fn admission(resolved: &Resolved<'_>) -> Object {
    let options = resolved.options;
    let container = Container {
        name: services::CONTAINER.to_owned(),
        image: Some(PAUSE_IMAGE.to_owned()),
        resources: Some(little()),
        security_context: Some(rights::of_custom_container(resolved)),
        ..Container::default()
    };
    let mut labels = options.labels.clone();
    labels.insert("serving.kserve.io/inferenceservice".to_owned(), resolved.name.clone());
    let mut annotations = options.annotations.clone();
    annotations.insert(SOURCE_ANNOTATION.to_owned(), resolved.uri.clone());
    Object::Pod(Box::new(Pod {
        api_version: "v1",
        kind: "Pod",
        metadata: ObjectMeta {
            name: Some(format!("{}-admission", resolved.name)),
            namespace: resolved.namespace.clone(),
            labels,
            annotations,
        },
        spec: PodSpec {
            service_account_name: options.service_account.clone(),
            image_pull_secrets: pods::pull_secrets(resolved),
            security_context: rights::at_pod(resolved),
            containers: vec![container],
            ..PodSpec::default()
        },
    }))
}

/// What KServe's controller writes for its webhook.
const SOURCE_ANNOTATION: &str = "internal.serving.kserve.io/storage-initializer-sourceuri";

/// Resources of a container that does nothing.
fn little() -> Resources {
    let amounts = BTreeMap::from([("cpu".to_owned(), "10m".to_owned()), ("memory".to_owned(), "15Mi".to_owned())]);
    Resources { requests: amounts.clone(), limits: amounts }
}
