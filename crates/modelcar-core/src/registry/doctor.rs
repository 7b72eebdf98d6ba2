//! A repository examined as a push would use it: each step with what was found and what to do.

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

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// As a push needs it.
    Ok,
    /// A push may meet trouble.
    Warning,
    /// A push would fail.
    No,
    /// The check itself could not be made.
    Unknown,
}

/// One check of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was checked: `name`, `reach`, `login`, `push`, `tag`, `limits`.
    pub name: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found. Never holds a secret.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Check {
    fn new(name: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { name, verdict, found: found.into(), advice: None }
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl Repository {
    /// Examines the repository as a push of `tag` would use it. Writes nothing that stays. Checks that make no sense
    /// after one that failed are left out.
    pub async fn examine(&self, tag: &Tag) -> Vec<Check> {
        let inner = self.inner();
        let mut checks = vec![self.examine_name(), reach(inner).await];
        if checks[1].verdict == Verdict::Unknown {
            checks.push(login(inner).await);
            return checks;
        }
        let push = self.examine_push().await;
        let may_push = push.verdict == Verdict::Ok;
        // The login that was taken need not be the first that was found.
        checks.push(match inner.auth.used().await.filter(|_| may_push) {
            Some(used) => Check::new("login", Verdict::Ok, used),
            None => login(inner).await,
        });
        checks.push(push);
        if may_push {
            checks.push(self.examine_tag(tag).await);
        }
        checks.push(limits(inner));
        checks
    }

    fn examine_name(&self) -> Check {
        let inner = self.inner();
        let found = format!("`{}` on {}", inner.name(), inner.quirks.registry);
        match self.check_name() {
            Ok(()) => Check::new("name", Verdict::Ok, found),
            Err(error) => {
                Check::new("name", Verdict::No, error.to_string()).advise("write the repository in that shape")
            }
        }
    }

    async fn examine_push(&self) -> Check {
        let error = match self.check_push().await {
            Ok(()) => return Check::new("push", Verdict::Ok, "an upload was opened and closed again"),
            Err(error) => error,
        };
        let verdict = if error.kind() == ErrorKind::Network { Verdict::Unknown } else { Verdict::No };
        let advice = match error.kind() {
            ErrorKind::Auth => "log in with an account that may push: the registry refused the credentials above",
            ErrorKind::Denied => "the registry knows the account; grant it write access to this repository",
            ErrorKind::NotFound => "create the repository, or correct its name",
            ErrorKind::RateLimited => "wait, then try again",
            ErrorKind::InvalidInput if is_about_name(&error) => "correct the name of the repository",
            ErrorKind::InvalidInput => {
                "the registry refuses the upload for the reason above; perhaps it takes no uploads at all"
            }
            _ => "try again; if it stays so, the registry or a proxy before it fails",
        };
        Check::new("push", verdict, chain(&error)).advise(advice)
    }

    async fn examine_tag(&self, tag: &Tag) -> Check {
        match self.look_up(tag).await {
            Ok(TagState::Free) => Check::new("tag", Verdict::Ok, format!("`{tag}` is free")),
            Ok(TagState::Unknown) => {
                let found = format!("the registry does not tell whether `{tag}` is taken (403)");
                Check::new("tag", Verdict::Warning, found).advise("some registries answer this for a tag that is free")
            }
            Ok(TagState::Taken(TakenTag { digest, movable: Some(false) })) => {
                Check::new("tag", Verdict::No, format!("`{tag}` is immutable and points to `{digest}`"))
                    .advise("push under another tag")
            }
            Ok(TagState::Taken(TakenTag { digest, movable: Some(true) })) => {
                Check::new("tag", Verdict::Ok, format!("`{tag}` points to `{digest}` and can be moved"))
            }
            Ok(TagState::Taken(TakenTag { digest, movable: None })) => {
                Check::new("tag", Verdict::Warning, format!("`{tag}` points to `{digest}`"))
                    .advise("a push moves it at its end; where tags are immutable that may be refused: use another tag")
            }
            Err(error) => Check::new("tag", Verdict::Unknown, chain(&error)).advise("try again"),
        }
    }
}

async fn reach(inner: &Inner) -> Check {
    let mut url = inner.base.clone();
    url.set_path("/v2/");
    let span = http::log::request(&Method::GET, &url, 1, 0);
    let sending = http::log::answered(span, inner.client.get(url.clone()).send());
    let sent = tokio::time::timeout(std::time::Duration::from_secs(30), sending).await;
    let place = format!("{}://{}", url.scheme(), url.authority());
    let response = match sent {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            let failure = HttpFailure::transport(Method::GET, &url, error);
            let advice = if failure.is_without_tls() {
                "the server does not speak TLS: a registry of plain HTTP is named with --plain-http"
            } else {
                "check the host's name, the network and, for TLS, the authority that signed its certificate"
            };
            return Check::new("reach", Verdict::Unknown, format!("{place} gives no answer: {}", chain(&failure)))
                .advise(advice);
        }
        Err(_) => {
            return Check::new("reach", Verdict::Unknown, format!("{place} gives no answer in 30 s"))
                .advise("check the network and any proxy between");
        }
    };
    let status = response.status();
    let asks = http::header(&response, "www-authenticate").map_or_else(String::new, |header| {
        let scheme = text::cut(&text::one_line(header.split(' ').next().unwrap_or_default()), 20);
        format!(", asks for a login ({scheme})")
    });
    let found = format!("{place} answers {}{asks}", status.as_u16());
    match status {
        StatusCode::OK | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Check::new("reach", Verdict::Ok, found),
        _ => Check::new("reach", Verdict::Warning, found).advise("is this a registry? its API is expected at /v2/"),
    }
}

async fn login(inner: &Inner) -> Check {
    match inner.login_origin().await {
        Ok(Some(origin)) => Check::new("login", Verdict::Ok, origin),
        Ok(None) => Check::new("login", Verdict::Warning, "none was found: requests are anonymous")
            .advise("`docker login`, `gcloud auth configure-docker`, or an auth file in DOCKER_CONFIG"),
        Err(error) => Check::new("login", Verdict::No, chain(&error)).advise("repair the file or the helper it names"),
    }
}

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
    let check = Check::new("limits", Verdict::Ok, format!("{layer}; {chunks}; an upload {resume}"));
    match quirks.advice {
        Some(advice) => check.advise(advice),
        None => check,
    }
}

impl Inner {
    /// Returns where the login comes from, never the login itself. `None` when there is none.
    async fn login_origin(&self) -> Result<Option<String>, RegistryError> {
        let registry = self.image.registry().to_owned();
        let found = self.keychain.resolve(&self.image, &Refused::default()).await;
        let found = found.map_err(|source| RegistryError::Keychain { registry, source })?;
        Ok(found.map(|login| login.describe()))
    }
}

/// Returns whether the repository's name is what is wrong.
fn is_about_name(error: &RegistryError) -> bool {
    match error {
        RegistryError::BadName { .. } => true,
        RegistryError::Request { source, .. } => source.code.as_deref() == Some("NAME_INVALID"),
        _ => false,
    }
}
