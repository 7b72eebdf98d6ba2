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
        /// All scopes that the challenge asks for. The registry may know the repository by another name at its token
        /// server than here.
        stated: Vec<String>,
    },
}

impl Challenge {
    /// Chooses one of the challenges in `headers`, the `WWW-Authenticate` headers of an answer from `base`. Bearer is
    /// preferred to Basic. Other schemes, and a Bearer challenge without a realm or with an empty one, are skipped; `None` when nothing is
    /// left.
    ///
    /// # Errors
    /// The host of a realm that the client must not go to, and why.
    pub(in crate::registry) fn choose(base: &Url, headers: &[String]) -> Result<Option<Self>, (String, &'static str)> {
        let mut basic = None;
        for header in headers {
            for Stated { scheme, params } in parse(header) {
                let param = |name: &str| params.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
                if scheme == "bearer"
                    && let Some(realm) = param("realm").filter(|realm| !realm.trim().is_empty())
                {
                    let realm = redirect::follow(base, &realm)?;
                    let scope = param("scope").unwrap_or_default();
                    let (more, stated) = (more_scopes(&scope), stated_scopes(&scope));
                    return Ok(Some(Self::Bearer { realm, service: param("service"), more, stated }));
                }
                if scheme == "basic" {
                    basic = Some(Self::Basic);
                }
            }
        }
        Ok(basic)
    }
}

/// A challenge as the server wrote it.
struct Stated {
    /// The scheme, in lower case.
    scheme: String,
    /// Parameters, their names in lower case.
    params: Vec<(String, String)>,
}

/// Parses a header. A header that breaks the grammar is taken for a single challenge, as other clients do: servers write
/// `Basic realm=/`, `Basic realm=My Registry`, or forget the last quote.
fn parse(header: &str) -> Vec<Stated> {
    let Ok(parsed) = http_auth::parse_challenges(header) else { return vec![parse_leniently(header)] };
    let stated = parsed.into_iter().map(|challenge| Stated {
        scheme: challenge.scheme.to_ascii_lowercase(),
        params: challenge.params.iter().map(|(key, value)| (key.to_ascii_lowercase(), value.to_unescaped())).collect(),
    });
    stated.collect()
}

/// Reads the scheme, and each `name=value` up to a comma that stands outside quotes, as far as it can be told.
fn parse_leniently(header: &str) -> Stated {
    let (scheme, mut rest) = header.trim().split_once(char::is_whitespace).unwrap_or((header.trim(), ""));
    let mut params = Vec::new();
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        let name = name.trim_matches(|c: char| c == ',' || c.is_whitespace());
        params.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        rest = next;
    }
    Stated { scheme: scheme.to_ascii_lowercase(), params }
}

/// Returns the scopes of repositories that a server asks for, with rights to pull and push only, at most
/// [`MORE_SCOPES_MAX`].
fn stated_scopes(scope: &str) -> Vec<String> {
    let fits = |scope: &&str| {
        let actions = scope.strip_prefix("repository:").and_then(|rest| rest.rsplit_once(':'));
        actions.is_some_and(|(_, actions)| actions.split(',').all(|action| matches!(action, "pull" | "push")))
    };
    scope.split_whitespace().filter(fits).take(MORE_SCOPES_MAX).map(str::to_owned).collect()
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

    /// A challenge whose scopes are left out.
    fn choose_bearer(headers: &[&str]) -> Result<Option<Challenge>, (String, &'static str)> {
        let chosen = choose(headers)?;
        Ok(chosen.map(|challenge| match challenge {
            Challenge::Bearer { realm, service, more, .. } => {
                Challenge::Bearer { realm, service, more, stated: Vec::new() }
            }
            Challenge::Basic => Challenge::Basic,
        }))
    }

    fn bearer(service: Option<&str>, more: &[&str]) -> Challenge {
        Challenge::Bearer {
            realm: "https://auth.r.io/token".parse().unwrap(),
            service: service.map(str::to_owned),
            more: more.iter().map(ToString::to_string).collect(),
            stated: Vec::new(),
        }
    }

    #[test]
    fn bearer_goes_before_basic() {
        let header = r#"Bearer realm="https://auth.r.io/token",service="r.io",scope="repository:a:pull,push""#;
        let expected = bearer(Some("r.io"), &[]);
        assert_eq!(choose_bearer(&[r#"Basic realm="x""#, header]), Ok(Some(expected.clone())));
        assert_eq!(choose_bearer(&[&format!(r#"Basic realm="x", {header}"#)]), Ok(Some(expected.clone())));
        assert_eq!(choose_bearer(&[&format!(r#"{header}, Basic realm="x""#)]), Ok(Some(expected.clone())));
        assert_eq!(choose_bearer(&[&header.replace("Bearer", "bEARER").replace("realm", "Realm")]), Ok(Some(expected)));
        assert_eq!(choose_bearer(&[r#"Bearer realm="/token""#]).unwrap().map(|_| ()), Some(()));
        assert_eq!(choose_bearer(&["Bearer realm=\"https://auth.r.io/token\""]), Ok(Some(bearer(None, &[]))));
        assert_eq!(choose_bearer(&[r#"Basic realm="x""#]), Ok(Some(Challenge::Basic)));
        for basic in [
            "Basic realm=/",
            "Basic realm=My Registry",
            "Basic realm=\"x",
            "BASIC realm=x,",
            r#"Bearer realm="", Basic"#,
        ] {
            assert_eq!(choose(&[basic]), Ok(Some(Challenge::Basic)), "{basic}");
        }
        assert_eq!(choose(&[r#"Bearer realm="""#, r#"Basic realm="x""#]), Ok(Some(Challenge::Basic)));
        let open_ended = r#"Bearer realm="https://auth.r.io/token",service="r.io"#;
        assert_eq!(choose(&[open_ended]), Ok(Some(bearer(Some("r.io"), &[]))));
        for none in ["Negotiate", "", "Bearer", "Bearer scope=\"x\"", ",,,", "Bearer realm=", "\u{7f}"] {
            assert_eq!(choose_bearer(&[none]), Ok(None), "{none}");
        }
    }

    #[test]
    fn a_server_may_know_the_repository_by_another_name() {
        let stated = stated_scopes("repository:docker-local/a:pull,push repository:b:delete registry:catalog:* x");
        assert_eq!(stated, ["repository:docker-local/a:pull,push"]);
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
        assert_eq!(choose_bearer(&[&header(scope)]), Ok(Some(bearer(None, &["repository:b:pull"]))));
        let many = vec!["repository:b:pull"; 100].join(" ");
        assert_eq!(choose_bearer(&[&header(&many)]), Ok(Some(bearer(None, &["repository:b:pull"; MORE_SCOPES_MAX]))));
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_survived(header in ".{0,200}") {
            let _whatever = choose(&[&header, &format!("Bearer {header}")]);
        }
    }
}
