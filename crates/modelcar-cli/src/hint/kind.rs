//! What the user can do about a failure of which no more is known than its kind and what it is about.

use modelcar_core::{
    ErrorKind,
    http::{CertificateFault, HttpFailure},
};

pub(super) const UNTRUSTED: &str = "the certificate is not from an authority that is trusted here: name that \
                                    authority's file with --ca-file or SSL_CERT_FILE";

/// Returns what to do about the certificate of a server.
pub(super) fn certificate_hint(failure: &HttpFailure) -> &'static str {
    match failure.certificate_fault() {
        Some(CertificateFault::Expired) => {
            "renew the server's certificate; if its time is not over, correct the clock of this machine"
        }
        Some(CertificateFault::NotYetValid) => {
            "correct the clock of this machine; if it is right, the server's certificate was made for later"
        }
        Some(CertificateFault::OtherName) => {
            "use a name that the certificate is for, or give the server a certificate for this name"
        }
        Some(CertificateFault::SelfSigned) => "if the server is yours, name its certificate with --ca-file",
        _ => UNTRUSTED,
    }
}

/// What a failure is about, in the words of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    /// SOURCE.
    Source,
    /// What `--base` or `--base-binary` names.
    Base,
    /// An image that is read.
    Image,
    /// The registry that is pushed to.
    Registry,
    /// What `--output` names.
    Output,
}

impl Object {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Source => "the source",
            Self::Base => "the base (--base, --base-binary)",
            Self::Image => "the image",
            Self::Registry => "the registry",
            Self::Output => "the output (--output)",
        }
    }

    fn missing(self) -> &'static str {
        match self {
            Self::Source => "check the name of the source",
            Self::Base => "check the name, tag or path of the base (--base, --base-binary)",
            Self::Image => "check the name, tag or path of the image; nothing is there by that name",
            Self::Registry => "check the name; the repository may have to be created in the registry first",
            Self::Output => "check the path of the output (--output)",
        }
    }

    fn rights(self) -> &'static str {
        match self {
            Self::Registry | Self::Output => "read and write",
            _ => "read",
        }
    }
}

pub(super) fn by_kind(kind: ErrorKind, object: Object) -> Vec<String> {
    let name = object.name();
    let hint = match kind {
        ErrorKind::Auth => format!(
            "log in to the host of {name}: `docker login`, `gcloud auth configure-docker` or an auth file in \
             DOCKER_CONFIG or REGISTRY_AUTH_FILE"
        ),
        // Artifact Registry and GitHub's registry answer so for a repository that is not there.
        ErrorKind::Denied if object == Object::Registry => "the account lacks permission, or there is no such repository: \
                                                            let the registry grant the account read and write access, or \
                                                            create the repository first"
            .to_owned(),
        ErrorKind::Denied => format!("the account lacks permission: {name} must grant it {} access", object.rights()),
        ErrorKind::NotFound => object.missing().to_owned(),
        ErrorKind::RateLimited => format!("wait and run again, or use credentials with a higher limit on {name}"),
        ErrorKind::Network => {
            let who = if object == Object::Image { "the registry of the image" } else { name };
            format!("{who} did not respond or failed: check host name, network and proxy, then run again")
        }
        ErrorKind::Integrity => "run again and, if it stays so, report it".to_owned(),
        ErrorKind::Io => "check space and rights of the path".to_owned(),
        _ => return Vec::new(),
    };
    vec![hint]
}
