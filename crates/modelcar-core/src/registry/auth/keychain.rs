//! Logins for registries. A login is looked up each time it is needed, because a long build outlives its tokens.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;

use crate::{ImageRef, http::Secret, registry::error::KeychainError};

/// A credential for a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A name and a password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token for the registry's token server.
    IdentityToken {
        /// The token.
        token: Secret,
        /// Name and password of the same login, for token servers that do not support refresh tokens.
        fallback: Option<(String, Secret)>,
    },
    /// A token that is sent to the registry unchanged.
    RegistryToken(Secret),
}

impl Credential {
    /// Makes a credential of a name and a secret from a login file or helper. The name `<token>` marks a refresh token.
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
    /// Where the credential was found, for people: a file and its entry, a helper, a server. Holds no secret.
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

/// Credentials that a registry has refused since it last accepted one. They are not offered again.
#[derive(Debug, Clone, Default)]
pub struct Refused(Vec<Credential>);

impl Refused {
    /// Returns whether `credential` was refused.
    pub fn contains(&self, credential: &Credential) -> bool {
        self.0.contains(credential)
    }

    pub(super) fn add(&mut self, credential: Credential) {
        if !self.contains(&credential) {
            self.0.push(credential);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Finds logins.
#[async_trait]
pub trait Keychain: Send + Sync + Debug {
    /// Returns the current login for `image`, other than those in `refused`; `None` if this keychain has none.
    ///
    /// # Errors
    /// When a place of logins can't be read. A helper that fails is an error and does not count as a helper without a
    /// login.
    async fn resolve(&self, image: &ImageRef, refused: &Refused) -> Result<Option<Login>, KeychainError>;

    /// Returns the places where the keychain looks for a login for `image`, for people.
    fn places(&self, image: &ImageRef) -> Vec<String>;
}

/// One login for one registry, given by the caller. The login is sent to no other registry.
#[derive(Debug, Clone)]
pub struct HostLogin {
    registry: String,
    login: Login,
}

impl HostLogin {
    /// Offers `login` to the registry called `registry`.
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

/// Asks keychains in order; the first that has a login decides. An empty chain makes all requests anonymous.
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
