//! Owns how a fake registry loses what it said that it has.

use serde_json::Value;

use super::store::Repository;
use super::{Call, RegistryAction, State};
use crate::server::{Reply, decode};

/// What a request is about, as far as it can be lost.
pub(super) struct Losses {
    repo: String,
    /// Tag or digest of a manifest, or the digest of an upload.
    name: String,
    /// Where the tag pointed before the request.
    tag_before: Option<String>,
}

impl Losses {
    /// Notes what is there before the request; `None` for a request that stores nothing, or a registry that loses
    /// nothing.
    pub(super) fn expect(state: &State, call: &Call) -> Option<Self> {
        use RegistryAction::{KeepHalf, KeepTag, Lose, LoseLayer};
        if !matches!(call.fault, Some(Lose | LoseLayer | KeepHalf | KeepTag)) || call.method != "PUT" {
            return None;
        }
        let rest = call.path.strip_prefix("/v2/")?;
        let (repo, name) = match rest.split_once("/blobs/uploads/") {
            Some((repo, _)) => (repo, call.query.get("digest")?.to_owned()),
            None => rest.split_once("/manifests/").map(|(repo, name)| (repo, decode(name)))?,
        };
        let tag_before = state.store().repo(repo).tags.get(&name).cloned();
        Some(Self { repo: repo.to_owned(), name, tag_before })
    }

    /// Loses it, when the answer says that it was stored.
    pub(super) fn happen(self, state: &State, call: &Call, answer: &Reply) {
        if !answer.status().is_success() {
            return;
        }
        let mut store = state.store();
        let held = store.repo(&self.repo);
        match call.fault {
            Some(RegistryAction::Lose) => {
                let digest = held.tags.get(&self.name).unwrap_or(&self.name).clone();
                held.blobs.remove(&digest);
                held.manifests.remove(&digest);
            }
            Some(RegistryAction::LoseLayer) => {
                if let Some(layer) = first_layer(held, &self.name) {
                    held.blobs.remove(&layer);
                }
            }
            Some(RegistryAction::KeepHalf) => {
                if let Some(blob) = held.blobs.get_mut(&self.name) {
                    blob.bytes = blob.bytes.as_ref().map(|bytes| bytes.slice(..bytes.len() / 2));
                    blob.len /= 2;
                }
            }
            Some(RegistryAction::KeepTag) => match self.tag_before {
                Some(digest) => drop(held.tags.insert(self.name, digest)),
                None => drop(held.tags.remove(&self.name)),
            },
            _ => {}
        }
    }
}

/// The first layer of a manifest, or of the first manifest of an index.
fn first_layer(held: &Repository, reference: &str) -> Option<String> {
    let manifest: Value = serde_json::from_slice(&held.manifest(reference)?.bytes).ok()?;
    match manifest.pointer("/manifests/0/digest").and_then(Value::as_str) {
        Some(child) => first_layer(held, child),
        None => manifest.pointer("/layers/0/digest").and_then(Value::as_str).map(str::to_owned),
    }
}
