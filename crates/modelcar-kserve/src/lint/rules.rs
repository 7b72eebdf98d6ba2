//! What an image must be like. Each rule names the modes that it is about.

use std::collections::BTreeSet;

use super::{
    finding::LintFinding,
    read::{Image, Platform},
    tree::{Kind, LayerNames, Tree},
};

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

/// Rules about the image as a whole.
pub(super) fn image(image: &Image, pinned: bool, found: &mut Vec<LintFinding>) {
    if !pinned {
        found.push(LintFinding::Unpinned);
    }
    if !image.facts.flaws.is_empty() {
        let flaws = image.facts.flaws.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let is_broken = image.facts.is_broken();
        found.push(if is_broken { LintFinding::Incomplete { flaws } } else { LintFinding::Doubtful { flaws } });
    }
    for missing in &image.missing {
        found.push(LintFinding::MissingManifest { digest: missing.digest, platform: missing.platform.clone() });
    }
    if image.platforms.is_empty() {
        found.push(LintFinding::NoPlatform);
    }
    let amd64 = image.platforms.iter().any(|platform| platform.name == "linux/amd64");
    if !amd64 && !image.platforms.is_empty() {
        let offered = image.platforms.iter().map(|platform| platform.name.clone()).collect();
        found.push(LintFinding::NoAmd64 { offered });
    } else if !image.is_index {
        found.push(LintFinding::OnePlatform);
    }
}

/// Rules about the image of one platform.
pub(super) fn platform(platform: &Platform, found: &mut Vec<LintFinding>) {
    if platform.is_artifact {
        return found.push(LintFinding::Artifact { kind: platform.config_type.clone() });
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
        found.push(LintFinding::PartlyRead { unread, layers: platform.layers.len() });
    }
}

/// Compression, number and names of layers.
fn layers(platform: &Platform, names: &[&LayerNames], found: &mut Vec<LintFinding>) {
    if platform.layers.len() > LAYERS_MAX {
        found.push(LintFinding::LayerCount { layers: platform.layers.len(), most: LAYERS_MAX });
    }
    let types: BTreeSet<&str> = platform.layers.iter().map(|layer| layer.media_type.as_str()).collect();
    for kind in types {
        if kind.ends_with("zstd") {
            found.push(LintFinding::Zstd);
        } else if !FETCHED_TYPES.contains(&kind) {
            found.push(LintFinding::LayerType { media_type: kind.to_owned() });
        }
    }
    let distinct: BTreeSet<_> = platform.layers.iter().map(|layer| layer.digest).collect();
    let empty = names.iter().any(|names| names.complete && names.entries.is_empty());
    if distinct.len() < platform.layers.len() || empty || platform.layers.iter().any(|layer| layer.size == 0) {
        found.push(LintFinding::NoStreaming);
    }
    let mut entries = names.iter().flat_map(|names| &names.entries);
    if let Some(entry) = entries.clone().find(|entry| is_dotted(&entry.name)) {
        found.push(LintFinding::Names { name: entry.name.clone() });
    }
    if let Some(entry) = entries.clone().find(|entry| in_models(&entry.name) && entry.name.contains("/.wh.")) {
        found.push(LintFinding::Whiteout { name: entry.name.clone() });
    }
    if let Some(entry) = entries.find(|entry| in_models(&entry.name) && entry.has_owner_name) {
        found.push(LintFinding::OwnerNames { name: entry.name.clone() });
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
fn models(tree: &Tree<'_>, partly: bool, found: &mut Vec<LintFinding>) {
    let is_empty = tree.below("models").next().is_none();
    match tree.get("models").map(|entry| &entry.kind) {
        Some(Kind::Symlink(target)) => {
            return found.push(LintFinding::ModelsLink { target: target.clone() });
        }
        Some(Kind::Folder) | None if !is_empty => {}
        Some(Kind::Folder) | None if partly => return found.push(LintFinding::NoModelsSeen),
        Some(Kind::Folder) => return found.push(LintFinding::EmptyModels),
        None => return found.push(LintFinding::NoModels),
        Some(_) => return found.push(LintFinding::ModelsNoFolder),
    }
    let folder = tree.get("models").into_iter().map(|entry| ("models", entry));
    for (path, entry) in folder.chain(tree.below("models")) {
        // The server is in group 0 and owns nothing.
        let bits = if entry.group == 0 { entry.mode | entry.mode >> 3 } else { entry.mode };
        let needed = if entry.kind == Kind::Folder { 0o5 } else { 0o4 };
        let is_link = matches!(entry.kind, Kind::Symlink(_) | Kind::HardLink(_));
        if !is_link && bits & needed != needed {
            found.push(LintFinding::Unreadable { path: path.to_owned(), mode: entry.mode & 0o7777 });
            break;
        }
    }
    if let Some((path, _)) =
        tree.below("models").find(|(_, entry)| matches!(&entry.kind, Kind::Symlink(to) if to.starts_with('/')))
    {
        found.push(LintFinding::AbsoluteLink { path: path.to_owned() });
    }
    if let Some((path, _)) = tree.below("models").find(|(_, entry)| matches!(entry.kind, Kind::HardLink(_))) {
        found.push(LintFinding::HardLink { path: path.to_owned() });
    }
}

/// How a container of the image runs.
fn config(platform: &Platform, found: &mut Vec<LintFinding>) {
    let config = &platform.config;
    if let Some(entrypoint) = config.entrypoint.as_ref().filter(|entrypoint| !entrypoint.is_empty()) {
        found.push(LintFinding::Entrypoint { entrypoint: entrypoint.clone() });
    }
    let user = config.user.as_deref().unwrap_or_default();
    let (id, group) = user.split_once(':').unwrap_or((user, ""));
    if id.is_empty() || id == "root" || id.parse() == Ok(0) {
        found.push(LintFinding::RootUser);
    } else if id.parse::<u64>().is_err() {
        found.push(LintFinding::NamedUser { user: id.to_owned() });
    }
    if !group.is_empty() && group.parse() != Ok(0) {
        found.push(LintFinding::UserGroup { group: group.to_owned() });
    }
    let volumes = config.volumes.iter().flatten().map(|(path, _)| path.trim_end_matches('/'));
    if volumes.into_iter().any(|path| path == "/models" || path.starts_with("/models/")) {
        found.push(LintFinding::Volume);
    }
}

/// The programs that KServe's commands call.
fn shell(platform: &Platform, tree: &Tree<'_>, partly: bool, found: &mut Vec<LintFinding>) {
    let variables = platform.config.env.iter().flatten();
    let path = variables.filter_map(|variable| variable.strip_prefix("PATH=")).next_back().unwrap_or(DEFAULT_PATH);
    let is_there = |tool: &str| {
        let folders = path.split(':').filter(|folder| folder.starts_with('/'));
        folders
            .into_iter()
            .any(|folder| tree.file(&format!("{folder}/{tool}")).is_some_and(|file| file.mode & 0o111 != 0))
    };
    let missing: Vec<&'static str> = TOOLS.into_iter().filter(|tool| !is_there(tool)).collect();
    if missing.is_empty() {
        return;
    }
    // What was not read may hold them.
    let certain = !partly || !has_base(platform);
    found.push(if missing.contains(&"sh") {
        LintFinding::NoShell { missing, certain }
    } else {
        LintFinding::NoTools { missing, certain }
    });
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
fn groups(platform: &Platform, names: &[&LayerNames], found: &mut Vec<LintFinding>) {
    let Some(passwd) = names.iter().rev().find_map(|names| names.passwd.as_ref()) else { return };
    let user = platform.config.user.as_deref().unwrap_or_default().split(':').next().unwrap_or_default();
    let mut own = None;
    for line in passwd.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, id, group, ..] = fields.as_slice() else { continue };
        if group.parse() == Ok(0) {
            continue;
        }
        let told =
            |is_default| LintFinding::PasswdGroup { user: (*id).to_owned(), group: (*group).to_owned(), is_default };
        if *id == DEFAULT_USER {
            return found.push(told(true));
        }
        let is_own = !user.is_empty() && (*id == user || *name == user);
        own = own.or(is_own.then(|| told(false)));
    }
    // KServe runs the sidecar as this user only where it sets none itself.
    found.extend(own);
}
