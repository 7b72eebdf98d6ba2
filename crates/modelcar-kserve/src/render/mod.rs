//! Manifests that KServe honours, from an image and a few wishes.
//!
//! Objects are structs; the YAML is what they serialise to, under a comment that says what a node and a GPU need. What
//! does not go together is an error, what may surprise is a warning. Options of a command line are named by its caller.

mod conflicts;
mod error;
mod header;
mod helpers;
mod node_config;
pub mod objects;
mod options;
mod pods;
mod resolved;
mod rights;
mod served_image;
mod services;
#[cfg(feature = "template")]
mod template;
#[cfg(test)]
mod tests;
mod values;
mod warning;
mod warnings;

use modelcar_core::text::one_line;
use serde::Serialize;

use self::{
    error::{MAX_NAME, MAX_NAMESPACE},
    objects::Namespace,
    resolved::Resolved,
};
pub use self::{
    error::{RenderError, Setting},
    header::Commands,
    node_config::node_config,
    objects::Object,
    options::{Autoscaler, Delivery, DeploymentMode, DeploymentStrategy, InvalidToleration, Kind, Lora, RenderOptions},
    served_image::ServedImage,
    warning::{ImageRewrite, UnusedOption, Warning},
};
pub use crate::{InvalidUser, SidecarUser};

/// Rendered manifests.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// Lines of the comment at the top, without `#`.
    pub header: Vec<String>,
    /// What may surprise; the comment holds it too.
    pub warnings: Vec<Warning>,
    /// The objects, in the order they are created.
    pub objects: Vec<Object>,
    comment: header::Comment,
    /// One for each warning, or none.
    remedies: Vec<Option<String>>,
    #[cfg(feature = "template")]
    values: template::Values,
}

/// Renders manifests for the image `served`.
///
/// # Errors
/// When options contradict each other or what the release or the image can do.
pub fn render(served: &ServedImage, options: &RenderOptions) -> Result<Rendered, RenderError> {
    options.check()?;
    conflicts::check(served, options)?;
    let served = &served.in_lines();
    let resolved = Resolved::new(served, options);
    if let Some((one, other)) = resolved.conflict() {
        return Err(RenderError::Conflict(one, other));
    }
    if !is_name(&resolved.name) {
        return Err(RenderError::BadName(resolved.name));
    }
    if let Some(namespace) = resolved.namespace.as_ref().filter(|namespace| !values::is_label(namespace, MAX_NAMESPACE))
    {
        return Err(RenderError::BadNamespace(namespace.clone()));
    }
    if let Some((file, found)) = resolved.hostile_file().filter(|_| resolved.has_server()) {
        return Err(RenderError::UnsafeFile { file: file.to_owned(), found });
    }
    let objects = match options.kind {
        Kind::SmokeTest if resolved.is_scratch => {
            vec![scratch_namespace(&resolved), services::inference_service(&resolved)]
        }
        Kind::InferenceService | Kind::SmokeTest => vec![services::inference_service(&resolved)],
        Kind::LlmInferenceService => vec![services::llm_inference_service(&resolved)],
        Kind::Prepull => vec![helpers::prepull(&resolved)],
        Kind::AdmissionPod => vec![helpers::admission(&resolved)],
    };
    let warnings = warnings::find(&resolved);
    let comment = header::Comment::new(&resolved);
    let header = comment.lines(&warnings, &[]);
    #[cfg(feature = "template")]
    let values = template::Values::new(&resolved, &objects, &warnings);
    Ok(Rendered {
        header,
        warnings,
        objects,
        comment,
        remedies: Vec::new(),
        #[cfg(feature = "template")]
        values,
    })
}

impl Rendered {
    /// Returns the same with what to do about each warning, in the caller's words: a command line names its options. One
    /// sentence or more without a point at the end; the comment has it behind the warning, templates as `remedy`.
    #[must_use]
    pub fn with_remedies(mut self, remedy: impl Fn(&Warning) -> Option<String>) -> Self {
        self.remedies = self.warnings.iter().map(remedy).collect();
        self.header = self.comment.lines(&self.warnings, &self.remedies);
        #[cfg(feature = "template")]
        self.values.tell(&self.warnings, &self.remedies);
        self
    }

    /// Returns the same with the caller's commands in the comment, where the objects are tried.
    #[must_use]
    pub fn with_commands(mut self, commands: &Commands) -> Self {
        self.comment.check_with(commands);
        self.header = self.comment.lines(&self.warnings, &self.remedies);
        self
    }

    /// Returns the YAML: the comment, then the objects as documents of one stream.
    ///
    /// # Errors
    /// When an object can't be written.
    pub fn to_yaml(&self) -> Result<String, RenderError> {
        let mut text = String::new();
        for line in &self.header {
            text.push('#');
            if !line.is_empty() {
                text.push(' ');
                text.push_str(&one_line(line));
            }
            text.push('\n');
        }
        let documents: Result<Vec<_>, _> = self.objects.iter().map(yaml).collect();
        text.push_str(&documents?.join("---\n"));
        Ok(text)
    }

    /// Fills a template of the user (minijinja, which is Jinja's language) with the values the objects were made of.
    ///
    /// # Errors
    /// When the template is not valid or names a value that does not exist.
    #[cfg(feature = "template")]
    pub fn fill(&self, template: &str) -> Result<String, RenderError> {
        self.values.fill(template, &self.to_yaml()?)
    }
}

fn yaml(object: &impl Serialize) -> Result<String, RenderError> {
    // Image names are long; folded they could not be searched for.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let mut text = serde_saphyr::to_string_with_options(object, options).map_err(RenderError::Yaml)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// Labels of RFC 1035, which is what an `InferenceService` must be named by.
fn is_name(name: &str) -> bool {
    values::is_label(name, MAX_NAME) && name.starts_with(|c: char| c.is_ascii_lowercase())
}

fn scratch_namespace(resolved: &Resolved<'_>) -> Object {
    let metadata = objects::ObjectMeta { name: resolved.namespace.clone(), ..objects::ObjectMeta::default() };
    Object::Namespace(Namespace { api_version: "v1", kind: "Namespace", metadata })
}
