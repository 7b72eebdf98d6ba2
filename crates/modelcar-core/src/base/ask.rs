//! What is asked of a place that may have a base: briefly, because another place may answer at once.

use std::time::Duration;

use tokio::time::timeout;

use super::{BaseError, PlaceFailure};
use crate::{ImageRef, registry::Registries};

/// Longest wait for an answer of one place, and longest time without a byte: another place may answer at once.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// Longest time that one place has for everything that is asked of it.
const PLACE_PATIENCE: Duration = Duration::from_mins(1);

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
