//! Checks before the first weight byte is sent: the form of the repository's name, the permission to push, the tags,
//! the sizes of layers.

use std::sync::{Arc, atomic::Ordering};

use reqwest::StatusCode;

use super::{error::RegistryError, quirks::ImmutableTags, repository::Repository, request::Access};
use crate::{
    Digest, Tag,
    error::{ErrorKind, ModelcarError, Result, chain},
    progress::Event,
    sink::BytesBlob,
};

/// A tag that points to an image already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenTag {
    /// Digest of the image that the tag points to.
    pub digest: Digest,
    /// Whether the tag can be overwritten with another image. `None` when the registry shows that only at the end of a
    /// push: most registries refuse an immutable tag only for another manifest.
    pub movable: Option<bool>,
}

/// State of a tag before a push.
#[derive(Debug)]
pub(crate) enum TagState {
    /// The registry holds no manifest under the tag (404).
    Free,
    /// The tag points to an image.
    Taken(TakenTag),
    /// The registry answered 403. Artifactory answers 403 for a missing tag.
    Unknown,
}

impl Repository {
    /// Checks that the repository's name has the form that its registry requires. No request is sent.
    ///
    /// # Errors
    /// [`RegistryError::BadName`] when the name has fewer components than the registry requires.
    pub fn check_name(&self) -> Result<(), RegistryError> {
        let inner = self.inner();
        match inner.quirks.wrong_name(inner.image.repository()) {
            None => Ok(()),
            Some(reason) => {
                Err(RegistryError::BadName { repository: inner.name(), registry: inner.quirks.registry, reason })
            }
        }
    }

    /// Proves that the credentials permit a push, by opening an upload session and deleting it. The registry is
    /// otherwise unchanged. The session is deleted even when this future is dropped. A registry that can't delete a
    /// session removes it by itself later.
    ///
    /// # Errors
    /// [`RegistryError::BadName`] when the name has a wrong form; otherwise the reason why the registry opens no
    /// session: no credentials, refused credentials, a missing repository, or no answer. [`RegistryError::UploadHost`]
    /// when the uploads go to another host that wants a login.
    pub async fn check_push(&self) -> Result<(), RegistryError> {
        self.check_name()?;
        let session = self.inner().open_session("check the right to push").await?;
        let taken = self.inner().check_upload_host(&session).await;
        // The session is deleted even when the caller drops this future.
        let inner = Arc::clone(self.inner());
        let closing = self.inner().uploads.opening.spawn(async move { inner.close_session(&session).await });
        let _a_session_more_or_less = closing.await;
        taken
    }

    /// Asks once whether the registry tells which blobs it has. A registry that does not is asked no more: every blob is
    /// uploaded then. A warning says so.
    ///
    /// # Errors
    /// When the request gets no answer, or no credentials are found or accepted.
    pub(crate) async fn check_look_ups(&self) -> Result<(), RegistryError> {
        let nothing = Digest::from([0; 32]);
        let Some(failure) = self.ask_for_blob(Access::Push, &nothing, 0).await?.err() else { return Ok(()) };
        self.inner().tells_blobs.store(false, Ordering::Relaxed);
        let message = format!(
            "`{}` does not tell which blobs it has, so each of them is uploaded: {}",
            self.name(),
            chain(&failure)
        );
        self.inner().progress.report(&Event::Warning { message });
        Ok(())
    }

    /// Proves that the credentials permit reading, for a registry whose answers leave that open: uploads a blob of two
    /// bytes, unless the repository has it, and reads its end.
    ///
    /// # Errors
    /// [`RegistryError::MayNotRead`] when reading is refused; otherwise the reason why the blob can't be uploaded or
    /// read.
    pub(crate) async fn check_read(&self) -> Result<()> {
        const BODY: &[u8] = b"{}";
        let (digest, size) = (Digest::of(BODY), BODY.len() as u64);
        if !self.blob_exists(Access::Push, &digest, size).await? {
            self.upload(&BytesBlob::new("a blob of two bytes", BODY), &|_reason| ()).await?;
        }
        match self.read_end(&digest, size).await {
            Err(error) if matches!(error.kind(), ErrorKind::Auth | ErrorKind::Denied) => {
                Err(RegistryError::MayNotRead { repository: self.name(), source: Box::new(error) }.into())
            }
            Err(error) if error.is_silence() => Err(error.into()),
            // Whether the image can be read shows at the end of the push.
            _ => Ok(()),
        }
    }

    /// Returns the image that a tag points to, and whether the tag can be overwritten, if that can be tested. `None`
    /// means that the tag is free.
    ///
    /// On ECR an immutable tag refuses even the manifest that it points to, so the test uploads this manifest again. If
    /// somebody moves the tag in between, the test moves the tag back. An answer of 403 counts as a free tag, with a
    /// warning.
    ///
    /// # Errors
    /// When a request gets no answer, or an answer that says nothing about the tag, and as [`Repository::manifest`].
    pub async fn taken_tag(&self, tag: &Tag) -> Result<Option<TakenTag>, RegistryError> {
        Ok(match self.look_up(tag).await? {
            TagState::Free => None,
            TagState::Taken(taken) => Some(taken),
            TagState::Unknown => {
                let message = format!("`{}` does not tell whether tag `{tag}` is taken (403)", self.name());
                self.inner().progress.report(&Event::Warning { message });
                None
            }
        })
    }

    /// Returns the state of a tag, as [`taken_tag`](Self::taken_tag) does, but tells an answer of 403 from a free tag.
    pub(crate) async fn look_up(&self, tag: &Tag) -> Result<TagState, RegistryError> {
        let manifest = match self.manifest(tag.as_str()).await {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return Ok(TagState::Free),
            // Artifactory answers 403 for a missing tag, also to a login that may push.
            Err(RegistryError::Request { source, .. }) if source.status == Some(StatusCode::FORBIDDEN) => {
                return Ok(TagState::Unknown);
            }
            Err(error) => return Err(error),
        };
        let digest = manifest.digest;
        if self.inner().quirks.immutable_tags != ImmutableTags::RefuseAll {
            return Ok(TagState::Taken(TakenTag { digest, movable: None }));
        }
        let movable = match self.send_manifest(&manifest, tag.as_str()).await {
            Ok(()) => Some(true),
            Err(RegistryError::Request { source, .. })
                if matches!(
                    source.status,
                    Some(StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED)
                ) =>
            {
                Some(false)
            }
            Err(error) => return Err(error),
        };
        Ok(TagState::Taken(TakenTag { digest, movable }))
    }

    /// Reports a warning for each of `layers`, given by title and size in bytes, that is larger than the registry's
    /// documented limit.
    pub fn warn_of_sizes(&self, layers: impl Iterator<Item = (String, u64)>) {
        let inner = self.inner();
        let Some(most) = inner.quirks.largest_layer else { return };
        for (title, size) in layers.filter(|(_, size)| *size > most) {
            let registry = inner.quirks.registry;
            let message = format!(
                "{title} has {size} bytes; {registry} documents a limit of {most} bytes and may refuse the layer"
            );
            inner.progress.report(&Event::Warning { message });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        progress::Progress,
        registry::{KeychainChain, RegistryOptions},
    };

    #[derive(Debug, Default)]
    struct Told(Mutex<Vec<String>>);

    impl Progress for Told {
        fn report(&self, event: &Event) {
            if let Event::Warning { message } = event {
                self.0.lock().unwrap().push(message.clone());
            }
        }
    }

    #[cfg(feature = "workspace-tests")]
    #[tokio::test]
    async fn warnings_are_passed_on_in_bounded_number_and_length() {
        let registry = modelcar_testkit::FakeRegistry::start(modelcar_testkit::RegistryConfig::default()).await;
        for at in 0..40 {
            let text = format!("299 - \"warning {at} {}\"", "x".repeat(5000));
            let headers = vec![("warning".to_owned(), text)];
            let action = modelcar_testkit::RegistryAction::ExtraHeaders(headers);
            registry.fault(modelcar_testkit::FaultRule::new("/blobs/uploads/", action).method("POST").times(1));
        }
        let told = Arc::new(Told::default());
        let image = format!("{}/a/b:v1", registry.host()).parse().unwrap();
        let keychain = Arc::new(KeychainChain::default());
        let repository = Repository::new(&image, keychain, RegistryOptions::default(), Arc::clone(&told) as _).unwrap();
        for _ in 0..40 {
            repository.check_push().await.unwrap();
        }
        let told = told.0.lock().unwrap();
        assert!((1..40).contains(&told.len()), "{}", told.len());
        assert!(told.iter().all(|text| text.len() < 500), "{told:?}");
    }

    #[tokio::test]
    async fn layers_above_a_limit_are_told_before_the_push() {
        const GB: u64 = 1_000_000_000;
        for (host, sizes, expected) in [
            ("ghcr.io", [10 * GB, 10 * GB + 1], 1),
            ("quay.io", [21 * GB, 22 * GB], 1),
            ("1.dkr.ecr.eu-west-1.amazonaws.com", [54 * GB, 55 * GB], 1),
            ("acme.azurecr.io", [214 * GB, 215 * GB], 1),
            ("europe-docker.pkg.dev", [900 * GB, 900 * GB], 0),
        ] {
            let told = Arc::new(Told::default());
            let options = RegistryOptions { behaves_like: Some(host.to_owned()), ..RegistryOptions::default() };
            let keychain = Arc::new(KeychainChain::new(Vec::new()));
            let image = "127.0.0.1:1/a/b/c:v1".parse().unwrap();
            let repository = Repository::new(&image, keychain, options, Arc::clone(&told) as _).unwrap();
            repository.warn_of_sizes(sizes.into_iter().map(|size| ("large.safetensors".to_owned(), size)));
            let told = told.0.lock().unwrap();
            assert_eq!(told.len(), expected, "{host}: {told:?}");
            assert!(told.iter().all(|text| text.contains("large.safetensors") && text.contains("documents a limit")));
        }
    }
}
