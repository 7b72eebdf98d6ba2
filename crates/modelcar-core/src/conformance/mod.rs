//! What every [`Source`](crate::source::Source) and every [`Sink`](crate::sink::Sink) promises, as checks.
//!
//! [`source`] and [`sink`] try an implementation out and name the first [`Rule`] that the implementation breaks. All
//! implementations of this library pass; a test of somebody else's implementation is a few lines:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use bytes::Bytes;
//! use modelcar_core::{
//!     conformance,
//!     sink::MemorySink,
//!     source::MemorySource,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let files = BTreeMap::from([("config.json".parse()?, Bytes::from("{}")), ("w.bin".parse()?, vec![7; 5000].into())]);
//! conformance::source(async || MemorySource::new(files.clone()), &files).await?;
//! conformance::sink(async || MemorySink::new(["latest"])).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The checks need a tokio runtime with time enabled. What an implementation panics with is not caught.

mod bodies;
mod sink_rules;
mod source_rules;
#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

pub use self::{sink_rules::sink, source_rules::source};
use crate::error::{Error, ErrorKind, ModelcarError};

/// Time that the check of one rule may take. A check that takes longer breaks its rule.
const PATIENCE: Duration = Duration::from_secs(30);

/// A promise of [`Source`](crate::source::Source) or [`Sink`](crate::sink::Sink) that can be checked.
///
/// The rules up to `BoundedChunks` are those of a source, the others those of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A source lists every file of the model once, with its size in bytes, and no other file.
    Listing,
    /// A source lists the same files each time.
    StableListing,
    /// A content id that a source states in its listing is the hash of the file's bytes.
    ContentIds,
    /// `Source::identify` returns the files that it was given, in their order, each with the content id of its bytes.
    Identify,
    /// A source gives the bytes of a whole file, unchanged.
    WholeFiles,
    /// A source gives extents in the order in which they are asked for, also when they are in several files.
    ExtentOrder,
    /// A source gives any range of a file, whether or not the range begins and ends at the border of a part.
    Ranges,
    /// A source can be read again at any time, also while another stream of it is open and not polled.
    RepeatedReads,
    /// Streams that share a budget do not wait for each other for ever, in whatever order they are polled.
    ParallelReads,
    /// A stream that is dropped returns its connections and its share of the budget within 15 seconds.
    CancelledReads,
    /// Reading a file that the source does not list is an error. The error names the file and ends the stream.
    UnlistedFile,
    /// No chunk of a stream is larger than one part of the budget.
    BoundedChunks,
    /// `Sink::max_jobs` is at least 1.
    Jobs,
    /// `Sink::has_blob` is false for a blob that nobody has written.
    AbsentBlob,
    /// A blob that was written is there, and `Sink::write_blob` returns exactly what the blob has verified.
    WrittenBlob,
    /// A blob can be written twice, with the same result.
    WrittenTwice,
    /// A blob whose failure may pass is opened again, and the caller is told once for each restart.
    Restart,
    /// The error of a blob that fails for good is passed on, and the blob is not there afterwards.
    FailingBody,
    /// A blob whose bytes turn out wrong at its end gives its own error, and is not there afterwards.
    UnprovenBody,
    /// A blob that gives fewer bytes than it states is refused, and is not there afterwards.
    MiscountedBody,
    /// A write whose future is dropped leaves no blob and blocks no later write.
    DroppedWrite,
    /// A sink answers while a blob is being written. A sink with several jobs also writes another blob meanwhile.
    Beside,
    /// As many blobs as the sink has jobs can be written at the same time, equal blobs among them.
    ParallelWrites,
    /// `Sink::mount_or_find` returns whether the blob is there afterwards.
    Claim,
    /// A manifest that names a missing blob publishes nothing, and a complete image can still be written afterwards.
    IncompleteManifest,
    /// `Sink::publish` succeeds for an image whose blobs and manifests are all written.
    Publish,
    /// `Sink::published` is `None` before an image is published, and returns its digest and names afterwards.
    Published,
    /// `Sink::abandon` publishes nothing, and removes nothing of a published image.
    Abandon,
}

impl Rule {
    /// Returns the name of the rule, for example `stable-listing`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Listing => "listing",
            Self::StableListing => "stable-listing",
            Self::ContentIds => "content-ids",
            Self::Identify => "identify",
            Self::WholeFiles => "whole-files",
            Self::ExtentOrder => "extent-order",
            Self::Ranges => "ranges",
            Self::RepeatedReads => "repeated-reads",
            Self::ParallelReads => "parallel-reads",
            Self::CancelledReads => "cancelled-reads",
            Self::UnlistedFile => "unlisted-file",
            Self::BoundedChunks => "bounded-chunks",
            Self::Jobs => "jobs",
            Self::AbsentBlob => "absent-blob",
            Self::WrittenBlob => "written-blob",
            Self::WrittenTwice => "written-twice",
            Self::Restart => "restart",
            Self::FailingBody => "failing-body",
            Self::UnprovenBody => "unproven-body",
            Self::MiscountedBody => "miscounted-body",
            Self::DroppedWrite => "dropped-write",
            Self::Beside => "beside",
            Self::ParallelWrites => "parallel-writes",
            Self::Claim => "claim",
            Self::IncompleteManifest => "incomplete-manifest",
            Self::Publish => "publish",
            Self::Published => "published",
            Self::Abandon => "abandon",
        }
    }

    /// Returns the violation of this rule; `what` says what happened instead.
    fn broken(self, what: impl Into<String>) -> Violation {
        Violation { rule: self, what: what.into(), source: None }
    }

    /// Returns a violation with the text of `what`, unless `is_kept`.
    fn holds(self, is_kept: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
        if is_kept { Ok(()) } else { Err(self.broken(what())) }
    }

    /// Returns a function that turns an error into a violation, for a call that must not fail.
    fn failed<E: Into<Error>>(self, what: impl Into<String>) -> impl FnOnce(E) -> Violation {
        move |error| Violation { rule: self, what: what.into(), source: Some(error.into()) }
    }

    /// Runs the check of the rule, for [`PATIENCE`] at most.
    async fn ends<T>(self, check: impl Future<Output = Result<T, Violation>>) -> Result<T, Violation> {
        match tokio::time::timeout(PATIENCE, check).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.broken(format!("it came to no end in {} s", PATIENCE.as_secs()))),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A rule that an implementation breaks, and what it did instead.
#[derive(Debug, thiserror::Error)]
#[error("the rule `{rule}` is broken: {what}")]
pub struct Violation {
    /// The first rule that is broken.
    rule: Rule,
    /// What happened, for the message.
    what: String,
    /// The error of the implementation, where there was one and none was allowed.
    source: Option<Error>,
}

impl Violation {
    /// Returns the rule that is broken.
    pub fn rule(&self) -> Rule {
        self.rule
    }
}

impl ModelcarError for Violation {
    /// A broken rule is a defect of the implementation.
    fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
}
