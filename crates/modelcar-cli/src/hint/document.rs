//! A failure as a JSON document, for `--format json`.

use modelcar_core::{Error, ErrorKind, ModelcarError, push::PushError, text::one_line};
use serde::Serialize;

use super::Failure;

/// The document on stdout of a command that failed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailureDocument {
    /// 1
    schema_version: u8,
    error: ErrorDocument,
}

/// What failed, as on stderr.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct ErrorDocument {
    /// `invalid-input`, `not-found`, `auth`, `denied`, `rate-limited`, `network`, `integrity`, `io`, `stopped` or `internal`;
    /// `null` for what the command line itself refuses.
    kind: Option<&'static str>,
    /// Whether the same command may succeed later.
    retryable: bool,
    /// What failed, for people.
    message: String,
    /// The causes of the failure, the nearest first.
    causes: Vec<String>,
    /// What to do.
    hints: Vec<String>,
}

impl Failure {
    /// Returns the name of the failure's kind; `None` for what the command line itself refuses.
    pub(crate) fn kind(&self) -> Option<&'static str> {
        self.known().map(|(kind, _)| name(kind))
    }

    /// Returns whether the same command may succeed later.
    pub(crate) fn is_retryable(&self) -> bool {
        self.known().is_some_and(|(_, retryable)| retryable)
    }

    /// Returns what the library says of its own errors.
    fn known(&self) -> Option<(ErrorKind, bool)> {
        let of_push = |error: &PushError| (error.kind(), error.is_retryable());
        let known = self.error.downcast_ref().map(|error: &Error| (error.kind(), error.is_retryable()));
        known.or_else(|| self.error.downcast_ref().map(of_push))
    }

    /// Returns the failure as a JSON document.
    pub(crate) fn to_json(&self) -> String {
        let mut texts = self.texts();
        let message = texts.remove(0);
        let error = ErrorDocument {
            kind: self.kind(),
            retryable: self.is_retryable(),
            message,
            causes: texts,
            hints: self.hints.iter().map(|hint| one_line(hint)).collect(),
        };
        // Texts and a number always become JSON.
        serde_json::to_string(&FailureDocument { schema_version: 1, error }).unwrap_or_default()
    }
}

/// Returns the name of a kind, for programs.
fn name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidInput => "invalid-input",
        ErrorKind::NotFound => "not-found",
        ErrorKind::Auth => "auth",
        ErrorKind::Denied => "denied",
        ErrorKind::RateLimited => "rate-limited",
        ErrorKind::Network => "network",
        ErrorKind::Integrity => "integrity",
        ErrorKind::Io => "io",
        ErrorKind::Stopped => "stopped",
        _ => "internal",
    }
}
