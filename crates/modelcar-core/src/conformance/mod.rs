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

/// How long one rule may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an implementation promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A source lists every file of the model once, with its size.
    Listing,
    /// A source lists the same files each time.
    StableListing,
    /// A content id that a source states is that of the file's bytes.
    ContentIds,
    /// `Source::identify` returns the same files, each with a true content id.
    Identify,
    /// A source gives the bytes of a whole file.
    WholeFiles,
    /// A source gives extents in the order in which they are asked for, over the ends of files.
    ExtentOrder,
    /// A source gives any range of a file, wherever the range begins and ends.
    Ranges,
    /// A source can be read again at any time, also while another reading is under way.
    RepeatedReads,
    /// Readers that share a budget do not wait for each other, in whatever order they are polled.
    ParallelReads,
    /// A stream that is dropped gives its share of the budget back.
    CancelledReads,
    /// A file that a source does not list is an error that names the file and ends the stream.
    UnlistedFile,
    /// No chunk of a stream is larger than a part of the budget.
    BoundedChunks,
    /// A sink takes one layer at least.
    Jobs,
    /// A sink does not claim to have a blob that nobody has written.
    AbsentBlob,
    /// A blob that was written is there, and the sink returns what the blob's body has proven.
    WrittenBlob,
    /// A blob can be written twice.
    WrittenTwice,
    /// A body whose failure may pass is opened again, and the caller is told.
    Restart,
    /// A body that fails for good gives its own error and leaves no blob.
    FailingBody,
    /// A body that does not prove its bytes gives its own error and leaves no blob.
    UnprovenBody,
    /// A body of other bytes than it counts is refused and leaves no blob.
    MiscountedBody,
    /// A write that is dropped leaves no blob and holds nobody up.
    DroppedWrite,
    /// A sink answers while a blob is being written.
    Beside,
    /// As many blobs as the sink has jobs can be written at once, equal ones among them.
    ParallelWrites,
    /// `Sink::mount_or_find` returns whether the blob is there.
    Claim,
    /// A manifest that names a blob which is not there gives nothing a name.
    IncompleteManifest,
    /// `Sink::publish` gives the image a name, once all that the image has was written.
    Publish,
    /// `Sink::published` tells what was given a name, and nothing else.
    Published,
    /// `Sink::abandon` gives nothing a name and takes nothing of a published image.
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

    fn broken(self, what: impl Into<String>) -> Violation {
        Violation { rule: self, what: what.into(), source: None }
    }

    /// Breaks the rule with `what` unless `is_kept`.
    fn holds(self, is_kept: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
        if is_kept { Ok(()) } else { Err(self.broken(what())) }
    }

    /// Returns a function that makes a violation of an error, where none may be.
    fn failed<E: Into<Error>>(self, what: impl Into<String>) -> impl FnOnce(E) -> Violation {
        move |error| Violation { rule: self, what: what.into(), source: Some(error.into()) }
    }

    /// Runs the check of the rule, which must come to an end.
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

/// A rule that an implementation breaks.
#[derive(Debug, thiserror::Error)]
#[error("the rule `{rule}` is broken: {what}")]
pub struct Violation {
    rule: Rule,
    what: String,
    source: Option<Error>,
}

impl Violation {
    /// Returns the rule.
    pub fn rule(&self) -> Rule {
        self.rule
    }
}

impl ModelcarError for Violation {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
}
