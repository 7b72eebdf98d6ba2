//! Reads from a source what facts and flaws need: small files as a whole, and the headers of weight files.

use std::{cmp::Ordering, io, sync::Arc};

use futures_util::TryStreamExt;
use serde_json::Value;
use tokio::{sync::Mutex, task};

use super::{
    begin::{self, Begin},
    flaw::Flaw,
    gguf,
    proof::Beginnings,
    safetensors::{self, Tensors},
};
use crate::source::{Extent, ReadBudget, Source, SourceError, SourceFile};

/// Bytes of the first read of a header. Most headers are shorter, so one request is enough.
const FIRST_READ_BYTES: u64 = 64 << 10;
/// Safetensors headers longer than this many bytes are held in memory one at a time, and parsed on a blocking thread so
/// that no other task waits.
const LONG_HEADER_BYTES: u64 = 1 << 20;
/// Number of files that are read at the same time.
pub(super) const READERS: usize = 8;

/// A header, or why there is none.
pub(super) enum Header<T> {
    /// What the header says.
    Read(T),
    /// What the header says, and a flaw of the file that leaves the header usable.
    Doubtful(T, Flaw),
    /// The header is longer than the limit and was not read: nothing is known of the file.
    TooLong,
    /// The file has no usable header, or is truncated.
    Flawed(Flaw),
}

impl<T> Header<T> {
    /// Returns what the header says.
    pub(super) fn ok(self) -> Option<T> {
        match self {
            Self::Read(header) | Self::Doubtful(header, _) => Some(header),
            Self::TooLong | Self::Flawed(_) => None,
        }
    }
}

/// Reads parts of a model's files.
pub(super) struct Reader<'a> {
    source: &'a dyn Source,
    budget: ReadBudget,
    /// Locked while a long header is in memory.
    long_headers: Mutex<()>,
    /// What was read.
    beginnings: Beginnings,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a dyn Source) -> Self {
        Self {
            source,
            budget: ReadBudget::new(READERS, 8 << 20),
            long_headers: Mutex::new(()),
            beginnings: Beginnings::default(),
        }
    }

    /// Returns what was read of files that were not read whole.
    pub(super) fn into_beginnings(self) -> Beginnings {
        self.beginnings
    }

    /// Reads the JSON file at the path `name`. `None` when the file is missing, larger than `max` bytes or not JSON.
    pub(super) async fn json(&self, files: &[&SourceFile], name: &str, max: u64) -> Result<Option<Value>, SourceError> {
        let Some(file) = files.iter().find(|file| file.path.as_str() == name && file.size <= max) else {
            return Ok(None);
        };
        Ok(serde_json::from_slice(&self.whole(file).await?).ok())
    }

    /// Reads a small file.
    pub(super) async fn whole(&self, file: &SourceFile) -> Result<Vec<u8>, SourceError> {
        let mut bytes = Vec::new();
        self.read_to(file, file.size, &mut bytes).await?;
        Ok(bytes)
    }

    /// Recognizes the kind of a file by its first 512 bytes.
    pub(super) async fn begin(&self, file: &SourceFile) -> Result<Begin, SourceError> {
        let mut bytes = Vec::new();
        self.read_to(file, file.size.min(begin::LOOKED_AT_BYTES), &mut bytes).await?;
        Ok(Begin::of(&bytes))
    }

    /// Reads the header of a safetensors file.
    pub(super) async fn tensors(&self, file: &SourceFile) -> Result<Header<Tensors>, SourceError> {
        let no_header = || Header::Flawed(Flaw::NoHeader { file: file.path.clone() });
        let mut bytes = Vec::new();
        self.read_to(file, file.size.min(FIRST_READ_BYTES), &mut bytes).await?;
        if let Some(flaw) = Begin::of(&bytes).flaw(file) {
            return Ok(Header::Flawed(flaw));
        }
        let Some(len) = safetensors::header_len(&bytes) else { return Ok(no_header()) };
        let end = safetensors::PREFIX_BYTES + len;
        if end > file.size {
            return Ok(match bytes.get(8) {
                // The JSON of a header begins here: the file is a safetensors file that was cut off inside the header.
                Some(b'{') => {
                    Header::Flawed(Flaw::Truncated { file: file.path.clone(), size: file.size, expected: end })
                }
                _ => no_header(),
            });
        }
        if len > safetensors::HEADER_MAX_BYTES {
            return Ok(Header::TooLong);
        }
        let tensors = self.parse_tensors(file, bytes, end).await?;
        let Some(tensors) = tensors else { return Ok(no_header()) };
        let expected = end.saturating_add(tensors.end);
        let (file, size) = (file.path.clone(), file.size);
        Ok(match size.cmp(&expected) {
            Ordering::Less => Header::Flawed(Flaw::Truncated { file, size, expected }),
            Ordering::Equal => Header::Read(tensors),
            Ordering::Greater => Header::Doubtful(tensors, Flaw::TrailingBytes { file, size, expected }),
        })
    }

    /// Reads from the end of `bytes` to `end`, where the header ends, and parses the header. `None` when it is
    /// malformed.
    async fn parse_tensors(
        &self,
        file: &SourceFile,
        mut bytes: Vec<u8>,
        end: u64,
    ) -> Result<Option<Tensors>, SourceError> {
        let is_long = end > LONG_HEADER_BYTES;
        let _alone = if is_long { Some(self.long_headers.lock().await) } else { None };
        self.read_to(file, end, &mut bytes).await?;
        let parse = move || usize::try_from(end).ok().and_then(|end| bytes.get(8..end)).and_then(safetensors::parse);
        if !is_long {
            return Ok(parse());
        }
        task::spawn_blocking(parse).await.map_err(|error| SourceError::Io {
            act: "parse the header of",
            path: file.path.as_str().into(),
            source: io::Error::other(error),
        })
    }

    /// Reads the header of a GGUF file. A GGUF header does not state its own length, so each read ends 16 times farther
    /// into the file, until the header is complete. A header with a tokenizer of usual size needs no more than three
    /// reads.
    pub(super) async fn gguf(&self, file: &SourceFile) -> Result<Header<gguf::Header>, SourceError> {
        let most = file.size.min(gguf::HEADER_MAX_BYTES);
        let mut bytes: Vec<u8> = Vec::new();
        let mut wanted = most.min(FIRST_READ_BYTES);
        let path = || file.path.clone();
        loop {
            self.read_to(file, wanted, &mut bytes).await?;
            match gguf::parse(&bytes) {
                Ok(header) if header.file_bytes > file.size => {
                    let flaw = Flaw::Truncated { file: path(), size: file.size, expected: header.file_bytes };
                    return Ok(Header::Flawed(flaw));
                }
                Ok(header) => return Ok(Header::Read(header)),
                Err(gguf::Stop::NeedMore) if wanted < most => wanted = most.min(wanted.saturating_mul(16)),
                Err(gguf::Stop::NeedMore) if most < file.size => return Ok(Header::TooLong),
                Err(_) => {
                    let flaw = Begin::of(&bytes).flaw(file);
                    return Ok(Header::Flawed(flaw.unwrap_or(Flaw::NoHeader { file: path() })));
                }
            }
        }
    }

    /// Reads until `bytes` holds the first `end` bytes of the file. Bytes that are there already are not read again.
    async fn read_to(&self, file: &SourceFile, end: u64, bytes: &mut Vec<u8>) -> Result<(), SourceError> {
        let offset = bytes.len() as u64;
        let Some(len) = end.checked_sub(offset).filter(|len| *len > 0) else { return Ok(()) };
        bytes.reserve_exact(usize::try_from(len).unwrap_or_default());
        let extent = Extent { file: Arc::new(file.clone()), offset, len };
        let mut stream = self.source.read(vec![extent], &self.budget);
        while let Some(chunk) = stream.try_next().await? {
            bytes.extend_from_slice(&chunk);
        }
        self.beginnings.note(file, bytes)
    }
}
