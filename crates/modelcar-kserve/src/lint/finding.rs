//! What a lint finds, a row for each finding, and the modes that it is about.

use std::fmt;

use modelcar_core::{Digest, Platform};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::findings::{Severity, findings};

/// A way in which KServe serves an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
const FETCH: &[ServingMode] = &[ServingMode::Fetch];
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
            Self::OnePlatform | Self::PartlyRead { .. } | Self::OwnerNames { .. } => Severity::Info,
            Self::Unpinned
            | Self::Doubtful { .. }
            | Self::MissingManifest { .. }
            | Self::NoAmd64 { .. }
            | Self::NoStreaming
            | Self::Whiteout { .. }
            | Self::NoModelsSeen
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
            | Self::HardLink { .. } => FETCH,
            Self::Unreadable { .. } => MOUNTED,
            Self::Entrypoint { .. }
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
