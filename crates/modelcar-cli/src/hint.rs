//! What the user can do about a failure: errors of the libraries become messages with hints.
//!
//! The libraries' errors say what happened. The flags, variables and commands that help are named here.

pub(crate) mod document;
mod file;
mod kind;
mod pin;
mod registry;
mod render;
mod source;

use std::fmt;

use bytesize::ByteSize;
use modelcar_core::{
    Error, ErrorKind, ImageError, InvalidReference, InvalidTag, LayerError, ModelcarError,
    base::{BaseError, PlaceFailure},
    causes,
    download::DownloadError,
    facts::Flaw,
    http::InvalidNetwork,
    layout::LayoutError,
    plan::{LeftOut, PlanError, WeightChoice},
    push::PushError,
    registry::RegistryError,
    sink::Published,
    source::SourceError,
    text::one_line,
};
use modelcar_kserve::{check::CheckError, pin::PinError};

use modelcar_env::EnvironmentError;

use crate::open_files;

pub(crate) use self::pin::VALUES;
use self::{
    kind::{Object, by_kind},
    pin::pin_hint,
    registry::registry_hints,
    source::source_hints,
};

/// An error, and hints on what to do about it. `Display` gives the text for stderr.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The error. Its causes are printed below it.
    error: Box<dyn std::error::Error + Send + Sync>,
    /// What was being done. With it, the message starts with the act, and `error` is the first cause.
    act: Option<String>,
    /// Sentences in the order in which they are printed.
    hints: Vec<String>,
}

impl Failure {
    /// Makes a failure to do `act`, for an error whose own text does not say what it is about.
    pub(crate) fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>, act: impl Into<String>) -> Self {
        let error = error.into();
        let hints = open_files::hint(&*error).into_iter().collect();
        Self { error, act: Some(act.into()), hints }
    }

    /// Makes a failure whose message says everything.
    pub(crate) fn say(message: impl Into<String>) -> Self {
        Self { error: message.into().into(), act: None, hints: Vec::new() }
    }

    /// Makes a failure to read `image`, the image that a command is about. Hints speak of the image, not of a base or
    /// an output.
    pub(crate) fn of_image(error: impl Into<Error>, image: &str) -> Self {
        let error = error.into();
        // Registries and layouts name themselves; a document that is refused has a digest alone.
        let names_image = matches!(error.downcast_ref(), None | Some(ImageError::Registry(_) | ImageError::Layout(_)));
        let act = (!names_image).then(|| format!("read image `{}`", one_line(image)));
        let registry = error.downcast_ref().or_else(|| match error.downcast_ref() {
            Some(ImageError::Registry(error)) => Some(error),
            _ => None,
        });
        let is_layout = error.downcast_ref::<LayoutError>().is_some()
            || matches!(error.downcast_ref(), Some(ImageError::Layout(_)))
            || error.downcast_ref::<BaseError>().is_some();
        let hints = match registry {
            _ if open_files::hint(&error).is_some() => hints(&error),
            Some(registry) => registry_hints(registry, Object::Image),
            None if is_layout => image_layout_hints(&error),
            None => hints(&error),
        };
        Self { error: error.into(), act, hints }
    }

    /// Says what was being done, for an error whose own text does not name the object.
    #[must_use]
    pub(crate) fn during(mut self, act: impl Into<String>) -> Self {
        self.act = Some(act.into());
        self
    }

    /// Returns what failed and why, the outermost first. Each text is safe to print on one line. Below the text that a base
    /// is in no place, each place has a text of its own.
    pub(crate) fn texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.act.clone().into_iter().chain(causes(&*self.error)).collect();
        if let Some((name, tried)) = self.no_place() {
            texts.pop();
            texts.push(format!("get base `{name}`: no place gave it"));
            texts.extend(tried.iter().map(ToString::to_string));
        }
        texts.iter().map(|text| one_line(text)).collect()
    }

    /// Returns the base that no place gave, and what was tried, if this is the last cause of the failure.
    fn no_place(&self) -> Option<(&str, &[PlaceFailure])> {
        let mut last: &(dyn std::error::Error + 'static) = &*self.error;
        while let Some(cause) = last.source() {
            last = cause;
        }
        let error = last.downcast_ref::<BaseError>().or_else(|| last.downcast_ref::<Error>()?.downcast_ref());
        match error {
            Some(BaseError::NoPlace { name, tried }) => Some((name, tried)),
            _ => None,
        }
    }

    /// Returns the hints, in the order in which they are printed.
    pub(crate) fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Adds a hint after the others.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    /// Writes the error, its causes and the hints, each on one line. Line breaks and control characters in names, such
    /// as those of files, are made harmless.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, text) in self.texts().iter().enumerate() {
            f.write_str(if number == 0 { "error: " } else { "\n  caused by: " })?;
            f.write_str(text)?;
        }
        self.hints.iter().try_for_each(|hint| write!(f, "\nhint: {}", one_line(hint)))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let error = match error.downcast::<PushError>() {
            Ok(error) => return error.into(),
            Err(error) => error,
        };
        let hints = hints(&error);
        Self { error: error.into(), act: None, hints }
    }
}

impl From<PushError> for Failure {
    /// Takes the error of the part that failed out of the push's error. What the push knows about it becomes a hint.
    fn from(error: PushError) -> Self {
        match error {
            PushError::PartlyPublished { published, source } => {
                Self::from(source).hint(self::published(Some(&published)))
            }
            PushError::LockedNames { source } => {
                Self::from(source).hint("the lock file pins what is not there any more, or can't be reached now")
            }
            error => {
                let hints = open_files::hint(&error).map_or_else(|| push_hints(&error), |hint| vec![hint]);
                Self { error: error.into(), act: None, hints }
            }
        }
    }
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        let hint = match &error {
            CheckError::NoPod(kind) if kind.ends_with("InferenceService") => {
                "check its pods: kubectl get pod -l serving.kserve.io/inferenceservice=NAME -o json | modelcar check -"
            }
            CheckError::NoPod(_) => {
                "nothing of a model is in the document: add -n NAMESPACE, or -A for all namespaces, and look at the label: \
                 `kubectl get isvc,deploy,rs,pod,events,nodes -A -o json | modelcar check -`"
            }
            CheckError::NotJson(_) => {
                "give it what `kubectl get … -o json` prints. For a manifest in YAML: \
                 `kubectl create --dry-run=server -o json -f FILE | modelcar check -`"
            }
            _ => "give it what `kubectl get pod NAME -o json` prints",
        };
        Self { error: error.into(), act: None, hints: vec![hint.to_owned()] }
    }
}

impl From<PinError> for Failure {
    fn from(error: PinError) -> Self {
        let hint = pin_hint(&error).to_owned();
        Self { error: error.into(), act: None, hints: vec![hint] }
    }
}

/// Makes failures of error types whose hints [`hints`] knows.
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
    EnvironmentError,
    SourceError,
    PlanError,
    InvalidReference,
    InvalidTag,
    BaseError,
    ImageError,
    RegistryError,
    LayoutError,
    DownloadError
);

/// Returns the hints for an error of any module. An error type that is not known here is a defect of modelcar.
fn hints(error: &Error) -> Vec<String> {
    None.or_else(|| open_files::hint(error).map(|hint| vec![hint]))
        .or_else(|| error.downcast_ref().map(source_hints))
        .or_else(|| error.downcast_ref().map(download_hints))
        .or_else(|| error.downcast_ref().map(plan_hints))
        .or_else(|| error.downcast_ref().map(layer_hints))
        .or_else(|| error.downcast_ref().map(base_image_hints))
        .or_else(|| error.downcast_ref().map(image_hints))
        .or_else(|| error.downcast_ref().map(|error| registry_hints(error, Object::Registry)))
        .or_else(|| error.downcast_ref().map(|error| layout_hints(error, Object::Output)))
        .or_else(|| error.downcast_ref::<InvalidReference>().map(|_| vec![REFERENCE.to_owned()]))
        .or_else(|| error.downcast_ref().map(environment_hints))
        .or_else(|| error.downcast_ref::<InvalidTag>().map(|_| vec![TAG.to_owned()]))
        .unwrap_or_else(|| vec![DEFECT.to_owned()])
}

/// Says which names point to the image by now, or that nothing was published.
pub(crate) fn published(published: Option<&Published>) -> String {
    let Some(Published { digest, names, maybe }) = published else { return "nothing was published".to_owned() };
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    let certain = match quoted.len() {
        0 => None,
        1 => Some(format!("{} points to `{digest}` already", quoted[0])),
        _ => Some(format!("{} point to `{digest}` already", quoted.join(", "))),
    };
    let uncertain = maybe.as_ref().map(|name| format!("`{name}` may point to `{digest}` by now"));
    certain.into_iter().chain(uncertain).collect::<Vec<_>>().join("; ")
}

/// Hints for a variable, or a file that a variable names, which can't be used.
fn environment_hints(error: &EnvironmentError) -> Vec<String> {
    let hint = match error {
        EnvironmentError::ReadAuthorities { named_by, .. } => {
            let kind = "a file that this user may read, with certificates in PEM form";
            return vec![format!("check the path: {named_by} names {kind}")];
        }
        EnvironmentError::Authorities { .. } => {
            "the file holds certificates in PEM form: -----BEGIN CERTIFICATE----- …"
        }
        EnvironmentError::ReadClientCertificate { .. } => {
            "name a PEM file that this user may read with --client-cert (certificate) and --client-key (private key)"
        }
        EnvironmentError::ClientCertificate { source, .. } => match source {
            InvalidNetwork::NoKey => "name the file of the private key with --client-key",
            InvalidNetwork::EncryptedKey => {
                "modelcar asks for no passphrase: `openssl pkey -in KEY -out PLAIN` writes a key without one"
            }
            InvalidNetwork::OtherKey => "name the private key that was made together with the certificate",
            _ => "name a file with the certificate in PEM form, and one with its private key",
        },
        EnvironmentError::KeyAlone => {
            "set both variables, or only MODELCAR_REGISTRY_CLIENT_CERT for a file that holds both"
        }
        EnvironmentError::Proxy(_) => "a proxy is written http://HOST:PORT",
        EnvironmentError::HalfLogin => "set both variables, or neither",
        EnvironmentError::Time(_) => "set SOURCE_DATE_EPOCH to a number, for example 0, or unset it",
        _ => DEFECT,
    };
    vec![hint.to_owned()]
}

/// Hints for a push or build as a whole.
fn push_hints(error: &PushError) -> Vec<String> {
    let hint = match error {
        PushError::Base { source, .. } => return base_image_hints(source),
        PushError::Plan { source, .. } => return plan_hints(source),
        PushError::BrokenModel { flaws, .. } => return broken_hints(flaws),
        PushError::DigestAsTarget(_) => "give a tag: REGISTRY/REPOSITORY:TAG",
        PushError::OtherBase(_) => "write the lock file again with `modelcar plan SOURCE --output`",
        PushError::OtherFiles { .. } => {
            "a lock file is replayed with the files that it names; `modelcar plan --check FILE` tells what has moved"
        }
        _ => DEFECT,
    };
    vec![hint.to_owned()]
}

/// One advice for each kind of flaw.
fn broken_hints(flaws: &[Flaw]) -> Vec<String> {
    let mut hints: Vec<String> = Vec::new();
    for flaw in flaws {
        let hint = match flaw {
            Flaw::LfsPointer { .. } => {
                "fetch the files behind the pointers: `git lfs pull` in the repository".to_owned()
            }
            Flaw::CacheFolder { snapshot } => format!("name the snapshot as the source: `…/{}`", one_line(snapshot)),
            _ => "fetch the files again from where the model comes from".to_owned(),
        };
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    hints.push("--allow-incomplete makes the image all the same; no server will load the model".to_owned());
    hints
}

/// The hint for errors that no input should cause.
const DEFECT: &str = "this is a defect of modelcar, please report it";
/// The hint for a text that is no tag.
const TAG: &str = "a tag is one word, for example v1 or 2024-05-01";
/// The hint for a text that is no image reference.
const REFERENCE: &str = "an image is written REGISTRY/REPOSITORY:TAG, for example localhost:5000/qwen:v1; on \
                         Artifact Registry REGION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE:TAG";

/// Hints for a layer that could not be read.
fn layer_hints(error: &LayerError) -> Vec<String> {
    let hint = match error {
        LayerError::Source { source, .. } => return source_hints(source),
        error if error.kind() == ErrorKind::Integrity => {
            "the source does not match its own listing: try again and, if it stays so, report it to the source's owner; for \
             s3:// and gs:// remove the folder contents-v1 of the local cache first, which has the hashes of the first read"
        }
        _ => DEFECT,
    };
    vec![hint.to_owned()]
}

/// Hints for a base that can't be used.
fn base_image_hints(error: &BaseError) -> Vec<String> {
    match error {
        BaseError::Reference(_) | BaseError::InvalidText { .. } => {
            vec![
                "a base is REGISTRY/REPOSITORY:TAG, oci:DIR[:NAME], binary:PATH (a static busybox) or scratch"
                    .to_owned(),
            ]
        }
        BaseError::Registry(error) => base_hints(error),
        BaseError::NoPlace { .. } => vec![OTHER_BASES.to_owned()],
        BaseError::Layout(error) => layout_hints(error, Object::Base),
        BaseError::Binary { .. } => {
            vec!["name a static busybox for Linux: Debian's package busybox-static has /bin/busybox".to_owned()]
        }
        error => by_kind(error.kind(), Object::Base),
    }
}

/// Hints for an image that can't be read.
fn image_hints(error: &ImageError) -> Vec<String> {
    match error {
        ImageError::Registry(error) => registry_hints(error, Object::Registry),
        ImageError::Layout(error) => layout_hints(error, Object::Image),
        _ => vec!["the document is no valid OCI image: ask whoever built the image".to_owned()],
    }
}

/// Hints for an image in a layout that can't be read.
fn image_layout_hints(error: &Error) -> Vec<String> {
    let layout = error.downcast_ref().or_else(|| match error.downcast_ref() {
        Some(ImageError::Layout(error)) => Some(error),
        _ => match error.downcast_ref() {
            Some(BaseError::Layout(error)) => Some(error),
            _ => None,
        },
    });
    layout.map_or_else(|| by_kind(error.kind(), Object::Image), |error| layout_hints(error, Object::Image))
}

/// Hints for an image layout or archive that can't be read or written.
fn layout_hints(error: &LayoutError, object: Object) -> Vec<String> {
    let hint = match error {
        LayoutError::Busy { .. } => "wait for the other build to end, or name another output",
        LayoutError::NotALayout { .. } if object == Object::Output => {
            "name a new folder, an empty one, or an image layout that gets one more image"
        }
        LayoutError::NotALayout { .. } => {
            "name the folder of an image layout: `modelcar build SOURCE --output oci:DIR` writes one"
        }
        LayoutError::NotAFile { .. } => "name a new file, or a regular file that is to be replaced",
        LayoutError::Ambiguous { .. } => "write oci:DIR:NAME",
        LayoutError::Invalid { .. } | LayoutError::TooLarge { .. } => {
            "write the layout again with the tool that made it"
        }
        error => return by_kind(error.kind(), object),
    };
    vec![hint.to_owned()]
}

/// Hints for a download that failed.
fn download_hints(error: &DownloadError) -> Vec<String> {
    let hint = match error {
        DownloadError::Source(error) => return source_hints(error),
        DownloadError::BadPattern { .. } => "`*` stands for any characters, `dir/` for all below it",
        DownloadError::NoFiles(_) => "`--include` and `--exclude` leave nothing",
        DownloadError::NotOfTheHub(_) => "leave --layout out: the files then lie as they lie in the model",
        DownloadError::Link { .. } | DownloadError::InTheWay { .. } => "remove it, or name another folder",
        DownloadError::Busy { .. } => "wait for the other download to end, or name another folder",
        DownloadError::NoSpace { .. } => "make room, name a folder on another disk, or take less with --include",
        DownloadError::Reserved { .. } => "leave the file out with --exclude",
        DownloadError::Corrupt { .. } | DownloadError::WrongSize { .. } => {
            "the source does not match its own listing: try again and, if it stays so, report it to the source's owner; for \
             s3:// and gs:// remove the folder contents-v1 of the local cache first, which has the hashes of the first read"
        }
        error => return by_kind(error.kind(), Object::Output),
    };
    vec![hint.to_owned()]
}

/// As [`registry_hints`] for the registry of the base. When the network fails, other bases are named: the base is the
/// only thing for which a push of a local directory into a local registry needs another host.
fn base_hints(error: &RegistryError) -> Vec<String> {
    let mut hints = registry_hints(error, Object::Base);
    if error.kind() == ErrorKind::Network {
        hints.push(OTHER_BASES.to_owned());
    }
    hints
}

/// The bases that need no registry of the internet.
const OTHER_BASES: &str = "bases that need no internet: --base-binary PATH (a static busybox; Debian's package \
                           busybox-static has /bin/busybox), --base oci:DIR (a layout), --base scratch (no shell: for \
                           oci+native:// alone), or a copy in a registry of yours: `modelcar base --copy-to \
                           REGISTRY/REPOSITORY:TAG` where the internet can be reached, then --base with the answer";

/// Number of files that a hint names. Only the number of the other files is given.
const LISTED: usize = 5;

/// The hint for a source of which no file goes into the image. It says why each file is left out.
fn nothing_left(left_out: &[LeftOut]) -> String {
    if left_out.is_empty() {
        return "name a folder or a model that holds files; `.git` and `.cache/huggingface` are passed over".to_owned();
    }
    let mut told: Vec<_> =
        left_out.iter().take(LISTED).map(|file| format!("`{}` {}", file.path, file.reason)).collect();
    if let more @ 1.. = left_out.len().saturating_sub(LISTED) {
        told.push(format!("and {more} more"));
    }
    format!("{}; see --include, --exclude, --weights and --all", told.join(", "))
}

/// Hints for files that make no image.
fn plan_hints(error: &PlanError) -> Vec<String> {
    let hint = match error {
        PlanError::NoFiles { left_out } => return vec![nothing_left(left_out)],
        PlanError::SeveralForms { choices } => return several_forms(choices),
        PlanError::NoSuchWeights { .. } => "`modelcar plan SOURCE` lists the files; quote patterns in the shell",
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

/// A command line for each form, the smallest first.
fn several_forms(choices: &[WeightChoice]) -> Vec<String> {
    let mut choices: Vec<&WeightChoice> = choices.iter().collect();
    choices.sort_by_key(|choice| choice.bytes);
    let mut hints: Vec<String> = choices
        .iter()
        .take(LISTED_FORMS)
        .map(|choice| {
            format!("--weights '{}' takes {}", one_line(&choice.pattern), ByteSize(choice.bytes).display().iec())
        })
        .collect();
    hints.push("--all takes all of them".to_owned());
    hints
}

/// Repositories with several dozens of quantizations are common.
const LISTED_FORMS: usize = 40;
