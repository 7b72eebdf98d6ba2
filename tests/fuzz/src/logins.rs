//! What asks for credentials, and what has them.

use modelcar_core::registry::{
    Credential,
    fuzz::{self, Asked},
};
use serde_json::json;

use crate::{
    checks::{brief, planted},
    memory::image,
};

/// Most scopes that a challenge adds to a client's own.
const SCOPES_MAX: usize = 4;

/// `WWW-Authenticate` headers, one a line.
pub(crate) fn challenge(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let headers: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let base = "https://r.test/v2/".parse().expect("a URL");
    let asked = match fuzz::challenge(&base, &headers) {
        Ok(asked) => asked,
        Err((host, why)) => return brief(format!("{host} {why}"), &data[..data.len().min(SCOPES_MAX)]),
    };
    let Some(Asked::Bearer { realm, service, more, stated }) = asked else { return };
    assert_eq!(realm.scheme(), "https", "the token server is asked over plain HTTP");
    assert_ne!(realm.host_str(), Some("169.254.169.254"), "the token server is a metadata server");
    assert!(more.len() <= SCOPES_MAX && stated.len() <= SCOPES_MAX, "{} and {} scopes", more.len(), stated.len());
    assert!(more.iter().all(|scope| scope.ends_with(":pull")), "a right to write is taken over: {more:?}");
    // A quoted string of HTTP escapes both.
    let quoted = realm.as_str().replace('\\', r"\\").replace('"', r#"\""#);
    let again = format!(r#"Bearer realm="{quoted}""#);
    match fuzz::challenge(&base, &[again]) {
        Ok(Some(Asked::Bearer { realm: second, .. })) => assert_eq!(second, realm, "another token server"),
        other => panic!("a challenge that was followed gives {other:?}"),
    }
    if more.len() == 2 {
        planted(service.as_deref().unwrap_or_default().len(), [6, 8, 10]);
    }
}

/// A login file of Docker or podman.
pub(crate) fn docker_config(data: &[u8]) {
    let image = image();
    let logins = match fuzz::logins(data, &image) {
        Ok(logins) => logins,
        Err(reason) => return brief(reason, &[]),
    };
    for login in logins.into_iter().flatten().flatten() {
        let Credential::Basic { username, password } = &login else { continue };
        let other = Credential::Basic { username: username.clone(), password: "another".into() };
        assert_eq!(format!("{login:?}"), format!("{other:?}"), "a password is shown");
        if !username.is_empty() && !password.expose().is_empty() {
            let entry = json!({"username": username, "password": password.expose()});
            let file = json!({"auths": {image.registry(): entry}}).to_string();
            assert_eq!(fuzz::logins(file.as_bytes(), &image), Ok(vec![Ok(Some(login.clone()))]), "another login");
        }
        planted(username.len(), [4, 6, 8]);
    }
}
