//! Whatever a registry, a file or a user writes is parsed or refused, never a panic. `CONTRIBUTING.md` says how to run
//! these for long.

use proptest::{collection::vec, prelude::*};
use serde_json::Value;

use super::auth::{challenge::Challenge, docker_config};
use crate::ImageRef;

/// Texts near to what a parser expects: its own words in any order, between anything.
fn near(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(words).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "[a-z0-9]{0,12}",
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn json() -> impl Strategy<Value = Value> {
    const KEYS: [&str; 12] = [
        "auths",
        "auth",
        "username",
        "password",
        "identitytoken",
        "registrytoken",
        "credHelpers",
        "credsStore",
        "r.io",
        "https://r.io",
        "r.io/a",
        "x",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[A-Za-z0-9+/=:]{0,24}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((proptest::sample::select(&KEYS[..]), inner), 0..6).prop_map(|pairs| {
                Value::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn survives_reference(text in prop_oneof![any::<String>(), near(&[
        "localhost", "r.io", "[::1]", ":", ":5000", "/", "a", "_", "__", "-", ".", "@", "sha256:", "v1", "A", "..", "://",
    ])]) {
        if let Ok(image) = text.parse::<ImageRef>() {
            prop_assert_eq!(image.to_string().parse::<ImageRef>().ok(), Some(image));
        }
    }

    #[test]
    fn survives_challenge(headers in vec(prop_oneof![any::<String>(), near(&[
        "Bearer ", "Basic ", "Digest ", "realm=", "service=", "scope=", "\"", "\\", ",", "=", " ", "https://a.io/t",
        "http://169.254.169.254/", "error=\"insufficient_scope\"",
    ])], 0..3)) {
        let base = "https://r.io/v2/".parse().expect("a URL");
        // A realm that is taken is one that may be followed.
        if let Ok(Some(Challenge::Bearer { realm, .. })) = Challenge::choose(&base, &headers) {
            prop_assert_eq!(realm.scheme(), "https");
            prop_assert_ne!(realm.host_str(), Some("169.254.169.254"));
        }
    }

    #[test]
    fn survives_docker_config(config in json()) {
        let image: ImageRef = "r.io/a/b:v1".parse().expect("a reference");
        let _nothing_is_promised = docker_config::find(&config, &image);
    }
}
