//! What a check finds, a row for each finding.

use super::{
    cause::{Eviction, PullFault, Refusal},
    ending::{Ending, after_colon},
    wait::Wait,
};
use crate::findings::findings;

findings! {
    /// Something wrong with a pod or a template, or worth knowing.
    ///
    /// `said` is what the cluster says: the kubelet, the scheduler, a container. It is cut, may be empty, and has no
    /// value of a variable of the pod's environment. Names come from the document as they are.
    pub enum Finding {
        /// The kubelet ended the pod, or refused it.
        Ended {
            /// Why.
            why: Eviction,
            /// What the kubelet says.
            said: String,
        } => why.code(), "{why}{}", after_colon(Some(said));
        /// The API server refuses the pods of a template.
        Refused {
            /// Why.
            why: Refusal,
            /// What the controller says.
            said: String,
        } => why.code(), "{why}, so there is no pod: {said}";
        /// The namespace enforces `restricted`, and the model is in a sidecar.
        PodSecurityRestricted
            => "pod-security", "the namespace enforces the Pod Security level `restricted`, which refuses KServe's sidecar";
        /// An image is not on the node.
        Pull {
            /// The container that waits for the image.
            container: String,
            /// The image, as the pod names it; empty where it is not known.
            image: String,
            /// Whether the image is a model's, and not a server's.
            of_model: bool,
            /// Why.
            why: PullFault,
            /// What the kubelet says.
            said: String,
            /// Names of the pod's `imagePullSecrets`, those of its service account among them.
            secrets: Vec<String>,
        } => why.code(), "`{container}` does not get {}: {why}{}{}", image_of(image), logins(why, secrets), after_colon(Some(said));
        /// The kubelet refuses a container because it would run as root.
        RunsAsRoot {
            /// The container.
            container: String,
            /// Its image.
            image: String,
        } => "runs-as-root", "`{container}` would run as root, the user of its image `{image}`, which the pod forbids";
        /// The kubelet can't tell that the user of an image is not root.
        NamedUser {
            /// The container.
            container: String,
            /// Its image.
            image: String,
            /// What the kubelet says.
            said: String,
        } => "named-user", "the user of the image `{image}` of `{container}` has a name and no number, so that the kubelet \
                            can't tell that it is not root, which the pod forbids: {said}";
        /// The pod must not run as root, and the user of an init container is not known.
        InitUser => "init-user", "the pod must not run as root, and modelcar-init runs as the user of its image";
        /// The image has no shell, or none that its user may run.
        NoShell {
            /// The container.
            container: String,
            /// What the container runtime says.
            said: String,
        } => "no-shell", "the image of `{container}` has no shell that its user may run, and KServe's sidecar runs one: {said}";
        /// A program in the image is for another processor.
        Processor {
            /// The container.
            container: String,
            /// Its image.
            image: String,
            /// What the container runtime says.
            said: String,
        } => "exec-format", "the programs in `{image}` are for another processor than the node's: `{container}` can't run \
                             (exec format error): {said}";
        /// The node's runtime does not know image volumes, or not their sub-paths.
        NativeRuntime {
            /// The runtime with its version where the document has the node, else empty.
            runtime: String,
            /// What the runtime says; empty where nobody tried.
            said: String,
        } => "native-runtime", "the node's container runtime{} does not mount the folder /models of an image volume{}",
            quoted_or_nothing(runtime), after_colon(Some(said));
        /// A volume can't be mounted at its place.
        MountFails {
            /// The container.
            container: String,
            /// What the container runtime says.
            said: String,
        } => "mount-fails", "the container runtime can't mount a volume of `{container}`; a volume below an image volume or \
                             below the model's link has no place: {said}";
        /// A volume is mounted below the place of the model.
        MountBelow {
            /// The server's container.
            server: String,
            /// The volume.
            volume: String,
            /// Where it is mounted.
            path: String,
        } => "mount-below", "`{server}` mounts `{volume}` at {path}, below the model: the model's files do not appear beside it";
        /// A container can't be made or started.
        NotCreated {
            /// The container.
            container: String,
            /// The kubelet's reason, as one word.
            reason: String,
            /// What the kubelet says.
            said: String,
        } => "create-container", "`{container}` can't be created ({reason}){}", after_colon(Some(said));
        /// The pod gets no sandbox.
        Sandbox {
            /// What the kubelet says.
            said: String,
        } => "sandbox", "the container runtime makes no sandbox for the pod, so nothing in the pod starts: {said}";
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
        /// The image has no files in /models.
        NoModels {
            /// The container that found none.
            container: String,
        } => "no-models", "`{container}` found no files in /models of the image, or may not read them";
        /// The init container ended with 1 and did not say why.
        NoModelsOrEntrypoint {
            /// The init container.
            container: String,
        } => "no-models", "`{container}` failed, for one of two reasons: the image has no files in /models that it may read, \
                           or the image has an entrypoint, which takes KServe's command as its arguments";
        /// The storage initializer fails.
        DownloadFailed {
            /// Its last words, or what the kubelet says.
            said: String,
        } => "download-failed", "the storage initializer fails{}", after_colon(Some(said));
        /// The sidecar can't make its link.
        Link {
            /// The sidecar.
            container: String,
            /// Its last words.
            said: String,
        } => "link", "`{container}` can't make the link to the model: {said}";
        /// The sidecar ended without an error.
        SidecarEnded {
            /// The sidecar.
            container: String,
        } => "sidecar-ended", "`{container}` ended with 0. It must never end: as long as it runs, the server sees the model. \
                               The usual cause is an image with an entrypoint, which takes KServe's command as its arguments";
        /// A sidecar or its init container keeps failing.
        SidecarCrashes {
            /// The container.
            container: String,
            /// How its last run ended.
            ended: Option<Ending>,
            /// What the kubelet says.
            said: String,
        } => "sidecar-crashes", "{}", crash(container, ended.as_ref(), said);
        /// The server may not read the model.
        ModelDenied {
            /// The server's container.
            container: String,
            /// How it ended.
            ended: Ending,
        } => "model-denied", "`{container}` may not read the model: it ended with {ended}";
        /// The server does not find the model.
        ModelUnseen {
            /// The server's container.
            container: String,
            /// How it ended.
            ended: Ending,
        } => "model-unseen", "`{container}` does not find the model: it ended with {ended}";
        /// The GPU has too little memory.
        GpuMemory {
            /// The server's container.
            container: String,
            /// Its last words.
            said: String,
        } => "gpu-memory", "the GPU of `{container}` has too little memory: {said}";
        /// The kubelet kills the server because a probe fails.
        ProbeKills {
            /// The container.
            container: String,
            /// How often it was restarted.
            restarts: u64,
            /// What the kubelet says of the probe; may be empty.
            said: String,
        } => "probe-killed", "`{container}` was killed and restarted {} (restarts: {restarts}){}", killed(said),
            after_colon(Some(said));
        /// A server keeps failing.
        ServerCrashes {
            /// The container.
            container: String,
            /// How its last run ended.
            ended: Option<Ending>,
            /// What the kubelet says.
            said: String,
        } => "server-crashes", "{}", crash(container, ended.as_ref(), said);
        /// A container fails because of what another finding tells.
        Symptom {
            /// The container.
            container: String,
            /// How its last run ended.
            ended: Option<Ending>,
        } => "symptom", "`{container}` does not stay up{}, which follows from the errors", ended_with(ended.as_ref());
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
        /// KServe's own cache of models is mounted over the link.
        LocalModelCache {
            /// The server's container.
            server: String,
            /// Where it is mounted.
            path: String,
        } => "local-model", "`{server}` mounts the volume of KServe's local model cache at {path}: it hides the model of the image";
        /// Only one of server and sidecar has a level of `SELinux`.
        SeLinux {
            /// The server's container.
            server: String,
            /// The sidecar.
            sidecar: String,
        } => "selinux", "`{server}` and `{sidecar}` have different SELinux levels: on nodes that enforce SELinux the server \
                         may not look into the sidecar";
        /// The server can't write anywhere.
        NoTmp {
            /// The server's container.
            server: String,
        } => "no-tmp", "`{server}` has a read-only root and no volume at /tmp: most servers write there";
        /// `STORAGE_URI` stands at a container that KServe does not look at.
        UriElsewhere {
            /// The container.
            container: String,
        } => "uri-elsewhere", "STORAGE_URI stands at `{container}`, and KServe gives a model only to a container named \
                               kserve-container, worker-container or main";
        /// A container for a model that says nothing of a model.
        NoUri {
            /// The container.
            container: String,
        } => "no-uri", "the service's own container `{container}` has no STORAGE_URI, so KServe gives it no model";
        /// Another pod of a rollout has the expected digest.
        OldDigest {
            /// The digest it is pinned to.
            digest: String,
        } => "not-counted", "the pod is of the revision before, pinned to {digest}; another one has the expected digest, so this \
                             one does not count";
        /// The image comes from another repository than was asked for, and nothing shows that it is the same.
        Mirrored {
            /// The image that runs.
            runs: String,
            /// The image that is asked for.
            wanted: String,
        } => "mirrored", "the pod runs `{runs}` where `{wanted}` is asked for: a policy or a mirror may have changed the name";
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
        /// The pod is on its way, and waits for something.
        Waits {
            /// For what.
            what: Wait,
        } => what.code(), "{what}";
        /// The rollout took longer than its deadline.
        ProgressDeadline {
            /// Whether the rollout is given up, as Knative does.
            given_up: bool,
            /// What the controller says.
            said: String,
        } => "progress-deadline", "the rollout took longer than its progress deadline{}: {said}",
            if *given_up { ", so it was given up" } else { "; it goes on all the same" };
        /// The service is stopped by its annotation.
        Stopped => "stopped", "the service is stopped: its annotation serving.kserve.io/stop is `true`";
        /// The service has no pods and needs none at the moment.
        ScaledToZero => "scaled-to-zero", "the service wishes for no pod at the moment: it is scaled to zero";
        /// The service is Ready, and the document has no pod of it.
        ServiceReady => "look-at-pods", "the service is Ready, and the document has no pod of it";
        /// The service is not Ready, and the document has no pod of it.
        ServiceNotReady {
            /// Whether it was given up.
            given_up: bool,
            /// What its conditions say.
            said: String,
        } => "service-not-ready", "the service is not Ready, and the document has no pod of it{}", after_colon(Some(said));
        /// KServe says that the model failed.
        ModelFailed {
            /// What KServe says.
            said: String,
        } => "model-failed", "KServe says that the model failed: {said}";
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
        /// The pod is being deleted.
        BeingDeleted {
            /// Whether no other pod is there.
            is_last: bool,
        } => "not-counted", "the pod is being deleted{}",
            if *is_last { ", and the document has no other pod of the model" } else { ", so it does not count" };
        /// The pod has completed, and another one is there.
        Completed => "not-counted", "the pod has completed, so it does not count";
        /// A rollout replaces the pod.
        Superseded {
            /// The pod of the newer revision.
            by: String,
        } => "not-counted", "the pod is of an earlier revision, and pod `{by}` takes its place, so it does not count";
        /// The pod has failed, and another one of its service is Ready.
        Replaced => "not-counted", "the pod has failed and another one of its service is Ready, so it does not count";
    }
}

/// How a container ended, and what the kubelet does about it.
fn crash(container: &str, ended: Option<&Ending>, said: &str) -> String {
    let ended = ended.map(|ended| format!(": it ended with {ended}")).unwrap_or_default();
    let said = if said.is_empty() { String::new() } else { format!(". The kubelet says: {said}") };
    format!("`{container}` keeps failing{ended}{said}")
}

fn image_of(image: &str) -> String {
    if image.is_empty() { "its image".to_owned() } else { format!("the image `{image}`") }
}

/// Returns with which login a node was refused.
fn logins(why: &PullFault, secrets: &[String]) -> String {
    match secrets {
        _ if *why != PullFault::Denied => String::new(),
        [] => " (the pod has no imagePullSecrets)".to_owned(),
        secrets => format!(" (the pod has imagePullSecrets: {})", secrets.join(", ")),
    }
}

fn quoted_or_nothing(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" `{text}`") }
}

fn ended_with(ended: Option<&Ending>) -> String {
    ended.map(|ended| format!(" (it ended with {ended})")).unwrap_or_default()
}

fn killed(said: &str) -> &'static str {
    if said.is_empty() {
        "again and again, not for want of memory: most likely its startup or liveness probe does not pass"
    } else {
        "because its probe does not pass"
    }
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
