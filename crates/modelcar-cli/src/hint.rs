//! What the user can do about a failure.

use std::fmt;

use modelcar_core::{
    Error, ErrorKind, LayerError,
    base::BaseError,
    kserve::check::CheckError,
    plan::PlanError,
    registry::{KeychainError, RegistryError},
    render::RenderError,
    source::SourceError,
};

/// A failure with the advice that goes with it.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Box<dyn std::error::Error + Send + Sync>,
    act: Option<String>,
    hints: Vec<String>,
}

impl Failure {
    /// A failure of `act`, whose object is not in the error's own text.
    pub(crate) fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>, act: impl Into<String>) -> Self {
        Self { error: error.into(), act: Some(act.into()), hints: Vec::new() }
    }

    /// A failure that says all there is to say.
    pub(crate) fn say(message: impl Into<String>) -> Self {
        Self { error: message.into().into(), act: None, hints: Vec::new() }
    }

    /// Returns whether what was named is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.error.downcast_ref::<Error>().is_some_and(|error| error.kind() == ErrorKind::NotFound)
    }

    /// Returns the failure alone, without advice.
    pub(crate) fn cause(&self) -> String {
        self.error.to_string()
    }

    /// Adds advice.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    /// The failure, its causes, and the hints: what stands on stderr.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first: &(dyn std::error::Error + 'static) = &*self.error;
        let mut cause = if let Some(act) = &self.act {
            write!(f, "error: {act}")?;
            Some(first)
        } else {
            write!(f, "error: {first}")?;
            first.source()
        };
        while let Some(error) = cause {
            write!(f, "\n  caused by: {error}")?;
            cause = error.source();
        }
        self.hints.iter().try_for_each(|hint| write!(f, "\nhint: {hint}"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let hints = hints(&error);
        Self { error: error.into(), act: None, hints }
    }
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        let hint = match &error {
            RenderError::Unsupported { .. } => "name another --kserve-version, or leave the option out",
            RenderError::NoShell => {
                "push it again with a base that has a shell (leave --base out), or serve it as an image volume with \
                 --native"
            }
            RenderError::BadName(_) => "choose another one with --name",
            RenderError::BadNamespace(_) => "choose another one with --namespace",
            RenderError::LlmGguf => "render an InferenceService (leave --kind out)",
            RenderError::Template(_) => "docs/kserve.md lists the values that a template can use",
            RenderError::Conflict(..) => "leave one of them out",
            _ => "this is a defect of modelcar, please report it",
        };
        Self { error: error.into(), act: None, hints: vec![hint.to_owned()] }
    }
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        let hint = match &error {
            CheckError::NoPod(kind) if kind.ends_with("InferenceService") => {
                "check its pods: kubectl get pod -l serving.kserve.io/inferenceservice=NAME -o json | modelcar check -"
            }
            _ => "give it what `kubectl get pod NAME -o json` prints",
        };
        Self { error: error.into(), act: None, hints: vec![hint.to_owned()] }
    }
}

macro_rules! failure_from {
    ($($error:ty),+) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Error::from(error).into()
            }
        }
    )+};
}
failure_from!(
    SourceError,
    PlanError,
    modelcar_core::InvalidReference,
    BaseError,
    RegistryError,
    modelcar_core::sink::LayoutError
);

fn hints(error: &Error) -> Vec<String> {
    let hint = match error {
        Error::Reference(_) => {
            "an image is written REGISTRY/REPOSITORY:TAG, for example localhost:5000/qwen:v1; on \
            Artifact Registry REGION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE:TAG"
        }
        Error::Source(error) => return source_hints(error),
        Error::Plan(error) => return plan_hints(error),
        Error::Layer(LayerError::Source { source, .. }) => return source_hints(source),
        Error::Layer(error) if error.kind() == ErrorKind::Integrity => {
            "the source does not match its own listing: try again and, if it stays so, report it to the source's owner"
        }
        Error::Base(BaseError::Registry(error)) => return registry_hints(error, "the base (--base)"),
        Error::Base(error) => return by_kind(error.kind(), "the base (--base, --base-binary)"),
        Error::Inspect(_) => "it is not an image as the OCI specification has it: ask whoever made it",
        Error::Registry(error) => return registry_hints(error, "the registry"),
        Error::Layout(error) => return by_kind(error.kind(), "the output"),
        _ => "this is a defect of modelcar, please report it",
    };
    vec![hint.to_owned()]
}

fn source_hints(error: &SourceError) -> Vec<String> {
    let hint = match error {
        SourceError::RepositoryNotFound { anonymous: true, .. } => {
            "check the name; for a private model set HF_TOKEN to a token that may read it"
        }
        SourceError::RepositoryNotFound { .. } => "check the name, and that the token may read the model",
        SourceError::Gated { anonymous: true, .. } => {
            "accept the terms on the model's page, then set HF_TOKEN to a token of that account"
        }
        SourceError::Gated { .. } => "accept the terms on the model's page with the account the token belongs to",
        SourceError::RevisionNotFound { .. } => "name a branch, a tag or a full commit after `@`",
        SourceError::InvalidRepository(_) => "a model is written owner/name; a directory ./name",
        SourceError::BadEntry { .. } => "leave it out by moving it away; links may point only inside the directory",
        SourceError::Changed { .. } => "run again when nothing writes to the directory",
        other if other.kind() == ErrorKind::Auth => "set HF_TOKEN to a token that the Hub takes, or `hf auth login`",
        other => return by_kind(other.kind(), "the source"),
    };
    vec![hint.to_owned()]
}

fn registry_hints(error: &RegistryError, object: &str) -> Vec<String> {
    let hint = match error {
        RegistryError::NoLogin { registry, .. } => format!(
            "log in: `docker login {registry}`, `gcloud auth configure-docker {registry}` or `gcloud auth \
             application-default login` for Google's registries, MODELCAR_REGISTRY_USERNAME and \
             MODELCAR_REGISTRY_PASSWORD, or --username and --password-stdin"
        ),
        RegistryError::LoginRefused { .. } => {
            "the password or token is wrong or has run out, or lacks the right: log in again, or remove the login so \
             that the next place is asked"
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
        RegistryError::Request { source, .. } if source.is_untrusted() => {
            "the certificate is not from an authority that is trusted here: name that authority's file with --ca-file \
             or SSL_CERT_FILE"
                .to_owned()
        }
        other => match upload_hint(other) {
            Some(hint) => hint.to_owned(),
            None if other.kind() == ErrorKind::InvalidInput => format!(
                "{object} takes no such request, and would not the next time: what it says against it stands above; \
                 `modelcar doctor IMAGE` checks name, rights and tag"
            ),
            None => return by_kind(other.kind(), object),
        },
    };
    vec![hint]
}

const FIXED_TAG: &str = "where tags are immutable a tag that is taken can't be moved: push under another tag";

fn upload_hint(error: &RegistryError) -> Option<&'static str> {
    Some(match error {
        RegistryError::TooLarge { .. } => {
            "a proxy (nginx: client_max_body_size; Cloudflare: 100 MB on small plans) or the registry caps a request: \
             raise the cap, or try a smaller --chunk-size where the registry takes chunks"
        }
        RegistryError::NoChunks { .. } => "leave out --chunk-size",
        RegistryError::BadName { .. } => {
            "write the image in that shape, for example REGION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE:TAG on Artifact \
             Registry"
        }
        RegistryError::TagTaken { .. } => "push under another tag",
        RegistryError::LoginExpired { .. } => {
            "the login lives shorter than the upload of a layer: use one that is renewed, such as a credential helper"
        }
        RegistryError::RefusedPlace { .. } => {
            "nothing was sent there; if the registry is yours, correct its external address or its token realm"
        }
        RegistryError::AnsweredEarly { .. } => {
            "what answers is no registry, or a proxy before it that answers in its stead: `modelcar doctor IMAGE`, or try \
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

fn plan_hints(error: &PlanError) -> Vec<String> {
    let hint = match error {
        PlanError::NoFiles { .. } => "`modelcar plan SOURCE` shows the reason for each file; see --include and --all",
        PlanError::SeveralQuantizations { .. } => {
            "name one with --include, for example --include '*Q4_K_M*' --include '*.json'; or take all with --all"
        }
        PlanError::NoPlatform { .. } => "choose another --platform or another --base",
        PlanError::BadLock(_) | PlanError::InconsistentLock(_) => "write it again with `modelcar plan SOURCE --output`",
        PlanError::SameName { .. } | PlanError::FileAndFolder { .. } => "leave one of them out with --exclude",
        PlanError::TooManyFolders => "leave folders out with --exclude, or name what is needed with --include",
        PlanError::ManifestTooLarge { .. } => {
            "leave files out with --exclude, or pack those that belong together into one file"
        }
        PlanError::BadPattern { .. } => "quote patterns in the shell; `*` crosses `/`, `[` opens a set",
        _ => return Vec::new(),
    };
    vec![hint.to_owned()]
}

fn by_kind(kind: ErrorKind, object: &str) -> Vec<String> {
    let hint = match kind {
        ErrorKind::Auth => format!(
            "log in to the host of {object}: `docker login`, `gcloud auth configure-docker` or an auth file in \
             DOCKER_CONFIG or REGISTRY_AUTH_FILE"
        ),
        ErrorKind::Denied => format!("the login is known but lacks the right; {object} must grant read and write"),
        ErrorKind::NotFound => format!("check the name; {object} may have to be created first"),
        ErrorKind::RateLimited => format!("wait and run again, or use credentials with a higher limit on {object}"),
        ErrorKind::Network => format!("run again: {object} failed or could not be reached"),
        ErrorKind::Integrity => "run again and, if it stays so, report it".to_owned(),
        ErrorKind::Io => "check space and rights of the path".to_owned(),
        _ => return Vec::new(),
    };
    vec![hint]
}
