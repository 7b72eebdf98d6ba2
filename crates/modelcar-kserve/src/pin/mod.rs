//! Writes the digest of an image into manifests that exist, and changes no other byte of them.
//!
//! References are found by the fields in which KServe, Kubernetes and kustomize have them, and by paths. Only the tag or
//! digest of a reference is replaced, inside the bytes that the parser read the value from. The new text is parsed, and
//! its values are compared with those of the old text: they differ in the references alone, or nothing is changed.

mod edits;
mod error;
mod field_path;
mod fields;
mod scalar;
mod target;
mod template;
mod tree;

use self::edits::splice;
pub use self::{
    edits::{Edit, Reference},
    error::PinError,
    field_path::{FieldPath, InvalidFieldPath},
    target::PinTarget,
};

/// A text with its references pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pinned {
    /// The new text.
    pub text: String,
    /// The references to the target's repository, in the order in which they were found.
    pub references: Vec<Reference>,
    /// What has changed, in the order of the text. Empty if every reference had the digest.
    pub edits: Vec<Edit>,
}

/// Pins the references of a YAML or JSON text, which may have several documents.
///
/// # Errors
/// When the text can't be read, or a reference can't be replaced alone. See [`PinError`].
///
/// ```
/// use modelcar_kserve::pin::{PinTarget, pin};
///
/// let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// let target = PinTarget::new(&format!("r.io/m/qwen@{digest}").parse()?)?;
/// let pinned = pin("storageUri: \"oci://r.io/m/qwen:v1\"  # the model\n", &target)?;
/// assert_eq!(pinned.text, format!("storageUri: \"oci://r.io/m/qwen@{digest}\"  # the model\n"));
/// assert_eq!(pinned.references[0].old, "oci://r.io/m/qwen:v1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pin(text: &str, target: &PinTarget) -> Result<Pinned, PinError> {
    let planned = match edits::plan(text, text, target) {
        Err(PinError::NotYaml { line, reason, .. }) if text.contains("{{") => {
            let planned = template::hidden(text).map(|view| edits::plan(text, &view, target));
            match planned {
                None | Some(Err(PinError::NotYaml { .. })) => return Err(PinError::Template { line, reason }),
                Some(planned) => planned?,
            }
        }
        planned => planned?,
    };
    let text = splice(text, &planned.edits).unwrap_or_else(|| text.to_owned());
    Ok(Pinned { text, references: planned.references, edits: planned.edits })
}
