//! What is asked of a place that may have a base: briefly, because another place may answer at once.

use std::{fmt, time::Duration};

use tokio::time::timeout;

use super::BaseError;
use crate::{
    ImageRef,
    error::chain,
    registry::{Registries, RegistryError},
    text,
};

/// Longest wait for an answer of one place, and longest time without a byte: another place may answer at once.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// Longest time that one place has for everything that is asked of it.
const PLACE_PATIENCE: Duration = Duration::from_mins(1);

/// Why a place did not give the base.
#[derive(Debug)]
#[non_exhaustive]
pub struct PlaceFailure {
    /// The repository.
    pub place: ImageRef,
    /// Why. `None` when the place did not give everything within a minute.
    pub error: Option<BaseError>,
}

impl fmt::Display for PlaceFailure {
    /// Writes the place and the reason, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}/{}`: {}", self.place.registry(), self.place.repository(), self.reason())
    }
}

impl PlaceFailure {
    /// Returns the reason, without the name of the place, on one line.
    pub fn reason(&self) -> String {
        match &self.error {
            None => format!("it did not give the base in {} s", PLACE_PATIENCE.as_secs()),
            // What was asked of the place is the same for every place, and the place is named already.
            Some(BaseError::Registry(RegistryError::Request { source, .. })) => {
                let said = chain(&**source);
                let asked = format!("{} {}: ", source.method, source.url);
                text::excerpt(said.strip_prefix(&asked).unwrap_or(&said))
            }
            Some(error) => text::excerpt(&chain(error)),
        }
    }
}

/// Returns `registries` with little patience: one try for each request, and a short wait for the answer.
pub(super) fn impatient(registries: &Registries) -> Registries {
    let mut registries = registries.clone();
    let options = &mut registries.options;
    options.attempts = 1;
    options.answer_timeout = options.answer_timeout.min(ANSWER_PATIENCE);
    options.stall_timeout = options.stall_timeout.min(ANSWER_PATIENCE);
    registries
}

/// Waits for what is asked of `place`, and not for long.
pub(super) async fn ask<T>(
    place: &ImageRef,
    asking: impl Future<Output = Result<T, BaseError>>,
) -> Result<T, PlaceFailure> {
    let error = match timeout(PLACE_PATIENCE, asking).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => Some(error),
        Err(_) => None,
    };
    let failure = PlaceFailure { place: place.clone(), error };
    tracing::info!(%failure, "a place does not give the base");
    Err(failure)
}
