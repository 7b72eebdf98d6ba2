//! Owns the fake Hub's repositories, commits and signed urls.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use sha1::{Digest as _, Sha1};

use crate::content::{hex, mix};
use crate::tree::{ModelTree, TreeFile};

/// Settings of one repository.
#[derive(Clone, Debug, Default)]
pub struct RepoOptions {
    /// `auto` or `manual`: files need a token listed in `granted`.
    pub gated: Option<String>,
    /// Hidden from anonymous callers and, when `granted` is not empty, from other tokens.
    pub private: bool,
    /// Tokens with access to a gated or private repository.
    pub granted: Vec<String>,
    /// Fields added to, or replacing those of, the model information.
    pub extra: Map<String, Value>,
}

#[derive(Debug)]
pub(super) struct Repo {
    pub(super) id: String,
    pub(super) options: RepoOptions,
    commits: HashMap<String, ModelTree>,
    refs: HashMap<String, String>,
}

impl Repo {
    /// The commit a revision names, with its tree.
    pub(super) fn resolve(&self, revision: &str) -> Option<(&str, &ModelTree)> {
        let commit = self.refs.get(revision).map_or(revision, String::as_str);
        let (commit, tree) = self.commits.get_key_value(commit)?;
        Some((commit, tree))
    }
}

/// A url handed out for one file.
#[derive(Debug)]
struct SignedUrl {
    path: String,
    file: Arc<TreeFile>,
    made: Instant,
    uses: u32,
    expired: bool,
}

#[derive(Debug, Default)]
pub(super) struct Repos {
    /// By lower-case id.
    by_id: HashMap<String, Repo>,
    aliases: HashMap<String, String>,
    urls: HashMap<String, SignedUrl>,
    counter: u64,
}

impl Repos {
    /// The repository `id` means; its own `id` differs when a redirect is due.
    pub(super) fn find(&self, id: &str) -> Option<&Repo> {
        let key = id.to_lowercase();
        self.by_id.get(self.aliases.get(&key).unwrap_or(&key))
    }

    pub(super) fn add(&mut self, id: &str, revision: &str, tree: ModelTree) -> String {
        let repo = self.by_id.entry(id.to_lowercase()).or_insert_with(|| Repo {
            id: id.to_owned(),
            options: RepoOptions::default(),
            commits: HashMap::new(),
            refs: HashMap::new(),
        });
        let mut hasher = Sha1::new();
        hasher.update(format!("{id}\n{revision}\n{}\n", repo.commits.len()));
        for (path, file) in tree.files() {
            hasher.update(format!("{path} {}\n", file.size()));
        }
        let commit = hex(&hasher.finalize());
        repo.commits.insert(commit.clone(), tree);
        repo.refs.insert(revision.to_owned(), commit.clone());
        commit
    }

    pub(super) fn set_ref(&mut self, id: &str, revision: &str, commit: &str) {
        let repo = self.by_id.get_mut(&id.to_lowercase()).expect("repository was added before");
        assert!(repo.commits.contains_key(commit), "commit {commit} was added before");
        repo.refs.insert(revision.to_owned(), commit.to_owned());
    }

    pub(super) fn configure(&mut self, id: &str, options: RepoOptions) {
        let repo = self.by_id.get_mut(&id.to_lowercase()).expect("repository was added before");
        repo.options = options;
    }

    pub(super) fn add_alias(&mut self, old: &str, new: &str) {
        self.aliases.insert(old.to_lowercase(), new.to_lowercase());
    }

    /// Records a url for `path` on the CDN and returns its signature.
    pub(super) fn sign(&mut self, path: String, file: Arc<TreeFile>) -> String {
        self.counter += 1;
        let signature = format!("{:016x}{:016x}", mix(self.counter), mix(!self.counter));
        let url = SignedUrl { path, file, made: Instant::now(), uses: 0, expired: false };
        self.urls.insert(signature.clone(), url);
        signature
    }

    /// The file behind a signed url, counting one use; an error says why it is refused.
    pub(super) fn open(
        &mut self,
        signature: &str,
        path: &str,
        ttl: Option<Duration>,
        max_uses: Option<u32>,
    ) -> Result<Arc<TreeFile>, &'static str> {
        let url = self.urls.get_mut(signature).ok_or("SignatureDoesNotMatch")?;
        if url.path != path {
            return Err("SignatureDoesNotMatch");
        }
        let aged = ttl.is_some_and(|ttl| url.made.elapsed() >= ttl);
        if url.expired || aged || max_uses.is_some_and(|limit| url.uses >= limit) {
            return Err("Request has expired");
        }
        url.uses += 1;
        Ok(Arc::clone(&url.file))
    }

    pub(super) fn expire_urls(&mut self) {
        for url in self.urls.values_mut() {
            url.expired = true;
        }
    }
}
