//! The signals that stop a command: SIGINT (Ctrl-C), SIGTERM, which a container runtime or a service manager sends, and
//! SIGHUP, which a terminal sends when it is closed.
//!
//! The first signal asks the command to stop and to clear up. The second signal ends the process at once.

use std::sync::OnceLock;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::{hint::Failure, outcome::Outcome};

/// Exit status of a command that was stopped by a signal: 128 and the number of SIGINT, as shells report it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Whether one of the signals has arrived.
///
/// Once this process listens for the signals, they do not end it any more. So a signal that arrives while no code
/// waits for it is remembered here.
static ARRIVED: OnceLock<watch::Receiver<bool>> = OnceLock::new();

/// Returns when one of the signals arrives, or at once if one has arrived since the first call of this function.
///
/// The process must listen for the signals itself when it is the first process of a container: for that process, the
/// kernel ignores signals that have no handler. If no handler can be installed, the function never returns, and the
/// signals have their usual effect.
pub(crate) async fn interrupt() {
    let mut arrived = ARRIVED.get_or_init(listen).clone();
    if arrived.wait_for(|arrived| *arrived).await.is_err() {
        // Nobody listens: the system ends the process by itself.
        std::future::pending::<()>().await;
    }
}

/// Installs the handlers of the signals and starts the task that waits for them.
fn listen() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    if let (Ok(interrupt), Ok(terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        let hangup = if ignores_hangup() { None } else { signal(SignalKind::hangup()).ok() };
        tokio::spawn(tell(interrupt, terminate, hangup, sender));
    }
    receiver
}

/// Returns whether the process was started to outlive its terminal, as by `nohup`. A handler would take that away.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The lowest bit is signal 1, SIGHUP.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// Reports the first signal, and ends the process at the second one, without waiting for anything to be cleared up.
async fn tell(mut interrupt: Signal, mut terminate: Signal, mut hangup: Option<Signal>, arrived: watch::Sender<bool>) {
    for is_first in [true, false] {
        let hung_up = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hung_up => {}
        }
        if is_first {
            arrived.send_replace(true);
        }
    }
    #[expect(clippy::exit, reason = "clearing up was being waited for, and that is no longer wanted")]
    std::process::exit(INTERRUPTED.into());
}

/// Runs a command and drops it when a signal arrives. The command must leave nothing behind, wherever it is dropped.
pub(crate) async fn stoppable(command: impl Future<Output = Result<Outcome, Failure>>) -> Result<Outcome, Failure> {
    tokio::select! {
        outcome = command => outcome,
        () = interrupt() => Ok(Outcome::Interrupted(String::new())),
    }
}
