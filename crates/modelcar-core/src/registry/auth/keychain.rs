//! Credentials for registries, and the interface of their sources. Credentials are looked up each time they are needed,
//! because a long build outlives its tokens.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;

use crate::{ImageRef, http::Secret, registry::error::KeychainError};

/// A credential for a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A name and a password (RFC 7617). A token server exchanges them for a bearer token.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token for the registry's token server (OAuth 2.0; `identitytoken` in login files).
    IdentityToken {
        /// The token.
        token: Secret,
        /// Name and password of the same login, for token servers that do not support refresh tokens.
        fallback: Option<(String, Secret)>,
    },
    /// A bearer token that is sent to the registry unchanged (`registrytoken` in login files).
    RegistryToken(Secret),
}

impl Credential {
    /// Makes a credential of a name and a secret from a login file or helper. The name `<token>` marks a refresh token,
    /// by the convention of Docker's credential helpers.
    pub(super) fn from_pair(username: &str, secret: &str) -> Self {
        match username {
            "<token>" => Self::IdentityToken { token: secret.into(), fallback: None },
            _ => Self::Basic { username: username.to_owned(), password: secret.into() },
        }
    }
}

/// A credential and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The credential.
    pub credential: Credential,
    /// Where the credential was found, for messages: a file and its entry, a helper, a server. Holds no secret.
    pub origin: String,
}

impl Login {
    /// Returns the kind and the origin of the login, without its secret.
    pub(in crate::registry) fn describe(&self) -> String {
        let kind = match self.credential {
            Credential::Basic { .. } => "a name and a password",
            Credential::IdentityToken { .. } => "an identity token",
            Credential::RegistryToken(_) => "a registry token",
        };
        format!("{kind} from {}", self.origin)
    }
}

/// Credentials that a registry has refused. A keychain must not offer them again. The list is cleared once the client
/// has reported that all credentials are refused, so that a later request tries them again.
#[derive(Debug, Clone, Default)]
pub struct Refused(Vec<Credential>);

impl Refused {
    /// Returns whether `credential` was refused.
    pub fn contains(&self, credential: &Credential) -> bool {
        self.0.contains(credential)
    }

    /// Adds `credential`, once.
    pub(super) fn add(&mut self, credential: Credential) {
        if !self.contains(&credential) {
            self.0.push(credential);
        }
    }

    /// Removes all credentials.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Finds credentials for registries.
///
/// The client calls a keychain when it needs a new token, and again after a refusal. A keychain that is expensive to
/// ask keeps its result for a while. Calls can be concurrent: each repository has a login of its own.
#[async_trait]
pub trait Keychain: Send + Sync + Debug {
    /// Returns the current credentials for the registry and repository of `image`, other than those in `refused`;
    /// `None` if this keychain has none. Tag and digest of `image` have no meaning here.
    ///
    /// # Errors
    /// When a source of credentials can't be read, or a helper fails. A helper that fails does not count as a helper
    /// without credentials: otherwise a push could continue anonymously. An error that is retryable is tried again.
    async fn resolve(&self, image: &ImageRef, refused: &Refused) -> Result<Option<Login>, KeychainError>;

    /// Returns the places where the keychain looks for credentials for `image`, for messages. The places hold no
    /// secret.
    fn places(&self, image: &ImageRef) -> Vec<String>;
}

/// Credentials for one registry, given by the caller. They are offered for no other registry.
#[derive(Debug, Clone)]
pub struct HostLogin {
    /// The registry, as `host` or `host:port`.
    registry: String,
    login: Login,
}

impl HostLogin {
    /// Offers `login` to the registry called `registry`, written as in an image reference: `host` or `host:port`.
    pub fn new(registry: impl Into<String>, login: Login) -> Self {
        Self { registry: registry.into(), login }
    }
}

#[async_trait]
impl Keychain for HostLogin {
    async fn resolve(&self, image: &ImageRef, refused: &Refused) -> Result<Option<Login>, KeychainError> {
        let offered = self.registry == image.registry() && !refused.contains(&self.login.credential);
        Ok(offered.then(|| self.login.clone()))
    }

    fn places(&self, image: &ImageRef) -> Vec<String> {
        if self.registry == image.registry() { vec![self.login.origin.clone()] } else { Vec::new() }
    }
}

/// Asks keychains in order; the first that has credentials decides. After a refusal the same keychain is asked first,
/// and the next one if the first has no other credentials. An empty chain makes all requests anonymous.
#[derive(Debug, Clone, Default)]
pub struct KeychainChain(Vec<Arc<dyn Keychain>>);

impl KeychainChain {
    /// Asks `keychains` in this order.
    pub fn new(keychains: Vec<Arc<dyn Keychain>>) -> Self {
        Self(keychains)
    }
}

#[async_trait]
impl Keychain for KeychainChain {
    async fn resolve(&self, image: &ImageRef, refused: &Refused) -> Result<Option<Login>, KeychainError> {
        for keychain in &self.0 {
            if let Some(login) = keychain.resolve(image, refused).await? {
                return Ok(Some(login));
            }
        }
        Ok(None)
    }

    fn places(&self, image: &ImageRef) -> Vec<String> {
        self.0.iter().flat_map(|keychain| keychain.places(image)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_login_goes_to_its_host_and_the_next_one_follows_a_refusal() {
        let login = |name: &str| Login { credential: Credential::from_pair(name, "pw"), origin: name.into() };
        let chain = KeychainChain::new(vec![
            Arc::new(HostLogin::new("r.io:5000", login("first"))),
            Arc::new(HostLogin::new("r.io:5000", login("second"))),
        ]);
        let image: ImageRef = "r.io:5000/a".parse().unwrap();
        let mut refused = Refused::default();
        for expected in ["first", "second"] {
            let found = chain.resolve(&image, &refused).await.unwrap().unwrap();
            assert_eq!(found.origin, expected);
            refused.add(found.credential);
        }
        assert_eq!(chain.resolve(&image, &refused).await.unwrap(), None);
        for other in ["r.io/a", "r.io:5001/a", "x.r.io:5000/a"] {
            let image: ImageRef = other.parse().unwrap();
            assert_eq!(chain.resolve(&image, &Refused::default()).await.unwrap(), None, "{other}");
            assert_eq!(chain.places(&image), Vec::<String>::new());
        }
        assert!(!format!("{chain:?}").contains("pw"));
    }
}
