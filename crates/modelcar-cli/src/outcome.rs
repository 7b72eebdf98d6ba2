//! How a command ends, unless it fails.

use modelcar_core::{Error, push::PushError};

use crate::{
    args::Format,
    hint::{self, Failure},
};

/// What a command has to say, and with it the exit status.
pub(crate) enum Outcome {
    /// The answer, for stdout. Exit status 0.
    Answer(String),
    /// The answer, for stdout, of a check that found a problem. Exit status 1.
    No(String),
    /// The answer, for stdout, of a check of something that is on its way. Exit status 3.
    Waiting(String),
    /// The answer, for stdout, of a check that could not be made. Exit status 2.
    Unknown(String),
    /// What stdout gets although something failed: the answer that was certain before, or the failure as a document. Exit
    /// status 2.
    Late(String, Failure),
    /// The user stopped the command. It holds what is there now, as text; none for a command that leaves nothing. Exit status
    /// 130.
    Interrupted(String),
}

impl Outcome {
    /// Gives a failure a document on stdout, if the answer would have been one.
    ///
    /// # Errors
    /// The failure, if the answer would have been text.
    pub(crate) fn or_document(result: Result<Self, Failure>, format: Format) -> Result<Self, Failure> {
        match (result, format) {
            (Err(failure), Format::Json) => Ok(Self::Late(failure.to_json(), failure)),
            (result, _) => result,
        }
    }

    /// Returns the outcome of work that ended with `error`. Work that the user stopped has not failed.
    ///
    /// # Errors
    /// The failure, with hints, when the work was not stopped.
    pub(crate) fn of(error: Error) -> Result<Self, Failure> {
        Self::of_either(error, hint::published(None))
    }

    /// As [`of`](Self::of). `nothing` says that nothing was published, and maybe what is there all the same.
    fn of_either(error: Error, nothing: String) -> Result<Self, Failure> {
        match error.downcast() {
            Ok(PushError::Stopped { published: None }) => Ok(Self::Interrupted(nothing)),
            Ok(PushError::Stopped { published }) => Ok(Self::Interrupted(hint::published(published.as_ref()))),
            Ok(error) => Err(error.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`of`](Self::of), for work that publishes an image. A failure says what was published, or that nothing was.
    /// `kept` says which layers are there, if any are.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub(crate) fn of_run(error: Error, kept: Option<String>) -> Result<Self, Failure> {
        let is_told = matches!(error.downcast_ref(), Some(PushError::PartlyPublished { .. }));
        let nothing = [hint::published(None)].into_iter().chain(kept).collect::<Vec<_>>().join("; ");
        Self::of_either(error, nothing.clone()).map_err(|failure| if is_told { failure } else { failure.hint(nothing) })
    }
}
