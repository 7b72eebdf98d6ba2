//! The files of an image, as its layers make them.

use std::{collections::BTreeMap, io::Read};

use super::{
    bounded::{Allowance, Bounded},
    content::Content,
};

/// Longest `/etc/passwd` that is read.
const PASSWD_MAX_BYTES: u64 = 64 << 10;
/// Most memory of the entries of an image: enough for some hundred thousand files.
const ENTRIES_MAX_BYTES: usize = 24 << 20;
/// Links that lead to links.
const HOPS_MAX: usize = 40;

/// The memory that the entries of an image may still take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(ENTRIES_MAX_BYTES)
    }
}

impl Room {
    /// Takes the memory of an entry; `None` when there is not as much.
    fn take(&mut self, entry: &Entry) -> Option<()> {
        let link = match &entry.kind {
            Kind::Symlink(target) | Kind::HardLink(target) => target.len(),
            Kind::File | Kind::Folder | Kind::Other => 0,
        };
        let content = entry.content.as_ref().map_or(0, Content::memory);
        self.0 = self.0.checked_sub(size_of::<Entry>() + entry.name.len() + link + content)?;
        Some(())
    }
}

/// One entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The name as it stands in the archive.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) owner: u64,
    pub(super) group: u64,
    pub(super) has_owner_name: bool,
    /// What its content tells, where it is read.
    pub(super) content: Option<Content>,
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
    /// Reads the names in an archive; what follows a fault or has no `room` stays unread. Returns what is left of the room.
    pub(super) fn read(tar: impl Read, mut room: Room) -> (Self, Room) {
        let mut names = Self::default();
        names.complete = names.fill(tar, &mut room).is_some();
        names.entries.shrink_to_fit();
        (names, room)
    }

    /// Reads up to the end of an archive; `None` when it can't be reached.
    fn fill(&mut self, tar: impl Read, room: &mut Room) -> Option<()> {
        let (tar, allowance) = Bounded::new(tar);
        let mut archive = tar::Archive::new(tar);
        for entry in archive.entries().ok()? {
            let mut entry = entry.ok()?;
            allow(&allowance, &entry);
            let mut read = Entry::read(&entry)?;
            if read.kind == Kind::File {
                read.content = Content::read(&plain(&read.name), entry.size(), entry.by_ref());
            }
            room.take(&read)?;
            if plain(&read.name) == "etc/passwd" && read.kind == Kind::File {
                let mut text = String::new();
                if entry.by_ref().take(PASSWD_MAX_BYTES).read_to_string(&mut text).is_ok() {
                    self.passwd = Some(text);
                }
            }
            self.entries.push(read);
        }
        Some(())
    }
}

/// Allows the content of `entry` to pass. The stated size of a sparse file is not what the archive holds of it.
fn allow(allowance: &Allowance, entry: &tar::Entry<'_, impl Read>) {
    let is_sparse = entry.header().entry_type() == tar::EntryType::GNUSparse;
    let held = if is_sparse { entry.header().entry_size().unwrap_or_default() } else { entry.size() };
    allowance.next_member(held);
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
            owner: header.uid().ok()?,
            group: header.gid().ok()?,
            has_owner_name: named(header.username_bytes()) || named(header.groupname_bytes()),
            content: None,
        })
    }
}

/// Returns a name without what does not change its meaning: `./`, a leading and a trailing slash.
pub(super) fn plain(name: &str) -> String {
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    parts.join("/")
}

/// What a white-out hides of the layers below.
enum WhiteOut {
    /// All that is below a folder.
    Below(String),
    /// A file or a folder.
    Path(String),
}

/// Returns what an entry of that name hides, if it is a white-out.
fn white_out(name: &str) -> Option<WhiteOut> {
    let path = plain(name);
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path.as_str()));
    let hidden = name.strip_prefix(".wh.")?;
    Some(match hidden {
        ".wh..opq" => WhiteOut::Below(resolve_dots(folder)),
        hidden => WhiteOut::Path(resolve_dots(&format!("{folder}/{hidden}"))),
    })
}

/// The files that a container of the image sees.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree<'a>(BTreeMap<String, &'a Entry>);

impl<'a> Tree<'a> {
    /// Puts a layer over the tree. Its white-outs are for the layers below, wherever they stand in the archive.
    pub(super) fn add(&mut self, layer: &'a LayerNames) {
        for entry in &layer.entries {
            match white_out(&entry.name) {
                Some(WhiteOut::Below(folder)) => self.remove_below(&folder),
                Some(WhiteOut::Path(path)) => self.remove(&path),
                None => {}
            }
        }
        for entry in layer.entries.iter().filter(|entry| white_out(&entry.name).is_none()) {
            let path = plain(&entry.name);
            if entry.kind != Kind::Folder {
                // A file in the place of a folder.
                self.remove_below(&path);
            }
            self.0.insert(path, entry);
        }
    }

    fn remove(&mut self, path: &str) {
        self.0.remove(path);
        self.remove_below(path);
    }

    /// Removes what is below a folder, of which `""` is the uppermost. Takes no longer than there is to remove.
    fn remove_below(&mut self, folder: &str) {
        if folder.is_empty() {
            return self.0.clear();
        }
        let prefix = format!("{folder}/");
        while let Some(path) = self.0.range(prefix.clone()..).next().map(|(path, _)| path) {
            if !path.starts_with(&prefix) {
                return;
            }
            let path = path.clone();
            self.0.remove(&path);
        }
    }

    /// Returns the entry at `path` itself, links not followed.
    pub(super) fn get(&self, path: &str) -> Option<&'a Entry> {
        self.0.get(path).copied()
    }

    /// Returns the entries below a folder, with their paths.
    pub(super) fn below<'b>(&'b self, folder: &str) -> impl Iterator<Item = (&'b str, &'b Entry)> {
        let prefix = format!("{folder}/");
        let from = self.0.range(prefix.clone()..);
        from.take_while(move |(path, _)| path.starts_with(&prefix)).map(|(path, entry)| (path.as_str(), *entry))
    }

    /// Follows links from `path` to a file. Returns the file, and the paths that lead to it.
    pub(super) fn file(&self, path: &str) -> Option<(&'a Entry, Vec<String>)> {
        let mut ways = vec![plain(path)];
        for _ in 0..HOPS_MAX {
            match self.step(ways.last()?)? {
                Step::Found(entry) => return Some((entry, ways)),
                Step::Elsewhere(path) => ways.push(path),
            }
        }
        None
    }

    /// Returns whether a link at `path` leads to a file or a folder.
    pub(super) fn leads_somewhere(&self, path: &str) -> bool {
        let mut wanted = plain(path);
        for _ in 0..HOPS_MAX {
            match self.step(&wanted) {
                Some(Step::Elsewhere(path)) => wanted = path,
                Some(Step::Found(_)) => return true,
                None => return self.0.contains_key(&wanted) || self.below(&wanted).next().is_some(),
            }
        }
        false
    }

    /// Returns the folders that lead to `path`, the uppermost (`""`) first, as far as layers state them.
    pub(super) fn folders<'b>(&self, path: &'b str) -> impl Iterator<Item = (&'b str, &'a Entry)> {
        let ends = path.match_indices('/').map(|(at, _)| at);
        let parts = std::iter::once("").chain(ends.map(|end| path.split_at(end).0));
        parts
            .filter_map(|part| self.get(part).map(|entry| (part, entry)))
            .filter(|(_, entry)| entry.kind == Kind::Folder)
    }

    /// Follows the first link on the way to `path`.
    fn step(&self, path: &str) -> Option<Step<'a>> {
        let mut ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
        ends.push(path.len());
        for end in ends {
            let (part, rest) = path.split_at(end);
            let Some(entry) = self.get(part) else { continue };
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

/// Returns a path without `.` and `..`. Above the uppermost folder there is that folder again.
pub(super) fn resolve_dots(path: &str) -> String {
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
