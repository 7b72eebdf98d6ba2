//! A model's file and where the model came from: data without a way to read either.

use serde::{Deserialize, Serialize};

use crate::{ContentId, ModelPath};

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct SourceFile {
    /// Path inside the model.
    pub path: ModelPath,
    /// Size in bytes.
    pub size: u64,
    /// Identity of the content, where the source vouches for it: always on the Hub, never for a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentId>,
}

/// Where a model came from, for annotations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// Title: the repository's name on the Hub. Empty for a directory, whose place says nothing about its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Web page of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Revision asked for, for example `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Commit that the revision was resolved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Licence from the model card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
}
