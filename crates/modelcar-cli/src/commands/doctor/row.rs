//! One line of the answer of `modelcar doctor`.

use modelcar_core::registry::{Check, CheckCode, Verdict};
use serde::Serialize;

use crate::remedies;

/// One check, as the JSON answer has it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "CheckAnswer"))]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    /// `name`, `reach`, `login`, `push`, `tag`, `read` or `limits`; with a source also `model` and `base`.
    pub(super) name: &'static str,
    pub(super) code: Code,
    pub(super) verdict: Verdict,
    /// What was found, for people.
    pub(super) found: String,
    /// What to do, or what is special about this registry, for people.
    pub(super) advice: Option<String>,
}

/// What was found out about a model or a base, for programs.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) enum ContentCode {
    /// `model`: the model is whole, and its files can be read.
    ModelReadable,
    /// `model`: something about the model looks wrong. A push warns of that.
    ModelDoubtful,
    /// `model`: the model can't be read, or a push would refuse it.
    ModelRefused,
    /// `base`: the base can be read.
    BaseReadable,
    /// `base`: the base can't be read.
    BaseRefused,
}

/// What a check found, for programs.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(super) enum Code {
    Registry(CheckCode),
    Content(ContentCode),
}

impl From<Check> for Row {
    /// Adds the advice to a check of the registry.
    fn from(check: Check) -> Self {
        let advice = remedies::of_doctor(&check).or(check.note).map(str::to_owned);
        let Check { name, code, verdict, found, .. } = check;
        Self { name, code: Code::Registry(code), verdict, found, advice }
    }
}
