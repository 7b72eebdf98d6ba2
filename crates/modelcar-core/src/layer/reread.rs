//! A stretch of a layer once more: the same framing from arithmetic, content from the source at an offset.

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

/// A part of the stretch.
enum Piece {
    /// A header, padding or the trailer, or a part of one.
    Frame(Bytes),
    /// So many bytes of content.
    Content(u64),
}

/// Reads `range` of the layer's bytes.
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

/// Walks over a layer and cuts out what is wanted.
struct Cut {
    wanted: Range<u64>,
    at: u64,
}

impl Cut {
    /// Moves on by `len` bytes and returns the part of them that is wanted.
    fn next(&mut self, len: u64) -> Range<u64> {
        let inside = |place: u64| place.clamp(self.at, self.at + len) - self.at;
        let part = inside(self.wanted.start)..inside(self.wanted.end);
        self.at += len;
        part
    }

    fn frame(&mut self, bytes: &Bytes) -> Option<Piece> {
        let part = self.next(bytes.len() as u64);
        let [begin, end] = [part.start, part.end].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        (begin < end).then(|| Piece::Frame(bytes.slice(begin..end)))
    }
}

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

struct Reader {
    body: LayerBlob,
    pieces: VecDeque<Piece>,
    content: ByteStream,
    /// What is left of a chunk that runs into the next file.
    carried: Bytes,
    unreported: u64,
}

impl Reader {
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

    fn report(&mut self, more: u64) {
        self.unreported += more;
        if self.unreported >= PROGRESS_BYTES || (more == 0 && self.unreported > 0) {
            let bytes = std::mem::take(&mut self.unreported);
            self.body.progress.report(&Event::LayerResent { layer: self.body.index, bytes });
        }
    }
}
