//! How a store is reached.

use std::{sync::Arc, time::Duration};

use super::Contents;
use crate::{
    http::{Network, Secret},
    progress::{NoProgress, Progress},
    source::{StoreKind, StoreUrl, Unwanted},
};

/// How a store is reached.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Settings of the crate `object_store` by their names there, for example `aws_access_key_id`,
    /// `aws_endpoint_url` or `google_application_credentials`. A bucket takes those that begin with `aws_` or with
    /// `google_`, as its store is; a name that the crate does not know is passed over. All values are secrets.
    ///
    /// Proxies and certificate authorities are those of `network`, the limits of time those of this struct.
    pub settings: Vec<(String, Secret)>,
    /// Where the hashes of objects are kept that were read once. Without it every object is read anew.
    pub contents: Option<Contents>,
    /// Entries of a listing that are passed over where they can't stand in a model.
    pub unwanted: Unwanted,
    /// Connections of a first read.
    pub connections: usize,
    /// Bytes that a first read reads ahead in all.
    pub read_ahead_bytes: u64,
    /// How often a request, or the rest of a part, is tried at most; twice as often while the store is out of reach after
    /// bytes of a file came.
    pub attempts: u32,
    /// Wait after the first failure; doubled after each further one.
    pub retry_base: Duration,
    /// How long a connection may bring no byte before it is given up.
    pub stall_timeout: Duration,
    /// Who is trusted, and through which proxy.
    pub network: Network,
    /// Who is told of steps and of tries that follow a failure.
    pub progress: Arc<dyn Progress>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            settings: Vec::new(),
            contents: None,
            unwanted: Unwanted::none(),
            connections: 8,
            read_ahead_bytes: 64 << 20,
            attempts: 5,
            retry_base: Duration::from_millis(500),
            stall_timeout: Duration::from_mins(1),
            network: Network::default(),
            progress: Arc::new(NoProgress),
        }
    }
}

impl StoreOptions {
    /// Returns the settings that are for a kind of store, with their names in small letters.
    pub(super) fn settings_for(&self, kind: StoreKind) -> impl Iterator<Item = (String, &str)> {
        let prefix = match kind {
            StoreKind::S3 => "aws_",
            StoreKind::Gcs => "google_",
        };
        let named = self.settings.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.expose()));
        named.filter(move |(name, _)| name.starts_with(prefix))
    }

    /// Returns what tells the bucket apart from one of the same name on another server.
    pub(super) fn place(&self, url: &StoreUrl) -> String {
        let server = |name: &str| name.contains("endpoint") || name.ends_with("base_url");
        let servers = self.settings_for(url.kind()).filter(|(name, _)| server(name));
        servers.fold(url.to_string(), |place, (_, value)| format!("{place}\n{value}"))
    }

    /// Returns what an answer must not repeat.
    pub(super) fn secrets(&self) -> Arc<[String]> {
        let is_secret = |name: &str| ["key", "token", "account"].iter().any(|word| name.contains(word));
        let secret = self.settings.iter().filter(|(name, _)| is_secret(&name.to_ascii_lowercase()));
        secret.map(|(_, value)| value.expose().to_owned()).collect()
    }
}
