//! What `-v`, `-vv` and `MODELCAR_LOG` show on stderr: the library's spans and events, and nobody else's.

use std::io;

use tracing_subscriber::{
    Layer,
    filter::{FilterExt, LevelFilter, Targets, filter_fn},
    fmt::{self, time::uptime},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::{hint::Failure, ui};

/// What is logged, where no flag says it.
pub(crate) const MODELCAR_LOG: &str = "MODELCAR_LOG";

/// Starts the log, if one is asked for. A flag goes before the variable.
///
/// # Errors
/// When the variable can't be read.
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

/// Writes lines to stderr without tearing the bars.
struct Stderr;

impl io::Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        ui::write_stderr(line);
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
