//! Parses `WWW-Authenticate`, the challenge with which a registry asks for credentials (RFC 9110, section 11.6.1).

use reqwest::Url;

use crate::registry::redirect;

/// Largest number of scopes that a challenge can add to the client's own.
const MORE_SCOPES_MAX: usize = 4;

/// The kind of credentials that the registry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::registry) enum Challenge {
    /// A name and a password in each request (RFC 7617).
    Basic,
    /// A token of a token server (distribution's token specification).
    Bearer {
        /// URL of the token server. The redirect policy has allowed the URL as far as possible without resolving its
        /// host.
        realm: Url,
        /// Name of the registry, which the token server wants back as a parameter.
        service: Option<String>,
        /// Pull scopes of other repositories that the request needs, too: blobs are mounted from them.
        more: Vec<String>,
    },
}

impl Challenge {
    /// Chooses one of the challenges in `headers`, the `WWW-Authenticate` headers of an answer from `base`. Bearer is
    /// preferred to Basic. Other schemes, and a Bearer challenge without a realm, are skipped; `None` when nothing is
    /// left.
    ///
    /// # Errors
    /// The host of a realm that the client must not go to, and why.
    pub(in crate::registry) fn choose(base: &Url, headers: &[String]) -> Result<Option<Self>, (String, &'static str)> {
        let mut basic = None;
        for header in headers {
            for challenge in http_auth::parse_challenges(header).unwrap_or_default() {
                let param = |name: &str| {
                    let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.to_unescaped())
                };
                if challenge.scheme.eq_ignore_ascii_case("bearer")
                    && let Some(realm) = param("realm")
                {
                    let realm = redirect::follow(base, &realm)?;
                    let more = more_scopes(&param("scope").unwrap_or_default());
                    return Ok(Some(Self::Bearer { realm, service: param("service"), more }));
                }
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                }
            }
        }
        Ok(basic)
    }
}

/// Returns the pull scopes of repositories among the scopes that a server asks for, at most [`MORE_SCOPES_MAX`]. Other
/// scopes are dropped: a server must not choose which rights the client's token has.
fn more_scopes(scope: &str) -> Vec<String> {
    let pulls = scope.split_whitespace().filter(|scope| scope.starts_with("repository:") && scope.ends_with(":pull"));
    pulls.take(MORE_SCOPES_MAX).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(headers: &[&str]) -> Result<Option<Challenge>, (String, &'static str)> {
        let base: Url = "https://r.io/v2/".parse().unwrap();
        Challenge::choose(&base, &headers.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn bearer(service: Option<&str>, more: &[&str]) -> Challenge {
        Challenge::Bearer {
            realm: "https://auth.r.io/token".parse().unwrap(),
            service: service.map(str::to_owned),
            more: more.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn bearer_goes_before_basic() {
        let header = r#"Bearer realm="https://auth.r.io/token",service="r.io",scope="repository:a:pull,push""#;
        let expected = bearer(Some("r.io"), &[]);
        assert_eq!(choose(&[r#"Basic realm="x""#, header]), Ok(Some(expected.clone())));
        assert_eq!(choose(&[&format!(r#"Basic realm="x", {header}"#)]), Ok(Some(expected.clone())));
        assert_eq!(choose(&[&format!(r#"{header}, Basic realm="x""#)]), Ok(Some(expected.clone())));
        assert_eq!(choose(&[&header.replace("Bearer", "bEARER").replace("realm", "Realm")]), Ok(Some(expected)));
        assert_eq!(choose(&[r#"Bearer realm="/token""#]).unwrap().map(|_| ()), Some(()));
        assert_eq!(choose(&["Bearer realm=\"https://auth.r.io/token\""]), Ok(Some(bearer(None, &[]))));
        assert_eq!(choose(&[r#"Basic realm="x""#]), Ok(Some(Challenge::Basic)));
        for none in ["Negotiate", "", "Bearer", "Bearer scope=\"x\"", ",,,", "Bearer realm=", "\u{7f}"] {
            assert_eq!(choose(&[none]), Ok(None), "{none}");
        }
    }

    #[test]
    fn a_realm_must_be_safe() {
        for realm in ["http://auth.r.io/t", "https://169.254.169.254/t", "https://[fe80::1]/t", "file:///etc/passwd"] {
            assert!(choose(&[&format!(r#"Bearer realm="{realm}""#)]).is_err(), "{realm}");
        }
    }

    #[test]
    fn only_rights_to_read_are_taken_over() {
        let header = |scope: &str| format!(r#"Bearer realm="https://auth.r.io/token",scope="{scope}""#);
        let scope = "repository:b:pull repository:c:pull,push registry:catalog:* repository:d:delete";
        assert_eq!(choose(&[&header(scope)]), Ok(Some(bearer(None, &["repository:b:pull"]))));
        let many = vec!["repository:b:pull"; 100].join(" ");
        assert_eq!(choose(&[&header(&many)]), Ok(Some(bearer(None, &["repository:b:pull"; MORE_SCOPES_MAX]))));
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_survived(header in ".{0,200}") {
            let _whatever = choose(&[&header, &format!("Bearer {header}")]);
        }
    }
}
