//! Application Default Credentials of Google Cloud, for Google's own registries.
//!
//! Credentials are looked for in Google's order: a file that the user names, the file that `gcloud auth
//! application-default login` writes, the metadata server of the machine. The metadata server is asked with a client of
//! this library: the client uses no proxy, gives up quickly on a machine without such a server, and works where no
//! certificate authority is installed.

mod access_token;
#[cfg(feature = "gcp")]
mod file;
mod metadata;

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::sync::Mutex;

use self::{access_token::AccessToken, metadata::MetadataServer};
use super::keychain::{Credential, Keychain, Login, Refused};
use crate::{
    ImageRef, files,
    http::{self, Network},
    registry::{
        error::{KeychainError, RegistryError},
        quirks,
    },
};

/// Largest file with credentials that is read, in bytes.
const FILE_MAX_BYTES: u64 = 1 << 20;
/// User name with which Google's registries accept an access token as the password.
const TOKEN_USER: &str = "oauth2accesstoken";
/// A token is asked for again when less than this is left of its lifetime. The metadata server renews its token five
/// minutes before it expires.
const KEPT_LEFT: Duration = Duration::from_mins(5);
/// How long a token without a known lifetime is kept.
const KEPT_UNTOLD: Duration = Duration::from_mins(1);
/// Assumed lifetime of such a token: Google's tokens live for an hour. A token that expires earlier is refused by the
/// registry and not offered again.
const LIFE_UNTOLD: Duration = Duration::from_hours(1);
/// Time between a failed renewal and the next one, while the old token is still valid.
const RENEW_AGAIN: Duration = Duration::from_secs(20);
/// Time for which a missing metadata server is not looked for again.
const KEPT_ABSENT: Duration = Duration::from_mins(1);

/// Places of Google's credentials.
#[derive(Debug, Clone, Default)]
pub struct GoogleOptions {
    /// The file that `GOOGLE_APPLICATION_CREDENTIALS` names. The file must exist: a missing file is an error, and no
    /// other place is looked at.
    pub credentials_file: Option<PathBuf>,
    /// The file of `gcloud auth application-default login`. The file may be missing.
    pub user_file: Option<PathBuf>,
    /// `HOST[:PORT]` of the metadata server, as in `GCE_METADATA_HOST`. A server that is given must answer.
    pub metadata_host: Option<String>,
    /// Certificate authorities that are trusted, and proxies, for exchanges of this library. The metadata server is
    /// asked without a proxy.
    pub network: Network,
}

/// Finds the Google account of the machine or the user, and offers an access token of this account as a password. The
/// token is offered to Google's registries only.
///
/// A token is kept and renewed five minutes before it expires. If a renewal fails, the old token is offered until it
/// expires.
#[derive(Debug)]
pub struct GoogleKeychain {
    /// Places of the credentials.
    options: GoogleOptions,
    /// The client of the metadata server.
    metadata: MetadataServer,
    /// The client for the exchange of a service account's key.
    #[cfg_attr(not(feature = "gcp"), expect(dead_code, reason = "only credential files need it"))]
    client: reqwest::Client,
    /// The token that is kept. The lock is held while a token is fetched.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The newest token.
    kept: Option<Kept>,
    /// Until when a missing metadata server is not looked for again.
    absent_until: Option<Instant>,
}

/// A token that is offered again until it has to be renewed.
#[derive(Debug, Clone)]
struct Kept {
    /// The token as a password, and its origin.
    login: Login,
    /// When a new token is asked for.
    renew_at: Instant,
    /// When the token expires.
    good_until: Instant,
}

impl GoogleKeychain {
    /// Looks for credentials in the places of `options`.
    ///
    /// # Errors
    /// [`RegistryError::Client`] when TLS can't be set up.
    pub fn new(options: GoogleOptions) -> Result<Self, RegistryError> {
        let builder = http::client_builder(&options.network).redirect(reqwest::redirect::Policy::none());
        let client = builder.build().map_err(RegistryError::Client)?;
        let metadata = MetadataServer::new(options.metadata_host.as_deref()).map_err(RegistryError::Client)?;
        Ok(Self { options, metadata, client, state: Mutex::default() })
    }

    /// Gets a new token from the first place that has credentials; `None` if there is none.
    ///
    /// # Errors
    /// When a file can't be read or is invalid, or Google gives no token.
    async fn fetch(&self, state: &mut State) -> Result<Option<AccessToken>, KeychainError> {
        if let Some(path) = &self.options.credentials_file {
            let text = files::read_aside(path, FILE_MAX_BYTES).await;
            let text = text.map_err(|source| KeychainError::Read { path: path.clone(), source })?;
            return self.read_file(path, &text).await.map(Some);
        }
        if let Some(path) = &self.options.user_file {
            match files::read_aside(path, FILE_MAX_BYTES).await {
                Ok(text) => return self.read_file(path, &text).await.map(Some),
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(source) => return Err(KeychainError::Read { path: path.clone(), source }),
            }
        }
        if state.absent_until.is_some_and(|until| Instant::now() < until) {
            return Ok(None);
        }
        let token = self.metadata.token().await?;
        state.absent_until = token.is_none().then(|| Instant::now() + KEPT_ABSENT);
        Ok(token)
    }

    /// Gets a token with a credential file.
    #[cfg(feature = "gcp")]
    async fn read_file(&self, path: &Path, text: &[u8]) -> Result<AccessToken, KeychainError> {
        file::token(path, text, &self.client).await
    }

    /// Refuses a credential file: the code that reads them is left out of this build.
    #[cfg(not(feature = "gcp"))]
    #[expect(clippy::unused_async, reason = "the other one waits")]
    async fn read_file(&self, path: &Path, _text: &[u8]) -> Result<AccessToken, KeychainError> {
        let reason = "this build reads no Google credential files (feature `gcp`)".to_owned();
        Err(KeychainError::Google { origin: format!("`{}`", path.display()), reason, passing: false })
    }
}

#[async_trait]
impl Keychain for GoogleKeychain {
    /// Holds a lock while a token is fetched, so that many repositories wait for one token.
    async fn resolve(&self, image: &ImageRef, refused: &Refused) -> Result<Option<Login>, KeychainError> {
        if !quirks::takes_google_tokens(image.registry()) {
            return Ok(None);
        }
        let mut state = self.state.lock().await;
        let kept = state.kept.clone().filter(|kept| !refused.contains(&kept.login.credential));
        if let Some(kept) = &kept
            && Instant::now() < kept.renew_at
        {
            return Ok(Some(kept.login.clone()));
        }
        let begun = Instant::now();
        let token = match (self.fetch(&mut state).await, kept) {
            (Ok(Some(token)), _) => token,
            // The old token is used while it is valid.
            (_, Some(kept)) if Instant::now() < kept.good_until => {
                let login = kept.login.clone();
                state.kept = Some(Kept { renew_at: Instant::now() + RENEW_AGAIN, ..kept });
                return Ok(Some(login));
            }
            (Ok(None), _) => return Ok(None),
            (Err(error), _) => return Err(error),
        };
        let credential = Credential::Basic { username: TOKEN_USER.to_owned(), password: token.value };
        let login = Login { credential, origin: token.origin };
        let renew_at = begun + token.life.map_or(KEPT_UNTOLD, |life| life.saturating_sub(KEPT_LEFT));
        let good_until = begun + token.life.unwrap_or(LIFE_UNTOLD);
        state.kept = Some(Kept { login: login.clone(), renew_at, good_until });
        Ok((!refused.contains(&login.credential)).then_some(login))
    }

    fn places(&self, image: &ImageRef) -> Vec<String> {
        if !quirks::takes_google_tokens(image.registry()) {
            return Vec::new();
        }
        if let Some(path) = &self.options.credentials_file {
            return vec![format!("`{}`", path.display())];
        }
        let file = self.options.user_file.iter().map(|path| format!("`{}`", path.display()));
        file.chain([self.metadata.origin()]).collect()
    }
}

#[cfg(feature = "workspace-tests")]
#[cfg(test)]
mod tests;
