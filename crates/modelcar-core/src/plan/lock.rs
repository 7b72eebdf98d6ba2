//! The lock file: a plan and the names it was made from, to be replayed.

use serde::{Deserialize, Serialize};

use super::{Plan, PlanError, ReadPlan};
use crate::{
    base::{BaseError, BaseRef},
    oci::canonical_value,
    source::{SourceError, SourceRef},
};

/// Version 1 named a model on the Hub as a directory of that path would be named; the plan's commit told them apart.
const SCHEMA_VERSION: u32 = 2;
const FIRST_VERSION: u32 = 1;

/// A plan with the names that lead to its source and its base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "ReadLockFile")]
#[non_exhaustive]
pub struct LockFile {
    schema_version: u32,
    /// The source, pinned where it can be.
    pub source: SourceRef,
    /// The base, pinned where it can be.
    pub base: BaseRef,
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
        let inconsistent = |what: String| PlanError::InconsistentLock(what);
        let plan: Plan = read.plan.try_into()?;
        let is_model = plan.origin().commit.is_some();
        let source = match read.schema_version {
            SCHEMA_VERSION => read.source.parse(),
            FIRST_VERSION if is_model => format!("hf://{}", read.source).parse(),
            FIRST_VERSION => Ok(SourceRef::Dir(read.source.into())),
            found => return Err(inconsistent(format!("schema version {found} is not {SCHEMA_VERSION}"))),
        };
        let source = source.map_err(|error: SourceError| inconsistent(error.to_string()))?;
        let base = read.base.parse().map_err(|error: BaseError| inconsistent(error.to_string()))?;
        Ok(Self::new(source, base, plan))
    }
}

impl LockFile {
    /// Joins a plan and its names.
    pub fn new(source: SourceRef, base: BaseRef, plan: Plan) -> Self {
        Self { schema_version: SCHEMA_VERSION, source, base, plan }
    }

    /// Reads a lock file and checks that it is consistent with itself. Lock files of version 1 are read too.
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
