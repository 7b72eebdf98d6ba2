//! What is wrong with a pod's specification, before it runs.

use modelcar_core::Digest;

use super::{
    documents::Namespace,
    evidence::{Evidence, MODEL_FOLDER, ModelImage, ModelVolume, Sidecar},
    finding::Finding,
    pod::{Container, Pod, SERVICE_LABEL},
    report::Mode,
};

const ENFORCE_LABEL: &str = "pod-security.kubernetes.io/enforce";
const CONTROL_PLANE_LABEL: &str = "control-plane";

/// What is expected of the pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Digest of the image.
    pub digest: Option<Digest>,
}

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
                found.push(Finding::PodSecurityRestricted);
            }
        }
        Mode::Native => evidence.volumes.iter().for_each(|volume| native(volume, found)),
        _ => {}
    }
}

fn mode(pod: &Pod, evidence: &Evidence<'_>, namespace: Option<&Namespace>, is_shown: bool, found: &mut Vec<Finding>) {
    found.push(match evidence.mode {
        Mode::Modelcar | Mode::Native | Mode::Fetch => return,
        Mode::Disabled => Finding::OciDisabled,
        Mode::Deferred if is_shown => Finding::TemplateOfPod,
        Mode::None if is_shown => Finding::ModelElsewhere,
        Mode::Deferred => Finding::TemplateAlone,
        Mode::None => Finding::NoModel,
        Mode::Missed => missed(pod, evidence, namespace),
    });
}

/// Why the webhook did nothing.
fn missed(pod: &Pod, evidence: &Evidence<'_>, namespace: Option<&Namespace>) -> Finding {
    if let Some(impostor) = evidence.impostor {
        return Finding::NameTaken { container: impostor.name.clone(), image: impostor.image.clone() };
    }
    if !pod.labels.contains_key(SERVICE_LABEL) {
        return Finding::NoLabel { label: SERVICE_LABEL };
    }
    if namespace.is_some_and(|namespace| namespace.labels.contains_key(CONTROL_PLANE_LABEL)) {
        return Finding::ControlPlane { label: CONTROL_PLANE_LABEL };
    }
    if evidence.wanted.is_some_and(|wanted| wanted.scheme == "oci+native") {
        return Finding::NativeOff;
    }
    Finding::NotInjected
}

fn image(pod: &Pod, evidence: &Evidence<'_>, expected: &Expected, found: &mut Vec<Finding>) {
    let images = evidence.images();
    if let (Mode::Modelcar | Mode::Native, Some(wanted)) = (evidence.mode, evidence.wanted)
        && !images.iter().any(|image| is_wanted(image.reference, wanted.image))
    {
        let runs = images.iter().map(|image| image.reference.to_owned()).collect();
        found.push(Finding::OtherImage { runs, wanted: wanted.image.to_owned() });
    }
    let pinned = |image: &ModelImage<'_>| image.reference.split_once('@').map(|(_, digest)| digest.to_owned());
    // One of several images is the expected one, the others are not.
    let missed = expected.digest.map(|digest| digest.to_string()).filter(|expected| {
        let runs = |image: &ModelImage<'_>| pinned(image).or_else(|| running_digest(pod, image.container?));
        !images.iter().any(|image| runs(image).as_ref() == Some(expected))
    });
    for image in &images {
        match (pinned(image), &missed) {
            (Some(digest), Some(expected)) => {
                found.push(Finding::UnexpectedDigest { digest, expected: expected.clone() });
            }
            (Some(_), None) => {}
            (None, missed) => found.push(unpinned(image.reference, missed.clone())),
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

fn unpinned(image: &str, expected: Option<String>) -> Finding {
    let last = image.rsplit('/').next().unwrap_or(image);
    let tag = last.split_once(':').map_or("latest", |(_, tag)| tag).to_owned();
    Finding::Unpinned { tag, expected }
}

/// Returns the digest that the node resolved a sidecar's tag to.
fn running_digest(pod: &Pod, container: &str) -> Option<String> {
    let status = pod.status.container_statuses.iter().find(|status| status.name == container)?;
    status.image_id.split_once('@').map(|(_, digest)| digest.to_owned())
}

fn sharing(pod: &Pod, evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    if !pod.spec.share_process_namespace {
        found.push(Finding::NoSharedProcesses);
    }
    match evidence.target {
        Some(target) => evidence.sidecars.iter().for_each(|sidecar| volume(target, sidecar, found)),
        None => found.push(Finding::NoServer),
    }
}

/// The volume through which the server finds a sidecar's link.
fn volume(target: &Container, sidecar: &Sidecar<'_>, found: &mut Vec<Finding>) {
    let name = &sidecar.container.name;
    let Some(volume) = sidecar.volume else {
        return found.push(Finding::NoVolume { sidecar: name.clone() });
    };
    if volume.empty_dir.is_none() {
        found.push(Finding::VolumeKind { volume: volume.name.clone() });
    }
    let path = |container: &Container| container.mount(&volume.name).map(|mount| mount.mount_path.clone());
    if path(target) != path(sidecar.container) {
        found.push(Finding::MountsDiffer {
            volume: volume.name.clone(),
            server: target.name.clone(),
            sidecar: name.clone(),
        });
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
        found.push(Finding::InitUser);
    }
}

fn pair(pod: &Pod, target: &Container, sidecar: &Container, found: &mut Vec<Finding>) {
    let (own, car) = (identity(pod, target), identity(pod, sidecar));
    let names = || (target.name.clone(), sidecar.name.clone());
    match (own.user, car.user) {
        (Some(server_user), Some(sidecar_user)) if server_user != sidecar_user => {
            let (server, sidecar) = names();
            found.push(Finding::UsersDiffer { server, server_user, sidecar, sidecar_user });
        }
        (Some(_), Some(_)) => {}
        (server_user, sidecar_user) => {
            let (server, sidecar) = names();
            found.push(Finding::UsersUnknown { server, server_user, sidecar, sidecar_user });
        }
    }
    match (own.group, car.group) {
        (a, b) if a == b => {}
        // Without a wish the runtime takes the group of the image's passwd file, else 0.
        (Some(0), None) | (None, Some(0)) => {}
        (server_group, sidecar_group) => {
            let (server, sidecar) = names();
            found.push(Finding::GroupsDiffer { server, server_group, sidecar, sidecar_group });
        }
    }
    let drops = target.security_context.as_ref().and_then(|own| own.capabilities.as_ref());
    if car.user == Some(0) && drops.is_some_and(|drops| drops.drop.iter().any(|name| name == "ALL")) {
        found.push(Finding::RootWithoutCapabilities { server: target.name.clone() });
    }
}

fn mounts(evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    let Some(target) = evidence.target else { return };
    evidence.sidecars.iter().for_each(|sidecar| beside(target, sidecar, evidence, found));
    if target.volume_mounts.iter().any(|mount| mount.mount_path == "/models") {
        found.push(Finding::RealPath { server: target.name.clone() });
    }
    if target.env.iter().any(|variable| variable.name == "STORAGE_URI" && variable.value.starts_with("oci")) {
        found.push(Finding::StorageUri);
    }
}

/// What else the server mounts, at the place of a sidecar's link or beside it.
fn beside(target: &Container, sidecar: &Sidecar<'_>, evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    let path = sidecar.link.path;
    let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
    let own = |name: &str| evidence.sidecars.iter().filter_map(|sidecar| sidecar.volume).any(|own| own.name == name);
    for mount in target.volume_mounts.iter().filter(|mount| !own(&mount.name)) {
        let at = mount.mount_path.trim_end_matches('/');
        let (server, volume, path_of) = (target.name.clone(), mount.name.clone(), at.to_owned());
        if at == path || at == parent {
            found.push(Finding::HiddenLink { server, volume, path: path_of });
        } else if at.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/')) {
            found.push(Finding::MountBeside { server, volume, path: path_of });
        }
    }
}

fn releases(evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    if evidence.sidecars.iter().any(|sidecar| sidecar.init.is_none()) {
        found.push(Finding::NoPrefetch);
    }
    if evidence.sidecars.iter().any(|sidecar| !sidecar.link.forced) {
        found.push(Finding::LinkNotForced);
    }
}

fn native(volume: &ModelVolume<'_>, found: &mut Vec<Finding>) {
    let Some(mount) = volume.mount else {
        return found.push(Finding::NotMounted { volume: volume.volume.name.clone() });
    };
    if mount.sub_path != MODEL_FOLDER {
        found.push(Finding::SubPath { sub_path: mount.sub_path.clone() });
    }
    if !mount.read_only {
        found.push(Finding::Writable);
    }
}
