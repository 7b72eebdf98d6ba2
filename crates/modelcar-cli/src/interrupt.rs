//! Ctrl-C, and the signal by which a container, a job or a service is told to end.

use std::sync::OnceLock;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::{hint::Failure, outcome::Outcome};

/// Exit status of a command that was stopped.
pub(crate) const INTERRUPTED: u8 = 130;

/// Whether one of them has arrived. Once they are listened for they do not end the process any more, so what arrives
/// while nobody waits must not be lost.
static ARRIVED: OnceLock<watch::Receiver<bool>> = OnceLock::new();

/// Returns when one of them arrives, or has arrived since this was first called. The first process of a container has
/// to ask for them: by default it is deaf to both.
pub(crate) async fn interrupt() {
    let mut arrived = ARRIVED.get_or_init(listen).clone();
    if arrived.wait_for(|arrived| *arrived).await.is_err() {
        // Nobody listens: the system ends the process by itself.
        std::future::pending::<()>().await;
    }
}

fn listen() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    if let (Ok(interrupt), Ok(terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        tokio::spawn(tell(interrupt, terminate, sender));
    }
    receiver
}

/// Tells of the first signal; the second one ends what takes too long to end.
async fn tell(mut interrupt: Signal, mut terminate: Signal, arrived: watch::Sender<bool>) {
    for is_first in [true, false] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if is_first {
            arrived.send_replace(true);
        }
    }
    #[expect(clippy::exit, reason = "clearing up was being waited for, and that is no longer wanted")]
    std::process::exit(INTERRUPTED.into());
}

/// Runs a command that leaves nothing behind, wherever it is stopped.
pub(crate) async fn stoppable(command: impl Future<Output = Result<Outcome, Failure>>) -> Result<Outcome, Failure> {
    tokio::select! {
        outcome = command => outcome,
        () = interrupt() => Ok(Outcome::Interrupted(None)),
    }
}
