//! Owns what a fake registry holds: blobs, manifests, tags and open uploads.

use std::collections::{BTreeMap, HashMap};
use std::mem;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::config::{BrokenPatch, Storage};
use crate::content::{Content, hex, mix, to_usize};

/// Blobs up to this length are kept in every storage mode.
const ALWAYS_KEPT: usize = 1 << 20;

/// A manifest as it was pushed.
#[derive(Clone, Debug)]
pub struct StoredManifest {
    /// Digest of the exact bytes.
    pub digest: String,
    /// Media type.
    pub media_type: String,
    /// The exact bytes.
    pub bytes: Bytes,
}

#[derive(Clone, Debug)]
pub(super) struct Blob {
    pub(super) len: u64,
    /// `None` when the storage mode discarded them.
    pub(super) bytes: Option<Bytes>,
}

#[derive(Debug, Default)]
pub(super) struct Repository {
    pub(super) blobs: BTreeMap<String, Blob>,
    pub(super) manifests: BTreeMap<String, StoredManifest>,
    pub(super) tags: BTreeMap<String, String>,
}

impl Repository {
    /// The manifest a tag or digest names.
    pub(super) fn manifest(&self, reference: &str) -> Option<&StoredManifest> {
        self.manifests.get(self.tags.get(reference).map_or(reference, String::as_str))
    }
}

#[derive(Debug)]
pub(super) struct Upload {
    pub(super) repo: String,
    /// Part of the newest location; older locations are refused.
    pub(super) state: String,
    /// `None` while a request is writing.
    pub(super) sink: Option<Sink>,
    pub(super) last_chunk: Option<u64>,
    /// Whether it takes nothing more.
    pub(super) dead: bool,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) repos: BTreeMap<String, Repository>,
    pub(super) uploads: HashMap<String, Upload>,
    counter: u64,
}

impl Store {
    pub(super) fn repo(&mut self, name: &str) -> &mut Repository {
        self.repos.entry(name.to_owned()).or_default()
    }

    pub(super) fn blob(&self, repo: &str, digest: &str) -> Option<&Blob> {
        self.repos.get(repo)?.blobs.get(digest)
    }

    pub(super) fn unique(&mut self) -> String {
        self.counter += 1;
        format!("{:016x}", mix(self.counter))
    }

    pub(super) fn open_upload(&mut self, repo: &str, storage: Storage) -> String {
        let (id, state) = (self.unique(), self.unique());
        let sink = Some(Sink::new(storage));
        let upload = Upload { repo: repo.to_owned(), state, sink, last_chunk: None, dead: false };
        self.uploads.insert(id.clone(), upload);
        id
    }

    /// Voids the current location of an upload and returns its new state.
    pub(super) fn renew(&mut self, id: &str) -> Option<String> {
        let state = self.unique();
        let upload = self.uploads.get_mut(id)?;
        upload.state.clone_from(&state);
        Some(state)
    }

    pub(super) fn put_blob(&mut self, repo: &str, digest: &str, blob: Blob) {
        self.repo(repo).blobs.insert(digest.to_owned(), blob);
    }

    pub(super) fn put_manifest(&mut self, repo: &str, reference: &str, manifest: StoredManifest) {
        let repo = self.repo(repo);
        if !reference.contains(':') {
            repo.tags.insert(reference.to_owned(), manifest.digest.clone());
        }
        repo.manifests.insert(manifest.digest.clone(), manifest);
    }
}

/// `sha256:<hex>` of `bytes`.
pub(super) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// Takes the bytes of one upload.
#[derive(Debug)]
pub(super) struct Sink {
    storage: Storage,
    hasher: Option<Sha256>,
    kept: Option<Vec<u8>>,
    pub(super) len: u64,
}

/// What a [`Sink`] looked like earlier.
pub(super) struct Mark {
    hasher: Option<Sha256>,
    len: u64,
}

impl Sink {
    pub(super) fn new(storage: Storage) -> Self {
        let hasher = (storage != Storage::CountNoHash).then(Sha256::new);
        Self { storage, hasher, kept: Some(Vec::new()), len: 0 }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        if let Some(kept) = &mut self.kept {
            if self.storage == Storage::Memory || kept.len() + bytes.len() <= ALWAYS_KEPT {
                kept.extend_from_slice(bytes);
            } else {
                self.kept = None;
            }
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { hasher: self.hasher.clone(), len: self.len }
    }

    /// Applies the policy for a broken body; false when the session must go.
    pub(super) fn broken(&mut self, policy: BrokenPatch, mark: Mark) -> bool {
        if policy == BrokenPatch::Rollback {
            self.hasher = mark.hasher;
            self.len = mark.len;
            if let Some(kept) = &mut self.kept {
                kept.truncate(to_usize(mark.len));
            }
        }
        policy != BrokenPatch::DeleteSession
    }

    /// The blob, unless its bytes do not have this digest.
    pub(super) fn finish(mut self, digest: &str) -> Option<Blob> {
        if let Some(hasher) = mem::take(&mut self.hasher) {
            let actual = format!("sha256:{}", hex(&hasher.finalize()));
            if actual != digest {
                return None;
            }
        }
        Some(Blob { len: self.len, bytes: self.kept.map(Bytes::from) })
    }
}

impl Blob {
    pub(super) fn content(&self) -> Option<Content> {
        self.bytes.clone().map(Content::Bytes)
    }
}
