//! Reads the files of any store in parallel, in order, and with bounded memory.
//!
//! A store that can give a range of a file implements [`RangeStore`]; [`read`] does the rest of
//! [`Source::read`](super::Source::read): parts of a file over several connections, put in order, each part asked for again
//! from where it broke off. The Hub is read that way, and a bucket is no other store:
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use bytes::Bytes;
//! use futures_util::{StreamExt, stream};
//! use modelcar_core::source::{
//!     Extent,
//!     ranged::{self, Fault, RangeStore, RangeStream},
//! };
//!
//! /// A bucket whose objects are zeros.
//! struct Zeros;
//!
//! #[async_trait]
//! impl RangeStore for Zeros {
//!     async fn open(&self, range: &Extent) -> Result<RangeStream, Fault> {
//!         let chunk = Bytes::from(vec![0; usize::try_from(range.len).unwrap_or_default()]);
//!         Ok(stream::iter([Ok(chunk)]).boxed())
//!     }
//!
//!     fn name(&self) -> String {
//!         "s3://models".to_owned()
//!     }
//! }
//!
//! # fn source_read(extents: Vec<Extent>, budget: &modelcar_core::source::ReadBudget) -> modelcar_core::source::ByteStream {
//! ranged::read(Arc::new(Zeros), extents, budget, ranged::Retry::default())
//! # }
//! ```

mod reader;
mod retry;
mod whole;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

pub use self::{
    reader::read,
    retry::{Fault, Retry},
};
use super::Extent;

/// The bytes of a range, in order. An error ends the stream.
pub type RangeStream = BoxStream<'static, Result<Bytes, Fault>>;

/// A store whose files can be read from any byte on.
#[async_trait]
pub trait RangeStore: Send + Sync + 'static {
    /// Opens a range of a file; the range has one byte at least.
    ///
    /// The stream yields the bytes of the range in order, or fewer where the store says so: the rest is asked for again at
    /// once. More bytes than the range has end the reading, as a [`Fault::fatal`] does. After a [`Fault::passing`] the bytes
    /// before it count, and the range that is still missing is opened.
    ///
    /// A store that has the file as a whole only says so with a [`Fault::fatal`] of
    /// [`SourceError::NoRanges`](super::SourceError::NoRanges). Then the whole file is opened, and read once.
    ///
    /// A stream that is dropped gives its connection up.
    async fn open(&self, range: &Extent) -> Result<RangeStream, Fault>;

    /// Returns who serves, for errors: a host, or the URL of a bucket.
    fn name(&self) -> String;
}
