//! When a session is lost, and that none is left behind.

use std::time::Instant;

use modelcar_testkit::{FakeRegistry, FaultRule, RegistryAction, RegistryConfig};

use super::*;
use crate::{
    progress::NoProgress,
    registry::{KeychainChain, RegistryOptions, Repository},
};

#[tokio::test]
async fn a_request_that_is_tried_again_does_not_keep_the_others_open() {
    let registry = FakeRegistry::start(RegistryConfig::default()).await;
    let image = format!("{}/a/b:v1", registry.host()).parse().unwrap();
    let keychain = Arc::new(KeychainChain::default());
    let repository = Repository::new(&image, keychain, RegistryOptions::default(), Arc::new(NoProgress)).unwrap();
    let inner = repository.inner();
    for _ in 0..3 {
        let _open = inner.open_session("open").await.unwrap();
    }
    let later = RegistryAction::Status {
        code: 503,
        headers: vec![("retry-after".to_owned(), "240".to_owned())],
        body: String::new(),
    };
    registry.fault(FaultRule::new("/blobs/uploads/", later).method("POST"));
    let waiting = tokio::spawn({
        let inner = Arc::clone(inner);
        async move { inner.open_session("open another").await }
    });
    while registry.requests().iter().filter(|request| request.status == 503).count() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let begun = Instant::now();
    inner.close_all().await;
    assert!(begun.elapsed() < Duration::from_mins(2), "{:?}", begun.elapsed());
    assert_eq!(registry.open_sessions(), []);
    assert!(waiting.await.unwrap().is_err(), "its wait has ended");
}

#[test]
fn a_lost_session_shows_in_the_refusal() {
    let lost = |status: u16, code: &str| {
        let failure = HttpFailure::protocol(Method::PUT, &"http://r.io/v2/".parse().unwrap(), "");
        let code = Some(code.to_owned()).filter(|code| !code.is_empty());
        is_lost(&HttpFailure { status: StatusCode::from_u16(status).ok(), code, ..failure })
    };
    for (status, code) in [(404, "BLOB_UPLOAD_UNKNOWN"), (404, ""), (416, ""), (400, "BLOB_UPLOAD_INVALID")] {
        assert!(lost(status, code), "{status} {code}");
    }
    for (status, code) in [(404, "NAME_UNKNOWN"), (400, ""), (400, "DIGEST_INVALID"), (400, "DENIED"), (403, "")] {
        assert!(!lost(status, code), "{status} {code}");
    }
}
