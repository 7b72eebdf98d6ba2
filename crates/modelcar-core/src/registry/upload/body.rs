//! The body of an upload, shared by all requests of that upload.
//!
//! Bytes are drawn from the open body once and in order, so that its hashes see each byte once. A request that starts
//! before the last drawn byte gets the bytes up to there from [`Blob::reread`], which changes no hash.

use std::{
    future::poll_fn,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::BoxStream};

use super::stall::StallWatch;
use crate::{
    Digest,
    error::{Error, Result},
    registry::error::RegistryError,
    sink::{Blob, VerifiedBlob},
};

/// Ends a request's body early. [`UploadBody::revoke`] returns the reason.
#[derive(Debug, thiserror::Error)]
#[error("the body ended early")]
pub(super) struct Broken;

/// An open body. Only the newest request can draw from it: a failed request can't, even while the HTTP client still
/// holds its body. Two requests that drew at the same time would each send a part of the bytes.
pub(super) struct UploadBody<'a> {
    /// The blob, for bytes that have to be read again.
    body: &'a dyn Blob,
    /// The open stream. The lock is never held across an await.
    state: Arc<Mutex<BodyState>>,
}

/// The open stream and how far it was drawn.
struct BodyState {
    /// The bytes of the body, hashed as they pass.
    stream: BoxStream<'static, Result<Bytes>>,
    /// Resolves to the proven size and digest after the end of the stream. `None` once it was taken.
    verified: Option<BoxFuture<'static, Result<VerifiedBlob>>>,
    /// The proven size and digest, once they are known.
    outcome: Option<VerifiedBlob>,
    /// The announced size of the body, in bytes.
    size: u64,
    /// Digest that the body must have before its last piece is handed out.
    gate: Option<Digest>,
    title: String,
    /// Bytes that the stream gave and no request has drawn: a request takes no more than it announced.
    carry: Bytes,
    /// Number of bytes that requests have drawn.
    drawn: u64,
    /// Whether the stream has ended.
    ended: bool,
    /// The body's error, until `revoke` takes it. No request can draw while it is set.
    error: Option<Error>,
    /// Number of the request that may draw. Each new request, and each call of `revoke`, counts up.
    turn: u64,
}

impl<'a> UploadBody<'a> {
    /// Opens `body`. With a `gate`, the last bytes are handed out only after the body's digest has proven to be `gate`,
    /// so that a request which names the digest is never completed with other bytes.
    pub(super) fn open(body: &'a dyn Blob, gate: Option<Digest>) -> Self {
        let open = body.open();
        let state = BodyState {
            stream: open.stream,
            verified: Some(open.verified),
            outcome: None,
            size: body.size(),
            gate,
            title: body.title(),
            carry: Bytes::new(),
            drawn: 0,
            ended: false,
            error: None,
            turn: 0,
        };
        Self { body, state: Arc::new(Mutex::new(state)) }
    }

    /// Locks the state. A poisoned lock is used all the same.
    fn state(&self) -> std::sync::MutexGuard<'_, BodyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many bytes requests have drawn so far.
    pub(super) fn drawn(&self) -> u64 {
        self.state().drawn
    }

    /// Returns the body of a request that sends `range`, in bytes of the whole body: bytes that were drawn before are
    /// read again, the others are drawn from the open body. Earlier requests can't draw any more.
    pub(super) fn request(&self, range: Range<u64>) -> RequestBody {
        let mut state = self.state();
        state.turn += 1;
        let reread = range.start..state.drawn.min(range.end);
        let reread_left = reread.end.saturating_sub(reread.start);
        let reread = (reread_left > 0).then(|| self.body.reread(reread));
        let left = range.end - range.start;
        RequestBody {
            state: Arc::clone(&self.state),
            turn: state.turn,
            reread,
            reread_left,
            left,
            watch: StallWatch::new(left == 0),
        }
    }

    /// Returns the proven size and digest of the body, if they are known already.
    pub(super) fn outcome(&self) -> Option<VerifiedBlob> {
        self.state().outcome.clone()
    }

    /// Stops all requests from drawing, and takes the body's error, if the body failed.
    pub(super) fn revoke(&self) -> Option<Error> {
        let mut state = self.state();
        state.turn += 1;
        state.error.take()
    }

    /// Returns the proven size and digest of the body. Bytes that no request has drawn are read and dropped, because
    /// the digest is known only at the body's end.
    ///
    /// # Errors
    /// When the body fails or has another length than it announced.
    pub(super) async fn verified(&self) -> Result<VerifiedBlob> {
        self.revoke().map_or(Ok(()), Err)?;
        poll_fn(|cx| self.state().poll_drain(cx)).await?;
        let (verified, outcome) = {
            let mut state = self.state();
            (state.verified.take(), state.outcome.clone())
        };
        match (outcome, verified) {
            (Some(verified), _) => Ok(verified),
            (None, Some(verified)) => {
                let verified = verified.await?;
                self.state().outcome = Some(verified.clone());
                Ok(verified)
            }
            (None, None) => Err(self.state().wrong_length()),
        }
    }
}

impl BodyState {
    /// Polls the next bytes of the open body, at most `most` of them. The last bytes are handed out only after the
    /// stream has ended at the announced size and the digest has passed the gate.
    fn poll_draw(&mut self, cx: &mut Context<'_>, most: u64) -> Poll<Option<Result<Bytes, Error>>> {
        while self.carry.is_empty() {
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(self.stream.poll_next_unpin(cx)) {
                None => self.ended = true,
                Some(Ok(bytes)) => self.carry = bytes,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            }
        }
        let upto = self.drawn + self.carry.len() as u64;
        if upto > self.size {
            // The HTTP client cuts a body to its announced length without an error.
            return Poll::Ready(Some(Err(self.wrong_length())));
        }
        if upto == self.size {
            ready!(self.poll_end(cx))?;
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.carry.len());
        self.drawn += most as u64;
        Poll::Ready(Some(Ok(self.carry.split_to(most))))
    }

    /// Reads and drops the rest of the body, and compares the length with the announced size.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while let Some(bytes) = ready!(self.poll_draw(cx, u64::MAX)) {
            bytes?;
        }
        Poll::Ready(if self.drawn == self.size { Ok(()) } else { Err(self.wrong_length()) })
    }

    /// Polls the stream to its end, which the hashes need to finish, and compares the digest with the gate.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.ended {
            match ready!(self.stream.poll_next_unpin(cx)) {
                None => self.ended = true,
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(_)) => return Poll::Ready(Err(self.wrong_length())),
                Some(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        if let (Some(_), Some(verified)) = (self.gate, &mut self.verified) {
            let result = ready!(verified.poll_unpin(cx));
            self.verified = None;
            self.outcome = Some(result?);
        }
        match (self.gate, &self.outcome) {
            (Some(expected), Some(actual)) if actual.digest != expected => {
                let (title, actual) = (self.title.clone(), actual.digest);
                Poll::Ready(Err(RegistryError::WrongBody { title, expected, actual }.into()))
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Makes the error for a body that is longer or shorter than it announced.
    fn wrong_length(&self) -> Error {
        let (title, expected) = (self.title.clone(), self.size);
        RegistryError::WrongLength { title, expected, actual: self.drawn + self.carry.len() as u64 }.into()
    }
}

/// The part of an upload's body that one request sends.
pub(super) struct RequestBody {
    /// The state that all requests of the upload share.
    state: Arc<Mutex<BodyState>>,
    /// Number of this request. The request may draw while the state has the same number.
    turn: u64,
    /// Bytes that are read again; `None` once the request draws from the open body.
    reread: Option<BoxStream<'static, Result<Bytes>>>,
    /// Number of bytes that are still to be read again.
    reread_left: u64,
    /// Number of bytes that the request still has to send.
    left: u64,
    /// Sees when the HTTP client takes bytes.
    watch: StallWatch,
}

impl RequestBody {
    /// Returns the watch on this request.
    pub(super) fn watch(&self) -> StallWatch {
        self.watch.clone()
    }

    /// Polls the bytes that are read again first, then the open body.
    fn poll_piece(&mut self, state: &mut BodyState, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let Some(reread) = &mut self.reread else { return state.poll_draw(cx, self.left) };
        let bytes = ready!(reread.poll_next_unpin(cx));
        if let Some(Ok(bytes)) = &bytes {
            self.reread_left = self.reread_left.saturating_sub(bytes.len() as u64);
        }
        if self.reread_left == 0 {
            self.reread = None;
        }
        Poll::Ready(bytes)
    }

    /// Polls the next bytes of this request. Ends with [`Broken`] when the body has failed or another request may draw
    /// now; the HTTP client then breaks the connection instead of completing the request.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let shared = Arc::clone(&self.state);
        let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if state.turn != self.turn || state.error.is_some() {
            return Poll::Ready(Some(Err(Broken)));
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let next = ready!(self.poll_piece(&mut state, cx));
        Poll::Ready(match next {
            Some(Ok(bytes)) => {
                self.left = self.left.saturating_sub(bytes.len() as u64);
                Some(Ok(bytes))
            }
            Some(Err(error)) => {
                state.error = Some(error);
                Some(Err(Broken))
            }
            None => {
                state.error = Some(state.wrong_length());
                Some(Err(Broken))
            }
        })
    }
}

impl Stream for RequestBody {
    type Item = Result<Bytes, Broken>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let piece = this.poll_turn(cx);
        match &piece {
            Poll::Pending => this.watch.on_starved(),
            Poll::Ready(_) => this.watch.on_write(this.left == 0),
        }
        piece
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
