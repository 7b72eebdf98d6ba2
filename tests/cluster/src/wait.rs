//! Waiting that ends: with what was waited for, at its limit, or at Ctrl-C.

use std::{
    error::Error,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// What everything here returns: an error is a sentence for whoever reads the table.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The longest that anything is waited for. Whatever works here works within a minute; a machine that does other things
/// beside may take several times as long, and no test depends on its speed.
const LIMIT: Duration = Duration::from_mins(10);
const OFTEN: Duration = Duration::from_millis(300);
const BUSY_ATTEMPTS: u32 = 5;

/// What a look at something gave.
#[derive(Debug)]
pub(crate) enum Look<T = ()> {
    /// It is there.
    Done(T),
    /// It is not there yet; the text says what is seen instead.
    NotYet(String),
}

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Turns Ctrl-C, SIGTERM and SIGHUP into the end of every wait, so that what was started is ended in order.
pub(crate) fn heed_signals() -> Result {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(())
}

/// Returns whether a signal asked for the end.
pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// Looks every `pause` until `what` is done.
///
/// # Errors
/// When a look fails, at the limit (with what was seen last), and at a signal.
fn until<T>(what: &str, limit: Duration, pause: Duration, mut look: impl FnMut() -> Result<Look<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let seen = match look()? {
            Look::Done(value) => return Ok(value),
            Look::NotYet(seen) => seen,
        };
        if is_interrupted() {
            return Err(format!("interrupted while waiting for {what}").into());
        }
        if start.elapsed() > limit {
            return Err(format!("waited {} s for {what}: {seen}", limit.as_secs()).into());
        }
        thread::sleep(pause);
    }
}

/// Waits for `what` by a look that is dear: once in two seconds.
pub(crate) fn slowly<T>(what: &str, look: impl FnMut() -> Result<Look<T>>) -> Result<T> {
    until(what, LIMIT, Duration::from_secs(2), look)
}

/// Waits for `what`, looking three times a second.
pub(crate) fn soon<T>(what: &str, look: impl FnMut() -> Result<Look<T>>) -> Result<T> {
    until(what, LIMIT, OFTEN, look)
}

/// Waits for `what` with a limit of its own, where its absence is no failure.
pub(crate) fn within<T>(what: &str, seconds: u64, look: impl FnMut() -> Result<Look<T>>) -> Result<T> {
    until(what, Duration::from_secs(seconds), OFTEN, look)
}

/// Does something again while the cluster is too busy to answer.
pub(crate) fn patiently<T>(mut act: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 0..BUSY_ATTEMPTS {
        match act() {
            Err(error) if is_busy(&error.to_string()) && !is_interrupted() => thread::sleep(Duration::from_secs(3)),
            done => return done,
        }
    }
    act()
}

/// Returns whether words are those of an API server that waited in vain for a part of itself, or of a client that
/// waited in vain for the API server.
fn is_busy(said: &str) -> bool {
    const BUSY: [&str; 5] = [
        "context deadline exceeded",
        "Client.Timeout exceeded",
        "etcdserver: request timed out",
        "TLS handshake timeout",
        "the server was unable to return a response in the time allotted",
    ];
    BUSY.iter().any(|words| said.contains(words))
}
