//! The log on stderr, for `-v`, `-vv` and the variable `MODELCAR_LOG`.
//!
//! Only events of this product's own crates are shown. Other libraries log HTTP headers, and with them credentials.

use std::io;

use tracing_subscriber::{
    Layer,
    filter::{FilterExt, LevelFilter, Targets, filter_fn},
    fmt::{self, time::uptime},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::{hint::Failure, ui};

/// The variable that holds the log filter, for a command without `-v`.
pub(crate) const MODELCAR_LOG: &str = "MODELCAR_LOG";

/// Starts the log, if the flag or the variable asks for one. The flag goes before the variable. `verbose` is the
/// number of `-v`: 1 shows what is decided and retried, more also every request.
///
/// # Errors
/// When the variable is no filter.
pub(crate) fn start(verbose: u8) -> Result<(), Failure> {
    let Some(targets) = targets(verbose, std::env::var(MODELCAR_LOG).ok().filter(|filter| !filter.is_empty()))? else {
        return Ok(());
    };
    // Whatever the variable says: other libraries log headers, and with them logins.
    let own = filter_fn(|metadata| metadata.target().starts_with("modelcar"));
    let lines = fmt::layer().with_ansi(false).with_target(false).with_timer(uptime()).with_writer(|| Stderr);
    tracing_subscriber::registry().with(lines.with_filter(targets.and(own))).init();
    Ok(())
}

/// Returns which events are shown; `None` when no log was asked for.
fn targets(verbose: u8, variable: Option<String>) -> Result<Option<Targets>, Failure> {
    match (verbose, variable) {
        (0, None) => Ok(None),
        (0, Some(text)) => text.parse().map(Some).map_err(|_| {
            Failure::say(format!("{MODELCAR_LOG} is `{text}`, which is no filter of a log"))
                .hint("write a level, or levels of modules: debug, modelcar_core::registry=trace")
        }),
        (1, _) => Ok(Some(Targets::new().with_default(LevelFilter::INFO))),
        _ => Ok(Some(Targets::new().with_default(LevelFilter::TRACE))),
    }
}

/// Writes the log to stderr above the progress bars, without breaking them.
struct Stderr;

impl io::Write for Stderr {
    /// Gets one whole line at a time from the subscriber.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        ui::log(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_goes_before_the_variable() {
        let level = |verbose, variable: Option<&str>| {
            let targets = targets(verbose, variable.map(str::to_owned)).unwrap();
            targets.and_then(|targets| targets.default_level())
        };
        assert_eq!(level(0, None), None);
        assert_eq!(level(1, Some("error")), Some(LevelFilter::INFO));
        assert_eq!(level(2, None), Some(LevelFilter::TRACE));
        assert_eq!(level(0, Some("debug")), Some(LevelFilter::DEBUG));
        assert!(targets(0, Some("modelcar_core=loud".to_owned())).is_err());
    }
}
