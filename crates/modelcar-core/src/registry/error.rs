//! Errors of requests to a registry, and of the search for its credentials.

use std::{io, path::PathBuf, time::Duration};

use crate::{
    Digest, Tag,
    error::{Error, ErrorKind, ModelcarError, OtherError},
    http::{HttpFailure, InvalidNetwork},
};

/// Errors of requests to a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// A request was refused, or got no answer in time, or the connection failed. The error is retryable if the HTTP
    /// failure is; its kind follows from the status and the registry's error code.
    #[error("{act} at `{repository}`")]
    Request {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// The failure.
        source: Box<HttpFailure>,
    },
    /// The registry's answer breaks the protocol: a header is missing, a body is too large, a name gives no URL.
    #[error("{act} at `{repository}`: {reason}")]
    Protocol {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// How the answer breaks the protocol.
        reason: String,
    },
    /// The registry names a location or a token server that the client must not go to: not HTTP, plain HTTP after
    /// HTTPS, or an address that is more private than the registry's own.
    #[error("`{repository}` points to `{host}`: {reason}")]
    RefusedRedirect {
        /// `registry/repository`.
        repository: String,
        /// The host that the registry names.
        host: String,
        /// Why the client does not go there.
        reason: &'static str,
    },
    /// An upload session is lost: the registry does not know it any more, or accepts no more bytes in it. A new session
    /// may succeed.
    #[error("{act} at `{repository}`: the upload session is lost")]
    SessionLost {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// The registry's answer.
        source: Box<HttpFailure>,
    },
    /// The registry refused the digest of an upload that had been resumed: the session holds other bytes than were
    /// sent.
    #[error("{act} at `{repository}`: the upload did not resume at the offset that the registry had confirmed")]
    Resumed {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// The registry's answer.
        source: Box<HttpFailure>,
    },
    /// The registry accepted the credentials at the start of an upload and refuses them during the upload. An upload is
    /// started once more with new credentials.
    #[error("{act} at `{repository}`: the credentials expired during the upload")]
    LoginExpired {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// The registry's answer.
        source: Box<HttpFailure>,
    },
    /// The registry, or a proxy before it, accepts no request of this size (413).
    #[error("{act} at `{repository}`: the registry, or a proxy before it, accepts no request of {bytes} bytes")]
    TooLarge {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// Size of the refused request, in bytes.
        bytes: u64,
        /// The registry's answer.
        source: Box<HttpFailure>,
    },
    /// The options ask for chunked uploads, and the registry does not support them.
    #[error("`{repository}`: {registry} takes no uploads in chunks")]
    NoChunks {
        /// `registry/repository`.
        repository: String,
        /// Name of the registry's product.
        registry: &'static str,
    },
    /// The repository's name does not have the form that the registry requires.
    #[error("`{repository}` can't be a repository on {registry}: {reason}")]
    BadName {
        /// `registry/repository`.
        repository: String,
        /// Name of the registry's product.
        registry: &'static str,
        /// The required form.
        reason: &'static str,
    },
    /// The tag points to another image and the registry does not let anybody overwrite it.
    #[error("tag `{tag}` of `{repository}` can't be moved and is taken by `{digest}`")]
    TagTaken {
        /// `registry/repository`.
        repository: String,
        /// The tag.
        tag: Tag,
        /// The image that the tag points to.
        digest: Digest,
    },
    /// The body of an upload is longer or shorter than it announced.
    #[error("{title} has {actual} bytes or more, expected {expected}")]
    WrongLength {
        /// Title of the body.
        title: String,
        /// The announced size, in bytes.
        expected: u64,
        /// The number of bytes that came. A body that is too long may have more bytes than this.
        actual: u64,
    },
    /// The body of an upload has another digest than it announced.
    #[error("{title} is `{actual}`, expected `{expected}`")]
    WrongBody {
        /// Title of the body.
        title: String,
        /// The announced digest.
        expected: Digest,
        /// The digest of the body.
        actual: Digest,
    },
    /// The connection transferred no byte for a long time, or a download was slower than the lowest accepted rate.
    #[error("{act} at `{repository}`: no byte moved for {seconds} s")]
    Stalled {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// The limit or the measured time without a byte, in seconds.
        seconds: u64,
    },
    /// The registry reported success before it had read the whole upload. An upload whose digest was announced still
    /// succeeds if the registry holds the blob.
    #[error("{act} at `{repository}`: it answered {status} before all bytes were sent")]
    AnsweredEarly {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// Status of the answer, between 200 and 299.
        status: u16,
    },
    /// The registry sent, or says that it stored, bytes with another digest than expected.
    #[error("`{repository}` gave wrong bytes: expected `{expected}`, got `{actual}`")]
    WrongDigest {
        /// `registry/repository`.
        repository: String,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of the bytes that came, or that the registry names in `Docker-Content-Digest`.
        actual: Digest,
    },
    /// The manifest is of Docker's schema 1, which registries and clients gave up. The field is the image's reference.
    /// The digest of such an image is not the digest of the manifest's bytes.
    #[error("`{0}` is a Docker schema 1 image, which is not supported")]
    Schema1(String),
    /// The registry accepted an image and does not give back all of it. A pull would fail.
    #[error(
        "`{repository}` accepted image `{digest}` and does not give all of it back, so nothing of it should be deployed: \
         {}",
        .missing.join("; ")
    )]
    NotReadable {
        /// `registry/repository`.
        repository: String,
        /// Digest of the image's index.
        digest: Digest,
        /// What is missing or wrong: a text for each document, tag and layer.
        missing: Vec<String>,
        /// The layers and configs among them that the registry lacks or gives wrong.
        blobs: Box<[Digest]>,
        /// The index and the manifests among them that the registry lacks or gives wrong. What may not be read, or got
        /// no answer, is in neither list.
        manifests: Box<[Digest]>,
    },
    /// The registry refuses a manifest because of what the manifest names, and did so at every try.
    #[error("{act} at `{repository}`: {}", lacking(.missing))]
    NamesMissing {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// The blobs or manifests that the registry reports as missing.
        missing: Vec<Digest>,
        /// The registry's answer to the last try.
        source: Box<HttpFailure>,
    },
    /// The login may push to the repository and may not read it. A push reads the image back before it succeeds.
    #[error("the login may push to `{repository}` and may not read it")]
    MayNotRead {
        /// `registry/repository`.
        repository: String,
        /// The answer to a request that reads.
        source: Box<Self>,
    },
    /// The registry sends uploads to another host, and this host wants a login. A login goes to the registry alone.
    #[error("uploads to `{repository}` go to `{host}`, which wants a login and gets none")]
    UploadHost {
        /// `registry/repository`.
        repository: String,
        /// The other host, as `host` or `host:port`.
        host: String,
    },
    /// A web page came in place of a registry's answer. The server is no registry, or a proxy asks for a login.
    #[error("{act} at `{repository}`: a web page came in place of a registry's answer (status {status})")]
    Page {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// Status of the answer, between 200 and 299.
        status: u16,
    },
    /// The registry says that it holds fewer bytes of an upload than were sent. The rest may be sent again.
    #[error("{act} at `{repository}`: it holds {held} bytes after {sent} were sent")]
    HoldsLess {
        /// What was tried, and on which object.
        act: String,
        /// `registry/repository`.
        repository: String,
        /// Number of bytes that the registry says it holds.
        held: u64,
        /// Number of bytes that were sent.
        sent: u64,
    },
    /// The registry has no such image. The field is the image's reference: repository, and tag or digest.
    #[error("image `{0}` was not found")]
    ImageNotFound(String),
    /// A keychain failed. The failure ends the search: the client does not continue with the next keychain or
    /// anonymously.
    #[error("find the login for `{registry}`")]
    Keychain {
        /// The registry, as `host` or `host:port`.
        registry: String,
        /// The failure.
        source: KeychainError,
    },
    /// The registry requires credentials, and no keychain has any.
    #[error("`{registry}` wants a login and none was found; looked at {looked}")]
    NoLogin {
        /// The registry, as `host` or `host:port`.
        registry: String,
        /// The places where credentials were looked for, separated by commas, or `nowhere`.
        looked: String,
        /// The token server's answer, if it was asked.
        source: Option<Box<HttpFailure>>,
    },
    /// The registry or its token server refuses all credentials that were found.
    #[error("`{registry}` refuses the login from {origin}")]
    LoginRefused {
        /// The registry, as `host` or `host:port`.
        registry: String,
        /// Origin of the credentials that were refused last: a file and its entry, a helper, a server.
        origin: String,
        /// The token server's answer, if it was asked.
        source: Option<Box<HttpFailure>>,
    },
    /// A file with certificates for the registry, or their folder, can't be read.
    #[error("read `{path}`, which has certificates for the registry")]
    ReadCertificates {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file with certificates for the registry can't be used.
    #[error("use the certificates or the key in `{path}` for the registry")]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: InvalidNetwork,
    },
    /// The HTTP client could not be made, for example because no certificate authority could be loaded.
    #[error("set up the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Why credentials could not be found. An error is not the same as a keychain without credentials, which is no failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeychainError {
    /// A login file exists and can't be read, or a file that the user named does not exist.
    #[error("read login file `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A login file has an invalid form, or is too large.
    #[error("login file `{path}`: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why the file is invalid. Never holds a value of the file.
        reason: String,
    },
    /// Google gave no access token.
    #[error("get an access token from {origin}: {reason}")]
    Google {
        /// Kind and place of the credentials, for example `authorized_user of` and a path.
        origin: String,
        /// Reason of the failure. Never holds a secret.
        reason: String,
        /// Whether another try may succeed later.
        passing: bool,
    },
    /// A credential helper failed.
    #[error("credential helper `{helper}`: {reason}")]
    Helper {
        /// Name of the program: `docker-credential-` and the suffix that the login file names.
        helper: String,
        /// Reason of the failure. Never holds the helper's answer if that may be a secret.
        reason: String,
    },
    /// A login file names a credential helper that is not installed.
    #[error("credential helper `{helper}` is not installed")]
    NoHelper {
        /// Name of the program: `docker-credential-` and the suffix that the login file names.
        helper: String,
    },
    /// A keychain that is not from this library failed.
    #[error(transparent)]
    Other(#[from] OtherError),
}

impl ModelcarError for KeychainError {
    /// [`ErrorKind::Auth`], except for a keychain of the caller, which chooses the kind.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Other(error) => error.kind(),
            _ => ErrorKind::Auth,
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Google { passing, .. } => *passing,
            Self::Other(error) => error.is_retryable(),
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Other(error) => error.retry_after(),
            _ => None,
        }
    }
}

impl RegistryError {
    /// Makes the error for an image of `repository` that is not there.
    pub(crate) fn not_found(repository: &str, selector: &str) -> Self {
        Self::ImageNotFound(reference(repository, selector))
    }

    /// Makes the error for an image of `repository` that is of Docker's schema 1.
    pub(super) fn schema1(repository: &str, selector: &str) -> Self {
        Self::Schema1(reference(repository, selector))
    }

    /// Returns the registry error that `error` carries; `None` for an error of another origin, such as the source of a
    /// layer.
    pub(super) fn of(error: &Error) -> Option<&Self> {
        error.downcast_ref()
    }

    /// Returns whether a request got no answer: the registry can't be reached, or is silent.
    pub(crate) fn is_silence(&self) -> bool {
        match self {
            Self::Request { source, .. } => source.status.is_none() && source.is_retryable(),
            Self::Stalled { .. } => true,
            _ => false,
        }
    }

    /// Returns the HTTP failure that ended the request; `None` for an error without one.
    pub(super) fn http(&self) -> Option<&HttpFailure> {
        match self {
            Self::Request { source, .. }
            | Self::SessionLost { source, .. }
            | Self::Resumed { source, .. }
            | Self::LoginExpired { source, .. }
            | Self::NamesMissing { source, .. }
            | Self::TooLarge { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Writes the reference of an image as people do: a digest follows `@`, a tag follows `:`.
fn reference(repository: &str, selector: &str) -> String {
    let sign = if selector.contains(':') { '@' } else { ':' };
    format!("{repository}{sign}{selector}")
}

/// Says what a registry lacks that refuses a manifest.
fn lacking(missing: &[Digest]) -> String {
    if missing.is_empty() {
        return "it has everything that the manifest names and refuses the manifest all the same".to_owned();
    }
    let digests: Vec<String> = missing.iter().map(|digest| format!("`{digest}`")).collect();
    format!("it lacks what the manifest names: {}", digests.join(", "))
}

impl ModelcarError for RegistryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Request { source, .. } => source.kind(),
            Self::Protocol { .. }
            | Self::NotReadable { .. }
            | Self::NamesMissing { .. }
            | Self::Page { .. }
            | Self::HoldsLess { .. }
            | Self::Stalled { .. }
            | Self::AnsweredEarly { .. }
            | Self::RefusedRedirect { .. }
            | Self::SessionLost { .. }
            | Self::Resumed { .. } => ErrorKind::Network,
            Self::WrongDigest { .. } | Self::WrongBody { .. } | Self::WrongLength { .. } => ErrorKind::Integrity,
            Self::ImageNotFound(_) => ErrorKind::NotFound,
            Self::MayNotRead { .. } => ErrorKind::Denied,
            Self::Keychain { source: KeychainError::Other(error), .. } => error.kind(),
            Self::Keychain { .. }
            | Self::NoLogin { .. }
            | Self::LoginRefused { .. }
            | Self::UploadHost { .. }
            | Self::LoginExpired { .. } => ErrorKind::Auth,
            Self::TooLarge { .. }
            | Self::NoChunks { .. }
            | Self::BadName { .. }
            | Self::Schema1(_)
            | Self::TagTaken { .. }
            | Self::Certificates { .. } => ErrorKind::InvalidInput,
            Self::ReadCertificates { .. } => ErrorKind::Io,
            Self::Client(_) => ErrorKind::Internal,
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Request { source, .. } => source.is_retryable(),
            Self::Keychain { source, .. } => source.is_retryable(),
            Self::Stalled { .. }
            | Self::HoldsLess { .. }
            | Self::AnsweredEarly { .. }
            | Self::SessionLost { .. }
            | Self::LoginExpired { .. } => true,
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Keychain { source, .. } => source.retry_after(),
            other => other.http()?.retry_after,
        }
    }
}
