//! What the user can do about manifests that can't be pinned.

use modelcar_kserve::pin::PinError;

/// For a reference that a template fills in.
pub(crate) const VALUES: &str = "pin the values that the template is filled with: \
                                 `modelcar pin IMAGE values.yaml --path model.image.digest`";

/// Returns what to do about a manifest that can't be pinned.
pub(super) fn pin_hint(error: &PinError) -> &'static str {
    match error {
        PinError::NoDigest(_) => {
            "write IMAGE@sha256:…: `modelcar push` prints it, and `modelcar inspect IMAGE` shows the digest of a tag"
        }
        PinError::NotYaml { .. } => "correct the line; pin reads manifests in YAML and JSON",
        PinError::Template { .. } | PinError::FilledIn { .. } => VALUES,
        PinError::TooLarge(_) => "split the file: a manifest has a few hundred values",
        PinError::NotText { .. } => {
            "--path names a reference, a tag or a digest; write `digest: \"\"` where none is yet"
        }
        PinError::OtherRepository { .. } => {
            "correct --path or IMAGE; --repository names another repository whose references are replaced by IMAGE"
        }
        PinError::Entangled { .. } => "write the reference on one line of its own: `storageUri: oci://…`",
        _ => "this is a defect of modelcar, please report it",
    }
}
