//! What the API server takes as a value, so that a wrong value is refused here and not after `kubectl apply`.
//!
//! The rules are those of Kubernetes' validation: quantities, names, labels, images.

use super::{
    error::{RenderError, Setting},
    options::RenderOptions,
};
use crate::{
    quantity::{amount, is_quantity},
    render::objects::Toleration,
};

/// Longest name of an object.
const SUBDOMAIN_MAX: usize = 253;
/// Longest part of a name between dots, longest value of a label, longest name of a label without its domain.
pub(super) const LABEL_MAX: usize = 63;
/// Longest tag of an image.
const TAG_MAX: usize = 128;

impl RenderOptions {
    /// Refuses the first value that the API server would refuse. [`render`](super::render) does too; this needs no image.
    ///
    /// # Errors
    /// [`RenderError::BadValue`].
    pub fn check(&self) -> Result<(), RenderError> {
        let mut values = Values(Ok(()));
        amounts(self, &mut values);
        names(self, &mut values);
        images(self, &mut values);
        labels(self, &mut values);
        values.0
    }
}

/// The first value that is wrong.
struct Values(Result<(), RenderError>);

impl Values {
    fn see(&mut self, setting: Setting, value: &str, is_right: impl Fn(&str) -> bool) {
        if self.0.is_ok() && !is_right(value) {
            self.0 = Err(RenderError::BadValue { setting, value: value.to_owned() });
        }
    }

    fn see_some(&mut self, setting: Setting, value: Option<&String>, is_right: impl Fn(&str) -> bool) {
        if let Some(value) = value {
            self.see(setting, value, is_right);
        }
    }
}

fn amounts(options: &RenderOptions, values: &mut Values) {
    values.see_some(Setting::Cpu, options.cpu.as_ref(), is_quantity);
    values.see_some(Setting::Memory, options.memory.as_ref(), is_bytes);
    values.see_some(Setting::EphemeralStorage, options.ephemeral_storage.as_ref(), is_bytes);
    values.see(Setting::GpuResource, &options.gpu_resource, |name| name.contains('/') && is_qualified(name));
    values.see_some(Setting::GpuType, options.gpu_type.as_ref(), |name| !name.is_empty() && is_label_value(name));
}

fn names(options: &RenderOptions, values: &mut Values) {
    values.see_some(Setting::ServiceAccount, options.service_account.as_ref(), is_subdomain);
    for secret in &options.image_pull_secrets {
        values.see(Setting::PullSecret, secret, is_subdomain);
    }
    values.see_some(Setting::Runtime, options.runtime.as_ref(), is_subdomain);
    values.see_some(Setting::ModelFormat, options.model_format.as_ref(), is_word);
    values.see_some(Setting::ServedName, options.served_name.as_ref(), is_served_name);
    values.see_some(Setting::LoadFormat, options.load_format.as_ref(), is_word);
    for (name, _) in &options.env {
        values.see(Setting::Variable, name, is_variable);
    }
}

fn images(options: &RenderOptions, values: &mut Values) {
    values.see_some(Setting::CustomContainer, options.custom_container.as_ref(), is_image);
    values.see_some(Setting::RuntimeImage, options.runtime_image.as_ref(), is_image);
    values.see_some(Setting::RuntimeVersion, options.runtime_version.as_ref(), is_tag);
}

fn labels(options: &RenderOptions, values: &mut Values) {
    for (key, value) in &options.node_selector {
        values.see(Setting::NodeSelector, key, is_qualified);
        values.see(Setting::NodeSelector, value, is_label_value);
    }
    for Toleration { key, value, .. } in &options.tolerations {
        values.see_some(Setting::Toleration, key.as_ref(), is_qualified);
        values.see_some(Setting::Toleration, value.as_ref(), is_label_value);
    }
    for (key, value) in &options.labels {
        values.see(Setting::Label, key, is_qualified);
        values.see(Setting::Label, value, is_label_value);
    }
    for key in options.annotations.keys() {
        // The keys of annotations may have capital letters.
        values.see(Setting::Annotation, key, |key| is_qualified(&key.to_ascii_lowercase()));
        values.see(Setting::Annotation, key, |key| !OWN_ANNOTATIONS.contains(&key));
    }
}

/// Annotations that options of their own set.
pub(super) const OWN_ANNOTATIONS: [&str; 3] =
    ["serving.kserve.io/deploymentMode", "serving.kserve.io/autoscalerClass", "serving.kserve.io/stop"];

/// Least bytes that somebody can mean. Kubernetes takes `16` for 16 bytes, and the pod is then killed as it starts.
const BYTES_MIN: f64 = 1e6;

/// Returns whether a text is an amount of whole bytes that a server can have.
fn is_bytes(text: &str) -> bool {
    let is_fraction = text.ends_with(['m', 'u', 'n']);
    !is_fraction && amount(text).is_some_and(|bytes| bytes >= BYTES_MIN)
}

/// Labels of RFC 1123, which may begin with a digit.
pub(super) fn is_label(name: &str, max: usize) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edge = |c: char| c != '-' && inner(c);
    name.starts_with(edge) && name.ends_with(edge) && name.chars().all(inner) && name.len() <= max
}

/// Names of RFC 1123: labels with dots between them.
pub(super) fn is_subdomain(name: &str) -> bool {
    name.len() <= SUBDOMAIN_MAX && name.split('.').all(|part| is_label(part, SUBDOMAIN_MAX))
}

/// The key of a label or a taint: a name, or a domain and a name.
fn is_qualified(key: &str) -> bool {
    match key.split_once('/') {
        Some((domain, name)) => is_subdomain(domain) && is_label_name(name),
        None => is_label_name(key),
    }
}

fn is_label_name(name: &str) -> bool {
    !name.is_empty() && is_label_value(name)
}

fn is_label_value(value: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    let inner = |c: char| edge(c) || matches!(c, '-' | '_' | '.');
    let is_filled = value.starts_with(edge) && value.ends_with(edge) && value.chars().all(inner);
    value.is_empty() || (is_filled && value.len() <= LABEL_MAX)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// A name in requests. It becomes an argument, in which KServe's templates act on two braces and the kubelet on `$(`.
fn is_served_name(name: &str) -> bool {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
    !name.is_empty()
        && name.chars().all(is_plain)
        && !["{{", "}}", "$(", "'", "\"", "\\"].iter().any(|text| name.contains(text))
}

fn is_variable(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '-' | '.');
    name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
}

fn is_tag(tag: &str) -> bool {
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.starts_with(first) && tag.chars().all(|c| first(c) || matches!(c, '-' | '.')) && tag.len() <= TAG_MAX
}

/// An image as a pod names it: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`.
pub(super) fn is_image(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match name[last..].find(':') {
        Some(at) => (&name[..last + at], Some(&name[last + at + 1..])),
        None => (name, None),
    };
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), path),
        _ => (None, name),
    };
    let part = |part: &str| {
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(edge) && part.ends_with(edge) && part.chars().all(|c| edge(c) || matches!(c, '-' | '_' | '.'))
    };
    let is_host = |host: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '[' | ']');
        host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') && host.chars().all(known)
    };
    let is_digest = |digest: &str| {
        let hex = digest.strip_prefix("sha256:").filter(|hex| hex.len() == 64);
        let is_other = digest.starts_with("sha512:") && digest.len() == "sha512:".len() + 128;
        is_other || hex.is_some_and(|hex| hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
    };
    host.is_none_or(is_host) && path.split('/').all(part) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split<'a>(is_right: impl Fn(&str) -> bool, texts: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
        texts.iter().partition(|text| is_right(text))
    }

    #[test]
    fn amounts_are_those_of_kubernetes() {
        let right = ["4", "500m", "1.5", "0.1", ".5", "16Gi", "2e3", "1E-2", "12E", "100n"];
        assert_eq!(split(is_quantity, &right).1, [""; 0]);
        let wrong = ["", "0", "0Gi", "-1", "+1", "4 ", "16GB", "16gi", "16g", "1.2.3", "Gi", "1e", "1e333", "4,5", "x"];
        assert_eq!(split(is_quantity, &wrong).0, [""; 0]);
        assert_eq!(split(is_bytes, &["500m", "1u", "8Gi", "8000000000"]).0, ["8Gi", "8000000000"]);
        let (taken, refused) = split(is_bytes, &["16", "16k", "16Ki", "1e3", "1e9", "500M", "0.5Gi", "1000k", "1E"]);
        assert_eq!((taken.len(), refused), (5, vec!["16", "16k", "16Ki", "1e3"]));
    }

    #[test]
    fn names_and_labels_are_those_of_kubernetes() {
        let long = "a".repeat(64);
        assert_eq!(split(is_subdomain, &["a", "a.b", "1-a", "A", "a_b", "", "a.", "-a"]).0, ["a", "a.b", "1-a"]);
        let keys = ["a", "cloud.google.com/gke-spot", "a/B_c.d", "", "a/", "/a", "A.b/c", "a b", "-a", long.as_str()];
        assert_eq!(split(is_qualified, &keys).0, ["a", "cloud.google.com/gke-spot", "a/B_c.d"]);
        assert_eq!(split(is_label_value, &["", "true", "A.b_c", "a b", "a/b", "_a", &long]).0, ["", "true", "A.b_c"]);
        assert_eq!(split(is_variable, &["A", "_a1", "a.b-c", "1A", "A B", "A=B", ""]).0, ["A", "_a1", "a.b-c"]);
        assert_eq!(split(is_served_name, &["a/b:c", "{{.Name}}", "$(HOME)", "a b", ""]).0, ["a/b:c"]);
    }

    #[test]
    fn images_are_named_as_pods_name_them() {
        let digest = format!("r.io/a@sha256:{}", "0".repeat(64));
        let right = [
            "vllm/vllm-openai:v0.23.0",
            "i",
            "localhost:5000/a/b:1",
            "r.io/a__b-c.d:T_1",
            "[::1]:5000/a",
            digest.as_str(),
        ];
        assert_eq!(split(is_image, &right).1, [""; 0]);
        let wrong = [
            "",
            "A",
            "a b",
            "a:",
            "a:t t",
            "a@sha256:1",
            "http://r.io/a",
            "oci://r.io/a",
            "r.io/a:t:u",
            "r.io//a",
            "a/",
            "r.io/a@",
            "-a",
            "r.io/A",
        ];
        assert_eq!(split(is_image, &wrong).0, [""; 0]);
    }
}
