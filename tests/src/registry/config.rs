//! Owns what a fake registry can be told: configuration and scripted misbehaviour.

use std::time::Duration;

use crate::logins::Logins;

/// How a [`FakeRegistry`](crate::FakeRegistry) behaves.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent trait of a registry")]
pub struct RegistryConfig {
    /// Port; 0 picks a free one.
    pub port: u16,
    /// What happens to uploaded bytes.
    pub storage: Storage,
    /// Who may do what.
    pub auth: Auth,
    /// How upload locations look.
    pub location: LocationStyle,
    /// Opaque bytes added to every upload location, as Artifact Registry does.
    pub location_padding: usize,
    /// What is left of a session whose PATCH or PUT broke off.
    pub broken_patch: BrokenPatch,
    /// Status of a successful PATCH.
    pub patch_status: u16,
    /// Accept PATCH with `Content-Range`; otherwise answer 416 as Artifact Registry does.
    pub chunked: bool,
    /// Largest PATCH with `Content-Range` (416 above), as GHCR has.
    pub max_chunk: Option<u64>,
    /// Smallest chunk but the last, announced as `OCI-Chunk-Min-Length`.
    pub min_chunk: Option<u64>,
    /// Largest blob (413 above).
    pub max_blob: Option<u64>,
    /// Answer 411 to an upload body without `Content-Length`.
    pub require_content_length: bool,
    /// Complete an upload in one `POST ?digest=`; otherwise such a POST opens a session.
    pub single_post: bool,
    /// Mount blobs from other repositories; otherwise a mount opens a session.
    pub mounts: bool,
    /// Serve the referrers API and answer `OCI-Subject`.
    pub referrers: bool,
    /// Let manifests be deleted (405 otherwise).
    pub deletes: bool,
    /// Whether a manifest that has a tag can be deleted by its digest; Google's registries say no.
    pub tagged_deletes: bool,
    /// Whether the tags of a manifest go with it when it is deleted by its digest; go-containerregistry's registry keeps
    /// them.
    pub tags_go: bool,
    /// Whether tags can be deleted by name.
    pub tag_deletes: bool,
    /// Redirect blob downloads to another port, which refuses `Authorization`.
    pub redirect_blobs: bool,
    /// Check image configs: one `diff_id` per layer, equal to the digest of a plain tar layer.
    pub check_images: bool,
    /// Status of `MANIFEST_BLOB_UNKNOWN`.
    pub missing_blob_status: u16,
    /// Largest request body (413 with a page of HTML above), as a proxy before the registry has.
    pub max_request: Option<u64>,
    /// Largest `Content-Length` of a PATCH without `Content-Range` (416 above).
    pub max_length: Option<u64>,
    /// What a status request on a session tells.
    pub status_reply: StatusReply,
    /// Take one request with bytes for each session, and no second one.
    pub one_write: bool,
    /// Status of a HEAD or GET of a blob that is not there.
    pub missing_head_status: u16,
    /// What tags refuse once they point somewhere.
    pub fixed_tags: FixedTags,
    /// Least number of components of a repository's name (`NAME_INVALID` below).
    pub name_parts: usize,
    /// The repositories there are (`NAME_UNKNOWN` for uploads to others); `None` makes them as they come.
    pub repositories: Option<Vec<String>>,
    /// Header lines added to every answer of the upload API.
    pub upload_headers: Vec<(String, String)>,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            port: 0,
            storage: Storage::Memory,
            auth: Auth::None,
            location: LocationStyle::Relative,
            location_padding: 0,
            broken_patch: BrokenPatch::KeepBytes,
            patch_status: 202,
            chunked: true,
            max_chunk: None,
            min_chunk: None,
            max_blob: None,
            require_content_length: false,
            single_post: false,
            mounts: true,
            referrers: true,
            deletes: true,
            tagged_deletes: true,
            tags_go: true,
            tag_deletes: true,
            redirect_blobs: false,
            check_images: true,
            missing_blob_status: 404,
            max_request: None,
            max_length: None,
            status_reply: StatusReply::Held,
            one_write: false,
            missing_head_status: 404,
            fixed_tags: FixedTags::No,
            name_parts: 1,
            repositories: None,
            upload_headers: Vec::new(),
        }
    }
}

/// What happens to the bytes of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Kept, hashed.
    Memory,
    /// Hashed and counted; only blobs up to 1 MiB are kept.
    Count,
    /// Counted only, any digest is believed; blobs up to 1 MiB are kept.
    CountNoHash,
}

/// Who may do what.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Everybody everything.
    None,
    /// The Basic scheme on every request.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
    /// The Basic scheme, with logins that come and go.
    Logins(Logins),
    /// Bearer tokens from `/token` on the same port.
    Bearer {
        /// User name for the token endpoint.
        user: String,
        /// Password for the token endpoint.
        password: String,
        /// Refresh token accepted by `POST /token`.
        refresh_token: Option<String>,
        /// How long a token really works.
        lifetime: Duration,
        /// The `expires_in` of token answers; left out when `None`.
        expires_in: Option<u64>,
        /// Give pull tokens to anonymous callers.
        anonymous_pull: bool,
    },
}

impl Auth {
    /// Basic authentication.
    pub fn basic(user: &str, password: &str) -> Self {
        Self::Basic { user: user.to_owned(), password: password.to_owned() }
    }

    /// Bearer authentication with tokens that live five minutes.
    pub fn bearer(user: &str, password: &str) -> Self {
        Self::Bearer {
            user: user.to_owned(),
            password: password.to_owned(),
            refresh_token: None,
            lifetime: Duration::from_mins(5),
            expires_in: Some(300),
            anonymous_pull: false,
        }
    }
}

/// How upload locations look; each answer carries a new one and voids the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocationStyle {
    /// A path.
    Relative,
    /// A full url.
    Absolute,
    /// A path and a query that must be kept.
    RelativeWithQuery,
    /// A full url with a query that must be kept.
    AbsoluteWithQuery,
}

/// What is left of a session whose body broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenPatch {
    /// The bytes that arrived; a status request tells how many.
    KeepBytes,
    /// The bytes of earlier requests only.
    Rollback,
    /// Nothing: the session is gone.
    DeleteSession,
    /// The session, but it takes nothing more (`BLOB_UPLOAD_INVALID`), as ECR's.
    Dead,
}

/// What a status request on a session tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusReply {
    /// What is held.
    Held,
    /// That there is no such session.
    Missing,
    /// No `Range`.
    NoRange,
    /// No byte, whatever is held.
    Stuck,
    /// One byte too many, in the specification's form.
    OneTooMany,
    /// One byte too many, and no `Location`: `bytes=0-<count>`; `bytes=0--1` when the session opens. As Quay does.
    Quay,
}

/// What tags refuse once they point somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixedTags {
    /// Nothing.
    No,
    /// Another manifest.
    RefuseOther,
    /// Any manifest, even the one that they point to.
    RefuseAll,
}

/// What a faulty registry does to one request.
#[derive(Clone, Debug)]
pub enum RegistryAction {
    /// Answer this at once, without reading the body.
    Status {
        /// Status code.
        code: u16,
        /// Extra headers.
        headers: Vec<(String, String)>,
        /// Body text.
        body: String,
    },
    /// Read and discard the request body, then answer this status; nothing is stored.
    StatusAfterBody(u16),
    /// Take this many body bytes of an upload, then drop the connection.
    DropConnection {
        /// Body bytes taken.
        after_body_bytes: u64,
    },
    /// Pause once after this many body bytes of an upload or a blob download.
    Stall {
        /// Body bytes before the pause.
        at: u64,
        /// Length of the pause.
        pause: Duration,
    },
    /// Answer this status and a body that never ends: a piece of so many bytes every so often.
    Drip {
        /// Status code.
        code: u16,
        /// Bytes of a piece.
        piece: usize,
        /// Pause before each piece.
        every: Duration,
    },
    /// Do everything, then wait before answering.
    DelayReply(Duration),
    /// Do everything, but drop the connection instead of answering.
    LostReply,
    /// Answer with a `Docker-Content-Digest` of zeros.
    WrongDigestHeader,
    /// Claim that a blob or manifest exists, whatever its name.
    LieHead200 {
        /// The `Content-Length` claimed.
        len: u64,
    },
    /// Answer with this `Location`.
    ReplaceLocation(String),
    /// Add or replace headers of an otherwise normal answer.
    ExtraHeaders(Vec<(String, String)>),
    /// Remove a header of an otherwise normal answer.
    WithoutHeader(String),
    /// Keep this many bytes of a PATCH, and say so in `Range`.
    KeepPart(u64),
    /// Do everything, then lose the blob or the manifest that a PUT stored. Its tag stays.
    Lose,
    /// Do everything, then lose the first layer of the manifest or index that a PUT stored.
    LoseLayer,
    /// Do everything, then keep half of the blob that a PUT stored, under its digest.
    KeepHalf,
    /// Store a manifest and leave its tag where it was.
    KeepTag,
    /// Send the whole blob, whatever range was asked for.
    IgnoreRange,
    /// Flip one bit of a downloaded blob at this offset.
    CorruptBody {
        /// Offset within the blob.
        at: u64,
    },
    /// Break the body of an otherwise normal answer after this many bytes.
    TruncateBody {
        /// Body bytes sent.
        after_bytes: u64,
    },
}

impl RegistryAction {
    /// Answers a bare status code at once.
    pub fn status(code: u16) -> Self {
        Self::Status { code, headers: Vec::new(), body: String::new() }
    }

    /// Answers a status code with a spec-conforming error body at once.
    pub fn error(code: u16, error: &str) -> Self {
        let body = super::error_body(error, "scripted");
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self::Status { code, headers, body }
    }
}
