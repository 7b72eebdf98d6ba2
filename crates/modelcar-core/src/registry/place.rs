//! Where a registry may send the client, and what must not go along.

use std::net::IpAddr;

use reqwest::Url;

/// Returns the URL that `location` means beside `base`, exactly as the registry wrote it: upload locations carry
/// opaque state that must not be put together anew (distribution-spec "Pushing blobs").
///
/// # Errors
/// The host, and why it is refused: a downgrade to plain HTTP, or another host that is a private address, as a
/// metadata server is.
pub(super) fn follow(base: &Url, location: &str) -> Result<Url, (String, &'static str)> {
    let url = base.join(location).map_err(|_| (String::from("?"), "is not a URL"))?;
    let place = url.host_str().unwrap_or("?").to_owned();
    if !matches!(url.scheme(), "http" | "https") {
        return Err((place, "is not HTTP"));
    }
    if same_host(base, &url) {
        return if base.scheme() == "https" && url.scheme() == "http" {
            Err((place, "goes from https down to http"))
        } else {
            Ok(url)
        };
    }
    if base.scheme() == "https" && url.scheme() == "http" {
        return Err((place, "goes from https down to http"));
    }
    if is_private(&url) && !is_private(base) {
        return Err((place, "is a private address"));
    }
    Ok(url)
}

/// Returns whether credentials for `a` may go to `b`: scheme, host and port agree.
pub(super) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && same_host(a, b)
}

fn same_host(a: &Url, b: &Url) -> bool {
    a.host_str() == b.host_str() && a.port_or_known_default() == b.port_or_known_default()
}

/// Returns whether the host is a loopback, link-local or private address, or a name for this machine.
fn is_private(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            address.is_loopback() || address.is_private() || address.is_link_local() || address.is_unspecified()
        }
        Ok(IpAddr::V6(address)) => {
            address.is_loopback()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                || address.is_unspecified()
                || address.to_ipv4_mapped().is_some()
        }
        Err(_) => host == "localhost" || host.ends_with(".localhost") || host == "metadata.google.internal",
    }
}

/// Returns the URL with `digest` added to its query, whatever stands there already.
pub(super) fn with_digest(url: &Url, digest: &crate::Digest) -> Url {
    let mut url = url.clone();
    let query = match url.query() {
        Some(query) if !query.is_empty() => format!("{query}&digest={digest}"),
        _ => format!("digest={digest}"),
    };
    url.set_query(Some(&query));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_followed_or_refused() {
        let check = |base: &str, location: &str, expected: Result<&str, &str>| {
            let followed = follow(&base.parse().unwrap(), location);
            assert_eq!(followed.as_ref().map(Url::as_str).map_err(|(_, reason)| *reason), expected, "{location}");
        };
        let base = "https://r.io/v2/a/blobs/uploads/";
        check(base, "/up/1?_state=a%2Fb", Ok("https://r.io/up/1?_state=a%2Fb"));
        check(base, "https://r.io:443/up", Ok("https://r.io/up"));
        check(base, "https://store.io/up", Ok("https://store.io/up"));
        check(base, "http://r.io/up", Err("is a private address").or(Err("goes from https down to http")));
        check(base, "https://169.254.169.254/x", Err("is a private address"));
        check(base, "https://[::ffff:10.0.0.1]/x", Err("is a private address"));
        check(base, "https://localhost/x", Err("is a private address"));
        check(base, "file:///etc/passwd", Err("is not HTTP"));
        check("http://127.0.0.1:5000/v2/", "http://127.0.0.1:5001/x", Ok("http://127.0.0.1:5001/x"));
    }

    #[test]
    fn the_digest_joins_the_query() {
        let digest = crate::Digest::of("x");
        let with = |text: &str| with_digest(&text.parse().unwrap(), &digest).to_string();
        assert_eq!(with("http://a/b"), format!("http://a/b?digest={digest}"));
        assert_eq!(with("http://a/b?s=%2F&t"), format!("http://a/b?s=%2F&t&digest={digest}"));
    }
}
