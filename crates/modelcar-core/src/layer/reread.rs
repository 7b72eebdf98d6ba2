//! Reads a part of a layer again: headers and padding are computed again, contents are read from the source at an
//! offset.
//!
//! A sink asks for this when a connection breaks and the registry has received less than was sent.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};

use super::{LayerBlob, PROGRESS_BYTES};
use crate::{
    error::Result,
    layer_format,
    progress::Event,
    source::{ByteStream, Extent},
};

/// A piece of the requested part.
enum Piece {
    /// A header, padding or the trailer, or as much of it as lies in the requested part.
    Frame(Bytes),
    /// This many bytes of content from the source.
    Content(u64),
}

/// Reads `range`, in bytes from the start of the layer. The bytes are not hashed: the reading that is still open has
/// hashed them already.
pub(super) fn reread(body: &LayerBlob, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
    let (pieces, extents) = pieces(body, &range);
    let content = body.source.read(extents, &body.budget);
    let reader = Reader { body: body.clone(), pieces, content, carried: Bytes::new(), unreported: 0 };
    let bytes = stream::try_unfold(reader, |mut reader| async move {
        let bytes = reader.next().await?;
        Ok(bytes.map(|bytes| (bytes, reader)))
    });
    bytes.boxed()
}

/// A position in the layer, and the part of the layer that is wanted.
struct Cut {
    /// The part that is wanted, in bytes from the start of the layer.
    wanted: Range<u64>,
    /// Number of bytes before the current position.
    at: u64,
}

impl Cut {
    /// Moves on by `len` bytes and returns which of those bytes are wanted, counted from the first of them.
    fn next(&mut self, len: u64) -> Range<u64> {
        let inside = |place: u64| place.clamp(self.at, self.at + len) - self.at;
        let part = inside(self.wanted.start)..inside(self.wanted.end);
        self.at += len;
        part
    }

    /// Moves on by the length of `bytes` and returns the wanted part of `bytes`, if there is any.
    fn frame(&mut self, bytes: &Bytes) -> Option<Piece> {
        let part = self.next(bytes.len() as u64);
        let [begin, end] = [part.start, part.end].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        (begin < end).then(|| Piece::Frame(bytes.slice(begin..end)))
    }
}

/// Returns the pieces of `range`, and the parts of files that they need from the source.
///
/// The position in the layer is found by going over all members from the start, which costs no I/O.
fn pieces(body: &LayerBlob, range: &Range<u64>) -> (VecDeque<Piece>, Vec<Extent>) {
    let (mut pieces, mut extents) = (VecDeque::new(), Vec::new());
    let mut cut = Cut { wanted: range.clone(), at: 0 };
    for entry in layer_format::entries(&body.layer.files) {
        pieces.extend(cut.frame(&layer_format::header(&entry, body.mtime)));
        let Some(file) = entry.file else { continue };
        let part = cut.next(file.size);
        if part.start < part.end {
            let len = part.end - part.start;
            pieces.push_back(Piece::Content(len));
            extents.push(Extent { file: Arc::new(file.clone()), offset: part.start, len });
        }
        pieces.extend(cut.frame(&layer_format::padding(file.size)));
    }
    pieces.extend(cut.frame(&layer_format::trailer()));
    (pieces, extents)
}

/// Gives the bytes of the pieces one after the other.
struct Reader {
    body: LayerBlob,
    pieces: VecDeque<Piece>,
    content: ByteStream,
    /// The rest of a chunk of the source. Chunks may run over the end of a file.
    carried: Bytes,
    /// Bytes that were given since the last progress event.
    unreported: u64,
}

impl Reader {
    /// Returns the next bytes, or `None` after the last. When the source ends too early, so does the reading, without
    /// an error: whoever asked for the bytes counts them.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let bytes = match self.pieces.pop_front() {
            Some(Piece::Frame(bytes)) => bytes,
            Some(Piece::Content(left)) => {
                while self.carried.is_empty() {
                    self.carried = match self.content.next().await {
                        Some(bytes) => bytes.map_err(|source| self.body.source_error(source))?,
                        None => return Ok(None),
                    };
                }
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(self.carried.len());
                if take as u64 != left {
                    self.pieces.push_front(Piece::Content(left - take as u64));
                }
                self.carried.split_to(take)
            }
            None => {
                self.report(0);
                return Ok(None);
            }
        };
        self.report(bytes.len() as u64);
        Ok(Some(bytes))
    }

    /// Reports that `more` bytes were read again; 0 means that the reading is at its end.
    fn report(&mut self, more: u64) {
        self.unreported += more;
        if self.unreported >= PROGRESS_BYTES || (more == 0 && self.unreported > 0) {
            let bytes = std::mem::take(&mut self.unreported);
            self.body.progress.report(&Event::LayerResent { layer: self.body.index, bytes });
        }
    }
}
