//! Which mode a pod shows, which containers play which part, and which releases of KServe inject like this.

use super::{
    pod::{Container, Pod, Volume, VolumeMount},
    report::{Mode, VersionRange},
};

/// Where KServe writes the wish for a model.
pub(super) const SOURCE_ANNOTATION: &str = "internal.serving.kserve.io/storage-initializer-sourceuri";
/// The webhook acts on pods with this label.
pub(super) const SERVICE_LABEL: &str = "serving.kserve.io/inferenceservice";
const SIDECAR: &str = "modelcar";
const SIDECAR_INIT: &str = "modelcar-init";
const DOWNLOADER: &str = "storage-initializer";
const SHARED_VOLUME: &str = "kserve-provision-location";
const MODEL_PATH: &str = "/mnt/models";
/// Containers that KServe gives a model to, the first one that is there.
const TARGETS: [&str; 3] = ["kserve-container", "worker-container", "main"];

/// What a pod shows of KServe's work.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) mode: Mode,
    pub(super) versions: VersionRange,
    /// The image with the model.
    pub(super) image: Option<String>,
    /// The reference that the pod asks for.
    pub(super) wanted: Option<Wanted<'a>>,
    pub(super) target: Option<&'a Container>,
    pub(super) sidecar: Option<&'a Container>,
    pub(super) sidecar_init: Option<&'a Container>,
    /// A container that has the sidecar's name and is not KServe's.
    pub(super) impostor: Option<&'a Container>,
    pub(super) link: Option<Link<'a>>,
    /// The server's mount of the model's volume.
    pub(super) volume: Option<(&'a Volume, Option<&'a VolumeMount>)>,
}

/// A wish for a model: `oci://…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    pub(super) scheme: &'a str,
    pub(super) image: &'a str,
}

/// The command of the sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link<'a> {
    pub(super) forced: bool,
    pub(super) makes_folder: bool,
    pub(super) path: &'a str,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(pod: &'a Pod) -> Self {
        let spec = &pod.spec;
        let target = TARGETS.iter().find_map(|name| spec.containers.iter().find(|container| container.name == *name));
        let wanted = wanted(pod, target);
        let named = spec.containers.iter().find(|container| container.name == SIDECAR);
        let link = named.and_then(|container| container.args.iter().find_map(|arg| link(arg)));
        let sidecar = named.filter(|_| link.is_some());
        let impostor = named.filter(|_| link.is_none());
        let sidecar_init = spec.init_containers.iter().find(|container| container.name == SIDECAR_INIT);
        let image_volume = spec.volumes.iter().find(|volume| volume.image.is_some());
        let downloader = spec.init_containers.iter().find(|container| container.name == DOWNLOADER);
        let download = downloader.filter(|container| container.args.iter().any(|arg| split(arg).is_some()));
        let (mode, volume) = match (sidecar, image_volume, download) {
            (Some(sidecar), ..) => (Mode::Modelcar, model_volume(pod, sidecar)),
            (None, Some(volume), _) => (Mode::Native, Some(volume)),
            (None, None, Some(download)) => {
                // Both releases run the same downloader; only one of them can download images.
                let fetches = download.volume_mounts.iter().any(|mount| mount.name == "mnt-models");
                (if fetches { Mode::Fetch } else { Mode::Disabled }, None)
            }
            (None, None, None) if wanted.is_none() => (Mode::None, None),
            // The webhook acts on pods; what it left a pod without is missed.
            (None, None, None) if pod.is_template => (Mode::Deferred, None),
            (None, None, None) => (Mode::Missed, None),
        };
        let image = match mode {
            Mode::Modelcar => sidecar.map(|container| container.image.clone()),
            Mode::Native => volume.and_then(|volume| volume.image.as_ref()).map(|image| image.reference.clone()),
            _ => wanted.map(|wanted| wanted.image.to_owned()),
        };
        let mount = |volume: &Volume| target.and_then(|target| target.mount(&volume.name));
        let mut evidence = Self {
            mode,
            versions: VersionRange::default(),
            image,
            wanted,
            target,
            sidecar,
            sidecar_init,
            impostor,
            link,
            volume: volume.map(|volume| (volume, mount(volume))),
        };
        evidence.versions = evidence.versions(pod);
        evidence
    }

    /// What changed from release to release, as far as a pod shows it.
    fn versions(&self, pod: &Pod) -> VersionRange {
        let mut range = VersionRange::default();
        match (self.mode, self.link) {
            (Mode::Modelcar, Some(link)) => {
                range.at_least(12);
                if self.sidecar_init.is_some() {
                    range.at_least(14);
                } else {
                    range.at_most(13);
                }
                if link.forced {
                    range.at_least(15);
                } else {
                    range.at_most(14);
                }
                if link.makes_folder {
                    range.at_least(18);
                }
                let kept = self.target.and_then(|target| target.security_context.as_ref());
                if kept.is_some_and(|kept| kept.capabilities.is_some() || kept.allow_privilege_escalation.is_some()) {
                    range.at_least(18);
                }
                match self.target.map(|target| target.name.as_str()) {
                    Some("worker-container") => range.at_least(17),
                    Some("main") => range.at_least(16),
                    _ => {}
                }
                if pod.spec.containers.iter().any(|container| container.name == "modelcar-1") {
                    range.at_least(20);
                }
            }
            (Mode::Native, _) => range.at_least(20),
            (Mode::Fetch, _) => range.at_least(21),
            (Mode::Disabled, _) => range.at_most(20),
            _ => {}
        }
        range
    }
}

/// Finds the wish for a model in the pod's annotation, in the arguments of the downloader or in `STORAGE_URI`.
fn wanted<'a>(pod: &'a Pod, target: Option<&'a Container>) -> Option<Wanted<'a>> {
    let annotation = pod.annotations.get(SOURCE_ANNOTATION).map(String::as_str);
    let downloads = pod.spec.init_containers.iter().filter(|container| container.name == DOWNLOADER);
    let mut arguments = downloads.flat_map(|container| container.args.iter().map(String::as_str));
    let variables = target.into_iter().flat_map(|target| &target.env);
    let mut variables = variables.filter(|variable| variable.name == "STORAGE_URI");
    annotation
        .and_then(split)
        .or_else(|| arguments.find_map(split))
        .or_else(|| variables.find_map(|variable| split(&variable.value)))
}

/// Splits `oci://IMAGE` and its relatives.
fn split(uri: &str) -> Option<Wanted<'_>> {
    let (scheme, image) = uri.split_once("://")?;
    (scheme == "oci" || scheme.starts_with("oci+")).then_some(Wanted { scheme, image })
}

/// Reads the sidecar's command, in the forms of all releases. Kubernetes turns each `$$` into one `$`, so that the
/// document has four; a document that went through a shell may have fewer.
fn link(command: &str) -> Option<Link<'_>> {
    let rest = command.trim();
    let (makes_folder, rest) = match rest.strip_prefix("mkdir -p ") {
        Some(rest) => (true, rest.split_once(" && ")?.1),
        None => (false, rest),
    };
    let (forced, rest) = match rest.strip_prefix("ln -sf ") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix("ln -s ")?),
    };
    let rest = rest.strip_prefix("/proc/")?.trim_start_matches('$').strip_prefix("/root/models ")?;
    let path = rest.strip_suffix(" && sleep infinity")?;
    Some(Link { forced, makes_folder, path: path.trim_matches('\'') })
}

/// Returns the volume that the sidecar writes its link to.
fn model_volume<'a>(pod: &'a Pod, sidecar: &Container) -> Option<&'a Volume> {
    let mount = sidecar.volume_mounts.iter().find(|mount| mount.name.starts_with(SHARED_VOLUME))?;
    pod.spec.volumes.iter().find(|volume| volume.name == mount.name)
}

/// Returns where the server should find the model.
pub(super) fn model_path<'a>(evidence: &Evidence<'a>) -> &'a str {
    evidence.link.map_or(MODEL_PATH, |link| link.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_of_every_release_is_known() {
        let link_of = |forced, makes_folder, path| Some(Link { forced, makes_folder, path });
        for (command, expected) in [
            ("ln -s /proc/$$$$/root/models /mnt/models && sleep infinity", link_of(false, false, "/mnt/models")),
            ("ln -sf /proc/$$$$/root/models /mnt/models && sleep infinity", link_of(true, false, "/mnt/models")),
            ("ln -sf /proc/$$/root/models /mnt/models && sleep infinity", link_of(true, false, "/mnt/models")),
            ("mkdir -p /a/b && ln -sf /proc/$$$$/root/models /a/b/c && sleep infinity", link_of(true, true, "/a/b/c")),
            (
                "mkdir -p '/a b' && ln -sf /proc/$$$$/root/models '/a b/c' && sleep infinity",
                link_of(true, true, "/a b/c"),
            ),
            ("sleep infinity", None),
            ("ln -sf /somewhere /mnt/models && sleep infinity", None),
        ] {
            assert_eq!(link(command), expected, "{command}");
        }
    }
}
