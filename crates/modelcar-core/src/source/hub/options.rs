//! How the Hub is reached.

use std::{sync::Arc, time::Duration};

use crate::{
    http::{Network, Secret},
    progress::{NoProgress, Progress},
    source::Unwanted,
};

/// How the Hub is reached.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// URL of the Hub or of a mirror.
    pub endpoint: String,
    /// Access token. It is sent to the endpoint only, never to the stores it redirects to.
    pub token: Option<Secret>,
    /// Why there is no token although there should be one, for the errors of a Hub that asks for a token.
    pub token_problem: Option<String>,
    /// Entries of a listing that are passed over where they can't stand in a model.
    pub unwanted: Unwanted,
    /// How often a request, or the rest of a part, is tried at most.
    pub attempts: u32,
    /// Wait after the first failure; doubled after each further one.
    pub retry_base: Duration,
    /// How long a connection may bring no byte before it is given up.
    pub stall_timeout: Duration,
    /// Who is trusted, and through which proxy.
    pub network: Network,
    /// Who is told of steps and of tries that follow a failure.
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
