//! The Hub's `RateLimit` header, which says when the next request is allowed.

use std::time::Duration;

/// Reads the time to wait from the Hub's `RateLimit: "api";r=0;t=55`: `r` requests remain, and the window ends in `t`
/// seconds. One second is added, because the Hub's clock is not ours. `None` while requests remain.
///
/// The header may list several limits, separated by commas. The longest wait counts.
pub(super) fn rate_limit_wait(header: &str) -> Option<Duration> {
    header.split(',').filter_map(wait_of_limit).max()
}

/// Reads the time to wait from one limit.
fn wait_of_limit(limit: &str) -> Option<Duration> {
    let value = |name: &str| {
        let mut params = limit.split(';').map(str::trim);
        params.find_map(|param| param.strip_prefix(name)?.strip_prefix('=')?.parse::<u64>().ok())
    };
    match (value("r"), value("t")) {
        (None | Some(0), Some(seconds)) => Some(Duration::from_secs(seconds.saturating_add(1))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_limit_header_is_read() {
        assert_eq!(rate_limit_wait("\"api\";r=0;t=55"), Some(Duration::from_secs(56)));
        assert_eq!(rate_limit_wait("\"api\"; r=0; t=1"), Some(Duration::from_secs(2)));
        assert_eq!(rate_limit_wait("\"api\";r=12;t=55"), None);
        assert_eq!(rate_limit_wait("\"api\";r=9;t=55, \"pages\";r=0;t=7"), Some(Duration::from_secs(8)));
        assert_eq!(rate_limit_wait("nonsense"), None);
    }
}
