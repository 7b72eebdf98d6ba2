//! Examines a repository as a push would use it. Each check says what was found; advice is left to the caller.

use reqwest::{Method, StatusCode};
use serde::Serialize;

use super::{
    auth::keychain::Refused,
    error::RegistryError,
    preflight::{TagState, TakenTag},
    quirks::Chunks,
    repository::{Inner, Repository},
};
use crate::{
    Tag,
    error::{ErrorKind, ModelcarError, chain},
    http::{self, HttpFailure},
    text,
};

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// The push can work.
    Ok,
    /// The push may fail.
    Warning,
    /// The push would fail.
    No,
    /// The check could not be made.
    Unknown,
}

/// What a check found, for programs. Several codes can have the same verdict. Each code belongs to one check, whose
/// name its description begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CheckCode {
    /// `name`: the registry can have a repository of this name.
    NameFits,
    /// `name`: the registry requires names of another form.
    NameShape,
    /// `reach`: the server answers `GET /v2/` with 200, 401 or 403, as a registry does.
    Answers,
    /// `reach`: the server answers with another status.
    OddAnswer,
    /// `reach`: the server does not speak TLS; its first bytes are no TLS record.
    NoTls,
    /// `reach`: no connection could be made.
    NoConnection,
    /// `reach`: the server's certificate is expired, not valid yet, for another name or not trusted.
    BadCertificate,
    /// `reach`: the server wants a certificate of the client, and got none or one that it refuses.
    ClientCertificate,
    /// `reach`: no answer came within 30 s.
    Silent,
    /// `login`: credentials were found. If `push` succeeded, these are the credentials that the registry accepted.
    LoginFound,
    /// `login`: no credentials were found.
    NoLogin,
    /// `login`: a login file can't be read, or another source of credentials failed.
    LoginUnreadable,
    /// `push`: the registry opened an upload session.
    MayPush,
    /// `push`: the registry refuses the credentials, or requires credentials and none were found.
    LoginRefused,
    /// `push`: the uploads go to another host, which wants a login and gets none.
    UploadHost,
    /// `push`: the account may not push to the repository.
    Denied,
    /// `push`: there is no such repository.
    NoRepository,
    /// `push`: the registry refuses the request because there were too many.
    RateLimited,
    /// `push`: the registry refuses the repository's name.
    NameRefused,
    /// `push`: the registry refuses the upload session for another reason.
    UploadRefused,
    /// `push`: the request failed for a reason that says nothing about the permission to push.
    PushFailed,
    /// `tag`: there is no image at the tag.
    TagFree,
    /// `tag`: the registry does not say whether the tag exists (403).
    TagUntold,
    /// `tag`: the tag points to an image and can't be overwritten.
    TagImmutable,
    /// `tag`: the tag points to an image and can be overwritten.
    TagMovable,
    /// `tag`: the tag points to an image. Whether it can be overwritten shows at the end of a push.
    TagTaken,
    /// `tag`: what the tag points to can't be read. A push replaces it.
    TagUnreadable,
    /// `tag`: the request for the tag got no answer.
    TagUnknown,
    /// `read`: the registry lets the login read.
    MayRead,
    /// `read`: the login may push and not read. A push reads the image back.
    ReadRefused,
    /// `read`: whether the login may read could not be found out.
    ReadUnknown,
    /// `limits`: size of layers, chunks and resuming, as documented for the registry's product.
    Limits,
}

/// One check of a repository. As JSON, the fields have names in camel case, and a missing `note` is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Check {
    /// Name of the check: `name`, `reach`, `login`, `push`, `tag`, `read`, `limits`.
    pub name: &'static str,
    /// What was found, for programs.
    pub code: CheckCode,
    /// Result of the check.
    pub verdict: Verdict,
    /// What was found, for people. Never holds a secret.
    pub found: String,
    /// What users of this registry should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

impl Check {
    /// Makes a check without a note.
    fn new(name: &'static str, code: CheckCode, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { name, code, verdict, found: text::one_line(&found.into()), note: None }
    }
}

impl Repository {
    /// Examines the repository as a push of `tag` would use it. Failures become checks, so that this function has no
    /// error. Checks that depend on a failed check are left out: without a connection `push`, `tag`, `read`
    /// and `limits`; without the permission to push `tag` and `read`.
    ///
    /// The images of the repository are left unchanged: the upload session that the check `push` opens is deleted. If
    /// the answer about the tag leaves open whether the login may read, the check `read` uploads a blob of two bytes. On
    /// ECR the check `tag` uploads the tag's own manifest again, see [`taken_tag`](Self::taken_tag).
    pub async fn examine(&self, tag: &Tag) -> Vec<Check> {
        let inner = self.inner();
        let mut checks = vec![self.examine_name(), reach(inner).await];
        if checks[1].verdict == Verdict::Unknown {
            checks.push(login(inner).await);
            return checks;
        }
        let push = self.examine_push().await;
        let may_push = push.verdict == Verdict::Ok;
        // The login that the registry accepted need not be the first that the keychain finds.
        checks.push(match inner.auth.used().await.filter(|_| may_push) {
            Some(used) => Check::new("login", CheckCode::LoginFound, Verdict::Ok, used),
            None => login(inner).await,
        });
        checks.push(push);
        if may_push {
            let tag = self.examine_tag(tag).await;
            let read = self.examine_read(tag.code).await;
            checks.extend([tag, read]);
        }
        checks.push(limits(inner));
        checks
    }

    /// Checks the form of the repository's name, without a request.
    fn examine_name(&self) -> Check {
        let inner = self.inner();
        let found = format!("`{}` on {}", inner.name(), inner.quirks.registry);
        match self.check_name() {
            Ok(()) => Check::new("name", CheckCode::NameFits, Verdict::Ok, found),
            Err(error) => Check::new("name", CheckCode::NameShape, Verdict::No, error.to_string()),
        }
    }

    /// Opens an upload session and deletes it.
    async fn examine_push(&self) -> Check {
        let error = match self.check_push().await {
            Ok(()) => {
                return Check::new("push", CheckCode::MayPush, Verdict::Ok, "an upload was opened and closed again");
            }
            Err(error) => error,
        };
        let verdict = if error.kind() == ErrorKind::Network { Verdict::Unknown } else { Verdict::No };
        let code = match error.kind() {
            _ if matches!(error, RegistryError::UploadHost { .. }) => CheckCode::UploadHost,
            ErrorKind::Auth => CheckCode::LoginRefused,
            ErrorKind::Denied => CheckCode::Denied,
            ErrorKind::NotFound => CheckCode::NoRepository,
            ErrorKind::RateLimited => CheckCode::RateLimited,
            ErrorKind::InvalidInput if is_about_name(&error) => CheckCode::NameRefused,
            ErrorKind::InvalidInput => CheckCode::UploadRefused,
            _ => CheckCode::PushFailed,
        };
        Check::new("push", code, verdict, chain(&error))
    }

    /// Looks up the tag, and whether it can be overwritten.
    async fn examine_tag(&self, tag: &Tag) -> Check {
        let (code, verdict, found) = match self.look_up(tag).await {
            Ok(TagState::Free) => (CheckCode::TagFree, Verdict::Ok, format!("`{tag}` is free")),
            Ok(TagState::Unknown) => {
                let found = format!("the registry does not tell whether `{tag}` is taken (403)");
                (CheckCode::TagUntold, Verdict::Warning, found)
            }
            Ok(TagState::Taken(TakenTag { digest, movable: Some(false) })) => {
                (CheckCode::TagImmutable, Verdict::No, format!("`{tag}` is immutable and points to `{digest}`"))
            }
            Ok(TagState::Taken(TakenTag { digest, movable: Some(true) })) => {
                (CheckCode::TagMovable, Verdict::Ok, format!("`{tag}` points to `{digest}` and can be moved"))
            }
            Ok(TagState::Taken(TakenTag { digest, movable: None })) => {
                (CheckCode::TagTaken, Verdict::Warning, format!("`{tag}` points to `{digest}`"))
            }
            Err(error) if error.is_silence() => (CheckCode::TagUnknown, Verdict::Unknown, chain(&error)),
            Err(error) => {
                let found = format!("can't read what `{tag}` holds, a push replaces it: {}", chain(&error));
                (CheckCode::TagUnreadable, Verdict::Warning, found)
            }
        };
        Check::new("tag", code, verdict, found)
    }

    /// Checks that the login may read, which the answer about the tag may have shown.
    async fn examine_read(&self, tag: CheckCode) -> Check {
        let is_shown = !matches!(tag, CheckCode::TagUntold | CheckCode::TagUnreadable | CheckCode::TagUnknown);
        let (code, verdict, found) = if is_shown {
            (CheckCode::MayRead, Verdict::Ok, "the registry answered the question about the tag".to_owned())
        } else {
            match self.check_read().await {
                Ok(()) => (CheckCode::MayRead, Verdict::Ok, "a blob of two bytes was read".to_owned()),
                Err(error) if matches!(error.kind(), ErrorKind::Auth | ErrorKind::Denied) => {
                    (CheckCode::ReadRefused, Verdict::No, chain(&error))
                }
                Err(error) => (CheckCode::ReadUnknown, Verdict::Unknown, chain(&error)),
            }
        };
        Check::new("read", code, verdict, found)
    }
}

/// Times that a registry is asked whether it is there. With TLS 1.3 a server refuses a client's certificate after the
/// handshake, and the connection may be gone before its reason was read: the next one tells.
const REACH_TRIES: u32 = 4;

/// Asks for `/v2/` without credentials (distribution-spec "Determining Support").
async fn reach(inner: &Inner) -> Check {
    let mut url = inner.base().await.clone();
    url.set_path("/v2/");
    let place = format!("{}://{}", url.scheme(), url.authority());
    let mut tries = 0;
    let response = loop {
        tries += 1;
        let span = http::log::request(&Method::GET, &url, tries, 0);
        let sending = http::log::answered(span, inner.clients.to(&url).get(url.clone()).send());
        let failure = match tokio::time::timeout(std::time::Duration::from_secs(30), sending).await {
            Ok(Ok(response)) => break response,
            Ok(Err(error)) => HttpFailure::transport(Method::GET, &url, error),
            Err(_) => {
                let found = format!("{place} gives no answer in 30 s");
                return Check::new("reach", CheckCode::Silent, Verdict::Unknown, found);
            }
        };
        if tries == REACH_TRIES || !failure.is_retryable() {
            return unreached(&place, &failure);
        }
    };
    let status = response.status();
    if status == StatusCode::BAD_REQUEST {
        let failure = HttpFailure::from_response(Method::GET, response).await;
        let code = match failure.client_certificate_fault() {
            Some(_) => CheckCode::ClientCertificate,
            None => CheckCode::OddAnswer,
        };
        return Check::new("reach", code, Verdict::Warning, format!("{place} answers {}", chain(&failure)));
    }
    let asks = http::header(&response, "www-authenticate").map_or_else(String::new, |header| {
        let scheme = text::cut(&text::one_line(header.split(' ').next().unwrap_or_default()), 20);
        format!(", asks for a login ({scheme})")
    });
    let found = format!("{place} answers {}{asks}", status.as_u16());
    let (code, verdict) = match status {
        StatusCode::OK | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (CheckCode::Answers, Verdict::Ok),
        _ => (CheckCode::OddAnswer, Verdict::Warning),
    };
    Check::new("reach", code, verdict, found)
}

/// Says why there is no connection.
fn unreached(place: &str, failure: &HttpFailure) -> Check {
    let code = match failure.certificate_fault() {
        Some(_) => CheckCode::BadCertificate,
        None if failure.client_certificate_fault().is_some() => CheckCode::ClientCertificate,
        None if failure.is_without_tls() => CheckCode::NoTls,
        None => CheckCode::NoConnection,
    };
    Check::new("reach", code, Verdict::Unknown, format!("{place} gives no answer: {}", chain(failure)))
}

/// Looks for credentials without a request to the registry.
async fn login(inner: &Inner) -> Check {
    let (code, verdict, found) = match inner.login_origin().await {
        Ok(Some(origin)) => (CheckCode::LoginFound, Verdict::Ok, origin),
        Ok(None) => (CheckCode::NoLogin, Verdict::Warning, "none was found: requests are anonymous".to_owned()),
        Err(error) => (CheckCode::LoginUnreadable, Verdict::No, chain(&error)),
    };
    Check::new("login", code, verdict, found)
}

/// Describes the limits of the registry's product. They come from the table of quirks, not from the registry.
fn limits(inner: &Inner) -> Check {
    let quirks = &inner.quirks;
    let layer = quirks.largest_layer.map_or_else(
        || "no limit for the size of a layer is known".to_owned(),
        |bytes| format!("a layer has at most {bytes} bytes"),
    );
    let chunks = match quirks.chunks {
        Chunks::Any => "chunked uploads are supported".to_owned(),
        Chunks::AtMost(bytes) => format!("chunks have at most {bytes} bytes"),
        Chunks::No => "chunked uploads are not supported".to_owned(),
    };
    let resume = if quirks.resume { "that breaks can be resumed" } else { "that breaks starts over" };
    let found = format!("{layer}; {chunks}; an upload {resume}");
    Check { note: quirks.advice, ..Check::new("limits", CheckCode::Limits, Verdict::Ok, found) }
}

impl Inner {
    /// Returns the origin of the login, without the login itself; `None` if the keychain finds none.
    async fn login_origin(&self) -> Result<Option<String>, RegistryError> {
        let registry = self.image.registry().to_owned();
        let found = self.keychain.resolve(&self.image, &Refused::default()).await;
        let found = found.map_err(|source| RegistryError::Keychain { registry, source })?;
        Ok(found.map(|login| login.describe()))
    }
}

/// Returns whether the registry refuses the repository's name.
fn is_about_name(error: &RegistryError) -> bool {
    match error {
        RegistryError::BadName { .. } => true,
        RegistryError::Request { source, .. } => source.code.as_deref() == Some("NAME_INVALID"),
        _ => false,
    }
}
