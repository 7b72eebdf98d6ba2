//! The redirect policy: to which hosts a registry may send the client, and whether credentials are sent along.
//!
//! A registry chooses the location of an upload, of a blob and of the token server. The policy keeps a hostile registry
//! from sending the client to hosts that only the client's machine can reach: a metadata server, or a service in a
//! private network (server-side request forgery).

use std::{net::IpAddr, time::Duration};

use reqwest::Url;
use tokio::time::timeout;

use super::quirks::METADATA_HOSTS;
use crate::text;

/// Longest wait for the resolution of a host name. A name that takes longer counts as a name that can't be resolved.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(5);
/// Reason of a refusal. Metadata servers of cloud machines have link-local addresses.
const LINK_LOCAL: &str = "is a link-local address, as a metadata server has";

/// Returns the URL of `location`, relative to `base`. The URL is taken as the registry wrote it, because upload
/// locations hold opaque state that a client must not rebuild (distribution-spec "Pushing blobs"). This function
/// resolves no name and refuses link-local addresses only; [`check_addresses`] refuses private ones.
///
/// A registry behind a proxy that ends TLS often names itself with `http://`. The client then stays on HTTPS.
///
/// # Errors
/// The host, and why it is refused: no valid URL, not HTTP, plain HTTP of another host after HTTPS, or a link-local
/// address.
pub(super) fn follow(base: &Url, location: &str) -> Result<Url, (String, &'static str)> {
    let mut url = base.join(location).map_err(|_| (String::from("?"), "is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err((shown_host(&url), "is not HTTP"));
    }
    if base.scheme() == "https" && url.scheme() == "http" {
        let is_itself = base.host_str() == url.host_str()
            && url.port().is_none_or(|port| Some(port) == base.port_or_known_default());
        if !is_itself || url.set_scheme("https").and(url.set_port(base.port())).is_err() {
            return Err((shown_host(&url), "goes from https down to http"));
        }
    }
    if !same_host(base, &url) && reach_of(&url) == Some(Reach::LinkLocal) {
        return Err((shown_host(&url), LINK_LOCAL));
    }
    Ok(url)
}

/// Checks that the host of `url` is not more private than the registry at `base`. Both names are resolved: a public
/// name may have a private address, and a private registry may give its own address instead of its name. A host that
/// can't be resolved here, for example behind a proxy, is allowed; a registry that can't be resolved counts as public.
///
/// # Errors
/// The host, and why it is refused: a link-local address, or an address that is more private than the registry's.
pub(super) async fn check_addresses(base: &Url, url: &Url) -> Result<(), (String, &'static str)> {
    if same_host(base, url) {
        return Ok(());
    }
    let Some(to) = resolve(url).await.filter(|to| *to != Reach::Public) else { return Ok(()) };
    let from = resolve(base).await.unwrap_or(Reach::Public);
    let host = || shown_host(url);
    match to {
        Reach::LinkLocal => Err((host(), LINK_LOCAL)),
        _ if to > from => Err((host(), "is a private address")),
        _ => Ok(()),
    }
}

/// Returns the reach of the most private address that a host's name resolves to; `None` if the name can't be resolved.
async fn resolve(url: &Url) -> Option<Reach> {
    if let Some(reach) = reach_of(url) {
        return Some(reach);
    }
    let looking = tokio::net::lookup_host((url.host_str()?.to_owned(), url.port_or_known_default()?));
    let addresses = timeout(RESOLVE_PATIENCE, looking).await.ok()?.ok()?;
    addresses.map(|address| reach(address.ip())).max()
}

/// Returns the host of a URL that a server gave, safe to print.
fn shown_host(url: &Url) -> String {
    text::excerpt(url.host_str().unwrap_or("?"))
}

/// Returns whether credentials for `a` may be sent to `b`: scheme, host and port are the same.
pub(super) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && same_host(a, b)
}

/// Returns whether host and port are the same. A default port equals its scheme's port, written or not.
pub(super) fn same_host(a: &Url, b: &Url) -> bool {
    a.host_str() == b.host_str() && a.port_or_known_default() == b.port_or_known_default()
}

/// From where an address can be reached, the most private last; the order of the variants matters. A server may point
/// to addresses of its own reach and of wider ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// From the whole internet.
    Public,
    /// From one network: RFC 1918, the shared address space of RFC 6598, and unique local addresses of IPv6.
    Private,
    /// From this machine only. The unspecified address counts as loopback, because a connection to it reaches this
    /// machine.
    Loopback,
    /// From one network link, where metadata servers are.
    LinkLocal,
}

/// Returns the reach of a host that is written as an address, or as a name that always stands for the same address.
fn reach_of(url: &Url) -> Option<Reach> {
    let host = url.host_str()?;
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    match host.parse::<IpAddr>() {
        Ok(address) => Some(reach(address)),
        Err(_) if host == "localhost" || host.ends_with(".localhost") => Some(Reach::Loopback),
        Err(_) if METADATA_HOSTS.contains(&host) => Some(Reach::LinkLocal),
        Err(_) => None,
    }
}

/// Returns the reach of an address. An IPv4 address that is mapped into IPv6 has the reach of the IPv4 address.
fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) if v4.is_link_local() => Reach::LinkLocal,
        IpAddr::V4(v4) if v4.is_loopback() || v4.is_unspecified() => Reach::Loopback,
        // 100.64.0.0/10 is shared by a carrier's customers; some clouds have their metadata servers there.
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

/// Returns the URL with the parameter `digest` appended to its query, as a commit needs it (distribution-spec "Pushing
/// blobs"). The rest of the query is left as it is, because it may hold opaque state of the registry.
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
        check(base, "http://r.io/up", Ok("https://r.io/up"));
        check(base, "http://r.io:443/up", Ok("https://r.io/up"));
        check("https://r.io:5000/v2/", "http://r.io/up", Ok("https://r.io:5000/up"));
        check("https://r.io:5000/v2/", "http://r.io:5000/up", Ok("https://r.io:5000/up"));
        check(base, "http://r.io:8080/up", Err("goes from https down to http"));
        check(base, "http://other.io/up", Err("goes from https down to http"));
        for from in [base, "http://127.0.0.1:5000/v2/", "http://10.0.0.1/v2/"] {
            let scheme = from.split(':').next().unwrap();
            check(from, &format!("{scheme}://169.254.169.254/x"), Err(LINK_LOCAL));
            check(from, &format!("{scheme}://metadata.google.internal./x"), Err(LINK_LOCAL));
            check(from, &format!("{scheme}://[fe80::1]/x"), Err(LINK_LOCAL));
        }
        check(base, "file:///etc/passwd", Err("is not HTTP"));
        check("http://127.0.0.1:5000/v2/", "http://127.0.0.1:5001/x", Ok("http://127.0.0.1:5001/x"));
    }

    #[tokio::test]
    async fn a_host_is_what_it_resolves_to() {
        let private = Err("is a private address");
        // `localhost` is the one name that every machine resolves; what ends in `invalid` none does.
        let cases = [
            ("http://10.0.0.1/v2/", "http://10.0.0.2/x", Ok(())),
            ("http://10.0.0.1/v2/", "http://127.0.0.1/x", private),
            ("http://10.0.0.1/v2/", "http://0x7f000001/x", private),
            ("https://192.0.2.1/", "https://100.100.100.200/x", private),
            ("https://192.0.2.1/", "https://[::ffff:10.0.0.1]/x", private),
            ("https://192.0.2.1/", "https://localhost/x", private),
            ("https://192.0.2.1/", "https://192.0.2.2/x", Ok(())),
            ("https://192.0.2.1/", "https://nowhere.invalid/x", Ok(())),
            ("http://127.0.0.1/", "http://localhost/x", Ok(())),
            // A registry that is known by name here, and by its address to itself.
            ("https://localhost/", "https://127.0.0.1:8443/x", Ok(())),
            ("https://localhost/", "https://10.0.0.1/x", Ok(())),
            ("https://localhost/", "https://169.254.169.254/x", Err(LINK_LOCAL)),
            ("https://nowhere.invalid/", "https://169.254.169.254/x", Err(LINK_LOCAL)),
            ("https://nowhere.invalid/", "https://localhost/x", private),
            ("https://nowhere.invalid/", "https://10.0.0.1/x", private),
        ];
        for (base, url, expected) in cases {
            let checked = check_addresses(&base.parse().unwrap(), &url.parse().unwrap()).await;
            assert_eq!(checked.map_err(|(_, reason)| reason), expected, "{base} {url}");
        }
    }

    #[test]
    fn the_digest_joins_the_query() {
        let digest = crate::Digest::of("x");
        let with = |text: &str| with_digest(&text.parse().unwrap(), &digest).to_string();
        assert_eq!(with("http://a/b"), format!("http://a/b?digest={digest}"));
        assert_eq!(with("http://a/b?s=%2F&t"), format!("http://a/b?s=%2F&t&digest={digest}"));
    }
}
