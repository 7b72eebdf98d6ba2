//! Which mode a pod shows, which containers play which part, and which releases of KServe inject like this.

use super::{
    pod::{Container, Pod, SOURCE_ANNOTATION, Volume, VolumeMount},
    report::{Mode, VersionRange},
};

const SIDECAR: &str = "modelcar";
const SIDECAR_INIT: &str = "modelcar-init";
const DOWNLOADER: &str = "storage-initializer";
const SHARED_VOLUME: &str = "kserve-provision-location";
const MODEL_PATH: &str = "/mnt/models";
/// Folder of the image that is mounted.
pub(super) const MODEL_FOLDER: &str = "models";
/// Containers that KServe gives a model to, the first one that is there.
const TARGETS: [&str; 3] = ["kserve-container", "worker-container", "main"];

/// What a pod shows of KServe's work.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) mode: Mode,
    pub(super) versions: VersionRange,
    /// The reference that the pod asks for.
    pub(super) wanted: Option<Wanted<'a>>,
    pub(super) target: Option<&'a Container>,
    /// Sidecars, one for each image with a model.
    pub(super) sidecars: Vec<Sidecar<'a>>,
    /// A container that has the sidecar's name and is not KServe's.
    pub(super) impostor: Option<&'a Container>,
    /// Volumes that are images with a model.
    pub(super) volumes: Vec<ModelVolume<'a>>,
}

/// A sidecar with what belongs to it.
#[derive(Debug)]
pub(super) struct Sidecar<'a> {
    pub(super) container: &'a Container,
    pub(super) init: Option<&'a Container>,
    pub(super) link: Link<'a>,
    /// The volume that it writes its link to.
    pub(super) volume: Option<&'a Volume>,
}

/// An image volume with a model.
#[derive(Debug)]
pub(super) struct ModelVolume<'a> {
    pub(super) volume: &'a Volume,
    pub(super) reference: &'a str,
    /// The server's mount of it.
    pub(super) mount: Option<&'a VolumeMount>,
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

/// An image with a model, and the container that runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ModelImage<'a> {
    pub(super) reference: &'a str,
    pub(super) container: Option<&'a str>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(pod: &'a Pod) -> Self {
        let spec = &pod.spec;
        let target = TARGETS.iter().find_map(|name| spec.containers.iter().find(|container| container.name == *name));
        let wanted = wanted(pod, target);
        let sidecars: Vec<Sidecar<'_>> =
            spec.containers.iter().filter_map(|container| Sidecar::new(pod, container)).collect();
        let impostor =
            spec.containers.iter().find(|container| container.name == SIDECAR && link_of(container).is_none());
        let volumes: Vec<ModelVolume<'_>> =
            spec.volumes.iter().filter_map(|volume| ModelVolume::new(volume, target, wanted)).collect();
        let downloader = spec.init_containers.iter().find(|container| container.name == DOWNLOADER);
        let download = downloader.filter(|container| container.args.iter().any(|arg| split(arg).is_some()));
        let mode = match download {
            _ if !sidecars.is_empty() => Mode::Modelcar,
            _ if !volumes.is_empty() => Mode::Native,
            // Both releases run the same downloader; only one of them can download images.
            Some(download) if download.volume_mounts.iter().any(|mount| mount.name == "mnt-models") => Mode::Fetch,
            Some(_) => Mode::Disabled,
            None if wanted.is_none() => Mode::None,
            // The webhook acts on pods; what it left a pod without is missed.
            None if pod.is_template => Mode::Deferred,
            None => Mode::Missed,
        };
        let mut evidence =
            Self { mode, versions: VersionRange::default(), wanted, target, sidecars, impostor, volumes };
        evidence.versions = evidence.versions();
        evidence
    }

    /// Returns the images with a model; the wish where nothing was made of it.
    pub(super) fn images(&self) -> Vec<ModelImage<'a>> {
        let sidecars = self.sidecars.iter().map(|sidecar| {
            let name = sidecar.container.name.as_str();
            ModelImage { reference: sidecar.container.image.as_str(), container: Some(name) }
        });
        let volumes = self.volumes.iter().map(|volume| ModelImage { reference: volume.reference, container: None });
        let found: Vec<_> = sidecars.chain(volumes).collect();
        if found.is_empty() {
            return self.wanted.iter().map(|wanted| ModelImage { reference: wanted.image, container: None }).collect();
        }
        found
    }

    /// What changed from release to release, as far as a pod shows it.
    fn versions(&self) -> VersionRange {
        let mut range = VersionRange::default();
        match self.mode {
            Mode::Modelcar => self.sidecar_versions(&mut range),
            Mode::Native => range.at_least(20),
            Mode::Fetch => range.at_least(21),
            Mode::Disabled => range.at_most(20),
            _ => {}
        }
        range
    }

    fn sidecar_versions(&self, range: &mut VersionRange) {
        range.at_least(12);
        for sidecar in &self.sidecars {
            if sidecar.init.is_some() {
                range.at_least(14);
            } else {
                range.at_most(13);
            }
            if sidecar.link.forced {
                range.at_least(15);
            } else {
                range.at_most(14);
            }
            if sidecar.link.makes_folder {
                range.at_least(18);
            }
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
        if self.sidecars.len() > 1 {
            range.at_least(20);
        }
    }
}

impl<'a> Sidecar<'a> {
    /// Takes a container that has a sidecar's name and command.
    fn new(pod: &'a Pod, container: &'a Container) -> Option<Self> {
        let number = container.name.strip_prefix(SIDECAR)?;
        let is_number = |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        if !(number.is_empty() || number.strip_prefix('-').is_some_and(is_number)) {
            return None;
        }
        let init = format!("{SIDECAR_INIT}{number}");
        let mount = container.volume_mounts.iter().find(|mount| mount.name.starts_with(SHARED_VOLUME));
        Some(Self {
            container,
            init: pod.spec.init_containers.iter().find(|container| container.name == init),
            link: link_of(container)?,
            volume: mount.and_then(|mount| pod.spec.volumes.iter().find(|volume| volume.name == mount.name)),
        })
    }
}

impl<'a> ModelVolume<'a> {
    /// Takes an image volume that is the wanted image, or that the server sees as its model. Others are the user's.
    fn new(volume: &'a Volume, target: Option<&'a Container>, wanted: Option<Wanted<'_>>) -> Option<Self> {
        let reference = volume.image.as_ref()?.reference.as_str();
        let mount = target.and_then(|target| target.mount(&volume.name));
        let is_model = |mount: &VolumeMount| {
            mount.sub_path == MODEL_FOLDER || mount.mount_path.trim_end_matches('/') == MODEL_PATH
        };
        let counts = mount.is_some_and(is_model) || wanted.is_some_and(|wanted| wanted.image == reference);
        counts.then_some(Self { volume, reference, mount })
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

fn link_of(container: &Container) -> Option<Link<'_>> {
    container.args.iter().find_map(|arg| link(arg))
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
