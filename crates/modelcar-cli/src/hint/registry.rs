//! What the user can do about a request to a registry that failed.

use modelcar_core::{
    ErrorKind, ModelcarError,
    registry::{KeychainError, RegistryError},
};

use super::kind::{Object, by_kind, certificate_hint};
use crate::remedies;

/// Hints for a request to a registry that failed. `object` says what the registry was needed for.
pub(super) fn registry_hints(error: &RegistryError, object: Object) -> Vec<String> {
    let hint = match error {
        RegistryError::NoLogin { registry, .. } => format!(
            "log in: `docker login {registry}`, `gcloud auth configure-docker {registry}` or `gcloud auth \
             application-default login` for Google's registries, MODELCAR_REGISTRY_USERNAME and \
             MODELCAR_REGISTRY_PASSWORD, or --username and --password-stdin"
        ),
        RegistryError::LoginRefused { .. } => {
            "the credentials are wrong, expired or lack permission: log in again, or delete them so that the next \
             source of credentials is used"
                .to_owned()
        }
        RegistryError::Keychain { source: KeychainError::Helper { helper, .. }, registry } => format!(
            "`echo {registry} | {helper} get` shows what the helper says; log in again, or take it out of the login \
             file"
        ),
        RegistryError::Keychain { source: KeychainError::Google { .. }, .. } => {
            "`gcloud auth application-default print-access-token` shows whether the credentials work; \
             GOOGLE_APPLICATION_CREDENTIALS names a file of them, GCE_METADATA_HOST another metadata server"
                .to_owned()
        }
        RegistryError::Keychain { .. } => "repair the file, or log in again to write it anew".to_owned(),
        RegistryError::Request { source, .. } if source.is_untrusted() => certificate_hint(source).to_owned(),
        RegistryError::Request { source, .. } if source.client_certificate_fault().is_some() => {
            remedies::CLIENT_CERTIFICATE.to_owned()
        }
        RegistryError::ReadCertificates { .. } | RegistryError::Certificates { .. } => {
            "in a folder certs.d, NAME.cert and NAME.key are a certificate of the client and its private key without a \
             passphrase, and NAME.crt is an authority of the registry: mend the file or remove it"
                .to_owned()
        }
        RegistryError::Request { source, .. } if source.is_without_tls() => {
            "the server does not speak TLS: for a registry of plain HTTP add --plain-http".to_owned()
        }
        RegistryError::BadName { repository, reason, .. } => {
            let host = repository.split('/').next().unwrap_or_default();
            format!("write the image in that shape: {host}/{reason}:TAG")
        }
        other => match upload_hint(other) {
            Some(hint) => hint.to_owned(),
            None if other.kind() == ErrorKind::InvalidInput => format!(
                "{} refused the request for the reason above, and trying again will not help; `modelcar doctor IMAGE` \
                 checks name, permissions and tag",
                object.name()
            ),
            None => return by_kind(other.kind(), object),
        },
    };
    vec![hint]
}

/// The hint for a registry that refuses to overwrite a tag.
const FIXED_TAG: &str = "where tags are immutable a tag that is taken can't be moved: push under another tag";

/// The hint for a failed upload or tag; `None` if the error is of another kind.
fn upload_hint(error: &RegistryError) -> Option<&'static str> {
    Some(match error {
        RegistryError::Schema1(_) => {
            "clients gave up this format in 2017: pull the image with a client that still reads it and push it again, or \
             name another image"
        }
        // A manifest is one request, whatever the size of the chunks.
        RegistryError::TooLarge { act, .. } if act.starts_with("put manifest") => {
            "a proxy (nginx: client_max_body_size) or the registry caps a request: raise the cap, or push fewer files, \
             because the manifest lists each of them"
        }
        RegistryError::TooLarge { .. } => {
            "a proxy (nginx: client_max_body_size; Cloudflare: 100 MB on small plans) or the registry caps a request: \
             raise the cap, or try a smaller --chunk-size where the registry takes chunks"
        }
        RegistryError::NotReadable { blobs, manifests, .. } if blobs.is_empty() && manifests.is_empty() => {
            "the registry refuses to give a part of the image, or does not answer: let the login read the repository and \
             run again, or leave that check out with --no-verify-push"
        }
        RegistryError::NotReadable { .. } => {
            "the registry lost what it accepted, or a cache or proxy before it answers with something else: push again \
             and, if it stays so, clear that cache or restart the registry"
        }
        RegistryError::MayNotRead { .. } => {
            "a push reads the image back before it succeeds: let the login read the repository too, or leave that check \
             out with --no-verify-push"
        }
        RegistryError::NamesMissing { .. } => {
            "the registry forgets what it accepts: run again, which sends what is missing; if it stays so, its storage \
             or its cache needs repair"
        }
        RegistryError::Page { .. } => {
            "the server is no registry, or a proxy asks for a login: run `modelcar doctor IMAGE`, or try without the proxy"
        }
        RegistryError::Request { source, .. } if source.page && source.kind() == ErrorKind::Denied => {
            "the answer is a web page and not a registry's: a proxy or a web application firewall before the registry \
             refuses the request. Let it pass GET, HEAD, POST, PATCH, PUT and DELETE below /v2/, or try without it"
        }
        RegistryError::HoldsLess { .. } => {
            "a proxy or the registry loses bytes of an upload: try a smaller --chunk-size, or without the proxy"
        }
        RegistryError::UploadHost { .. } => remedies::UPLOAD_HOST,
        RegistryError::NoChunks { .. } => "leave out --chunk-size",
        RegistryError::TagTaken { .. } => "push under another tag",
        RegistryError::LoginExpired { .. } => {
            "the credentials expire before a layer is uploaded: use credentials that are renewed, such as a credential helper"
        }
        RegistryError::RefusedRedirect { .. } => {
            "nothing was sent there; if the registry is yours, correct its external address or its token realm"
        }
        RegistryError::AnsweredEarly { .. } => {
            "the server is no registry, or a proxy answers instead of the registry: run `modelcar doctor IMAGE`, or try \
             without the proxy"
        }
        RegistryError::Request { act, source, .. } if act.starts_with("put manifest") => {
            match source.status.map(|status| status.as_u16()) {
                _ if source.code.as_deref() == Some("TAG_INVALID") => FIXED_TAG,
                Some(405 | 409 | 412) => FIXED_TAG,
                _ => return None,
            }
        }
        _ => return None,
    })
}
