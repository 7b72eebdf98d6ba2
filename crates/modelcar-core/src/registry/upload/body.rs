//! A body on its way into requests: drawn once, in order, with its hashes; what a broken request had drawn already is
//! read again for the next one.

use std::{
    future::poll_fn,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::BoxStream};

use super::stall::Gauge;
use crate::{
    Digest,
    error::{Error, Result},
    registry::error::RegistryError,
    sink::{Body, Sealed},
};

/// What ends a request's body early. The reason waits in the feed.
#[derive(Debug, thiserror::Error)]
#[error("the body ended early")]
pub(super) struct Broken;

/// An open body. One request at a time draws from it; a request that failed can't any more, whatever is left of it in
/// the HTTP client.
pub(super) struct Feed<'a> {
    body: &'a dyn Body,
    live: Arc<Mutex<Live>>,
}

/// The bytes that were never drawn before, and what is known of them.
struct Live {
    stream: BoxStream<'static, Result<Bytes>>,
    sealed: Option<BoxFuture<'static, Result<Sealed>>>,
    outcome: Option<Sealed>,
    size: u64,
    /// The last piece is held back until the body has proven to be this.
    gate: Option<Digest>,
    title: String,
    /// Drawn from the stream but not handed out.
    carry: Bytes,
    drawn: u64,
    ended: bool,
    error: Option<Error>,
    /// The request that may draw.
    turn: u64,
}

impl<'a> Feed<'a> {
    /// Opens `body`. With a `gate`, its last bytes are handed out only after it has proven to have that digest, so that
    /// a request which names the digest is never completed with other bytes.
    pub(super) fn open(body: &'a dyn Body, gate: Option<Digest>) -> Self {
        let open = body.open();
        let live = Live {
            stream: open.stream,
            sealed: Some(open.sealed),
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
        Self { body, live: Arc::new(Mutex::new(live)) }
    }

    fn live(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many bytes were drawn so far.
    pub(super) fn drawn(&self) -> u64 {
        self.live().drawn
    }

    /// Returns the bytes of `range` for a request: those drawn before are read again, the others follow from the open
    /// body.
    pub(super) fn bytes(&self, range: Range<u64>) -> Lease {
        let mut live = self.live();
        live.turn += 1;
        let again = range.start..live.drawn.min(range.end);
        let again_left = again.end.saturating_sub(again.start);
        let again = (again_left > 0).then(|| self.body.reread(again));
        let left = range.end - range.start;
        Lease { live: Arc::clone(&self.live), turn: live.turn, again, again_left, left, gauge: Gauge::new(left == 0) }
    }

    /// Returns what the body has proven to be so far.
    pub(super) fn outcome(&self) -> Option<Sealed> {
        self.live().outcome.clone()
    }

    /// Takes back the right to draw, and returns what went wrong with the body, if anything did.
    pub(super) fn revoke(&self) -> Option<Error> {
        let mut live = self.live();
        live.turn += 1;
        live.error.take()
    }

    /// Returns what the body turned out to be. What no request has drawn of it is read and dropped: nothing is known of
    /// a body before its end.
    pub(super) async fn sealed(&self) -> Result<Sealed> {
        self.revoke().map_or(Ok(()), Err)?;
        poll_fn(|cx| self.live().poll_drain(cx)).await?;
        let (sealed, outcome) = {
            let mut live = self.live();
            (live.sealed.take(), live.outcome.clone())
        };
        match (outcome, sealed) {
            (Some(sealed), _) => Ok(sealed),
            (None, Some(sealed)) => {
                let sealed = sealed.await?;
                self.live().outcome = Some(sealed.clone());
                Ok(sealed)
            }
            (None, None) => Err(self.live().wrong_length()),
        }
    }
}

impl Live {
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
            // The HTTP client cuts a body that is longer than its announced length without a word.
            return Poll::Ready(Some(Err(self.wrong_length())));
        }
        if upto == self.size {
            ready!(self.poll_end(cx))?;
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.carry.len());
        self.drawn += most as u64;
        Poll::Ready(Some(Ok(self.carry.split_to(most))))
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while let Some(bytes) = ready!(self.poll_draw(cx, u64::MAX)) {
            bytes?;
        }
        Poll::Ready(if self.drawn == self.size { Ok(()) } else { Err(self.wrong_length()) })
    }

    /// The end must be polled for too: only then do the hashes know that they are done.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.ended {
            match ready!(self.stream.poll_next_unpin(cx)) {
                None => self.ended = true,
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(_)) => return Poll::Ready(Err(self.wrong_length())),
                Some(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        if let (Some(_), Some(sealed)) = (self.gate, &mut self.sealed) {
            let result = ready!(sealed.poll_unpin(cx));
            self.sealed = None;
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

    fn wrong_length(&self) -> Error {
        let (title, expected) = (self.title.clone(), self.size);
        RegistryError::WrongLength { title, expected, actual: self.drawn + self.carry.len() as u64 }.into()
    }
}

/// One request's share of a feed.
pub(super) struct Lease {
    live: Arc<Mutex<Live>>,
    turn: u64,
    again: Option<BoxStream<'static, Result<Bytes>>>,
    again_left: u64,
    left: u64,
    gauge: Gauge,
}

impl Lease {
    /// Returns what shows how the bytes move.
    pub(super) fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }

    /// Gives what is read again first, then what is drawn.
    fn poll_piece(&mut self, live: &mut Live, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let Some(again) = &mut self.again else { return live.poll_draw(cx, self.left) };
        let bytes = ready!(again.poll_next_unpin(cx));
        if let Some(Ok(bytes)) = &bytes {
            self.again_left = self.again_left.saturating_sub(bytes.len() as u64);
        }
        if self.again_left == 0 {
            self.again = None;
        }
        Poll::Ready(bytes)
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let shared = Arc::clone(&self.live);
        let mut live = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if live.turn != self.turn || live.error.is_some() {
            return Poll::Ready(Some(Err(Broken)));
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let next = ready!(self.poll_piece(&mut live, cx));
        Poll::Ready(match next {
            Some(Ok(bytes)) => {
                self.left = self.left.saturating_sub(bytes.len() as u64);
                Some(Ok(bytes))
            }
            Some(Err(error)) => {
                live.error = Some(error);
                Some(Err(Broken))
            }
            None => {
                live.error = Some(live.wrong_length());
                Some(Err(Broken))
            }
        })
    }
}

impl Stream for Lease {
    type Item = Result<Bytes, Broken>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let piece = this.poll_turn(cx);
        match &piece {
            Poll::Pending => this.gauge.waits(),
            Poll::Ready(_) => this.gauge.moves(this.left == 0),
        }
        piece
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
