//! Says whether an image, ours or anybody's, can serve in each of KServe's modes, and why not.
//!
//! Manifests, configs and the names in layers are read; weights are not, unless all is asked for.

mod access;
mod bounded;
mod content;
mod finding;
mod models;
mod read;
mod report;
mod rules;
#[cfg(test)]
mod tests;
mod tree;

use std::path::Path;

use modelcar_core::{
    ImageRef, Result,
    reader::{self, ImageReader},
};

pub use self::{
    finding::{LintFinding, ServingMode},
    read::Depth,
    report::{LintReport, PlatformLint},
};
use crate::{SidecarUser, findings::Severity};

/// How an image is linted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LintOptions {
    /// How much is read.
    pub depth: Depth,
    /// The user that KServe's configuration gives to sidecars.
    pub user: SidecarUser,
}

/// Lints an image in a registry: `repository` is the `Repository` of `modelcar_core::registry`, or any other reader.
///
/// # Errors
/// When the image is not there or can't be read.
pub async fn registry(repository: &dyn ImageReader, image: &ImageRef, options: LintOptions) -> Result<LintReport> {
    lint(repository, &image.selector(), image.digest().is_some(), options).await
}

/// Lints an image in a layout directory; `name` chooses one of several.
///
/// # Errors
/// When the directory is no layout, or holds no such image.
pub async fn layout(dir: &Path, name: Option<&str>, options: LintOptions) -> Result<LintReport> {
    let (layout, digest) = reader::open_layout(dir, name).await?;
    // A directory has no tags that could move.
    lint(&*layout, &digest.to_string(), true, options).await
}

async fn lint(reader: &dyn ImageReader, selector: &str, pinned: bool, options: LintOptions) -> Result<LintReport> {
    let image = read::image(reader, selector, options.depth).await?;
    let mut findings = Vec::new();
    rules::image(&image, pinned, &mut findings);
    let platforms: Vec<PlatformLint> = image
        .platforms
        .iter()
        .map(|platform| {
            let mut findings = Vec::new();
            rules::platform(platform, options.user, &mut findings);
            findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity()));
            PlatformLint { platform: platform.name.clone(), layers: platform.layers.len(), findings }
        })
        .collect();
    let broken = |mode: ServingMode| {
        let all = findings.iter().chain(platforms.iter().flat_map(|platform| &platform.findings));
        all.filter(|finding| finding.severity() == Severity::Error).any(|finding| finding.modes().contains(&mode))
    };
    let serves = ServingMode::ALL.into_iter().filter(|mode| !broken(*mode)).collect();
    Ok(LintReport { schema_version: 1, digest: image.digest, serves, findings, platforms })
}
