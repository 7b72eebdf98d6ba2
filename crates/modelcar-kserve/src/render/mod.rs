//! Manifests that KServe honours, from an image and a few wishes.
//!
//! Objects are structs; the YAML is what they serialise to, under a comment that says what a node and a GPU need. What
//! does not go together is an error, what may surprise is a warning. Options of a command line are named by its caller.

mod error;
mod header;
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
mod warning;
mod warnings;

use modelcar_core::text::one_line;
use serde::Serialize;

pub use self::{
    error::RenderError,
    objects::Object,
    options::{Autoscaler, DeploymentMode, InvalidToleration, Kind, RenderOptions},
    served_image::ServedImage,
    warning::{ImageRewrite, UnusedOption, Warning},
};
use self::{
    error::{MAX_NAME, MAX_NAMESPACE},
    objects::Namespace,
    resolved::Resolved,
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
    check(served, options)?;
    let served = &served.in_lines();
    let resolved = Resolved::new(served, options);
    if !is_name(&resolved.name) {
        return Err(RenderError::BadName(resolved.name));
    }
    if let Some(namespace) = resolved.namespace.as_ref().filter(|namespace| !is_label(namespace, MAX_NAMESPACE)) {
        return Err(RenderError::BadNamespace(namespace.clone()));
    }
    if let Some((file, found)) = resolved.hostile_file().filter(|_| options.kind != Kind::Prepull) {
        return Err(RenderError::UnsafeFile { file: file.to_owned(), found });
    }
    let objects = match options.kind {
        Kind::SmokeTest if resolved.is_scratch => {
            vec![scratch_namespace(&resolved), services::inference_service(&resolved)]
        }
        Kind::InferenceService | Kind::SmokeTest => vec![services::inference_service(&resolved)],
        Kind::LlmInferenceService => vec![services::llm_inference_service(&resolved)],
        Kind::Prepull => vec![pods::prepull(&resolved)],
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

    /// Returns the same with a shell command in the comment of a smoke test, which reads the pods as JSON from its stdin
    /// and says whether they serve.
    #[must_use]
    pub fn with_check_command(mut self, command: &str) -> Self {
        self.comment.check_with(command);
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

fn check(served: &ServedImage, options: &RenderOptions) -> Result<(), RenderError> {
    let version = options.version;
    let llm = options.kind == Kind::LlmInferenceService;
    let prepull = options.kind == Kind::Prepull;
    let unsupported = |what, since| Err(RenderError::Unsupported { version, what, since });
    if options.native && !version.has_native() {
        return unsupported("image volumes (`oci+native://`)", "0.20");
    }
    if llm && !version.has_llm_v1alpha2() {
        return unsupported("LLMInferenceService v1alpha2", "0.17");
    }
    if options.storage_uris && !version.has_oci_storage_uris() {
        return unsupported("`storageUris` that mount OCI images", "0.19");
    }
    let custom = options.custom_container.is_some();
    let conflicts = [
        (custom && llm, "a custom container", "an LLMInferenceService"),
        (options.storage_uris && llm, "`storageUris`", "an LLMInferenceService"),
        (custom && options.runtime.is_some(), "a custom container", "a runtime"),
        (custom && options.runtime_version.is_some(), "a custom container", "a runtime version"),
        (custom && options.runtime_image.is_some(), "a custom container", "a runtime image"),
        (options.runtime_image.is_some() && options.runtime_version.is_some(), "a runtime image", "a runtime version"),
        (llm && options.runtime.is_some(), "an LLMInferenceService", "a runtime"),
        (llm && options.runtime_version.is_some(), "an LLMInferenceService", "a runtime version"),
        (options.mode == DeploymentMode::Knative && options.autoscaler.is_some(), "Knative", "an autoscaler"),
        // The kubelet refuses a root that must not be root, which beside an image volume stands in the pod.
        (options.native && options.kserve_uid == SidecarUser::Uid(0) && !prepull, "an image volume", "the user root"),
        (options.min_replicas > options.max_replicas.or(options.min_replicas), "these smallest", "largest replicas"),
    ];
    if let Some((_, one, other)) = conflicts.into_iter().find(|(conflict, ..)| *conflict) {
        return Err(RenderError::Conflict(one, other));
    }
    if llm && resolved::is_gguf(served) {
        return Err(RenderError::LlmGguf);
    }
    if served.facts.is_broken() && !options.allow_incomplete {
        let flaws: Vec<&str> = served.facts.flaws.iter().map(String::as_str).collect();
        return Err(RenderError::Incomplete(flaws.join(", ")));
    }
    if served.has_base == Some(false) && !options.native {
        return Err(RenderError::NoShell);
    }
    Ok(())
}

/// Labels of RFC 1035, which is what an `InferenceService` must be named by.
fn is_name(name: &str) -> bool {
    is_label(name, MAX_NAME) && name.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Labels of RFC 1123, which may begin with a digit.
fn is_label(name: &str, max: usize) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edge = |c: char| c != '-' && inner(c);
    name.starts_with(edge) && name.ends_with(edge) && name.chars().all(inner) && name.len() <= max
}

fn scratch_namespace(resolved: &Resolved<'_>) -> Object {
    let metadata = objects::ObjectMeta { name: resolved.namespace.clone(), ..objects::ObjectMeta::default() };
    Object::Namespace(Namespace { api_version: "v1", kind: "Namespace", metadata })
}
