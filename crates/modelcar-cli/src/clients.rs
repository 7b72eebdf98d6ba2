//! How a command reaches registries and the Hub: what the environment says, changed by the flags.

use std::{io, sync::Arc};

use modelcar_core::{
    ImageRef,
    http::Secret,
    progress::Progress,
    push::Connections,
    registry::{
        Credential, HostLogin, Keychain, KeychainChain, Login, Registries, RegistryCertificates, RegistryOptions,
        Repository,
    },
    source::SourceRef,
};
use modelcar_env::Environment;

use crate::{
    args::{LoginArgs, RegistryArgs, UploadArgs},
    hint::Failure,
    ui,
};

/// Most bytes of a password that are read from stdin. The key of a Google service account, which can be a password,
/// has a few kilobytes.
const PASSWORD_MAX_BYTES: u64 = 1 << 20;

/// What all requests of a command have in common: credentials, certificate authorities, proxies and options.
#[derive(Debug)]
pub(crate) struct Clients {
    /// Credentials and options for registries.
    pub(crate) registries: Registries,
    /// The environment, with the authorities of `--ca-file`. `--insecure-skip-tls-verify` has no effect on it, so that
    /// the certificate of the Hub is always verified.
    environment: Environment,
}

impl Clients {
    /// Reads the environment, the files that it names, and the flags. The password is read from stdin if a user name
    /// is given.
    ///
    /// The credentials of `login` are used for the registry of its image alone, and go before those of the
    /// environment.
    ///
    /// # Errors
    /// When a variable or file can't be used, or the password is missing.
    pub(crate) fn open(args: &RegistryArgs, login: Option<(&LoginArgs, &ImageRef)>) -> Result<Self, Failure> {
        let mut environment = Environment::read()?;
        for file in &args.ca_file {
            environment = environment.with_authorities(file, "--ca-file")?;
        }
        let mut network = environment.network().clone();
        if args.insecure_skip_tls_verify {
            ui::warn(
                "certificates of registries are NOT checked (--insecure-skip-tls-verify): whoever is on the \
                 way can read the login and change the image; --ca-file trusts a private authority instead",
            );
            network = network.with_tls_verification_skipped();
        }
        let given = login.map(|(login, image)| given_login(login, image)).transpose()?.flatten();
        let keychain: Arc<dyn Keychain> = match given {
            Some(given) => Arc::new(KeychainChain::new(vec![Arc::new(given), environment.keychain(None)?])),
            None => environment.keychain(login.map(|(_, image)| image))?,
        };
        let certificates = certificates(login)?;
        let options =
            RegistryOptions { plain_http: args.plain_http, network, certificates, ..RegistryOptions::default() };
        Ok(Self { registries: Registries::new(keychain, options), environment })
    }

    /// Returns the connections for a library call that reads `source`. The Hub's token is looked for only if `source`
    /// is on the Hub, the credentials of a store only if it is in one.
    pub(crate) fn connections(&self, source: &SourceRef) -> Connections {
        let (hub, stores) = match source {
            SourceRef::Hub(_) => (self.environment.hub(), None),
            SourceRef::Store(_) => (None, Some(self.environment.stores())),
            _ => (None, None),
        };
        Connections::new(self.registries.clone()).with_hub(hub).with_stores(stores)
    }

    /// Returns a handle on the repository of `image`. No request is sent.
    pub(crate) fn repository(&self, image: &ImageRef, progress: &Arc<dyn Progress>) -> Result<Repository, Failure> {
        Ok(self.registries.repository(image, progress)?)
    }

    /// Returns the options for the registry that a push goes to, with those of its upload flags.
    pub(crate) fn target_options(&self, upload: &UploadArgs) -> RegistryOptions {
        RegistryOptions {
            chunk_bytes: upload.chunk_size,
            retry_budget: upload.retry_budget,
            ..self.registries.options.clone()
        }
    }
}

/// Returns the certificates for registries. The certificate of `--client-cert` is for the image's registry alone, and
/// goes before that of the environment.
fn certificates(login: Option<(&LoginArgs, &ImageRef)>) -> Result<RegistryCertificates, Failure> {
    let given =
        login.and_then(|(login, image)| Some((login.client_cert.as_deref()?, login.client_key.as_deref(), image)));
    let Some((certificate, key, image)) = given else {
        return Ok(Environment::certificates(login.map(|(_, image)| image))?);
    };
    let client = modelcar_env::client_certificate(certificate, key, "--client-cert")?;
    Ok(Environment::certificates(None)?.with_client(image, client))
}

/// Returns the credentials of `--username` and `--password-stdin`; `None` without these flags.
fn given_login(args: &LoginArgs, image: &ImageRef) -> Result<Option<HostLogin>, Failure> {
    let Some(username) = args.username.clone() else { return Ok(None) };
    let password = password(io::stdin().lock()).map_err(|error| Failure::new(error, "read the password"))?;
    if password.expose().is_empty() {
        return Err(Failure::say("the password on stdin is empty")
            .hint("pipe it in, for example `modelcar push … --username me --password-stdin < password.txt`"));
    }
    let credential = Credential::Basic { username, password };
    let login = Login { credential, origin: "--username and --password-stdin".to_owned() };
    Ok(Some(HostLogin::new(image.registry(), login)))
}

/// Reads a password. The line end that `echo` adds is not a part of it; only one line end is removed.
fn password(input: impl io::Read) -> io::Result<Secret> {
    let mut text = String::new();
    io::Read::read_to_string(&mut input.take(PASSWORD_MAX_BYTES), &mut text)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret::from(line.strip_suffix('\r').unwrap_or(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_ends_before_the_line_does() {
        for (input, expected) in [("pw", "pw"), ("pw\n", "pw"), ("pw\r\n", "pw"), (" p w \n\n", " p w \n"), ("", "")] {
            assert_eq!(password(input.as_bytes()).unwrap().expose(), expected, "{input:?}");
        }
    }
}
