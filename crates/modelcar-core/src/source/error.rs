//! The errors of sources.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Answerer, GateReason, TokenUse};
use crate::{
    ContentId, Digest, ModelPath,
    error::{ErrorKind, ModelcarError, OtherError},
    path::InvalidPath,
};

/// Why a source can't be opened, listed or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The repository does not exist, or it is private and can't be seen with the token.
    #[error("model `{repo}` was not found on {by}{}", .token.aside())]
    RepositoryNotFound {
        /// `owner/name`.
        repo: String,
        /// The server that says so.
        by: Answerer,
        /// Whether the token was sent.
        token: TokenUse,
        /// The server's answer.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The repository has no such branch, tag or commit.
    #[error("model `{repo}` has no revision `{revision}`")]
    RevisionNotFound {
        /// `owner/name`.
        repo: String,
        /// The revision asked for.
        revision: String,
        /// The server's answer; `None` when the revision is malformed and no server was asked.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The repository is gated: its files can be read only by accounts that the authors have given access.
    #[error("model `{repo}` is gated{}", .reason.told(.token))]
    Gated {
        /// `owner/name`.
        repo: String,
        /// Why there is no access.
        reason: GateReason,
        /// Whether the token was sent.
        token: TokenUse,
        /// The server's answer.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A text is not the name of a model.
    #[error("`{0}` is not a model: expected `owner/name` or `owner/name@revision`")]
    InvalidRepository(String),
    /// A text is not the name of a source: see [`SourceRef`](super::SourceRef).
    #[error("source `{0}` is neither a model nor a path")]
    InvalidName(String),
    /// The URL of a store names no folder of a bucket. It is not shown where it may hold a password.
    #[error("source `{url}` is no folder in a store: expected {scheme}BUCKET/PREFIX")]
    InvalidStore {
        /// The URL.
        url: String,
        /// What it begins with.
        scheme: &'static str,
    },
    /// The source is of a kind that this library can't open.
    #[error("source `{0}` is neither a model on the Hub or in its cache, nor a folder in a store, nor a directory")]
    Unknown(String),
    /// The model is in a store, and the library was built without stores, or the caller gave no way to them.
    #[error("source `{url}` is in a store, and access to stores is left out")]
    NoStores {
        /// The URL.
        url: String,
    },
    /// A request to a store failed, or it can't be asked.
    #[cfg(feature = "object-store")]
    #[error("{act}")]
    Store {
        /// The act and its object, by its URL.
        act: String,
        /// The failure.
        source: Box<super::StoreFailure>,
    },
    /// A folder in a store holds nothing.
    #[error("`{url}` holds no objects")]
    EmptyStore {
        /// The URL.
        url: String,
    },
    /// A store tells the versions of an object apart by nothing.
    #[error("the store of `{store}` lists `{path}` without an entity tag and a version: a change could go unnoticed")]
    NoCondition {
        /// The file.
        path: String,
        /// URL of the folder.
        store: String,
    },
    /// The model is on the Hub, and the caller gave no way to the Hub.
    #[error("model `{model}` is on the Hub, and access to the Hub is turned off")]
    Offline {
        /// `owner/name[@revision]`.
        model: String,
    },
    /// The model is in the Hugging Face cache, and the caller gave no folder of a cache.
    #[error("model `{model}` is in the Hugging Face cache, and no folder of the cache is given")]
    NoCacheFolder {
        /// `owner/name[@revision]`.
        model: String,
    },
    /// The cache does not hold the revision.
    #[error("revision `{revision}` of `{repo}` is not in the Hugging Face cache `{}`; in it: {}", .folder.display(), listed(.cached, "no revision of the model"))]
    NotCached {
        /// `owner/name`.
        repo: String,
        /// The revision asked for.
        revision: String,
        /// Folder of the cache.
        folder: Box<Path>,
        /// Snapshots of the model that the cache has, for people: branches and tags with their commits, and other
        /// commits.
        cached: Vec<String>,
    },
    /// Files of the model are missing from the cache.
    #[error("commit {commit} of `{repo}` is incomplete in the Hugging Face cache; missing: {}", listed(.missing, "no files"))]
    NotWhole {
        /// `owner/name`.
        repo: String,
        /// The commit.
        commit: String,
        /// Paths inside the model, at least one.
        missing: Vec<String>,
    },
    /// The source has an unfinished file of a download that was interrupted.
    #[error("`{path}` is an unfinished file of an interrupted download")]
    Unfinished {
        /// Path on the file system.
        path: PathBuf,
    },
    /// A request failed, to the Hub or to a store that the Hub redirects to.
    #[cfg(feature = "hub")]
    #[error("{what} on {by}{}", token_aside(.by, .token, .source))]
    Http {
        /// The act and its object.
        what: String,
        /// The server that was asked.
        by: Answerer,
        /// Whether the token was sent.
        token: TokenUse,
        /// The failure.
        source: Box<crate::http::HttpFailure>,
    },
    /// The connection broke while the body of an answer was read.
    #[error("read `{path}` from `{host}`: the body broke off at byte {at} of {size}")]
    BrokenBody {
        /// The file.
        path: ModelPath,
        /// The host that served it.
        host: String,
        /// Offset in the file of the first byte that did not arrive.
        at: u64,
        /// Size of the file in bytes.
        size: u64,
        /// The error of the connection; `None` when the body ended early without an error.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// No byte came for the time of the stall timeout.
    #[error("read `{path}` from `{host}`: no byte for {seconds} s")]
    Stalled {
        /// The file.
        path: ModelPath,
        /// The host that served it.
        host: String,
        /// The time without a byte, in seconds.
        seconds: u64,
    },
    /// A server sent something else than the listed file: another size, another hash, or a web page.
    #[error("{by} sent something else in place of `{path}`: {reason}")]
    NotTheFile {
        /// The file.
        path: ModelPath,
        /// The server that answered.
        by: Answerer,
        /// The difference from the listing.
        reason: String,
    },
    /// A server does not support `Range` requests and always sends the whole file.
    /// [`ranged::read`](super::ranged::read) then reads the file with one request.
    #[error("`{host}` gives `{path}` as a whole only")]
    NoRanges {
        /// The file.
        path: ModelPath,
        /// The host that serves it.
        host: String,
    },
    /// The listing has no hash by which the content of a file can be verified.
    #[error("{by} lists `{path}` without the {hash} of its content, so that it can't be verified")]
    NoHash {
        /// The file.
        path: String,
        /// The server that lists the file.
        by: Answerer,
        /// The kind of hash that is missing.
        hash: &'static str,
    },
    /// The source's listing, or its answer about a revision, is malformed or contradicts itself, and is refused as a
    /// whole.
    #[error("the listing of `{source_name}` can't be used: {reason}")]
    HostileListing {
        /// The source.
        source_name: String,
        /// What is wrong.
        reason: String,
        /// Path of the entry that can't be used, made safe to print; `None` when the listing as a whole can't be used.
        entry: Option<String>,
        /// Why the path of the entry is invalid, if it is.
        source: Option<Box<InvalidPath>>,
    },
    /// An entry of a directory can't be a file of a model.
    #[error("`{path}` {reason}")]
    BadEntry {
        /// Path on the file system.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The path of a model's directory is not that of a directory.
    #[error("`{path}` is not a directory")]
    NotADirectory {
        /// Path on the file system.
        path: PathBuf,
    },
    /// Links to folders multiply the entries of a directory beyond a limit.
    #[error("`{path}` has more than {max} entries behind links to folders")]
    TooManyLinked {
        /// Path on the file system of the first entry beyond the limit.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
    /// A link in a directory leads nowhere.
    #[error("`{path}` is a link to `{target}`, which is not there")]
    DanglingLink {
        /// Path on the file system.
        path: PathBuf,
        /// The target that is written in the link.
        target: PathBuf,
    },
    /// The caller asked for a file that the source does not list.
    #[error("`{path}` is not there")]
    NotListed {
        /// Path on the file system, or inside the model where the source is no directory.
        path: PathBuf,
    },
    /// The endpoint of the Hub is not a usable URL.
    #[error("the Hub's address {address} {reason}")]
    BadEndpoint {
        /// The address in backquotes, or `(not shown)` for an address that may contain a password.
        address: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The Hub's token can't be sent in an HTTP header. The error does not contain the token.
    #[error("the Hub's token contains a character that an HTTP header can't carry")]
    BadToken,
    /// A file has changed since it was listed.
    #[error("`{path}` changed while it was read: {reason}")]
    Changed {
        /// Path on the file system, or inside the model where the source is no directory.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// A file that was read whole before the layers is not the one that is listed.
    #[error("content of `{path}` is wrong: expected `{expected}`, got `{actual}`")]
    WrongContent {
        /// Path of the file in the model.
        path: ModelPath,
        /// The content id in the listing.
        expected: Box<ContentId>,
        /// The content id of the bytes that came.
        actual: Box<ContentId>,
    },
    /// A layer that a registry holds could not be read, or is not what it should be.
    #[error("read the files of layer `{digest}`")]
    Layer {
        /// Digest of the layer.
        digest: Digest,
        /// The failure.
        source: Box<crate::Error>,
    },
    /// An operation of the file system failed.
    #[error("{act} `{path}`")]
    Io {
        /// The operation, as a verb.
        act: &'static str,
        /// Path on the file system.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A [`Source`](super::Source) of another program failed.
    #[error(transparent)]
    Other(#[from] OtherError),
}

/// Most names that an error message lists.
const TOLD_MAX: usize = 8;

/// Returns the first of `names` and the number of further names, or `none` where there are no names.
fn listed(names: &[String], none: &str) -> String {
    let told: Vec<_> = names.iter().take(TOLD_MAX).map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => none.to_owned(),
        all if all > TOLD_MAX => format!("{} and {} more", told.join(", "), all - TOLD_MAX),
        _ => told.join(", "),
    }
}

impl SourceError {
    /// Returns whether the Hub or the store is out of reach for a while, which says nothing about what was asked.
    #[cfg_attr(
        not(any(feature = "hub", feature = "object-store")),
        expect(clippy::unused_self, reason = "nothing is read over a network")
    )]
    pub(in crate::source) fn is_outage(&self) -> bool {
        #[cfg(feature = "hub")]
        if let Self::Http { source, .. } = self {
            return source.is_outage();
        }
        #[cfg(feature = "object-store")]
        if let Self::Store { source, .. } = self {
            return source.is_retryable();
        }
        false
    }
}

impl ModelcarError for SourceError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::RepositoryNotFound { token, .. } | Self::Gated { token, .. } if token.is_absent() => ErrorKind::Auth,
            Self::RepositoryNotFound { .. }
            | Self::RevisionNotFound { .. }
            | Self::NotListed { .. }
            | Self::NotCached { .. }
            | Self::EmptyStore { .. }
            | Self::NotWhole { .. } => ErrorKind::NotFound,
            Self::Gated { .. } => ErrorKind::Denied,
            Self::InvalidRepository(_)
            | Self::InvalidName(_)
            | Self::InvalidStore { .. }
            | Self::Unknown(_)
            | Self::NoStores { .. }
            | Self::NoCondition { .. }
            | Self::Offline { .. }
            | Self::NoCacheFolder { .. }
            | Self::Unfinished { .. }
            | Self::HostileListing { .. }
            | Self::NoHash { .. }
            | Self::BadEntry { .. }
            | Self::NotADirectory { .. }
            | Self::DanglingLink { .. }
            | Self::TooManyLinked { .. }
            | Self::BadEndpoint { .. }
            | Self::BadToken => ErrorKind::InvalidInput,
            #[cfg(feature = "hub")]
            Self::Http { by, source, .. } => match source.kind() {
                kind if by.knows_models() || kind == ErrorKind::RateLimited => kind,
                // A store or proxy refused: neither a token nor another name of the model would help.
                _ => ErrorKind::Network,
            },
            #[cfg(feature = "object-store")]
            Self::Store { source, .. } => source.kind(),
            Self::BrokenBody { .. } | Self::Stalled { .. } | Self::NoRanges { .. } => ErrorKind::Network,
            Self::Changed { .. } | Self::NotTheFile { .. } | Self::WrongContent { .. } => ErrorKind::Integrity,
            Self::Layer { source, .. } => source.kind(),
            Self::Other(error) => error.kind(),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::Io { .. } => ErrorKind::Io,
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            #[cfg(feature = "hub")]
            Self::Http { source, .. } => source.is_retryable(),
            #[cfg(feature = "object-store")]
            Self::Store { source, .. } => source.is_retryable(),
            Self::Layer { source, .. } => source.is_retryable(),
            Self::Other(error) => error.is_retryable(),
            Self::BrokenBody { .. } | Self::Stalled { .. } => true,
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            #[cfg(feature = "hub")]
            Self::Http { source, .. } => source.retry_after(),
            #[cfg(feature = "object-store")]
            Self::Store { source, .. } => source.retry_after(),
            Self::Layer { source, .. } => source.retry_after(),
            Self::Other(error) => error.retry_after(),
            _ => None,
        }
    }

    /// Returns `true`: a source retries by itself, as [`Source::read`](super::Source::read) demands.
    fn was_retried(&self) -> bool {
        true
    }
}

/// Returns a text about the token where the Hub or a mirror refused the request (401, 403), and an empty text
/// otherwise.
#[cfg(feature = "hub")]
fn token_aside(by: &Answerer, token: &TokenUse, failure: &crate::http::HttpFailure) -> String {
    let refused = failure.status.is_some_and(|status| matches!(status.as_u16(), 401 | 403));
    if refused && by.knows_models() { token.aside() } else { String::new() }
}
