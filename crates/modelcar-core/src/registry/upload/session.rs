//! Upload sessions: open a session, ask for its state (distribution-spec "Pushing a blob in chunks"), delete it.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use reqwest::{Method, StatusCode, Url, header::HeaderMap};

use super::{open::OpenUploads, range};
use crate::{
    http::{self, HttpFailure},
    registry::{error::RegistryError, redirect, repository::Inner, request::Scope},
};

/// Longest wait for one request that deletes a session.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// Largest number of times that the deletion of one session is requested.
const CLOSE_TRIES: usize = 3;
/// Longest wait for the deletion of all sessions when a push ends early: after Ctrl-C a user waits for it.
const CLOSE_ALL_PATIENCE: Duration = Duration::from_millis(1200);

/// An upload session, known by the newest `Location` that the registry gave. A location may hold secret state and is
/// never shown.
#[derive(Clone)]
pub(in crate::registry) struct Session {
    /// The newest location. Clones of the session share it.
    location: Arc<Mutex<Url>>,
    /// Smallest size of every chunk but the last, in bytes; 0 where the registry names none (distribution-spec "Pushing
    /// a blob in chunks").
    pub(super) least_chunk: u64,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("least_chunk", &self.least_chunk).finish_non_exhaustive()
    }
}

impl Session {
    /// Makes the session at `location`. `least_chunk` is in bytes.
    pub(in crate::registry) fn new(location: Url, least_chunk: u64) -> Self {
        Self { location: Arc::new(Mutex::new(location)), least_chunk }
    }

    /// Returns the newest location.
    pub(super) fn location(&self) -> Url {
        self.location.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Continues the session at the location that the registry named last. A registry may change the location with each
    /// answer.
    pub(super) fn relocate(&self, uploads: &OpenUploads, to: Url) {
        uploads.remove(&self.location());
        uploads.add(&to);
        *self.location.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }
}

impl Inner {
    /// Opens a session. The request runs to its end even when the caller drops the future: a cancelled request could
    /// leave a session behind whose location is unknown. `close_all` deletes such a session.
    ///
    /// # Errors
    /// When the registry answers another status than 202, names a location that the redirect policy refuses, or gives
    /// no answer; when no credentials are found or accepted.
    pub(in crate::registry) async fn open_session(self: &Arc<Self>, act: &str) -> Result<Session, RegistryError> {
        let (inner, owned) = (Arc::clone(self), act.to_owned());
        let opening = self.uploads.opening.spawn(async move { inner.post_session(&owned).await });
        opening.await.map_err(|_| self.protocol(act, "the request was given up"))?
    }

    /// Sends the POST that opens a session, and records the session as open. `OCI-Chunk-Min-Length` may be missing.
    async fn post_session(&self, act: &str) -> Result<Session, RegistryError> {
        let url = self.url("blobs/uploads/").await?;
        let response = self.send(act, Scope::Push, Method::POST, &url, &HeaderMap::new(), None).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(self.refused(act, Method::POST, response).await);
        }
        let location = self.follow(&url, act, &response).await?;
        let least_chunk = http::header(&response, "oci-chunk-min-length").and_then(|text| text.trim().parse().ok());
        self.uploads.add(&location);
        Ok(Session::new(location, least_chunk.unwrap_or(0)))
    }

    /// Asks a host other than the registry that takes the uploads whether it wants a login, which it does not get. Without
    /// this question a push would learn it at its first layer.
    ///
    /// # Errors
    /// [`RegistryError::UploadHost`] when the host answers 401. Other answers, and none, say nothing about an upload.
    pub(in crate::registry) async fn check_upload_host(&self, session: &Session) -> Result<(), RegistryError> {
        let url = session.location();
        if redirect::same_origin(self.base().await, &url) {
            return Ok(());
        }
        let request = self.clients.to(&url).get(url.clone()).timeout(self.options.answer_timeout);
        let span = http::log::request(&Method::GET, &url, 1, 0);
        match http::log::answered(span, request.send()).await {
            Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => {
                let host = url.host_str().unwrap_or_default();
                let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
                Err(RegistryError::UploadHost { repository: self.name(), host })
            }
            _ => Ok(()),
        }
    }

    /// Returns how many bytes of a session the registry holds, and moves the session to the location that the answer
    /// names. Returns `None` when the answer proves nothing: there is no such session, no offset, or the offset `0-0`,
    /// which can mean no byte or one byte. A request without an answer gives `None`, too.
    pub(super) async fn held_bytes(&self, session: &Session, act: &str) -> Option<u64> {
        let url = session.location();
        let response = self.send(act, Scope::Push, Method::GET, &url, &HeaderMap::new(), None).await.ok()?;
        if !response.status().is_success() {
            return None;
        }
        let held = range::held(&http::header(&response, "range")?)?;
        if response.headers().contains_key("location") {
            session.relocate(&self.uploads, self.follow(&url, act, &response).await.ok()?);
        }
        Some(held)
    }

    /// Deletes a session and forgets it. A refusal is no error: a registry that can't delete a session removes it by
    /// itself later.
    pub(in crate::registry) async fn close_session(&self, session: &Session) {
        self.delete_session(&session.location()).await;
        self.uploads.remove(&session.location());
    }

    /// Deletes the session at `url`. After a body that broke off, a registry may refuse the session's last location
    /// and give the new one in the answer to a status request (CNCF distribution signs the offset into the location).
    async fn delete_session(&self, url: &Url) {
        let request = |method: Method, url: Url| async move {
            let login = self.authorization(Scope::Push, &url).await.ok()?;
            let span = http::log::request(&method, &url, 1, 0);
            let request = self.clients.to(&url).request(method, url).headers(login).timeout(CLOSE_PATIENCE);
            Some(http::log::answered(span, request.send()).await)
        };
        let mut location = url.clone();
        // More than one try: an upload request that was cancelled may still reach the registry and change the location
        // again, and a registry that refused a body early closes a connection that looks usable from here.
        for _ in 0..CLOSE_TRIES {
            match request(Method::DELETE, location.clone()).await {
                Some(Ok(answer)) if answer.status().is_success() => return,
                Some(Ok(answer)) if answer.status() == StatusCode::METHOD_NOT_ALLOWED => return,
                Some(Ok(_)) => {}
                Some(Err(error)) if !error.is_timeout() => continue,
                _ => return,
            }
            let newer = match request(Method::GET, location.clone()).await {
                Some(Ok(status)) => self.follow(&location, "ask for the upload's state", &status).await,
                Some(Err(error)) if !error.is_timeout() => continue,
                _ => return,
            };
            let Ok(newer) = newer else { return };
            location = newer;
        }
    }

    /// Deletes every open session, within [`CLOSE_ALL_PATIENCE`]. Requests that are opening a session are waited for,
    /// because the sessions that they open must be deleted too; their waits for another try are cancelled.
    pub(in crate::registry) async fn close_all(&self) {
        self.retry.cancel();
        self.uploads.opening.close();
        let known = self.uploads.locations();
        let late = async {
            self.uploads.opening.wait().await;
            let more = self.uploads.locations();
            self.delete_sessions(&more.difference(&known).cloned().collect()).await;
        };
        let closing = async { tokio::join!(self.delete_sessions(&known), late) };
        let _registries_clean_up_too = tokio::time::timeout(CLOSE_ALL_PATIENCE, closing).await;
        self.retry.resume();
    }

    /// Deletes the sessions at `locations`, 16 at a time, and forgets them.
    async fn delete_sessions(&self, locations: &BTreeSet<String>) {
        let urls: Vec<Url> = locations.iter().filter_map(|location| location.parse().ok()).collect();
        stream::iter(&urls).for_each_concurrent(16, |url| self.delete_session(url)).await;
        self.uploads.remove_all(locations);
    }
}

/// Returns whether a refusal means that the session is lost and a new one may succeed: the registry does not know the
/// session, its location or offset is stale, or (ECR, zot) the session takes no bytes after a body that broke off.
pub(super) fn is_lost(failure: &HttpFailure) -> bool {
    let code = failure.code.as_deref().unwrap_or_default();
    match failure.status {
        Some(StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::GONE | StatusCode::RANGE_NOT_SATISFIABLE) => {
            !matches!(code, "NAME_UNKNOWN" | "NAME_INVALID" | "DENIED")
        }
        Some(StatusCode::BAD_REQUEST) => {
            matches!(code, "BLOB_UPLOAD_INVALID" | "BLOB_UPLOAD_UNKNOWN" | "RANGE_INVALID")
        }
        _ => false,
    }
}

/// Returns whether a refusal says that the offset is not the one up to which the registry holds the bytes.
pub(super) fn offset_is_stale(failure: &HttpFailure) -> bool {
    failure.status == Some(StatusCode::RANGE_NOT_SATISFIABLE) || failure.code.as_deref() == Some("RANGE_INVALID")
}

#[cfg(feature = "workspace-tests")]
#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
