//! How a command ends.

use modelcar_core::sink::Published;

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
