//! The lock file: a plan, and the names of the source and the base from which the same image can be built again.

use serde::{Deserialize, Serialize};

use super::{Plan, PlanError, ReadPlan};
use crate::{
    base::{BaseError, BaseRef},
    oci::canonical_value,
    source::{SourceError, SourceRef},
};

/// Version of the lock file's schema that is written. [`FIRST_VERSION`] is read too.
const SCHEMA_VERSION: u32 = 2;
/// Version 1 wrote `owner/name` both for a model on the Hub and for a directory of that path. Only a plan of a model on
/// the Hub has a commit, which tells the two apart.
const FIRST_VERSION: u32 = 1;

/// A plan, with the names that lead to the plan's source and base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(!try_from))]
#[serde(rename_all = "camelCase", try_from = "ReadLockFile")]
#[non_exhaustive]
pub struct LockFile {
    schema_version: u32,
    /// Name of the source. A model on the Hub should be named with its commit: [`OpenSource::name`] is.
    ///
    /// [`OpenSource::name`]: crate::source::OpenSource::name
    pub source: SourceRef,
    /// Name of the base image. An image in a registry should be named by its digest.
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
            // As version 2 writes the folder, so that the file is the same after it was written again.
            FIRST_VERSION => SourceRef::Dir(read.source.into()).to_string().parse(),
            found => return Err(inconsistent(format!("schema version {found} is not {SCHEMA_VERSION}"))),
        };
        let source = source.map_err(|error: SourceError| inconsistent(error.to_string()))?;
        let base = read.base.parse().map_err(|error: BaseError| inconsistent(error.to_string()))?;
        Ok(Self::new(source, base, plan))
    }
}

impl LockFile {
    /// Joins a plan and the names of its source and base. Neither name is compared with the plan.
    pub fn new(source: SourceRef, base: BaseRef, plan: Plan) -> Self {
        Self { schema_version: SCHEMA_VERSION, source, base, plan }
    }

    /// Reads a lock file, and checks that sizes and recipes follow from the listed files. Lock files of schema version
    /// 1 are read too.
    ///
    /// # Errors
    /// [`PlanError::BadLock`] when the JSON is not that of a lock file, [`PlanError::InconsistentLock`] when a version,
    /// a name, a size or a recipe is wrong, and the [`PlanError`] of a plan whose files can't be packed together.
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
