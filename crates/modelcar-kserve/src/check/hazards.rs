//! What is wrong with a pod's specification, before it runs.

use modelcar_core::{Digest, ImageRef};

use super::{
    documents::Namespace,
    evidence::{Evidence, MODEL_FOLDER, ModelImage, ModelVolume, Sidecar},
    finding::Finding,
    node::Node,
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
    /// Whether only what KServe injected is judged, and not what became of the pod: for the answer of a dry run.
    pub injection_alone: bool,
}

/// What is known beside the pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) namespace: Option<&'a Namespace>,
    pub(super) expected: &'a Expected,
    /// Whether another pod of the document shows the model that this one does not.
    pub(super) is_shown: bool,
    /// Whether another pod of the same service has the expected digest, which this one may not have.
    pub(super) is_replaced: bool,
    /// The node that the pod is on.
    pub(super) node: Option<&'a Node>,
}

pub(super) fn find(pod: &Pod, evidence: &Evidence<'_>, around: Around<'_>, found: &mut Vec<Finding>) {
    let namespace = around.namespace;
    mode(pod, evidence, namespace, around.is_shown, found);
    image(pod, evidence, around, found);
    match evidence.mode {
        Mode::Modelcar => {
            sharing(pod, evidence, found);
            users(pod, evidence, found);
            selinux(pod, evidence, found);
            mounts(evidence, found);
            folder_for_temporary_files(evidence, found);
            releases(evidence, found);
            if namespace.and_then(|namespace| namespace.labels.get(ENFORCE_LABEL)).is_some_and(|l| l == "restricted") {
                found.push(Finding::PodSecurityRestricted);
            }
        }
        Mode::Native => {
            evidence.volumes.iter().for_each(|volume| native(volume, evidence, found));
            // One that is Ready shows what its runtime can do.
            let node = around.node.filter(|node| node.lacks_sub_paths() && !pod.is_ready());
            found
                .extend(node.map(|node| Finding::NativeRuntime { runtime: node.runtime.clone(), said: String::new() }));
        }
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
        Mode::None => without_model(pod, evidence),
        Mode::Missed => missed(pod, evidence, namespace),
    });
}

/// Why a pod has no wish for a model: a container of the user's own says it by `STORAGE_URI`, and only where KServe looks.
fn without_model(pod: &Pod, evidence: &Evidence<'_>) -> Finding {
    let says = |container: &&Container| {
        container.env.iter().any(|variable| variable.name == "STORAGE_URI" && variable.value.starts_with("oci"))
    };
    let containers = &pod.spec.containers;
    if let Some(container) = containers.iter().find(says).filter(|_| evidence.target.is_none()) {
        return Finding::UriElsewhere { container: container.name.clone() };
    }
    match evidence.target.filter(|_| pod.labels.contains_key(SERVICE_LABEL)) {
        Some(target) if reads_model(target) => Finding::NoUri { container: target.name.clone() },
        _ => Finding::NoModel,
    }
}

/// Returns whether a container is told to read the folder that KServe puts models into.
fn reads_model(container: &Container) -> bool {
    let words = container.command.iter().chain(&container.args);
    let values = container.env.iter().map(|variable| &variable.value);
    words.chain(values).any(|word| word.contains("/mnt/models"))
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

fn image(pod: &Pod, evidence: &Evidence<'_>, around: Around<'_>, found: &mut Vec<Finding>) {
    let images = evidence.images();
    if let (Mode::Modelcar | Mode::Native, Some(wanted)) = (evidence.mode, evidence.wanted) {
        let same = images.iter().map(|image| sameness(image.reference, wanted.image));
        let is_expected = around.expected.digest.is_some() && !misses(pod, &images, around.expected);
        match same.max().unwrap_or(Sameness::Other) {
            Sameness::Same => {}
            Sameness::Mirror if is_expected => {}
            Sameness::Mirror => {
                let runs = images.first().map(|image| image.reference.to_owned()).unwrap_or_default();
                found.push(Finding::Mirrored { runs, wanted: wanted.image.to_owned() });
            }
            Sameness::Other => {
                let runs = images.iter().map(|image| image.reference.to_owned()).collect();
                found.push(Finding::OtherImage { runs, wanted: wanted.image.to_owned() });
            }
        }
    }
    // One of several images is the expected one, the others are not.
    let missed = around.expected.digest.filter(|_| misses(pod, &images, around.expected));
    for image in &images {
        match (pinned(image), missed.map(|digest| digest.to_string())) {
            (Some(digest), Some(_)) if around.is_replaced => found.push(Finding::OldDigest { digest }),
            (Some(digest), Some(expected)) => found.push(Finding::UnexpectedDigest { digest, expected }),
            (Some(_), None) => {}
            (None, missed) => found.push(unpinned(image.reference, missed)),
        }
    }
}

fn pinned(image: &ModelImage<'_>) -> Option<String> {
    image.reference.split_once('@').map(|(_, digest)| digest.to_owned())
}

/// Returns whether none of a pod's images is known to have the expected digest.
pub(super) fn misses(pod: &Pod, images: &[ModelImage<'_>], expected: &Expected) -> bool {
    let Some(expected) = expected.digest.map(|digest| digest.to_string()) else { return false };
    let runs = |image: &ModelImage<'_>| pinned(image).or_else(|| running_digest(pod, image.container?));
    !images.iter().any(|image| runs(image).as_ref() == Some(&expected))
}

/// How far two names of images mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sameness {
    Other,
    /// The same path in another registry or project, and no digest shows whether it is the same image.
    Mirror,
    Same,
}

/// Compares the image that a pod runs with the one that is wanted. Policies of clusters pin tags to digests, and send
/// images to mirrors; a digest names the same bytes everywhere.
fn sameness(runs: &str, wanted: &str) -> Sameness {
    let (Ok(a), Ok(b)) = (runs.parse::<ImageRef>(), wanted.parse::<ImageRef>()) else {
        return if runs == wanted { Sameness::Same } else { Sameness::Other };
    };
    let in_place = a.registry() == b.registry() && a.repository() == b.repository();
    let last = |image: &ImageRef| image.repository().rsplit('/').next().unwrap_or_default().to_owned();
    match (a.digest(), b.digest()) {
        (Some(a), Some(b)) if a == b => Sameness::Same,
        (None, None) if in_place && a.tag_or_latest() == b.tag_or_latest() => Sameness::Same,
        (Some(_), None) if in_place && (a.tag().is_none() || a.tag_or_latest() == b.tag_or_latest()) => Sameness::Same,
        (_, None) if !in_place && last(&a) == last(&b) => Sameness::Mirror,
        _ => Sameness::Other,
    }
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
        if at == path && is_model_cache(&mount.name) {
            found.push(Finding::LocalModelCache { server, path: path_of });
        } else if at == path || at == parent {
            found.push(Finding::HiddenLink { server, volume, path: path_of });
        } else if at.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')) {
            found.push(Finding::MountBelow { server, volume, path: path_of });
        } else if at.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/')) {
            found.push(Finding::MountBeside { server, volume, path: path_of });
        }
    }
}

/// Returns whether a volume is the one that KServe mounts for a service with a `LocalModelCache`.
fn is_model_cache(volume: &str) -> bool {
    volume == "kserve-pvc-source"
}

/// The level of a container's own `SELinux` options, else the pod's; the runtime gives both the same where neither says.
fn selinux(pod: &Pod, evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    let Some(target) = evidence.target else { return };
    let of_pod = pod.spec.security_context.se_linux_options.as_ref();
    let level = |container: &Container| {
        let own = container.security_context.as_ref().and_then(|own| own.se_linux_options.as_ref());
        own.or(of_pod).map(|options| options.level.clone()).filter(|level| !level.is_empty())
    };
    let differs = |sidecar: &&Sidecar<'_>| level(sidecar.container) != level(target);
    found.extend(
        evidence
            .sidecars
            .iter()
            .find(differs)
            .map(|sidecar| Finding::SeLinux { server: target.name.clone(), sidecar: sidecar.container.name.clone() }),
    );
}

/// Whether a server with a read-only root has a place to write to.
fn folder_for_temporary_files(evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    let Some(target) = evidence.target else { return };
    let is_read_only = target.security_context.as_ref().is_some_and(|own| own.read_only_root_filesystem);
    let is_tmp = |path: &str| path.trim_end_matches('/') == "/tmp";
    if is_read_only && !target.volume_mounts.iter().any(|mount| is_tmp(&mount.mount_path)) {
        found.push(Finding::NoTmp { server: target.name.clone() });
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

fn native(volume: &ModelVolume<'_>, evidence: &Evidence<'_>, found: &mut Vec<Finding>) {
    let Some(mount) = volume.mount else {
        return found.push(Finding::NotMounted { volume: volume.volume.name.clone() });
    };
    if mount.sub_path != MODEL_FOLDER {
        found.push(Finding::SubPath { sub_path: mount.sub_path.clone() });
    }
    if !mount.read_only {
        found.push(Finding::Writable);
    }
    let Some(server) = evidence.target else { return };
    let at = mount.mount_path.trim_end_matches('/');
    for other in server.volume_mounts.iter().filter(|other| other.name != mount.name) {
        let path = other.mount_path.trim_end_matches('/');
        if path == at {
            found.push(Finding::HiddenLink {
                server: server.name.clone(),
                volume: other.name.clone(),
                path: path.to_owned(),
            });
        } else if path.strip_prefix(at).is_some_and(|rest| rest.starts_with('/')) {
            found.push(Finding::MountBelow {
                server: server.name.clone(),
                volume: other.name.clone(),
                path: path.to_owned(),
            });
        }
    }
}
