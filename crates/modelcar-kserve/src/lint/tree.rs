//! The files of an image, as its layers make them.

use std::{collections::BTreeMap, io::Read};

/// Longest `/etc/passwd` that is read.
const PASSWD_MAX_BYTES: u64 = 64 << 10;
/// More entries than any image has.
const ENTRIES_MAX: usize = 2_000_000;
/// Links that lead to links.
const HOPS_MAX: usize = 40;

/// One entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The name as it stands in the archive.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) group: u64,
    pub(super) has_owner_name: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Symlink(String),
    HardLink(String),
    Other,
}

/// The entries of a layer, as far as they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LayerNames {
    pub(super) entries: Vec<Entry>,
    /// Content of `/etc/passwd`, when the layer has it.
    pub(super) passwd: Option<String>,
    /// Whether the layer was read to its end.
    pub(super) complete: bool,
}

impl LayerNames {
    /// Reads the names in an archive; what follows a fault stays unread.
    pub(super) fn read(tar: impl Read) -> Self {
        let mut names = Self::default();
        let mut archive = tar::Archive::new(tar);
        let Ok(entries) = archive.entries() else { return names };
        for entry in entries {
            let Ok(mut entry) = entry else { return names };
            let Some(read) = Entry::read(&entry) else { return names };
            if plain(&read.name) == "etc/passwd" && read.kind == Kind::File {
                let mut text = String::new();
                if entry.by_ref().take(PASSWD_MAX_BYTES).read_to_string(&mut text).is_ok() {
                    names.passwd = Some(text);
                }
            }
            names.entries.push(read);
            if names.entries.len() >= ENTRIES_MAX {
                return names;
            }
        }
        names.complete = true;
        names
    }
}

impl Entry {
    fn read(entry: &tar::Entry<'_, impl Read>) -> Option<Self> {
        let header = entry.header();
        let link = || entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
        let kind = match header.entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => Kind::File,
            tar::EntryType::Directory => Kind::Folder,
            tar::EntryType::Symlink => Kind::Symlink(link()?),
            tar::EntryType::Link => Kind::HardLink(link()?),
            _ => Kind::Other,
        };
        let named = |name: Option<&[u8]>| name.is_some_and(|name| !name.is_empty());
        Some(Self {
            name: String::from_utf8_lossy(&entry.path_bytes()).into_owned(),
            kind,
            mode: header.mode().ok()?,
            group: header.gid().ok()?,
            has_owner_name: named(header.username_bytes()) || named(header.groupname_bytes()),
        })
    }
}

/// Returns a name without what does not change its meaning: `./`, a leading and a trailing slash.
pub(super) fn plain(name: &str) -> String {
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    parts.join("/")
}

/// The files that a container of the image sees.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree(BTreeMap<String, Entry>);

impl Tree {
    /// Puts a layer over the tree, white-outs applied.
    pub(super) fn add(&mut self, layer: &LayerNames) {
        for entry in &layer.entries {
            let path = plain(&entry.name);
            let (folder, name) = path.rsplit_once('/').map_or(("", path.as_str()), |(folder, name)| (folder, name));
            match name.strip_prefix(".wh.") {
                Some(".wh..opq") => self.remove_below(folder),
                Some(hidden) => {
                    let hidden = if folder.is_empty() { hidden.to_owned() } else { format!("{folder}/{hidden}") };
                    self.0.remove(&hidden);
                    self.remove_below(&hidden);
                }
                None => {
                    self.0.insert(path, entry.clone());
                }
            }
        }
    }

    fn remove_below(&mut self, folder: &str) {
        let prefix = format!("{folder}/");
        self.0.retain(|path, _| !path.starts_with(&prefix));
    }

    /// Returns the entry at `path` itself, links not followed.
    pub(super) fn get(&self, path: &str) -> Option<&Entry> {
        self.0.get(path)
    }

    /// Returns the entries below a folder, with their paths.
    pub(super) fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        let prefix = format!("{folder}/");
        let from = self.0.range(prefix.clone()..);
        from.take_while(move |(path, _)| path.starts_with(&prefix)).map(|(path, entry)| (path.as_str(), entry))
    }

    /// Follows links from `path` to a file.
    pub(super) fn file(&self, path: &str) -> Option<&Entry> {
        let mut wanted = plain(path);
        for _ in 0..HOPS_MAX {
            match self.step(&wanted)? {
                Step::Found(entry) => return Some(entry),
                Step::Elsewhere(path) => wanted = path,
            }
        }
        None
    }

    /// Follows the first link on the way to `path`.
    fn step(&self, path: &str) -> Option<Step<'_>> {
        let mut ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
        ends.push(path.len());
        for end in ends {
            let (part, rest) = path.split_at(end);
            let Some(entry) = self.0.get(part) else { continue };
            let target = match &entry.kind {
                Kind::Symlink(target) => target,
                Kind::HardLink(target) if rest.is_empty() => return Some(Step::Elsewhere(plain(target))),
                Kind::File if rest.is_empty() => return Some(Step::Found(entry)),
                _ => continue,
            };
            let folder = part.rsplit_once('/').map_or("", |(folder, _)| folder);
            let joined = if target.starts_with('/') { target.clone() } else { format!("{folder}/{target}") };
            return Some(Step::Elsewhere(resolve_dots(&format!("{joined}{rest}"))));
        }
        None
    }
}

enum Step<'a> {
    Found(&'a Entry),
    Elsewhere(String),
}

fn resolve_dots(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
