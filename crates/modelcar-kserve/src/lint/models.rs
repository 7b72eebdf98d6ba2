//! Rules about the folder with the model.

use super::{
    access::Reader,
    content::Content,
    finding::LintFinding,
    tree::{Entry, Kind, Tree, resolve_dots},
};

/// What is read of the folder, and for whom.
pub(super) struct Models<'a> {
    pub(super) tree: &'a Tree<'a>,
    /// Whether parts of layers were not read.
    pub(super) partly: bool,
    /// The user of the sidecar and of the server beside it.
    pub(super) reader: Reader,
    /// The user of the image, whom the init container runs as.
    pub(super) own: Option<u64>,
}

impl<'a> Models<'a> {
    /// Adds what is wrong with the folder and its files.
    pub(super) fn find(&self, found: &mut Vec<LintFinding>) {
        let is_empty = self.tree.below("models").next().is_none();
        match self.tree.get("models").map(|entry| &entry.kind) {
            Some(Kind::Symlink(target)) => {
                return found.push(LintFinding::ModelsLink { target: target.clone() });
            }
            Some(Kind::Folder) | None if !is_empty => {}
            Some(Kind::Folder) | None if self.partly => return found.push(LintFinding::NoModelsSeen),
            Some(Kind::Folder) => return found.push(LintFinding::EmptyModels),
            None => return found.push(LintFinding::NoModels),
            Some(_) => return found.push(LintFinding::ModelsNoFolder),
        }
        self.closed(found);
        self.links(found);
        self.special(found);
        self.contents(found);
        self.place(found);
    }

    fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Entry)> + use<'a> {
        self.tree.below("models")
    }

    /// What the server may not read.
    fn closed(&self, found: &mut Vec<LintFinding>) {
        let stranger = Reader { user: None };
        let (mut closed, mut owned) = (None, None);
        let folder = self.tree.get("models").into_iter().map(|entry| ("models", entry));
        for (path, entry) in folder.chain(self.entries()) {
            if matches!(entry.kind, Kind::Symlink(_) | Kind::HardLink(_)) {
                continue;
            }
            let told = || (path.to_owned(), entry.mode & 0o7777);
            if !self.reader.may_open(entry) {
                closed.get_or_insert_with(told);
            } else if !stranger.may_open(entry) {
                owned.get_or_insert_with(told);
            }
        }
        if let Some((path, mode)) = closed {
            found.push(LintFinding::Unreadable { path, mode });
        } else if let Some(((path, mode), user)) = owned.zip(self.reader.user) {
            found.push(LintFinding::OwnerOnly { path, mode, user });
        }
        // The init container lists the folder as the image's own user.
        if let Some((user, entry)) = self.own.zip(self.tree.get("models")) {
            let may = Reader { user: Some(user) }.may_open(entry);
            if !may && self.reader.may_open(entry) {
                found.push(LintFinding::Unlisted { mode: entry.mode & 0o7777, user });
            }
        }
    }

    /// Links that do not reach a file of the model.
    fn links(&self, found: &mut Vec<LintFinding>) {
        let (mut absolute, mut outside, mut dangling) = (None, None, None);
        for (path, entry) in self.entries() {
            match &entry.kind {
                Kind::Symlink(target) if target.starts_with('/') => {
                    absolute.get_or_insert_with(|| LintFinding::AbsoluteLink { path: path.to_owned() });
                }
                Kind::Symlink(target) if !stays_in_models(path, target) => {
                    let lost = !self.partly && !self.tree.leads_somewhere(path);
                    // One that leads nowhere at all is the worse one.
                    if outside.is_none() || lost {
                        let (path, target) = (path.to_owned(), target.clone());
                        outside = Some(LintFinding::OutsideLink { path, target, lost });
                    }
                }
                Kind::Symlink(target) if !self.partly && !self.tree.leads_somewhere(path) => {
                    let is_needed = is_needed(path);
                    if dangling.is_none() || is_needed {
                        let (path, target) = (path.to_owned(), target.clone());
                        dangling = Some(LintFinding::DanglingLink { path, target, is_needed });
                    }
                }
                _ => {}
            }
        }
        found.extend([absolute, outside, dangling].into_iter().flatten());
    }

    /// What is neither file, folder nor symbolic link.
    fn special(&self, found: &mut Vec<LintFinding>) {
        if let Some((path, _)) = self.entries().find(|(_, entry)| matches!(entry.kind, Kind::HardLink(_))) {
            found.push(LintFinding::HardLink { path: path.to_owned() });
        }
        if let Some((path, _)) = self.entries().find(|(_, entry)| entry.kind == Kind::Other) {
            found.push(LintFinding::SpecialFile { path: path.to_owned() });
        }
    }

    /// What the contents of files tell.
    fn contents(&self, found: &mut Vec<LintFinding>) {
        let is_pointer = |(_, entry): &(&str, &Entry)| entry.content == Some(Content::Pointer);
        if let Some((path, _)) = self.entries().find(is_pointer) {
            found.push(LintFinding::Pointer { path: path.to_owned() });
        }
        for (path, entry) in self.entries().filter(|_| !self.partly) {
            let Some(Content::Index(shards)) = &entry.content else { continue };
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            let is_there = |file: &str| self.tree.get(&resolve_dots(&format!("{folder}/{file}"))).is_some();
            // Loaders take the file that the index is named after, if it is there.
            if name.strip_suffix(".index.json").is_some_and(is_there) {
                continue;
            }
            let missing: Vec<&String> = shards.iter().filter(|shard| !is_there(shard)).collect();
            if missing.len() == shards.len() {
                // The index of weights that were left out; others may be there.
                found.push(LintFinding::NoShards { index: path.to_owned(), of: shards.len() });
            } else if let Some(first) = missing.first() {
                let (index, first) = (path.to_owned(), (*first).clone());
                found.push(LintFinding::MissingShards { index, first, missing: missing.len(), of: shards.len() });
            }
        }
    }

    /// Whether the files lie where servers look.
    fn place(&self, found: &mut Vec<LintFinding>) {
        if self.partly {
            return;
        }
        let direct = |path: &str| path.strip_prefix("models/").is_some_and(|rest| !rest.contains('/'));
        let is_hidden = |path: &str| path.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
        let files: Vec<&str> =
            self.entries().filter(|(_, entry)| entry.kind != Kind::Folder).map(|(path, _)| path).collect();
        let top = |name: &str| files.iter().any(|path| path.strip_prefix("models/") == Some(name));
        let Some(first) = files.iter().find(|path| !is_hidden(path)) else {
            return found.push(LintFinding::HiddenOnly);
        };
        if top("adapter_config.json") && !top("config.json") {
            found.push(LintFinding::AdapterAlone);
        }
        if files.iter().any(|path| direct(path) && !is_hidden(path)) {
            return;
        }
        let folder = first.split('/').nth(1).unwrap_or_default().to_owned();
        // The model repositories of Triton and of OpenVINO's server are made like this.
        let is_repository = |path: &&str| {
            path.ends_with("/config.pbtxt") || path.split('/').nth(2).is_some_and(|part| part.parse::<u32>().is_ok())
        };
        if folder.starts_with("models--") {
            found.push(LintFinding::HubCache { folder });
        } else if !files.iter().any(is_repository) {
            found.push(LintFinding::Nested { folder });
        }
    }
}

/// Returns whether a relative link at `path` leads to something in `/models`, without a step out of the folder.
fn stays_in_models(path: &str, target: &str) -> bool {
    let mut depth = path.matches('/').count();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => depth = depth.saturating_sub(1),
            _ => depth += 1,
        }
        if depth == 0 {
            return false;
        }
    }
    true
}

/// Returns whether a server needs the file, by its name.
fn is_needed(path: &str) -> bool {
    [".json", ".safetensors", ".bin", ".gguf", ".onnx", ".pt", ".model"].iter().any(|end| path.ends_with(end))
}
