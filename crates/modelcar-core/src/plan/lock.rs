//! The lock file: a plan and the names it was made from, to be replayed.

use serde::{Deserialize, Serialize};

use super::{Plan, PlanError, ReadPlan};
use crate::oci::canonical_value;

const SCHEMA_VERSION: u32 = 1;

/// A plan with the names that lead to its source and its base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "ReadLockFile")]
pub struct LockFile {
    schema_version: u32,
    /// The source as the user names it, pinned: `owner/name@<commit>` or a path.
    pub source: String,
    /// The base as the user names it, pinned where it can be.
    pub base: String,
    /// The plan.
    pub plan: Plan,
}

/// A lock file as somebody wrote it, not checked yet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReadLockFile {
    schema_version: u32,
    source: String,
    base: String,
    plan: ReadPlan,
}

impl TryFrom<ReadLockFile> for LockFile {
    type Error = PlanError;

    fn try_from(read: ReadLockFile) -> Result<Self, PlanError> {
        if read.schema_version != SCHEMA_VERSION {
            let found = read.schema_version;
            return Err(PlanError::InconsistentLock(format!("schema version {found} is not {SCHEMA_VERSION}")));
        }
        Ok(Self::new(read.source, read.base, read.plan.try_into()?))
    }
}

impl LockFile {
    /// Joins a plan and its names.
    pub fn new(source: impl Into<String>, base: impl Into<String>, plan: Plan) -> Self {
        Self { schema_version: SCHEMA_VERSION, source: source.into(), base: base.into(), plan }
    }

    /// Reads a lock file and checks that it is consistent with itself.
    ///
    /// # Errors
    /// [`PlanError::BadLock`] and [`PlanError::InconsistentLock`].
    pub fn parse(json: &[u8]) -> Result<Self, PlanError> {
        let read: ReadLockFile = serde_json::from_slice(json).map_err(PlanError::BadLock)?;
        read.try_into()
    }

    /// Returns the file's text: indented JSON with sorted keys, so that two versions compare line by line.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(&canonical_value(self)).unwrap_or_default();
        text.push('\n');
        text
    }
}
