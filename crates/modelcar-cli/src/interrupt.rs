//! Ctrl-C, and the signal by which a container, a job or a service is told to end.

use tokio::signal::unix::{SignalKind, signal};

use crate::{commands::Outcome, hint::Failure};

/// Returns when one of them arrives. The first process of a container has to ask for them: by default it is deaf to
/// both.
pub(crate) async fn interrupt() {
    tokio::select! {
        () = arrival(SignalKind::interrupt()) => {}
        () = arrival(SignalKind::terminate()) => {}
    }
}

async fn arrival(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signals) => drop(signals.recv().await),
        // Then the system ends the process by itself.
        Err(_) => std::future::pending().await,
    }
}

/// Runs a command that leaves nothing behind, wherever it is stopped.
pub(crate) async fn stoppable(command: impl Future<Output = Result<Outcome, Failure>>) -> Result<Outcome, Failure> {
    tokio::select! {
        outcome = command => outcome,
        () = interrupt() => Ok(Outcome::Interrupted(None)),
    }
}
