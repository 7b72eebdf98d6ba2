//! The Hub's `RateLimit` header, which says when the next request is allowed.

use std::time::Duration;

/// Reads the time to wait from the Hub's `RateLimit: "api";r=0;t=55`: `r` requests remain, and the window ends in `t`
/// seconds. One second is added, because the Hub's clock is not ours. `None` while requests remain.
pub(super) fn rate_limit_wait(header: &str) -> Option<Duration> {
    let value = |name: &str| {
        let mut params = header.split([';', ',']).map(str::trim);
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
        assert_eq!(rate_limit_wait("nonsense"), None);
    }
}
