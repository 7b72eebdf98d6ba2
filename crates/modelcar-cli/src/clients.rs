//! How a command reaches registries and the Hub: what the environment says, and the flags beside it.

use std::{io, sync::Arc};

use modelcar_core::{
    ImageRef,
    http::Secret,
    progress::Progress,
    push::Connections,
    registry::{Credential, HostLogin, Keychain, KeychainChain, Login, Registries, RegistryOptions, Repository},
    source::SourceRef,
};
use modelcar_env::Environment;

use crate::{
    args::{LoginArgs, RegistryArgs, UploadArgs},
    hint::Failure,
    ui,
};

/// Longest password that is read from stdin. A service account's key has some kilobytes.
const PASSWORD_MAX_BYTES: u64 = 1 << 20;

/// What all requests of a command share.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(crate) registries: Registries,
    /// The Hub's certificate is always looked at.
    environment: Environment,
}

impl Clients {
    /// Reads environment, files and flags. The login of `login` is for the registry of its image alone.
    pub(crate) fn open(args: &RegistryArgs, login: Option<(&LoginArgs, &ImageRef)>) -> Result<Self, Failure> {
        let mut environment = Environment::read()?;
        for file in &args.ca_file {
            environment = environment.with_authorities(file, "--ca-file")?;
        }
        let mut network = environment.network().clone();
        if args.insecure_skip_tls_verify {
            ui::say(
                "warning: certificates of registries are NOT checked (--insecure-skip-tls-verify): whoever is on the \
                 way can read the login and change the image; --ca-file trusts a private authority instead",
            );
            network = network.with_tls_verification_skipped();
        }
        let given = login.map(|(login, image)| given_login(login, image)).transpose()?.flatten();
        let keychain: Arc<dyn Keychain> = match given {
            Some(given) => Arc::new(KeychainChain::new(vec![Arc::new(given), environment.keychain(None)?])),
            None => environment.keychain(login.map(|(_, image)| image))?,
        };
        let options = RegistryOptions { plain_http: args.plain_http, network, ..RegistryOptions::default() };
        Ok(Self { registries: Registries::new(keychain, options), environment })
    }

    /// Returns what a library call needs that reads `source`. The Hub's token is looked for when it is needed alone.
    pub(crate) fn connections(&self, source: &SourceRef) -> Result<Connections, Failure> {
        let hub = match source {
            SourceRef::Hub(_) => self.environment.hub()?,
            _ => None,
        };
        Ok(Connections::new(self.registries.clone()).with_hub(hub))
    }

    /// Returns a handle on the repository of `image`.
    pub(crate) fn repository(&self, image: &ImageRef, progress: &Arc<dyn Progress>) -> Result<Repository, Failure> {
        Ok(self.registries.repository(image, progress)?)
    }

    /// Returns how the registry is spoken to that a push goes to.
    pub(crate) fn target_options(&self, upload: &UploadArgs) -> RegistryOptions {
        RegistryOptions {
            chunk_bytes: upload.chunk_size,
            retry_budget: upload.retry_budget,
            ..self.registries.options.clone()
        }
    }
}

/// Returns the login of the flags.
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

/// Reads a password; the line end that `echo` adds is not part of it.
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
