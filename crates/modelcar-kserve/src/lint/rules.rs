//! What an image must be like. Each rule names the modes that it is about.

use std::collections::BTreeSet;

use super::{
    read::{Image, Platform},
    report::{LintFinding, ServingMode},
    tree::{Kind, LayerNames, Tree},
};
use crate::findings::Severity;

const ALL: &[ServingMode] = &ServingMode::ALL;
const SIDECAR: &[ServingMode] = &[ServingMode::Sidecar];
const FETCH: &[ServingMode] = &[ServingMode::Fetch];
/// Modes in which the container runtime makes the files appear.
const MOUNTED: &[ServingMode] = &[ServingMode::Sidecar, ServingMode::Native];

/// Users that the sidecar runs as, unless an administrator says otherwise.
const DEFAULT_USER: &str = "1010";
/// Container runtimes stack that many layers.
const LAYERS_MAX: usize = 127;
/// What KServe's own download unpacks.
const FETCHED_TYPES: [&str; 3] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
];
/// What the sidecar and its init container call.
const TOOLS: [&str; 5] = ["sh", "ln", "sleep", "ls", "mkdir"];
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

type Findings = Vec<LintFinding>;

fn add(
    found: &mut Findings,
    severity: Severity,
    code: &'static str,
    modes: &'static [ServingMode],
    message: impl Into<String>,
) {
    found.push(LintFinding { severity, code, modes, message: message.into() });
}

/// Rules about the image as a whole.
pub(super) fn image(image: &Image, pinned: bool, found: &mut Findings) {
    if !pinned {
        add(found, Severity::Warning, "unpinned", ALL, "the image is named by a tag: name its digest");
    }
    for missing in &image.missing {
        let platform = missing.platform.as_ref().map_or_else(String::new, |platform| format!(" for {platform}"));
        let message = format!(
            "the index lists manifest `{}`{platform}, which is not there: nodes of that platform can't pull the image",
            missing.digest
        );
        add(found, Severity::Warning, "missing-manifest", ALL, message);
    }
    if image.platforms.is_empty() {
        add(found, Severity::Error, "no-platform", ALL, "the index lists no image");
    }
    let amd64 = image.platforms.iter().any(|platform| platform.name == "linux/amd64");
    if !amd64 && !image.platforms.is_empty() {
        let offered: Vec<&str> = image.platforms.iter().map(|platform| platform.name.as_str()).collect();
        let message = format!("there is no linux/amd64, only {}", offered.join(", "));
        add(found, Severity::Warning, "platform", ALL, message);
    } else if !image.is_index {
        add(
            found,
            Severity::Info,
            "one-platform",
            ALL,
            "one manifest without an index: nodes of other kinds can't pull",
        );
    }
}

/// Rules about the image of one platform.
pub(super) fn platform(platform: &Platform, found: &mut Findings) {
    if platform.is_artifact {
        let message =
            format!("this is an artifact (`{}`) and no image: it can't be run or mounted", platform.config_type);
        return add(found, Severity::Error, "artifact", ALL, message);
    }
    let mut tree = Tree::default();
    let names: Vec<&LayerNames> = platform.layers.iter().filter_map(|layer| layer.names.as_deref()).collect();
    for layer in &names {
        tree.add(layer);
    }
    let unread = platform.layers.iter().filter(|layer| !layer.names.as_ref().is_some_and(|names| names.complete));
    let unread = unread.count();
    layers(platform, &names, found);
    models(&tree, unread > 0, found);
    config(platform, found);
    shell(platform, &tree, unread > 0, found);
    groups(platform, &names, found);
    if unread > 0 {
        let message =
            format!("{unread} of {} layers were not read to their end (--all reads them)", platform.layers.len());
        add(found, Severity::Info, "partly-read", ALL, message);
    }
}

/// Compression, number and names of layers.
fn layers(platform: &Platform, names: &[&LayerNames], found: &mut Findings) {
    if platform.layers.len() > LAYERS_MAX {
        let message = format!("{} layers are more than container runtimes stack ({LAYERS_MAX})", platform.layers.len());
        add(found, Severity::Error, "layer-count", ALL, message);
    }
    let types: BTreeSet<&str> = platform.layers.iter().map(|layer| layer.media_type.as_str()).collect();
    for kind in types {
        if kind.ends_with("zstd") {
            add(
                found,
                Severity::Error,
                "zstd",
                FETCH,
                "layers are compressed with zstd, which KServe's download refuses",
            );
        } else if !FETCHED_TYPES.contains(&kind) {
            let message = format!("layers of type `{kind}` are passed over by KServe's download");
            add(found, Severity::Error, "layer-type", FETCH, message);
        }
    }
    let distinct: BTreeSet<_> = platform.layers.iter().map(|layer| layer.digest).collect();
    let empty = names.iter().any(|names| names.complete && names.entries.is_empty());
    if distinct.len() < platform.layers.len() || empty || platform.layers.iter().any(|layer| layer.size == 0) {
        let message = "an empty or repeated layer: GKE's image streaming does not stream this image";
        add(found, Severity::Warning, "no-streaming", ALL, message);
    }
    let mut entries = names.iter().flat_map(|names| &names.entries);
    if let Some(entry) = entries.clone().find(|entry| is_dotted(&entry.name)) {
        let message =
            format!("the archive names `{}`: KServe's download takes only names that start with models/", entry.name);
        add(found, Severity::Error, "names", FETCH, message);
    }
    if let Some(entry) = entries.clone().find(|entry| in_models(&entry.name) && entry.name.contains("/.wh.")) {
        let message = format!("`{}` removes a file of a layer below: KServe's download keeps that file", entry.name);
        add(found, Severity::Warning, "whiteout", FETCH, message);
    }
    if let Some(entry) = entries.find(|entry| in_models(&entry.name) && entry.has_owner_name) {
        let message = format!("`{}` carries names of users, which mean nothing on another machine", entry.name);
        add(found, Severity::Info, "owner-names", ALL, message);
    }
}

fn in_models(name: &str) -> bool {
    super::tree::plain(name).starts_with("models/")
}

/// Returns whether a name means `/models` and is not written `models/…`.
fn is_dotted(name: &str) -> bool {
    let plain = super::tree::plain(name);
    (plain == "models" || plain.starts_with("models/")) && !name.starts_with("models")
}

/// The folder with the model.
fn models(tree: &Tree, partly: bool, found: &mut Findings) {
    let is_empty = tree.below("models").next().is_none();
    match tree.get("models").map(|entry| &entry.kind) {
        Some(Kind::Symlink(target)) => {
            let message = format!("/models is a link to `{target}`, which would be looked up in the server's files");
            return add(found, Severity::Error, "models-link", ALL, message);
        }
        Some(Kind::Folder) | None if !is_empty => {}
        Some(Kind::Folder) | None if partly => {
            return add(found, Severity::Warning, "no-models", ALL, "no file in /models was seen in what was read");
        }
        Some(Kind::Folder) => return add(found, Severity::Error, "no-models", ALL, "/models is empty"),
        None => return add(found, Severity::Error, "no-models", ALL, "there is no folder /models"),
        Some(_) => return add(found, Severity::Error, "no-models", ALL, "/models is not a folder"),
    }
    let folder = tree.get("models").into_iter().map(|entry| ("models", entry));
    for (path, entry) in folder.chain(tree.below("models")) {
        // The server is in group 0 and owns nothing.
        let bits = if entry.group == 0 { entry.mode | entry.mode >> 3 } else { entry.mode };
        let needed = if entry.kind == Kind::Folder { 0o5 } else { 0o4 };
        let is_link = matches!(entry.kind, Kind::Symlink(_) | Kind::HardLink(_));
        if !is_link && bits & needed != needed {
            let message = format!("`/{path}` has mode {:o}: the server may not read it", entry.mode & 0o7777);
            add(found, Severity::Error, "unreadable", MOUNTED, message);
            break;
        }
    }
    if let Some((path, _)) =
        tree.below("models").find(|(_, entry)| matches!(&entry.kind, Kind::Symlink(to) if to.starts_with('/')))
    {
        let message = format!("`/{path}` is a link to an absolute path, which is looked up in the server's files");
        add(found, Severity::Error, "absolute-link", ALL, message);
    }
    if let Some((path, _)) = tree.below("models").find(|(_, entry)| matches!(entry.kind, Kind::HardLink(_))) {
        let message = format!("`/{path}` is a hard link, which KServe's download can't make");
        add(found, Severity::Error, "hard-link", FETCH, message);
    }
}

/// How a container of the image runs.
fn config(platform: &Platform, found: &mut Findings) {
    let config = &platform.config;
    if let Some(entrypoint) = config.entrypoint.as_ref().filter(|entrypoint| !entrypoint.is_empty()) {
        let message = format!(
            "the image has the entrypoint `{}`: it gets KServe's command as its arguments",
            entrypoint.join(" ")
        );
        add(found, Severity::Error, "entrypoint", SIDECAR, message);
    }
    let user = config.user.as_deref().unwrap_or_default();
    let (id, group) = user.split_once(':').unwrap_or((user, ""));
    if id.is_empty() || id == "root" || id.parse() == Ok(0) {
        let message = "the image runs as root: its init container is refused where a pod must not run as root";
        add(found, Severity::Warning, "root-user", SIDECAR, message);
    } else if id.parse::<u64>().is_err() {
        let message = format!("the user `{id}` is a name: the kubelet can't tell that it is not root");
        add(found, Severity::Warning, "named-user", SIDECAR, message);
    }
    if !group.is_empty() && group.parse() != Ok(0) {
        let message = format!("the user has group `{group}`: where KServe sets no user, the server must have it too");
        add(found, Severity::Warning, "user-group", SIDECAR, message);
    }
    let volumes = config.volumes.iter().flatten().map(|(path, _)| path.trim_end_matches('/'));
    if volumes.into_iter().any(|path| path == "/models" || path.starts_with("/models/")) {
        let message = "/models is declared a volume: the container runtime copies it for every pod";
        add(found, Severity::Warning, "volume", SIDECAR, message);
    }
}

/// The programs that KServe's commands call.
fn shell(platform: &Platform, tree: &Tree, partly: bool, found: &mut Findings) {
    let variables = platform.config.env.iter().flatten();
    let path = variables.filter_map(|variable| variable.strip_prefix("PATH=")).next_back().unwrap_or(DEFAULT_PATH);
    let is_there = |tool: &str| {
        let folders = path.split(':').filter(|folder| folder.starts_with('/'));
        folders
            .into_iter()
            .any(|folder| tree.file(&format!("{folder}/{tool}")).is_some_and(|file| file.mode & 0o111 != 0))
    };
    let missing: Vec<&str> = TOOLS.into_iter().filter(|tool| !is_there(tool)).collect();
    if missing.is_empty() {
        return;
    }
    // What was not read may hold them.
    let severity = if partly && !has_base(platform) {
        Severity::Error
    } else if partly {
        Severity::Warning
    } else {
        Severity::Error
    };
    let message = format!("no program {} on the PATH, which KServe's sidecar runs", missing.join(", "));
    add(found, severity, if missing.contains(&"sh") { "no-shell" } else { "no-tools" }, SIDECAR, message);
}

/// Returns whether a layer that was not read to its end may hold something other than weights.
fn has_base(platform: &Platform) -> bool {
    platform.layers.iter().any(|layer| match &layer.names {
        None => true,
        Some(names) if names.complete => false,
        Some(names) => {
            names.entries.iter().any(|entry| !in_models(&entry.name) && super::tree::plain(&entry.name) != "models")
        }
    })
}

/// A user with an entry in the image's passwd file gets the group there, unless the pod names one.
fn groups(platform: &Platform, names: &[&LayerNames], found: &mut Findings) {
    let Some(passwd) = names.iter().rev().find_map(|names| names.passwd.as_ref()) else { return };
    let user = platform.config.user.as_deref().unwrap_or_default().split(':').next().unwrap_or_default();
    let mut own = None;
    for line in passwd.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, id, group, ..] = fields.as_slice() else { continue };
        if group.parse() == Ok(0) {
            continue;
        }
        let message = format!(
            "/etc/passwd gives user {id} the group {group}: the server has group 0 and may not look into the sidecar, \
             unless the pod sets runAsUser and runAsGroup"
        );
        if *id == DEFAULT_USER {
            return add(found, Severity::Error, "passwd-group", SIDECAR, message);
        }
        let is_own = !user.is_empty() && (*id == user || *name == user);
        own = own.or(is_own.then_some(message));
    }
    // KServe runs the sidecar as this user only where it sets none itself.
    if let Some(message) = own {
        add(found, Severity::Warning, "passwd-group", SIDECAR, message);
    }
}
