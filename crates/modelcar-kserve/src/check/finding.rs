//! What a check finds, a row for each finding.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::findings::{Severity, findings};

findings! {
    /// Something wrong with a pod or a template, or worth knowing.
    ///
    /// `said` is what the cluster says: the kubelet, the scheduler, a container. It is cut, may be empty, and has no
    /// value of a variable of the pod's environment. Names come from the document as they are.
    pub enum Finding {
        /// The node's disk is full.
        DiskFull {
            /// What the kubelet says.
            said: String,
        } => "disk", "the node's disk is full: {said}";
        /// The kubelet has no room for an image.
        ImageTooLarge {
            /// The container whose image it is.
            container: String,
        } => "disk", "the image of `{container}` does not fit on the node";
        /// The kubelet evicted the pod, and not for want of disk.
        Evicted {
            /// What the kubelet says.
            said: String,
        } => "evicted", "the kubelet evicted the pod: {said}";
        /// Pod Security refuses the pod.
        PodSecurityRefused {
            /// What the API server says, where it is known.
            said: Option<String>,
        } => "pod-security", "the namespace's Pod Security level refuses the pod{}", after_colon(said.as_deref());
        /// The namespace enforces `restricted`, and the model is in a sidecar.
        PodSecurityRestricted
            => "pod-security", "the namespace enforces the Pod Security level `restricted`, which refuses KServe's sidecar";
        /// An image can't be pulled.
        ImagePull {
            /// The container whose image it is.
            container: String,
            /// What the kubelet says.
            said: String,
        } => "image-pull", "the image of `{container}` can't be pulled: {said}";
        /// The kubelet refuses a container because it would run as root.
        RunsAsRoot {
            /// The container.
            container: String,
        } => "init-user", "`{container}` would run as root, which the pod forbids";
        /// The pod must not run as root, and the user of an init container is not known.
        InitUser => "init-user", "the pod must not run as root, and modelcar-init runs as the user of its image";
        /// The image has no shell.
        NoShell => "no-shell", "the image has no shell, which KServe's sidecar runs";
        /// A container of the model's image can't be started.
        NotStarted {
            /// The container.
            container: String,
            /// What the container runtime says.
            said: String,
        } => "entrypoint", "`{container}` can't be started: {said}";
        /// An init container ended as KServe's command never does.
        ForeignExit {
            /// The init container.
            container: String,
            /// Its exit status.
            exit_code: i64,
        } => "entrypoint", "`{container}` ended with {exit_code}, which KServe's command never does";
        /// A sidecar ran out of memory.
        SidecarMemory {
            /// The sidecar.
            container: String,
        } => "sidecar-memory", "`{container}` ran out of memory";
        /// The init container says that there are no files.
        NoModels => "no-models", "modelcar-init found no files in /models of the image, or may not read them";
        /// The init container ended with 1 and did not say why.
        NoModelsOrEntrypoint
            => "no-models", "modelcar-init failed, for one of two reasons: the image has no files in /models that it may \
                            read, or the image has an entrypoint, which takes KServe's command as its arguments";
        /// The storage initializer fails.
        DownloadFailed {
            /// What the kubelet says.
            said: String,
        } => "download-failed", "the storage initializer fails{}", after_colon(Some(said));
        /// A sidecar or its init container keeps failing.
        SidecarCrashes {
            /// The container.
            container: String,
            /// How its last run ended.
            ended: Option<Ending>,
            /// What the kubelet says.
            said: String,
        } => "sidecar-crashes", "{}", crash(container, ended.as_ref(), said);
        /// A server keeps failing.
        ServerCrashes {
            /// The container.
            container: String,
            /// How its last run ended.
            ended: Option<Ending>,
            /// What the kubelet says.
            said: String,
        } => "server-crashes", "{}", crash(container, ended.as_ref(), said);
        /// A server was killed for want of memory, and is not ready.
        ServerMemory {
            /// The container.
            container: String,
            /// How often it was restarted.
            restarts: u64,
        } => "server-memory", "`{container}` ran out of memory and was killed (OOMKilled; restarts: {restarts})";
        /// A server was killed for want of memory, and is ready again.
        ServerMemoryBefore {
            /// The container.
            container: String,
            /// How often it was restarted.
            restarts: u64,
        } => "server-memory", "`{container}` ran out of memory and restarted {restarts} times";
        /// A sidecar restarted, so that the server's link led nowhere for a while.
        SidecarRestarted {
            /// The sidecar.
            container: String,
            /// How often it was restarted.
            restarts: u64,
        } => "sidecar-restarted", "`{container}` restarted {restarts} times: the server's link led nowhere meanwhile";
        /// A server restarted a few times, which happens when it starts before the link is there.
        StartRace {
            /// The container.
            container: String,
            /// How often it was restarted.
            restarts: u64,
        } => "start-race", "`{container}` restarted {restarts} times: it may have started before the sidecar's link was there";
        /// A server restarted more often than that explains.
        ServerRestarted {
            /// The container.
            container: String,
            /// How often it was restarted.
            restarts: u64,
        } => "server-restarted", "`{container}` restarted {restarts} times";
        /// OCI images are switched off.
        OciDisabled
            => "oci-disabled", "OCI support is disabled in KServe: the storage initializer was told to download an image, which it can't";
        /// A template, beside a pod that was made from it.
        TemplateOfPod => "look-at-pods", "this is a template: a pod of this document shows what became of it";
        /// A template, beside the object that says why there is no pod.
        TemplateWithoutPod
            => "look-at-pods", "this is a template: another object of this document says why no pod of it runs";
        /// A template alone, of which nothing is known.
        TemplateAlone => "look-at-pods", "this is a template: KServe's webhook acts on the pods made from it";
        /// No model, beside a pod that has it.
        ModelElsewhere => "no-model", "the pod refers to no OCI model; another pod of this document does";
        /// No model at all.
        NoModel => "no-model", "the pod refers to no OCI model";
        /// A container of the user's has the sidecar's name.
        NameTaken {
            /// The container.
            container: String,
            /// Its image.
            image: String,
        } => "name-taken", "a container named `{container}` with image `{image}` was there already, so KServe added no sidecar";
        /// The pod has not the label that the webhook acts on.
        NoLabel {
            /// The label.
            label: &'static str,
        } => "no-label", "the pod lacks the label {label}, so the webhook passed it over";
        /// The namespace has a label that keeps the webhook away.
        ControlPlane {
            /// The label.
            label: &'static str,
        } => "control-plane", "the namespace has the label {label}, and the webhook passes such namespaces over";
        /// An image volume is wanted and none was made.
        NativeOff
            => "native-off", "the pod asks for an image volume, and KServe made none: OCI support is disabled, or KServe is older than 0.20";
        /// Nothing was injected, and nothing says why.
        NotInjected => "not-injected", "the pod asks for a model from an image, and KServe injected nothing";
        /// The pod runs another image than its annotation asks for.
        OtherImage {
            /// The images that it runs.
            runs: Vec<String>,
            /// The image that is asked for.
            wanted: String,
        } => "other-image", "the pod runs {}, and `{wanted}` is asked for", quoted(runs);
        /// The image has another digest than was expected.
        UnexpectedDigest {
            /// The digest it is pinned to.
            digest: String,
            /// The digest that was expected.
            expected: String,
        } => "unexpected-digest", "the image is pinned to {digest}, expected {expected}";
        /// The image is named by a tag.
        Unpinned {
            /// The tag.
            tag: String,
            /// The digest that was expected and that the pod does not show.
            expected: Option<String>,
        } => "unpinned", "{}{}", unpinned(tag), expected.as_ref().map(|digest| format!("; expected {digest}")).unwrap_or_default();
        /// The containers do not share their processes.
        NoSharedProcesses
            => "no-shared-processes", "shareProcessNamespace is not true: the server can't look into the sidecar";
        /// No container is one that KServe gives a model to.
        NoServer
            => "no-server", "the pod has no container that KServe gives a model to (kserve-container, worker-container, main)";
        /// A sidecar has no volume for its link.
        NoVolume {
            /// The sidecar.
            sidecar: String,
        } => "no-volume", "`{sidecar}` has no volume to put its link on";
        /// The volume for the link is of another kind.
        VolumeKind {
            /// The volume.
            volume: String,
        } => "volume-kind", "volume `{volume}` is not an emptyDir";
        /// The volume for the link is mounted at two paths.
        MountsDiffer {
            /// The volume.
            volume: String,
            /// The server's container.
            server: String,
            /// The sidecar.
            sidecar: String,
        } => "mounts-differ", "volume `{volume}` is not mounted at the same path in `{server}` and in `{sidecar}`";
        /// Server and sidecar run as different users.
        UsersDiffer {
            /// The server's container.
            server: String,
            /// Its user.
            server_user: u64,
            /// The sidecar.
            sidecar: String,
            /// Its user.
            sidecar_user: u64,
        } => "users-differ", "`{server}` runs as {server_user} and `{sidecar}` as {sidecar_user}: permission denied";
        /// The user of one is that of its image.
        UsersUnknown {
            /// The server's container.
            server: String,
            /// Its user.
            server_user: Option<u64>,
            /// The sidecar.
            sidecar: String,
            /// Its user.
            sidecar_user: Option<u64>,
        } => "users-unknown", "`{server}` runs as {}, `{sidecar}` as {}: they must be the same",
            user(*server_user), user(*sidecar_user);
        /// Server and sidecar run with different groups.
        GroupsDiffer {
            /// The server's container.
            server: String,
            /// Its group.
            server_group: Option<u64>,
            /// The sidecar.
            sidecar: String,
            /// Its group.
            sidecar_group: Option<u64>,
        } => "groups-differ", "`{server}` runs with group {}, `{sidecar}` with {}: permission denied",
            group(*server_group), group(*sidecar_group);
        /// A root without capabilities may not look into another root's processes.
        RootWithoutCapabilities {
            /// The server's container.
            server: String,
        } => "root-without-capabilities", "both run as root and `{server}` drops its capabilities: permission denied";
        /// The container runtime makes no sandbox for a group without a user.
        GroupWithoutUser {
            /// The group.
            group: u64,
            /// Whether it is a template, and its pods are meant.
            is_template: bool,
        } => "group-without-user", "{} runAsGroup {group} and no runAsUser beside it. The container runtime takes no group \
                                    without a user, so it makes no sandbox and the pod never starts",
            if *is_template { "its pods have" } else { "the pod has" };
        /// The server mounts something at the place that the link's real path leads to.
        RealPath {
            /// The server's container.
            server: String,
        } => "real-path", "`{server}` has a folder of its own at /models: the real path of /mnt/models leads to that folder";
        /// `STORAGE_URI` is there, which is as it should be.
        StorageUri => "storage-uri", "STORAGE_URI still names the image, as it should: the server must read /mnt/models";
        /// A volume is mounted over the link.
        HiddenLink {
            /// The server's container.
            server: String,
            /// The volume.
            volume: String,
            /// Where it is mounted.
            path: String,
        } => "hidden-link", "`{server}` mounts `{volume}` at {path}: it hides the model";
        /// A volume is mounted beside the link.
        MountBeside {
            /// The server's container.
            server: String,
            /// The volume.
            volume: String,
            /// Where it is mounted.
            path: String,
        } => "mount-beside", "`{server}` mounts `{volume}` at {path}, beside the model";
        /// This release does not pull the image before the server starts.
        NoPrefetch
            => "no-prefetch", "this KServe has no modelcar-init: the server may start before the image is pulled";
        /// This release can't make its link a second time.
        LinkNotForced
            => "link-not-forced", "this KServe makes its link without -f: the sidecar can't start a second time in the same pod";
        /// The server does not mount the image volume.
        NotMounted {
            /// The volume.
            volume: String,
        } => "not-mounted", "the server does not mount the image volume `{volume}`";
        /// The image volume is mounted with another sub-path.
        SubPath {
            /// The sub-path.
            sub_path: String,
        } => "sub-path", "the image is mounted with the sub-path `{sub_path}`, not `models`";
        /// The image volume may be written to.
        Writable => "writable", "the image volume is not mounted read-only";
        /// The pod is not Ready, and the cluster's own words are all that is known.
        NotReady {
            /// Its phase, or that it is being deleted.
            phase: String,
            /// Whether the scheduler finds no node for it.
            unscheduled: bool,
            /// What scheduler, kubelet and containers say.
            said: String,
        } => "not-ready", "the pod is not Ready ({phase}): {said}";
        /// The API server refuses the pods of a template.
        PodRefused {
            /// What the controller says.
            said: String,
        } => "pod-refused", "the API server refuses the pod, so there is none: {said}";
        /// A warning among the document's events.
        Event {
            /// Who warned.
            actor: String,
            /// The reason, as one word.
            reason: String,
            /// How often.
            count: u64,
            /// The words.
            said: String,
        } => "event", "{actor} says {reason}{}: {said}", times(*count);
        /// The pod is being deleted, and another one is there.
        BeingDeleted => "not-counted", "the pod is being deleted, so it does not count";
        /// The pod has completed, and another one is there.
        Completed => "not-counted", "the pod has completed, so it does not count";
        /// The pod has failed, and another one of its service is Ready.
        Replaced => "not-counted", "the pod has failed and another one of its service is Ready, so it does not count";
    }
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Its exit status.
    pub exit_code: i64,
    /// The kubelet's reason, as one word; may be empty.
    pub reason: String,
    /// Its last words; may be empty.
    pub said: String,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.exit_code)?;
        if !self.reason.is_empty() {
            write!(f, " ({})", self.reason)?;
        }
        f.write_str(&after_colon(Some(&self.said)))
    }
}

impl Finding {
    /// Returns how bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::StartRace { .. }
            | Self::TemplateOfPod
            | Self::TemplateWithoutPod
            | Self::ModelElsewhere
            | Self::StorageUri
            | Self::MountBeside { .. }
            | Self::Event { .. }
            | Self::BeingDeleted
            | Self::Completed
            | Self::Replaced => Severity::Info,
            Self::ServerMemoryBefore { .. }
            | Self::SidecarRestarted { .. }
            | Self::ServerRestarted { .. }
            | Self::Unpinned { expected: None, .. }
            | Self::InitUser
            | Self::UsersUnknown { .. }
            | Self::RealPath { .. }
            | Self::NoPrefetch
            | Self::LinkNotForced
            | Self::Writable => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// Returns the words of the cluster in it.
    pub(super) fn said_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::DiskFull { said }
            | Self::Evicted { said }
            | Self::PodSecurityRefused { said: Some(said) }
            | Self::ImagePull { said, .. }
            | Self::NotStarted { said, .. }
            | Self::DownloadFailed { said }
            | Self::PodRefused { said } => vec![said],
            Self::NotReady { phase, said, .. } => vec![phase, said],
            Self::Event { actor, reason, said, .. } => vec![actor, reason, said],
            Self::SidecarCrashes { ended, said, .. } | Self::ServerCrashes { ended, said, .. } => {
                ended.iter_mut().flat_map(|ended| [&mut ended.reason, &mut ended.said]).chain([said]).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Serialize for Finding {
    /// Writes severity, code and sentence.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Finding", 3)?;
        fields.serialize_field("severity", &self.severity())?;
        fields.serialize_field("code", self.code())?;
        fields.serialize_field("message", &self.to_string())?;
        fields.end()
    }
}

fn after_colon(said: Option<&str>) -> String {
    said.filter(|said| !said.is_empty()).map(|said| format!(": {said}")).unwrap_or_default()
}

/// How a container ended, and what the kubelet does about it.
fn crash(container: &str, ended: Option<&Ending>, said: &str) -> String {
    let ended = ended.map(|ended| format!(": it ended with {ended}")).unwrap_or_default();
    let said = if said.is_empty() { String::new() } else { format!(". The kubelet says: {said}") };
    format!("`{container}` keeps failing{ended}{said}")
}

fn quoted(images: &[String]) -> String {
    images.iter().map(|image| format!("`{image}`")).collect::<Vec<_>>().join(", ")
}

fn unpinned(tag: &str) -> String {
    match tag {
        "latest" => "the image is `latest`: it may change, and every start asks the registry".to_owned(),
        tag => format!("the image is the tag `{tag}`, which may mean other images on other nodes"),
    }
}

fn user(user: Option<u64>) -> String {
    user.map_or_else(|| "the user of its image".to_owned(), |id| id.to_string())
}

fn group(group: Option<u64>) -> String {
    group.map_or_else(|| "0 by default".to_owned(), |id| id.to_string())
}

fn times(count: u64) -> String {
    if count > 1 { format!(", {count} times") } else { String::new() }
}
