//! What an image must be like. Each rule names the modes that it is about.

use std::collections::BTreeSet;

use super::{
    access::Reader,
    finding::LintFinding,
    models::Models,
    read::{Image, Platform},
    tree::{Entry, LayerNames, Tree},
};
use crate::{SidecarUser, sizing::LARGE_LAYER_BYTES};

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
pub(super) fn platform(platform: &Platform, user: SidecarUser, found: &mut Vec<LintFinding>) {
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
    let own = own_user(platform);
    // Where KServe sets no user the sidecar has the image's, and the server another one that is not known.
    let (reader, runner) = match user.uid() {
        Some(uid) => (Some(uid.into()), Some(uid.into())),
        None => (None, own),
    };
    Models { tree: &tree, partly: unread > 0, reader: Reader { user: reader }, own }.find(found);
    config(platform, found);
    shell(platform, &tree, unread > 0, Reader { user: runner }, found);
    groups(platform, &names, user, found);
    if unread > 0 {
        found.push(LintFinding::PartlyRead { unread, layers: platform.layers.len() });
    }
}

/// Compression, number and names of layers.
fn layers(platform: &Platform, names: &[&LayerNames], found: &mut Vec<LintFinding>) {
    if platform.layers.len() > LAYERS_MAX {
        found.push(LintFinding::LayerCount { layers: platform.layers.len(), most: LAYERS_MAX });
    }
    if let Some(layer) =
        platform.layers.iter().max_by_key(|layer| layer.size).filter(|layer| layer.size > LARGE_LAYER_BYTES)
    {
        found.push(LintFinding::LargeLayer { digest: layer.digest, gib: layer.size.div_ceil(1 << 30) });
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

/// The user of the image, if it is a number.
fn own_user(platform: &Platform) -> Option<u64> {
    platform.config.user.as_deref()?.split(':').next()?.parse().ok()
}

/// The programs that KServe's commands call, and whether the sidecar's user can reach them and `/models`.
fn shell(platform: &Platform, tree: &Tree<'_>, partly: bool, reader: Reader, found: &mut Vec<LintFinding>) {
    let variables = platform.config.env.iter().flatten();
    let path = variables.filter_map(|variable| variable.strip_prefix("PATH=")).next_back().unwrap_or(DEFAULT_PATH);
    let closed = |way: &str| -> Option<(String, u32)> {
        let closed = tree.folders(way).find(|(_, entry)| !reader.may(1, entry));
        closed.map(|(path, entry)| (path.to_owned(), entry.mode & 0o7777))
    };
    let mut doors: Vec<(String, u32)> = closed("models").into_iter().collect();
    let mut missing = Vec::new();
    for tool in TOOLS {
        let folders = path.split(':').filter(|folder| folder.starts_with('/'));
        let programs = folders.filter_map(|folder| tree.file(&format!("{folder}/{tool}")));
        let mut programs = programs.filter(|(file, _): &(&Entry, _)| reader.may(1, file)).peekable();
        if programs.peek().is_none() {
            missing.push(tool);
            continue;
        }
        let doors_of: Vec<_> = programs.map(|(_, ways)| ways.iter().find_map(|way| closed(way))).collect();
        // One program that can be reached is enough.
        if doors_of.iter().all(Option::is_some) {
            doors.extend(doors_of.into_iter().flatten());
        }
    }
    if let Some((path, mode)) = doors.into_iter().next() {
        found.push(LintFinding::ClosedFolder { path, mode });
    }
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
fn groups(platform: &Platform, names: &[&LayerNames], sidecar: SidecarUser, found: &mut Vec<LintFinding>) {
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
        if sidecar.uid().is_some_and(|uid| id.parse() == Ok(uid)) {
            return found.push(told(true));
        }
        let is_own = !user.is_empty() && (*id == user || *name == user);
        own = own.or(is_own.then(|| told(false)));
    }
    // KServe runs the sidecar as this user only where it sets none itself.
    found.extend(own);
}
