//! What reuse asks of a registry: mounts and deletes.

use std::sync::Arc;

use modelcar_testkit::{Auth, FakeRegistry, RegistryConfig};

use crate::{
    Digest, ImageRef,
    progress::NoProgress,
    registry::{Access, Credential, HostLogin, Login, RegistryOptions, Repository},
};

fn repository(registry: &FakeRegistry, name: &str) -> Repository {
    let image: ImageRef = format!("{}/{name}:v1", registry.host()).parse().unwrap();
    let credential = Credential::Basic { username: "robot".to_owned(), password: "hunter2".into() };
    let login = Login { credential, origin: "the test".to_owned() };
    let keychain = Arc::new(HostLogin::new(image.registry(), login));
    Repository::new(&image, keychain, RegistryOptions::default(), Arc::new(NoProgress)).unwrap()
}

#[tokio::test]
async fn a_mount_asks_for_both_repositories_and_leaves_no_session() {
    for mounts in [true, false] {
        let auth = Auth::bearer("robot", "hunter2");
        let registry = FakeRegistry::start(RegistryConfig { auth, mounts, ..RegistryConfig::default() }).await;
        let digest: Digest = registry.add_blob("from/here", "weights").parse().unwrap();
        let there = repository(&registry, "to/there");
        assert_eq!(there.mount(&digest, "from/here").await, mounts);
        assert!(!there.mount(&Digest::of("nothing"), "from/here").await);
        assert_eq!(there.blob_exists(Access::Pull, &digest, 7).await.unwrap(), mounts);
        assert_eq!(registry.open_sessions(), []);
    }
}

#[tokio::test]
async fn a_login_that_may_delete_is_asked_for_apart() {
    let auth = Auth::bearer("robot", "hunter2");
    let registry = FakeRegistry::start(RegistryConfig { auth, ..RegistryConfig::default() }).await;
    let repository = repository(&registry, "a/b");
    assert_eq!(repository.delete_manifest(&Digest::of("nothing").to_string()).await.unwrap().as_u16(), 404);
    let manifest = r#"{"schemaVersion":2}"#;
    let digest = registry.add_manifest("a/b", "v1", "application/vnd.oci.image.manifest.v1+json", manifest);
    assert_eq!(repository.delete_manifest(&digest).await.unwrap().as_u16(), 202);
    assert_eq!(registry.tags(), []);
}
