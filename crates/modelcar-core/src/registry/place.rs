//! Where a registry may send the client, and what must not go along.

use std::{net::IpAddr, time::Duration};

use reqwest::Url;
use tokio::time::timeout;

/// How long a name may take to be resolved.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(5);

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
    match refusal(reach_of(base), reach_of(&url)) {
        Some(reason) => Err((place, reason)),
        None => Ok(url),
    }
}

/// Checks what the names of another host stand for, as far as this machine can resolve them: a public name may lead to
/// a private address. A name that can't be resolved here (behind a proxy) is left to whoever resolves it.
pub(super) async fn check_addresses(base: &Url, url: &Url) -> Result<(), (String, &'static str)> {
    if same_host(base, url) || !matches!(url.host(), Some(url::Host::Domain(_))) {
        return Ok(());
    }
    let (from, to) = (resolve(base).await, resolve(url).await);
    match from.zip(to).and_then(|(from, to)| refusal(from, to)) {
        Some(reason) => Err((url.host_str().unwrap_or("?").to_owned(), reason)),
        None => Ok(()),
    }
}

/// Returns the most private place that a host's name leads to.
async fn resolve(url: &Url) -> Option<Reach> {
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let looking = tokio::net::lookup_host((host, url.port_or_known_default()?));
    let addresses = timeout(RESOLVE_PATIENCE, looking).await.ok()?.ok()?;
    addresses.map(|address| reach(address.ip())).max()
}

fn refusal(from: Reach, to: Reach) -> Option<&'static str> {
    match to {
        Reach::LinkLocal => Some("is a link-local address, as a metadata server has"),
        Reach::Private | Reach::Loopback if to > from => Some("is a private address"),
        _ => None,
    }
}

/// Returns whether credentials for `a` may go to `b`: scheme, host and port agree.
pub(super) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && same_host(a, b)
}

fn same_host(a: &Url, b: &Url) -> bool {
    a.host_str() == b.host_str() && a.port_or_known_default() == b.port_or_known_default()
}

/// How near an address is, the nearest last: a server may point to its like and to what lies farther out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Public,
    Private,
    Loopback,
    LinkLocal,
}

/// Returns the reach of a host as it is written.
fn reach_of(url: &Url) -> Reach {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    match host.parse::<IpAddr>() {
        Ok(address) => reach(address),
        Err(_) if host == "localhost" || host.ends_with(".localhost") => Reach::Loopback,
        Err(_) if matches!(host, "metadata" | "metadata.google.internal" | "instance-data") => Reach::LinkLocal,
        Err(_) => Reach::Public,
    }
}

fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) if v4.is_link_local() => Reach::LinkLocal,
        IpAddr::V4(v4) if v4.is_loopback() || v4.is_unspecified() => Reach::Loopback,
        // 100.64.0.0/10 is shared by a carrier's customers; clouds put their metadata there too.
        IpAddr::V4(v4) if v4.is_private() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64) => Reach::Private,
        IpAddr::V4(_) => Reach::Public,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => reach(IpAddr::V4(v4)),
            None if v6.is_unicast_link_local() => Reach::LinkLocal,
            None if v6.is_loopback() || v6.is_unspecified() => Reach::Loopback,
            None if v6.is_unique_local() => Reach::Private,
            None => Reach::Public,
        },
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
        check(base, "http://r.io/up", Err("goes from https down to http"));
        check(base, "http://other.io/up", Err("goes from https down to http"));
        let metadata = "is a link-local address, as a metadata server has";
        for from in [base, "http://127.0.0.1:5000/v2/", "http://10.0.0.1/v2/"] {
            let scheme = from.split(':').next().unwrap();
            check(from, &format!("{scheme}://169.254.169.254/x"), Err(metadata));
            check(from, &format!("{scheme}://metadata.google.internal./x"), Err(metadata));
            check(from, &format!("{scheme}://[fe80::1]/x"), Err(metadata));
        }
        check("http://10.0.0.1/v2/", "http://10.0.0.2/x", Ok("http://10.0.0.2/x"));
        check("http://10.0.0.1/v2/", "http://127.0.0.1/x", Err("is a private address"));
        check("http://10.0.0.1/v2/", "http://0x7f000001/x", Err("is a private address"));
        check(base, "https://100.100.100.200/x", Err("is a private address"));
        check(base, "https://[::ffff:10.0.0.1]/x", Err("is a private address"));
        check(base, "https://localhost/x", Err("is a private address"));
        check(base, "file:///etc/passwd", Err("is not HTTP"));
        check("http://127.0.0.1:5000/v2/", "http://127.0.0.1:5001/x", Ok("http://127.0.0.1:5001/x"));
    }

    #[tokio::test]
    async fn a_name_is_what_it_resolves_to() {
        let check = |base: &str, url: &str| {
            let (base, url): (Url, Url) = (base.parse().unwrap(), url.parse().unwrap());
            async move { check_addresses(&base, &url).await.map_err(|(_, reason)| reason) }
        };
        // `localhost` is the one name that every machine resolves.
        assert_eq!(check("https://192.0.2.1/", "https://localhost/x").await, Err("is a private address"));
        assert_eq!(check("http://127.0.0.1/", "http://localhost/x").await, Ok(()));
        assert_eq!(check("https://192.0.2.1/", "https://nowhere.invalid/x").await, Ok(()));
    }

    #[test]
    fn the_digest_joins_the_query() {
        let digest = crate::Digest::of("x");
        let with = |text: &str| with_digest(&text.parse().unwrap(), &digest).to_string();
        assert_eq!(with("http://a/b"), format!("http://a/b?digest={digest}"));
        assert_eq!(with("http://a/b?s=%2F&t"), format!("http://a/b?s=%2F&t&digest={digest}"));
    }
}
