//! What a lint finds, a row for each finding, and the modes that it is about.

use std::fmt;

use modelcar_core::{Digest, Platform};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::findings::{Severity, findings};

/// A way in which KServe serves an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ServingMode {
    /// Beside the server, with a link into its root (`oci://`).
    Sidecar,
    /// As an image volume (`oci+native://`).
    Native,
    /// Downloaded and unpacked by an init container (`oci+fetch://`).
    Fetch,
}

impl ServingMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Sidecar, Self::Native, Self::Fetch];
}

impl fmt::Display for ServingMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sidecar => "sidecar",
            Self::Native => "native",
            Self::Fetch => "fetch",
        })
    }
}

const ALL: &[ServingMode] = &ServingMode::ALL;
const SIDECAR: &[ServingMode] = &[ServingMode::Sidecar];
const NATIVE: &[ServingMode] = &[ServingMode::Native];
const FETCH: &[ServingMode] = &[ServingMode::Fetch];
/// Modes in which the server sees /models without what lies beside it.
const MOVED: &[ServingMode] = &[ServingMode::Native, ServingMode::Fetch];
/// Modes in which the container runtime makes the files appear.
const MOUNTED: &[ServingMode] = &[ServingMode::Sidecar, ServingMode::Native];

findings! {
    /// Something wrong with an image, or worth knowing. Paths and names come from the image as they are.
    pub enum LintFinding {
        /// The image is named by a tag.
        Unpinned => "unpinned", "the image is named by a tag, which may move";
        /// A manifest is listed and not there.
        MissingManifest {
            /// Its digest.
            digest: Digest,
            /// Its platform, where the index tells.
            platform: Option<Platform>,
        } => "missing-manifest", "the index lists manifest `{digest}`{}, which is not there: nodes of that platform can't pull the \
                                  image", platform.as_ref().map(|platform| format!(" for {platform}")).unwrap_or_default();
        /// Files of the model are missing or broken.
        Incomplete {
            /// Kinds of flaws, as the image's annotation names them.
            flaws: String,
        } => "incomplete", "the image was made although files of the model are missing or broken ({flaws}): no server can load the \
                            model";
        /// Something about the model's files looks wrong.
        Doubtful {
            /// Kinds of flaws, as the image's annotation names them.
            flaws: String,
        } => "doubtful", "something about the model's files looks wrong: {flaws}";
        /// The index lists nothing that runs.
        NoPlatform => "no-platform", "the index lists no image";
        /// The image is not for the nodes that most clusters have.
        NoAmd64 {
            /// The platforms that it is for.
            offered: Vec<String>,
        } => "platform", "there is no linux/amd64, only {}", offered.join(", ");
        /// A manifest alone.
        OnePlatform => "one-platform", "one manifest without an index: nodes of other kinds can't pull";
        /// An artifact.
        Artifact {
            /// Its type.
            kind: String,
        } => "artifact", "this is an artifact (`{kind}`) and no image: it can't be run or mounted";
        /// Layers were not read, or not to their end.
        PartlyRead {
            /// How many.
            unread: usize,
            /// Number of layers.
            layers: usize,
        } => "partly-read", "{unread} of {layers} layers were not read to their end";
        /// Too many layers.
        LayerCount {
            /// Number of layers.
            layers: usize,
            /// As many can be stacked.
            most: usize,
        } => "layer-count", "{layers} layers are more than container runtimes stack ({most})";
        /// One layer decides how long the pull takes.
        LargeLayer {
            /// Its digest.
            digest: Digest,
            /// Its size in GiB.
            gib: u64,
        } => "large-layer", "layer `{digest}` has {gib} GiB: one connection downloads the layer and one core unpacks it, unless the node \
                             downloads layers in chunks";
        /// A compression that the download refuses.
        Zstd => "zstd", "layers are compressed with zstd, which KServe's download refuses";
        /// A type of layer that the download does not know.
        LayerType {
            /// The media type.
            media_type: String,
        } => "layer-type", "KServe's download passes over layers of type `{media_type}`";
        /// A layer without content, or one that is there twice.
        NoStreaming => "no-streaming", "a layer is empty or repeated: GKE's image streaming does not stream this image";
        /// A name in an archive that the download does not know.
        Names {
            /// The name.
            name: String,
        } => "names", "the archive names `{name}`: KServe's download takes only names that start with models/";
        /// A file that removes another one.
        Whiteout {
            /// The name.
            name: String,
        } => "whiteout", "`{name}` removes a file of a layer below: KServe's download keeps that file";
        /// A file with the name of its owner.
        OwnerNames {
            /// The name of the file.
            name: String,
        } => "owner-names", "`{name}` carries names of users, which mean nothing on another machine";
        /// `/models` is a link.
        ModelsLink {
            /// What it points to.
            target: String,
        } => "models-link", "/models is a link to `{target}`, which would be looked up in the server's files";
        /// No file in `/models`, as far as was read.
        NoModelsSeen => "no-models", "no file in /models was seen in what was read";
        /// `/models` is empty.
        EmptyModels => "no-models", "/models is empty";
        /// There is no `/models`.
        NoModels => "no-models", "there is no folder /models";
        /// `/models` is something else.
        ModelsNoFolder => "no-models", "/models is not a folder";
        /// A file that the server may not read.
        Unreadable {
            /// Its path.
            path: String,
            /// Its mode.
            mode: u32,
        } => "unreadable", "`/{path}` has mode {mode:o}: the server may not read it";
        /// A file that only one user may read.
        OwnerOnly {
            /// Its path.
            path: String,
            /// Its mode.
            mode: u32,
            /// The user.
            user: u64,
        } => "owner-only", "`/{path}` has mode {mode:o}: beside an image volume only a server that runs as user {user} may read it";
        /// The init container may not list the folder.
        Unlisted {
            /// Its mode.
            mode: u32,
            /// The image's user.
            user: u64,
        } => "unreadable", "`/models` has mode {mode:o}: KServe's init container runs as the image's user {user}, who may not list it";
        /// A folder that the sidecar's user may not enter.
        ClosedFolder {
            /// Its path; empty for the uppermost folder.
            path: String,
            /// Its mode.
            mode: u32,
        } => "closed-folder", "the folder `/{path}` has mode {mode:o}: the user of KServe's sidecar may not enter it, and so reaches \
                               neither its programs nor the model";
        /// A relative link that leads out of `/models`.
        OutsideLink {
            /// Its path.
            path: String,
            /// What it points to.
            target: String,
            /// Whether the image has no such file.
            lost: bool,
        } => "outside-link", "`/{path}` is a link to `{target}`, which leads out of /models{}",
            if *lost { ", and the image has no such file" } else { ": an image volume does not have it, and KServe's download refuses it" };
        /// A link to a file that is not there.
        DanglingLink {
            /// Its path.
            path: String,
            /// What it points to.
            target: String,
            /// Whether servers need the file.
            is_needed: bool,
        } => "dangling-link", "`/{path}` is a link to `{target}`, and the image has no such file";
        /// A device, a pipe or a socket.
        SpecialFile {
            /// Its path.
            path: String,
        } => "special-file", "`/{path}` is neither a file nor a folder nor a link: KServe's download refuses the image";
        /// A git-lfs pointer in the place of a file.
        Pointer {
            /// Its path.
            path: String,
        } => "lfs-pointer", "`/{path}` is a git-lfs pointer, not the file itself: no server can load the model";
        /// Shards that an index names and that are not there.
        MissingShards {
            /// The index.
            index: String,
            /// The first of them.
            first: String,
            /// How many are missing.
            missing: usize,
            /// How many the index names.
            of: usize,
        } => "missing-shards", "`/{index}` names {of} files, and the image lacks {missing} of them, such as `{first}`: no server can \
                                load the model";
        /// No shard that an index names is there.
        NoShards {
            /// The index.
            index: String,
            /// How many the index names.
            of: usize,
        } => "missing-shards", "`/{index}` names {of} files, and the image has none of them";
        /// `/models` holds an adapter.
        AdapterAlone => "adapter", "/models holds an adapter (adapter_config.json) without its base model: a server can't load it alone";
        /// `/models` holds a cache of the Hub.
        HubCache {
            /// The first folder.
            folder: String,
        } => "hub-cache", "/models holds a cache of the Hub (`{folder}`), and not the files of a model: servers look for config.json in \
                           /mnt/models itself";
        /// Nothing but hidden files.
        HiddenOnly => "hidden-only", "every file in /models is hidden: no server finds a model there";
        /// The model is in a folder of its own.
        Nested {
            /// The folder.
            folder: String,
        } => "nested", "/models holds folders only, such as `{folder}`: most servers look for the model's files in /mnt/models itself, \
                        and need /mnt/models/{folder} as the path of the model";
        /// A link that leads out of the image.
        AbsoluteLink {
            /// Its path.
            path: String,
        } => "absolute-link", "`/{path}` is a link to an absolute path, which is looked up in the server's files";
        /// A hard link.
        HardLink {
            /// Its path.
            path: String,
        } => "hard-link", "`/{path}` is a hard link, which KServe's download can't make";
        /// An entrypoint.
        Entrypoint {
            /// The words of it.
            entrypoint: Vec<String>,
        } => "entrypoint", "the image has the entrypoint `{}`: it gets KServe's command as its arguments", entrypoint.join(" ");
        /// The image runs as root.
        RootUser => "root-user", "the image runs as root: its init container is refused where a pod must not run as root";
        /// The image runs as a user with a name.
        NamedUser {
            /// The name.
            user: String,
        } => "named-user", "the user `{user}` is a name: the kubelet can't tell that it is not root";
        /// The image's user has a group.
        UserGroup {
            /// The group.
            group: String,
        } => "user-group", "the user has group `{group}`: where KServe sets no user, the server must have it too";
        /// `/models` is declared a volume.
        Volume => "volume", "/models is declared a volume: the container runtime copies it for every pod";
        /// There is no shell.
        NoShell {
            /// The programs that are missing.
            missing: Vec<&'static str>,
            /// Whether everything that may hold one was read.
            certain: bool,
        } => "no-shell", "{}", no_program(missing);
        /// There is a shell, and not all that it runs.
        NoTools {
            /// The programs that are missing.
            missing: Vec<&'static str>,
            /// Whether everything that may hold one was read.
            certain: bool,
        } => "no-tools", "{}", no_program(missing);
        /// `/etc/passwd` gives a user another group than the server has.
        PasswdGroup {
            /// The user.
            user: String,
            /// The group.
            group: String,
            /// Whether KServe runs the sidecar as this user by itself.
            is_default: bool,
        } => "passwd-group", "/etc/passwd gives user {user} the group {group}: the server has group 0 and may not look into the \
                              sidecar, unless the pod sets runAsUser and runAsGroup";
    }
}

impl LintFinding {
    /// Returns how bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::OnePlatform | Self::PartlyRead { .. } | Self::OwnerNames { .. } | Self::Nested { .. } => {
                Severity::Info
            }
            Self::Unpinned
            | Self::Doubtful { .. }
            | Self::MissingManifest { .. }
            | Self::NoAmd64 { .. }
            | Self::NoStreaming
            | Self::LargeLayer { .. }
            | Self::Whiteout { .. }
            | Self::NoModelsSeen
            | Self::OwnerOnly { .. }
            | Self::DanglingLink { is_needed: false, .. }
            | Self::NoShards { .. }
            | Self::AdapterAlone
            | Self::HubCache { .. }
            | Self::HiddenOnly
            | Self::RootUser
            | Self::NamedUser { .. }
            | Self::UserGroup { .. }
            | Self::Volume
            | Self::NoShell { certain: false, .. }
            | Self::NoTools { certain: false, .. }
            | Self::PasswdGroup { is_default: false, .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// Returns the modes that it concerns; an error makes them fail.
    pub fn modes(&self) -> &'static [ServingMode] {
        match self {
            Self::Zstd
            | Self::LayerType { .. }
            | Self::Names { .. }
            | Self::Whiteout { .. }
            | Self::SpecialFile { .. }
            | Self::HardLink { .. } => FETCH,
            Self::OwnerOnly { .. } => NATIVE,
            Self::OutsideLink { lost: false, .. } => MOVED,
            Self::Unreadable { .. } => MOUNTED,
            Self::Entrypoint { .. }
            | Self::Unlisted { .. }
            | Self::ClosedFolder { .. }
            | Self::RootUser
            | Self::NamedUser { .. }
            | Self::UserGroup { .. }
            | Self::Volume
            | Self::NoShell { .. }
            | Self::NoTools { .. }
            | Self::PasswdGroup { .. } => SIDECAR,
            _ => ALL,
        }
    }
}

impl Serialize for LintFinding {
    /// Writes severity, code, modes and sentence.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("LintFinding", 4)?;
        fields.serialize_field("severity", &self.severity())?;
        fields.serialize_field("code", self.code())?;
        fields.serialize_field("modes", self.modes())?;
        fields.serialize_field("message", &self.to_string())?;
        fields.end()
    }
}

fn no_program(missing: &[&str]) -> String {
    format!("no program {} on the PATH, which KServe's sidecar runs", missing.join(", "))
}
