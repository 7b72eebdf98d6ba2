//! How a command reaches registries and the Hub: who is trusted, which proxy leads out, which logins there are.

use std::{fs, io, sync::Arc};

use modelcar_core::{
    ImageRef,
    http::{Network, Secret},
    progress::Progress,
    push::Connections,
    registry::{
        Credential, DockerConfig, GoogleKeychain, GoogleOptions, HostLogin, Keychain, KeychainChain, Login, Registries,
        RegistryOptions, Repository,
    },
    source::{HubOptions, SourceRef},
};

use crate::{
    args::{LoginArgs, RegistryArgs, UploadArgs},
    env,
    hint::Failure,
    ui,
};

/// Longest password that is read from stdin. A service account's key has some kilobytes.
const PASSWORD_MAX_BYTES: u64 = 1 << 20;

/// What all requests of a command share.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) registries: Registries,
    /// The Hub's certificate is always looked at.
    hub: Network,
}

impl Connection {
    /// Reads environment, files and flags. The login of `login` is for the registry of its image alone.
    pub(crate) fn open(args: &RegistryArgs, login: Option<(&LoginArgs, &ImageRef)>) -> Result<Self, Failure> {
        let hub = network(args)?;
        let mut network = hub.clone();
        if args.insecure_skip_tls_verify {
            ui::say(
                "warning: certificates of registries are NOT checked (--insecure-skip-tls-verify): whoever is on the \
                 way can read the login and change the image; --ca-file trusts a private authority instead",
            );
            network = network.with_tls_verification_skipped();
        }
        let google = GoogleOptions { network: hub.clone(), ..env::google() };
        let mut keychains: Vec<Arc<dyn Keychain>> = Vec::new();
        if let Some((login, image)) = login {
            keychains.extend(given_login(login, image)?.map(|login| Arc::new(login) as _));
        }
        keychains.push(Arc::new(DockerConfig::new(env::login_files())));
        keychains.push(Arc::new(GoogleKeychain::new(google)?));
        let options = RegistryOptions { plain_http: args.plain_http, network, ..RegistryOptions::default() };
        Ok(Self { registries: Registries::new(Arc::new(KeychainChain::new(keychains)), options), hub })
    }

    /// Returns what a library call needs that reads `source`. The Hub's token is looked for when it is needed alone.
    pub(crate) fn connections(&self, source: &SourceRef) -> Result<Connections, Failure> {
        let hub = match source {
            SourceRef::Hub(_) if !env::hub_offline() => Some(self.hub()?),
            _ => None,
        };
        Ok(Connections::new(self.registries.clone()).with_hub(hub))
    }

    fn hub(&self) -> Result<HubOptions, Failure> {
        let mut options = HubOptions { network: self.hub.clone(), ..HubOptions::default() };
        options.endpoint = env::hub_endpoint().unwrap_or(options.endpoint);
        options.token = env::hub_token().map_err(|error| Failure::new(error, "find the Hub's token"))?;
        Ok(options)
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

fn network(args: &RegistryArgs) -> Result<Network, Failure> {
    let mut network = Network::default();
    for (file, named_by) in args.ca_file.iter().map(|file| (file.clone(), "--ca-file")).chain(env::certificate_file()) {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Failure::new(error, format!("read the authorities in `{}` ({named_by})", file.display()))
                .hint("the file holds certificates in PEM form: -----BEGIN CERTIFICATE----- …")
        };
        let pem = fs::read(&file).map_err(|error| failed(error.into()))?;
        network = network.with_roots(&pem).map_err(|error| failed(error.into()))?;
    }
    let proxies = env::proxies();
    let names = "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY";
    network
        .with_proxies(proxies.http.as_deref(), proxies.https.as_deref(), &proxies.except)
        .map_err(|error| Failure::new(error, format!("use the proxy in {names}")))
}

/// Returns the login of the flags, else the one in the environment.
fn given_login(args: &LoginArgs, image: &ImageRef) -> Result<Option<HostLogin>, Failure> {
    let offer = |username: String, password: Secret, origin: &str| {
        let credential = Credential::Basic { username, password };
        HostLogin::new(image.registry(), Login { credential, origin: origin.to_owned() })
    };
    if let Some(username) = &args.username {
        let password = password(io::stdin().lock()).map_err(|error| Failure::new(error, "read the password"))?;
        if password.expose().is_empty() {
            return Err(Failure::say("the password on stdin is empty")
                .hint("pipe it in, for example `modelcar push … --username me --password-stdin < password.txt`"));
        }
        return Ok(Some(offer(username.clone(), password, "--username and --password-stdin")));
    }
    match env::registry_login() {
        (Some(username), Some(password)) => Ok(Some(offer(username, password, env::REGISTRY_LOGIN))),
        (None, None) => Ok(None),
        _ => Err(Failure::say(format!("only one of {} is set", env::REGISTRY_LOGIN)).hint("set both, or none")),
    }
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
