//! The tags of a repository (distribution-spec "Listing Tags"). Nothing depends on them: they help who mistyped a name.

use reqwest::{Method, StatusCode, header::HeaderMap};
use serde::Deserialize;
use tokio::time::timeout;

use super::{error::RegistryError, repository::Repository, request::Scope};
use crate::{
    Tag,
    http::{self, HttpFailure},
};

/// Largest list that is read, in bytes: some registries take no notice of the number that is asked for.
const LIST_MAX_BYTES: usize = 4 << 20;

#[derive(Deserialize)]
struct List {
    /// Google's registries and the distribution write `null` for a repository without tags.
    tags: Option<Vec<String>>,
}

impl Repository {
    /// Returns the first tags of the repository, at most `max`, in the registry's order; none when the registry answers
    /// 404.
    ///
    /// # Errors
    /// [`RegistryError::Protocol`] when the answer is no list, is larger than 4 MiB or arrives too slowly;
    /// [`RegistryError::Request`] when the registry refuses the request or gives no answer; and when no credentials are
    /// found or accepted.
    pub async fn tags(&self, max: usize) -> Result<Vec<Tag>, RegistryError> {
        let inner = self.inner();
        let act = "list the tags";
        let url = inner.url(&format!("tags/list?n={max}")).await?;
        let response = inner.send(act, Scope::Pull, Method::GET, &url, &HeaderMap::new(), None).await?;
        match response.status() {
            StatusCode::NOT_FOUND => return Ok(Vec::new()),
            StatusCode::OK => {}
            _ => return Err(inner.refused(act, Method::GET, response).await),
        }
        let read = timeout(inner.options.answer_timeout, http::read_limited(response, LIST_MAX_BYTES)).await;
        let read = read.map_err(|_| inner.protocol(act, "the list arrives too slowly"))?;
        let bytes = read.map_err(|error| inner.failed(act, HttpFailure::transport(Method::GET, &url, error)))?;
        let list: List =
            serde_json::from_slice(&bytes).map_err(|_| inner.protocol(act, "the answer is no list of tags"))?;
        Ok(list.tags.unwrap_or_default().iter().filter_map(|tag| tag.parse().ok()).take(max).collect())
    }
}
