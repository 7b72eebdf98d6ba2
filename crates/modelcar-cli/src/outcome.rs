//! How a command ends.

use modelcar_core::{Error, push::PushError, sink::Published};

use crate::hint::{self, Failure};

/// What a command has to say.
pub(crate) enum Outcome {
    /// The answer, for stdout.
    Answer(String),
    /// The answer, for stdout, of a check whose result is no.
    No(String),
    /// The answer, for stdout, of a check that could not be made.
    Unknown(String),
    /// The user stopped it; what had a name by then.
    Interrupted(Option<Published>),
}

impl Outcome {
    /// Returns the outcome of work that `error` ended: what the user stopped has not failed.
    pub(crate) fn of(error: Error) -> Result<Self, Failure> {
        match error.downcast() {
            Ok(PushError::Stopped { published }) => Ok(Self::Interrupted(published)),
            Ok(error) => Err(error.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`of`](Self::of), for work that publishes an image: says that there is none.
    pub(crate) fn of_run(error: Error) -> Result<Self, Failure> {
        let is_told = matches!(error.downcast_ref(), Some(PushError::PartlyPublished { .. }));
        Self::of(error).map_err(|failure| if is_told { failure } else { failure.hint(hint::published(None)) })
    }
}
