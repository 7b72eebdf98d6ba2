//! Options of the connection to the Hub.

use std::{sync::Arc, time::Duration};

use crate::{
    http::{Network, Secret},
    progress::{NoProgress, Progress},
    source::Unwanted,
};

/// How the Hub is reached.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// URL of the Hub or of a mirror (`HF_ENDPOINT` of the Hugging Face tools).
    pub endpoint: String,
    /// Access token. The token is sent to the endpoint only, never to the stores that the endpoint redirects to.
    pub token: Option<Secret>,
    /// Why there is no token although the caller expected one. Errors about a missing token contain this reason.
    pub token_problem: Option<String>,
    /// Entries of a listing that are skipped if they can't be files of a model. Any other such entry is an error.
    pub unwanted: Unwanted,
    /// Most attempts for a request, or for the rest of a part; twice as often while the Hub is out of reach after
    /// bytes of a file came.
    pub attempts: u32,
    /// Wait after the first failure. Each further failure doubles the wait.
    pub retry_base: Duration,
    /// How long a connection may bring no byte before it is given up.
    pub stall_timeout: Duration,
    /// Proxy and trusted certificates of the HTTP client.
    pub network: Network,
    /// Receives events about the steps, and about retries.
    pub progress: Arc<dyn Progress>,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            endpoint: "https://huggingface.co".to_owned(),
            token: None,
            token_problem: None,
            unwanted: Unwanted::none(),
            attempts: 5,
            retry_base: Duration::from_millis(500),
            stall_timeout: Duration::from_mins(1),
            network: Network::default(),
            progress: Arc::new(NoProgress),
        }
    }
}
