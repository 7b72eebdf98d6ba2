//! Why the references of a manifest can't be pinned.

use modelcar_core::{ErrorKind, ModelcarError};

/// Why a text was not pinned. Nothing of the text has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// The image to pin has no digest.
    #[error("`{0}` has no digest")]
    NoDigest(String),
    /// Neither YAML nor JSON.
    #[error("line {line}, column {column} is not YAML: {reason}")]
    NotYaml {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What the parser says.
        reason: String,
    },
    /// A template whose text is not YAML as it stands.
    #[error("the file is a template (`{{{{`) and not YAML: line {line}: {reason}")]
    Template {
        /// The line, from 1, where the parser stopped.
        line: usize,
        /// What the parser says.
        reason: String,
    },
    /// A reference to the repository whose tag or digest is filled in later.
    #[error("line {line}, `{path}`: the tag or digest of `{found}` is filled in by a template")]
    FilledIn {
        /// The line, from 1.
        line: usize,
        /// The place in the document.
        path: String,
        /// The text of the value.
        found: String,
    },
    /// The document has more values than anybody writes.
    #[error("the file has more than {0} values")]
    TooLarge(usize),
    /// What a path names is no text.
    #[error("line {line}, `{path}` is not a text")]
    NotText {
        /// The line, from 1.
        line: usize,
        /// The path.
        path: String,
    },
    /// What a path names belongs to another repository.
    #[error("line {line}, `{path}` refers to another repository, `{found}`")]
    OtherRepository {
        /// The line, from 1.
        line: usize,
        /// The path.
        path: String,
        /// The reference, or the repository beside the value.
        found: String,
    },
    /// An edit would change more than the reference.
    #[error("line {line}, `{path}`: the way the value is written does not let its reference be replaced alone")]
    Entangled {
        /// The line, from 1.
        line: usize,
        /// The place in the document.
        path: String,
    },
}

impl ModelcarError for PinError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}
