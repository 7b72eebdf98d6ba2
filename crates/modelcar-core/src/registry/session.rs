//! Upload sessions: opened, asked about, closed, and none left behind.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use reqwest::{Method, StatusCode, Url, header::HeaderMap};

use super::{
    client::{Inner, Right},
    error::RegistryError,
    range,
};
use crate::http;

/// How long a session may take to be deleted.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
const CLOSE_TRIES: usize = 3;
/// How long all of them may take when a push ends early: whoever pressed Ctrl-C waits for it.
const CLOSE_ALL_PATIENCE: Duration = Duration::from_millis(1200);

/// An upload session: the newest place that the registry named for it. A place names the session, may hold secret
/// state, and is never shown.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) place: Arc<Mutex<Url>>,
    /// Smallest chunk but the last, where the registry has one (distribution-spec "Pushing a blob in chunks").
    pub(super) least_chunk: u64,
}

/// Places of sessions: whoever knows one can write into it, so that they are counted and not shown.
#[derive(Clone, Default)]
pub(super) struct Places(BTreeSet<String>);

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} places", self.0.len())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("least_chunk", &self.least_chunk).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn location(&self) -> Url {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn moved(&self, inner: &Inner, to: Url) {
        inner.forget_session(self);
        inner.remember_session(&to);
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }
}

impl Inner {
    /// Opens a session. The request is never given up half-way: a push that is stopped meanwhile would leave a session
    /// behind that nobody knows.
    pub(super) async fn open_session(self: &Arc<Self>, act: &str) -> Result<Session, RegistryError> {
        let (inner, owned) = (Arc::clone(self), act.to_owned());
        let opening = self.opening.spawn(async move { inner.post_session(&owned).await });
        opening.await.map_err(|_| self.protocol(act, "the request was given up"))?
    }

    async fn post_session(&self, act: &str) -> Result<Session, RegistryError> {
        let url = self.url("blobs/uploads/")?;
        let response = self.send(act, Right::Push, Method::POST, &url, &HeaderMap::new(), None).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(self.refused(act, Method::POST, response).await);
        }
        let location = self.follow(&url, act, &response).await?;
        let least_chunk = http::header(&response, "oci-chunk-min-length").and_then(|text| text.trim().parse().ok());
        self.remember_session(&location);
        Ok(Session { place: Arc::new(Mutex::new(location)), least_chunk: least_chunk.unwrap_or(0) })
    }

    /// Asks how many bytes of a session the registry holds, and where it goes on. `None` when it does not say so
    /// clearly: no such session, no offset, or the form that no byte and one byte share.
    pub(super) async fn held_bytes(&self, session: &Session, act: &str) -> Option<u64> {
        let url = session.location();
        let response = self.send(act, Right::Push, Method::GET, &url, &HeaderMap::new(), None).await.ok()?;
        if !response.status().is_success() {
            return None;
        }
        let held = range::held(&http::header(&response, "range")?)?;
        if response.headers().contains_key("location") {
            session.moved(self, self.follow(&url, act, &response).await.ok()?);
        }
        Some(held)
    }

    fn remember_session(&self, place: &Url) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).0.insert(place.to_string());
    }

    pub(super) fn forget_session(&self, session: &Session) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).0.remove(session.location().as_str());
    }

    /// Deletes a session. Registries that can't, clean up by themselves, so a refusal is no error.
    pub(super) async fn close_session(&self, session: &Session) {
        self.delete_session(&session.location()).await;
        self.forget_session(session);
    }

    /// After a body that broke off, registries refuse the session's last place and tell the new one on a status
    /// request (CNCF distribution signs the offset into it).
    async fn delete_session(&self, url: &Url) {
        let request = |method: Method, url: Url| async move {
            let login = self.authorization(Right::Push, &url).await.ok()?;
            let span = http::log::request(&method, &url, 1, 0);
            let request = self.client.request(method, url).headers(login).timeout(CLOSE_PATIENCE);
            Some(http::log::answered(span, request.send()).await)
        };
        let mut place = url.clone();
        // A request that was given up may still be on its way and make the place stale once more, and a registry that
        // refused a body early closes a connection that looks usable from here.
        for _ in 0..CLOSE_TRIES {
            match request(Method::DELETE, place.clone()).await {
                Some(Ok(answer)) if answer.status().is_success() => return,
                Some(Ok(answer)) if answer.status() == StatusCode::METHOD_NOT_ALLOWED => return,
                Some(Ok(_)) => {}
                Some(Err(error)) if !error.is_timeout() => continue,
                _ => return,
            }
            let newer = match request(Method::GET, place.clone()).await {
                Some(Ok(status)) => self.follow(&place, "ask for the upload's state", &status).await,
                Some(Err(error)) if !error.is_timeout() => continue,
                _ => return,
            };
            let Ok(newer) = newer else { return };
            place = newer;
        }
    }

    /// Deletes every session that is still open, as far as a short time allows. Requests for a session that are under
    /// way are waited for, since what they open is to be deleted too; their waits for another try end.
    pub(super) async fn close_all(&self) {
        self.patience.hurry(true);
        self.opening.close();
        let known = self.open_places();
        let late = async {
            self.opening.wait().await;
            let more = self.open_places();
            self.delete_sessions(&more.difference(&known).cloned().collect()).await;
        };
        let closing = async { tokio::join!(self.delete_sessions(&known), late) };
        let _registries_clean_up_too = tokio::time::timeout(CLOSE_ALL_PATIENCE, closing).await;
        self.patience.hurry(false);
    }

    fn open_places(&self) -> BTreeSet<String> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    async fn delete_sessions(&self, places: &BTreeSet<String>) {
        let urls: Vec<Url> = places.iter().filter_map(|place| place.parse().ok()).collect();
        stream::iter(&urls).for_each_concurrent(16, |url| self.delete_session(url)).await;
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).0.retain(|place| !places.contains(place));
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
