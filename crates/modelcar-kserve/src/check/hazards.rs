//! What is wrong with a pod's specification, before it runs.

use super::{
    Expected,
    documents::Namespace,
    evidence::{Evidence, MODEL_FOLDER, ModelImage, ModelVolume, SERVICE_LABEL, Sidecar},
    pod::{Container, Pod},
    report::{Finding, Findings, Mode},
};

const ENFORCE_LABEL: &str = "pod-security.kubernetes.io/enforce";
const CONTROL_PLANE_LABEL: &str = "control-plane";

/// What to do where `restricted` is enforced.
pub(super) const RESTRICTED_REMEDY: &str = "enforce `baseline` there, or serve it by oci+native:// with the security context that `restricted` asks for: \
     modelcar render --native writes both (KServe 0.20)";

/// What is known beside the pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) namespace: Option<&'a Namespace>,
    pub(super) expected: &'a Expected,
    /// Whether another pod of the document shows the model that this one does not.
    pub(super) is_shown: bool,
}

pub(super) fn find(pod: &Pod, evidence: &Evidence<'_>, around: Around<'_>, found: &mut Vec<Finding>) {
    let Around { namespace, expected, is_shown } = around;
    mode(pod, evidence, namespace, is_shown, found);
    image(pod, evidence, expected, found);
    match evidence.mode {
        Mode::Modelcar => {
            sharing(pod, evidence, found);
            users(pod, evidence, found);
            mounts(evidence, found);
            releases(evidence, found);
            if namespace.and_then(|namespace| namespace.labels.get(ENFORCE_LABEL)).is_some_and(|l| l == "restricted") {
                found.error(
                    "pod-security",
                    "the namespace enforces the Pod Security level `restricted`, which refuses KServe's sidecar",
                    RESTRICTED_REMEDY,
                );
            }
        }
        Mode::Native => evidence.volumes.iter().for_each(|volume| native(volume, found)),
        _ => {}
    }
}

fn mode(pod: &Pod, evidence: &Evidence<'_>, namespace: Option<&Namespace>, is_shown: bool, found: &mut Vec<Finding>) {
    match evidence.mode {
        Mode::Modelcar | Mode::Native | Mode::Fetch => {}
        Mode::Disabled => found.error(
            "oci-disabled",
            "OCI images are switched off: the storage initializer is asked to download one, which it can't",
            "set enableModelcar to true in the ConfigMap inferenceservice-config (key storageInitializer), then delete \
             the pod",
        ),
        Mode::Deferred if is_shown => {
            found.info("look-at-pods", "this is a template: a pod of this document shows what became of it");
        }
        Mode::None if is_shown => {
            found.info("no-model", "nothing here speaks of an OCI model; another pod of this document has it");
        }
        Mode::Deferred => found.error(
            "look-at-pods",
            "this is a template: KServe's webhook acts on the pods made from it",
            "check the pods: kubectl get pod -l serving.kserve.io/inferenceservice=NAME -o json | modelcar check -",
        ),
        Mode::None => found.error(
            "no-model",
            "nothing here speaks of an OCI model",
            "check the pod of the service; with storageUris before KServe 0.19 nothing is injected, use storageUri",
        ),
        Mode::Missed => missed(pod, evidence, namespace, found),
    }
}

/// Why the webhook did nothing.
fn missed(pod: &Pod, evidence: &Evidence<'_>, namespace: Option<&Namespace>, found: &mut Vec<Finding>) {
    if let Some(impostor) = evidence.impostor {
        let message = format!(
            "a container named `{}` with image `{}` was there already, so KServe added no sidecar",
            impostor.name, impostor.image
        );
        return found.error("name-taken", message, "give that container another name");
    }
    if !pod.labels.contains_key(SERVICE_LABEL) {
        return found.error(
            "no-label",
            format!("the pod lacks the label {SERVICE_LABEL}, so the webhook passed it over"),
            "let an InferenceService make the pod",
        );
    }
    if namespace.is_some_and(|namespace| namespace.labels.contains_key(CONTROL_PLANE_LABEL)) {
        return found.error(
            "control-plane",
            format!("the namespace has the label {CONTROL_PLANE_LABEL}, and the webhook passes such namespaces over"),
            "use another namespace, or remove the label",
        );
    }
    if evidence.wanted.is_some_and(|wanted| wanted.scheme == "oci+native") {
        return found.error(
            "native-off",
            "an image volume is wanted and none was made: OCI is switched off, or KServe is older than 0.20",
            "set enableOciModelSupport or enableModelcar to true in the ConfigMap inferenceservice-config",
        );
    }
    found.error(
        "not-injected",
        "a model from an image is wanted and nothing was injected",
        "see that the webhook inferenceservice.kserve-webhook-server.pod-mutator runs and covers the namespace \
         (label control-plane excludes it), then delete the pod",
    );
}

fn image(pod: &Pod, evidence: &Evidence<'_>, expected: &Expected, found: &mut Vec<Finding>) {
    let images = evidence.images();
    if let (Mode::Modelcar | Mode::Native, Some(wanted)) = (evidence.mode, evidence.wanted)
        && !images.iter().any(|image| is_wanted(image.reference, wanted.image))
    {
        let run: Vec<String> = images.iter().map(|image| format!("`{}`", image.reference)).collect();
        found.error(
            "other-image",
            format!("the pod runs {}, and `{}` is asked for", run.join(", "), wanted.image),
            "delete the pod, so that it is made from the current wish",
        );
    }
    let pinned = |image: &ModelImage<'_>| image.reference.split_once('@').map(|(_, digest)| digest.to_owned());
    // One of several images is the expected one, the others are not.
    let missed = expected.digest.map(|digest| digest.to_string()).filter(|expected| {
        let runs = |image: &ModelImage<'_>| pinned(image).or_else(|| running_digest(pod, image.container?));
        !images.iter().any(|image| runs(image).as_ref() == Some(expected))
    });
    for image in &images {
        match (pinned(image), &missed) {
            (Some(digest), Some(expected)) => found.error(
                "unexpected-digest",
                format!("the image is pinned to {digest}, expected was {expected}"),
                "apply the manifests of the expected image again",
            ),
            (Some(_), None) => {}
            (None, missed) => unpinned(image.reference, missed.as_deref(), found),
        }
    }
}

/// Returns whether a pod that runs `image` runs what it wants. A policy of the cluster may have pinned a tag to its digest.
fn is_wanted(image: &str, wanted: &str) -> bool {
    let Some((name, _)) = image.split_once('@').filter(|_| !wanted.contains('@')) else { return image == wanted };
    let repository = |name: &str| match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository.to_owned(),
        _ => name.to_owned(),
    };
    name == wanted || name == repository(wanted)
}

fn unpinned(image: &str, missed: Option<&str>, found: &mut Vec<Finding>) {
    let last = image.rsplit('/').next().unwrap_or(image);
    let tag = last.split_once(':').map_or("latest", |(_, tag)| tag);
    let message = match tag {
        "latest" => "the image is `latest`: it may change, and every start asks the registry".to_owned(),
        tag => format!("the image is the tag `{tag}`, which may mean other images on other nodes"),
    };
    let remedy = "pin the digest: modelcar render --resolve";
    match missed {
        Some(expected) => found.error("unpinned", format!("{message}; expected was {expected}"), remedy),
        None => found.warning("unpinned", message, remedy),
    }
}

/// Returns the digest that the node resolved a sidecar's tag to.
fn running_digest(pod: &Pod, container: &str) -> Option<String> {
    let status = pod.status.container_statuses.iter().find(|status| status.name == container)?;
    status.image_id.split_once('@').map(|(_, digest)| digest.to_owned())
}

fn sharing(pod: &Pod, evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    if !pod.spec.share_process_namespace {
        found.error(
            "no-shared-processes",
            "shareProcessNamespace is not true: the server can't look into the sidecar",
            "delete the pod, so that the webhook acts again; see what else changes pods",
        );
    }
    match evidence.target {
        Some(target) => evidence.sidecars.iter().for_each(|sidecar| volume(target, sidecar, found)),
        None => found.error(
            "no-server",
            "the pod has no container that KServe gives a model to (kserve-container, worker-container, main)",
            "name the server's container kserve-container",
        ),
    }
}

/// The volume through which the server finds a sidecar's link.
fn volume(target: &Container, sidecar: &Sidecar<'_>, found: &mut Vec<Finding>) {
    let name = &sidecar.container.name;
    let Some(volume) = sidecar.volume else {
        return found.error(
            "no-volume",
            format!("`{name}` has no volume to put its link on"),
            "delete the pod, so that the webhook acts again",
        );
    };
    if volume.empty_dir.is_none() {
        found.error(
            "volume-kind",
            format!("volume `{}` is not an emptyDir", volume.name),
            "delete the pod, so that the webhook acts again",
        );
    }
    let path = |container: &Container| container.mount(&volume.name).map(|mount| mount.mount_path.clone());
    if path(target) != path(sidecar.container) {
        found.error(
            "mounts-differ",
            format!("volume `{}` is not mounted at the same path in `{}` and in `{name}`", volume.name, target.name),
            "delete the pod, so that the webhook acts again",
        );
    }
}

/// The user or group of a container: its own, else that of the pod, else that of its image, which is not known here.
struct Identity {
    user: Option<u64>,
    group: Option<u64>,
}

fn identity(pod: &Pod, container: &Container) -> Identity {
    let own = container.security_context.as_ref();
    let pod = &pod.spec.security_context;
    Identity {
        user: own.and_then(|own| own.run_as_user).or(pod.run_as_user),
        group: own.and_then(|own| own.run_as_group).or(pod.run_as_group),
    }
}

/// The kernel lets a process look through `/proc/PID/root` only when user and group are the same and it has every
/// capability of the other.
fn users(pod: &Pod, evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    let Some(target) = evidence.target else { return };
    evidence.sidecars.iter().for_each(|sidecar| pair(pod, target, sidecar.container, found));
    let mut inits = evidence.sidecars.iter().filter_map(|sidecar| sidecar.init);
    let non_root = pod.spec.security_context.run_as_non_root == Some(true);
    if non_root && inits.any(|init| identity(pod, init).user.is_none()) {
        found.warning(
            "init-user",
            "the pod must not run as root, and modelcar-init runs as the user of its image",
            "the image must have a numeric user that is not 0: see modelcar inspect --lint",
        );
    }
}

fn pair(pod: &Pod, target: &Container, sidecar: &Container, found: &mut Vec<Finding>) {
    let (server, car) = (identity(pod, target), identity(pod, sidecar));
    let name = &sidecar.name;
    let shown = |id: Option<u64>| id.map_or_else(|| "the user of its image".to_owned(), |id| id.to_string());
    match (server.user, car.user) {
        (Some(a), Some(b)) if a != b => found.error(
            "users-differ",
            format!("`{}` runs as {a} and `{name}` as {b}: permission denied", target.name),
            "remove runAsUser from the service, so that KServe's uidModelcar sets both",
        ),
        (Some(_), Some(_)) => {}
        (a, b) => found.warning(
            "users-unknown",
            format!("`{}` runs as {}, `{name}` as {}: they must be the same", target.name, shown(a), shown(b)),
            "set uidModelcar in the ConfigMap inferenceservice-config; on OpenShift the namespace sets both",
        ),
    }
    match (server.group, car.group) {
        (a, b) if a == b => {}
        // Without a wish the runtime takes the group of the image's passwd file, else 0.
        (Some(0), None) | (None, Some(0)) => {}
        (a, b) => found.error(
            "groups-differ",
            format!(
                "`{}` runs with group {}, `{name}` with {}: permission denied",
                target.name,
                a.map_or_else(|| "0 by default".to_owned(), |id| id.to_string()),
                b.map_or_else(|| "0 by default".to_owned(), |id| id.to_string())
            ),
            "set runAsUser and runAsGroup for the pod, and no runAsGroup for the container",
        ),
    }
    let drops = target.security_context.as_ref().and_then(|own| own.capabilities.as_ref());
    if car.user == Some(0) && drops.is_some_and(|drops| drops.drop.iter().any(|name| name == "ALL")) {
        found.error(
            "root-without-capabilities",
            format!("both run as root and `{}` drops its capabilities: permission denied", target.name),
            "set uidModelcar in the ConfigMap inferenceservice-config to a user that is not root, such as 1010",
        );
    }
}

fn mounts(evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    let Some(target) = evidence.target else { return };
    evidence.sidecars.iter().for_each(|sidecar| beside(target, sidecar, evidence, found));
    if target.volume_mounts.iter().any(|mount| mount.mount_path == "/models") {
        found.warning(
            "real-path",
            format!("`{}` has a folder of its own at /models", target.name),
            "do not resolve /mnt/models to its real path: it leads to that folder",
        );
    }
    if target.env.iter().any(|variable| variable.name == "STORAGE_URI" && variable.value.starts_with("oci")) {
        found.info("storage-uri", "STORAGE_URI still names the image, as it should: the server must read /mnt/models");
    }
}

/// What else the server mounts, at the place of a sidecar's link or beside it.
fn beside(target: &Container, sidecar: &Sidecar<'_>, evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    let path = sidecar.link.path;
    let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
    let own = |name: &str| evidence.sidecars.iter().filter_map(|sidecar| sidecar.volume).any(|own| own.name == name);
    for mount in target.volume_mounts.iter().filter(|mount| !own(&mount.name)) {
        let at = mount.mount_path.trim_end_matches('/');
        if at == path || at == parent {
            found.error(
                "hidden-link",
                format!("`{}` mounts `{}` at {at}: it hides the model", target.name, mount.name),
                "mount it elsewhere",
            );
        } else if at.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/')) {
            found.info("mount-beside", format!("`{}` mounts `{}` at {at}, beside the model", target.name, mount.name));
        }
    }
}

fn releases(evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    if evidence.sidecars.iter().any(|sidecar| sidecar.init.is_none()) {
        found.warning(
            "no-prefetch",
            "this KServe has no modelcar-init: the server may start before the image is pulled",
            "update KServe to 0.14 or later",
        );
    }
    if evidence.sidecars.iter().any(|sidecar| !sidecar.link.forced) {
        found.warning(
            "link-not-forced",
            "this KServe makes its link without -f: the sidecar can't start a second time in the same pod",
            "update KServe to 0.15 or later; meanwhile delete a pod that hangs after a node's restart",
        );
    }
}

fn native(volume: &ModelVolume<'_>, found: &mut Vec<Finding>) {
    let Some(mount) = volume.mount else {
        return found.error(
            "not-mounted",
            format!("the server does not mount the image volume `{}`", volume.volume.name),
            "delete the pod, so that the webhook acts again",
        );
    };
    if mount.sub_path != MODEL_FOLDER {
        found.error(
            "sub-path",
            format!("the image is mounted with the sub-path `{}`, not `models`", mount.sub_path),
            "use Kubernetes 1.33 or later, which has sub-paths of image volumes",
        );
    }
    if !mount.read_only {
        found.warning("writable", "the image volume is not mounted read-only", "set readOnly for the mount");
    }
}
