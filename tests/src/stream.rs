//! Owns response bodies: ranges, pacing, and the ways a body can go wrong.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::time::Instant;

use crate::content::{Chunks, Content, to_usize};
use crate::server::{Reply, empty, reply, set_header};

/// Largest piece of a throttled body.
const THROTTLED_PIECE: u64 = 64 << 10;
/// Time given to the socket to send what precedes a deliberate break.
const FLUSH_PAUSE: Duration = Duration::from_millis(30);

/// How a body departs from the plain truth.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tweaks {
    /// Break the connection after this many body bytes.
    pub(crate) truncate: Option<u64>,
    /// Flip these bits of the byte at this offset of the file.
    pub(crate) corrupt: Option<(u64, u8)>,
    /// Pause once after this many body bytes.
    pub(crate) stall: Option<(u64, Duration)>,
    /// Send at most this many bytes a second.
    pub(crate) throttle: Option<u64>,
    /// Answer range requests with the whole file.
    pub(crate) ignore_range: bool,
    /// Answer range requests with at most this many bytes, and say so.
    pub(crate) most: Option<u64>,
}

/// Where sent bytes are counted.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    /// Of this request.
    pub(crate) request: Arc<AtomicU64>,
    /// Of the whole server.
    pub(crate) total: Arc<AtomicU64>,
}

impl Counters {
    pub(crate) fn add(&self, bytes: u64) {
        self.request.fetch_add(bytes, Ordering::Relaxed);
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Answers GET or HEAD for `content`, honouring a single range.
pub(crate) fn serve_content(
    content: &Content,
    range: Option<&str>,
    head: bool,
    tweaks: Tweaks,
    counters: Counters,
) -> Reply {
    let size = content.len();
    let range = range.filter(|_| !tweaks.ignore_range).and_then(|text| parse_range(text, size));
    let (status, start, len) = match range {
        None => (200, 0, size),
        Some(Ok((first, last))) => (206, first, (last - first + 1).min(tweaks.most.unwrap_or(u64::MAX))),
        Some(Err(())) => {
            let mut refused = empty(416);
            set_header(&mut refused, "content-range", &format!("bytes */{size}"));
            return refused;
        }
    };
    let body = if head { Body::empty() } else { body(content, start, len, tweaks, counters) };
    let mut answer = reply(status, "application/octet-stream", body);
    set_header(&mut answer, "content-length", &len.to_string());
    set_header(&mut answer, "accept-ranges", "bytes");
    if status == 206 {
        let value = format!("bytes {start}-{}/{size}", start + len - 1);
        set_header(&mut answer, "content-range", &value);
    }
    answer
}

/// First and last byte asked for; `None` when the header is to be ignored.
fn parse_range(text: &str, size: u64) -> Option<Result<(u64, u64), ()>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = if first.is_empty() {
        let suffix: u64 = last.parse().ok()?;
        (size.saturating_sub(suffix), size.checked_sub(1))
    } else {
        let last = if last.is_empty() { u64::MAX } else { last.parse().ok()? };
        (first.parse().ok()?, size.checked_sub(1).map(|end| last.min(end)))
    };
    Some(last.filter(|last| first <= *last).map(|last| (first, last)).ok_or(()))
}

struct Sender {
    chunks: Chunks,
    rest: Bytes,
    file_offset: u64,
    sent: u64,
    started: Instant,
    tweaks: Tweaks,
    counters: Counters,
}

fn body(content: &Content, start: u64, len: u64, tweaks: Tweaks, counters: Counters) -> Body {
    let sender = Sender {
        chunks: content.read(start, len),
        rest: Bytes::new(),
        file_offset: start,
        sent: 0,
        started: Instant::now(),
        tweaks,
        counters,
    };
    Body::from_stream(stream::unfold(Some(sender), |sender| async {
        let mut sender = sender?;
        match sender.next().await? {
            Ok(piece) => Some((Ok(piece), Some(sender))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

impl Sender {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.tweaks.truncate.is_some_and(|limit| self.sent >= limit) {
            tokio::time::sleep(FLUSH_PAUSE).await;
            return Some(Err(io::Error::other("body cut on purpose")));
        }
        if let Some((_, pause)) = self.tweaks.stall.take_if(|(at, _)| self.sent >= *at) {
            tokio::time::sleep(pause).await;
        }
        if self.rest.is_empty() {
            match self.chunks.next()? {
                Ok(chunk) => self.rest = chunk,
                Err(error) => return Some(Err(error)),
            }
        }
        let length = self.piece_length();
        let mut piece = self.rest.split_to(to_usize(length));
        if let Some((at, bits)) = self.tweaks.corrupt {
            piece = self.corrupted(piece, at, bits);
        }
        self.sent += length;
        self.file_offset += length;
        if let Some(rate) = self.tweaks.throttle.filter(|rate| *rate > 0) {
            let due = Duration::from_micros(self.sent.saturating_mul(1_000_000) / rate);
            tokio::time::sleep_until(self.started + due).await;
        }
        self.counters.add(length);
        Some(Ok(piece))
    }

    /// Length of the next piece: up to the next point where something happens.
    fn piece_length(&self) -> u64 {
        let mut length = self.rest.len() as u64;
        if let Some(limit) = self.tweaks.truncate {
            length = length.min(limit - self.sent);
        }
        if let Some((at, _)) = self.tweaks.stall {
            length = length.min(at - self.sent);
        }
        if self.tweaks.throttle.is_some() {
            length = length.min(THROTTLED_PIECE);
        }
        length
    }

    fn corrupted(&self, piece: Bytes, at: u64, bits: u8) -> Bytes {
        match at.checked_sub(self.file_offset) {
            Some(index) if index < piece.len() as u64 => {
                let mut changed = BytesMut::from(&piece[..]);
                changed[to_usize(index)] ^= bits;
                changed.freeze()
            }
            _ => piece,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse_range;

    #[test]
    fn ranges_are_cut_at_the_end_or_refused() {
        assert_eq!(parse_range("bytes=2-5", 10), Some(Ok((2, 5))));
        assert_eq!(parse_range("bytes=2-", 10), Some(Ok((2, 9))));
        assert_eq!(parse_range("bytes=2-99", 10), Some(Ok((2, 9))));
        assert_eq!(parse_range("bytes=-3", 10), Some(Ok((7, 9))));
        assert_eq!(parse_range("bytes=10-", 10), Some(Err(())));
        assert_eq!(parse_range("bytes=0-", 0), Some(Err(())));
        assert_eq!(parse_range("items=0-1", 10), None);
    }
}
