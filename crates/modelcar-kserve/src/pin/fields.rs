//! Where manifests name models and images: the fields of KServe, Kubernetes and kustomize, and the paths of the user.

use std::collections::BTreeSet;

use super::{
    error::PinError,
    field_path::{FieldPath, Step, write_key},
    target::PinTarget,
    tree::{Id, Kind, Tree},
};

/// A value that may be a reference.
#[derive(Debug)]
pub(super) struct Place {
    /// The scalar. An alias is the scalar that it stands for.
    pub(super) node: Id,
    /// The place in the document, as a path.
    pub(super) path: String,
    pub(super) field: Field,
}

/// What stands in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    /// A model's address, with its scheme.
    Uri,
    /// A reference, maybe with a scheme.
    Image,
    /// A manifest or patch as a text.
    Document,
    /// What a path of the user names, with the last key of the path, and the repository beside the value, if any.
    Named { key: String, repository: Option<String> },
    /// The digest of an image in a kustomization.
    KustomizeDigest,
    /// The tag of an image in a kustomization, with its key: both have to change.
    KustomizeTag { key: Id },
}

/// Variable from which KServe's own servers read the model's address.
const URI_VARIABLE: &str = "STORAGE_URI";

/// Finds all places. A path that leads nowhere has none.
///
/// # Errors
/// [`PinError::NotText`] for a path to a value that is no scalar.
pub(super) fn find(tree: &Tree<'_>, target: &PinTarget) -> Result<Vec<Place>, PinError> {
    let mut walk = Walk { tree, target, steps: Vec::new(), places: Vec::new(), seen: BTreeSet::new() };
    for document in &tree.documents {
        // What the user names comes first: the first place of a node counts.
        for path in target.paths() {
            walk.named(*document, path)?;
        }
    }
    for document in &tree.documents {
        walk.node(*document, "");
    }
    Ok(walk.places)
}

/// A step down to the node that is walked.
#[derive(Clone, Copy)]
enum Down<'w> {
    Key(&'w str),
    Index(usize),
}

struct Walk<'w> {
    tree: &'w Tree<'w>,
    target: &'w PinTarget,
    steps: Vec<Down<'w>>,
    places: Vec<Place>,
    /// Anchored nodes that were walked, with the key they were named under.
    seen: BTreeSet<(Id, &'w str)>,
}

impl<'w> Walk<'w> {
    /// Walks a node. `key` is the key nearest above the node.
    fn node(&mut self, id: Id, key: &'w str) {
        match &self.tree.node(id).kind {
            Kind::Scalar(..) => {}
            // The node behind an alias has been walked under another key. Only these keys give it a meaning.
            Kind::Alias(target) => {
                let has_meaning = matches!(key, "model" | "image" | "images" | "storageUris" | "adapters");
                if has_meaning && self.seen.insert((*target, key)) {
                    self.node(*target, key);
                }
            }
            Kind::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.steps.push(Down::Index(index));
                    match key {
                        "storageUris" => self.add(*item, Field::Uri),
                        "patchesStrategicMerge" => self.add(*item, Field::Document),
                        _ => {}
                    }
                    self.node(*item, key);
                    self.steps.pop();
                }
            }
            Kind::Mapping(pairs) => self.mapping(pairs, key),
        }
    }

    fn mapping(&mut self, pairs: &'w [(Id, Id)], above: &'w str) {
        let text = |key: &str| self.first(pairs, key).and_then(|id| self.tree.scalar(id));
        // An operation of a JSON patch: what is under `value` belongs to the place that `path` names.
        let patched = text("path").filter(|path| path.starts_with('/') && self.first(pairs, "value").is_some());
        let is_variable = text("name") == Some(URI_VARIABLE);
        if above == "images" {
            self.kustomize(pairs);
        }
        for (key, value) in pairs {
            // A key that is a list or a mapping means nothing here; what is below it may.
            let name = self.tree.scalar(*key).unwrap_or("?");
            self.steps.push(Down::Key(name));
            match (name, above) {
                ("storageUri" | URI_VARIABLE, _) | ("uri", "model" | "storageUris" | "adapters") => {
                    self.add(*value, Field::Uri);
                }
                ("value", _) if is_variable => self.add(*value, Field::Uri),
                ("image", _) | ("reference", "image") => self.add(*value, Field::Image),
                ("patch" | "values", _) => self.add(*value, Field::Document),
                ("value", _) => {
                    if let Some(path) = patched {
                        self.patched(path, *value);
                    }
                }
                _ => {}
            }
            let below = match (name, patched) {
                ("<<", _) => above,
                ("value", Some(path)) => last_key(path),
                _ => name,
            };
            self.node(*value, below);
            self.steps.pop();
        }
    }

    /// Adds the value of a JSON patch, if it is a text. What the patch's path names decides what the text is.
    fn patched(&mut self, path: &str, value: Id) {
        match last_key(path) {
            "image" | "reference" => self.add(value, Field::Image),
            "storageUri" | "storageUris" | "uri" | "value" | URI_VARIABLE => self.add(value, Field::Uri),
            // An annotation, for example.
            _ => {}
        }
    }

    /// Adds the digest or tag of an entry of kustomize's `images`, if the entry is about the target's repository.
    fn kustomize(&mut self, pairs: &'w [(Id, Id)]) {
        let text = |key: &str| self.first(pairs, key).and_then(|id| self.tree.scalar(id));
        let Some(name) = text("newName").or_else(|| text("name")) else { return };
        if !self.target.is_repository(name) {
            return;
        }
        let (field, key) = if self.first(pairs, "digest").is_some() {
            (Field::KustomizeDigest, "digest")
        } else {
            let tag = pairs.iter().find(|(key, _)| self.tree.scalar(*key) == Some("newTag"));
            let Some((key, _)) = tag else { return };
            (Field::KustomizeTag { key: *key }, "newTag")
        };
        if let Some(value) = self.first(pairs, key) {
            self.steps.push(Down::Key(key));
            self.add(value, field);
            self.steps.pop();
        }
    }

    /// Returns the value of the first key of that name.
    fn first(&self, pairs: &[(Id, Id)], key: &str) -> Option<Id> {
        pairs.iter().find(|(name, _)| self.tree.scalar(*name) == Some(key)).map(|(_, value)| *value)
    }

    /// Adds a place if the node is a scalar or an alias of one.
    fn add(&mut self, id: Id, field: Field) {
        let node = self.tree.resolved(id);
        if matches!(self.tree.node(node).kind, Kind::Scalar(..)) {
            let path = shown(&self.steps);
            self.places.push(Place { node, path, field });
        }
    }

    /// Adds what `path` names in a document.
    fn named(&mut self, document: Id, path: &FieldPath) -> Result<(), PinError> {
        for (id, parent) in self.resolve(document, path.steps()) {
            let id = self.tree.resolved(id);
            let node = self.tree.node(id);
            if !matches!(node.kind, Kind::Scalar(..)) {
                return Err(PinError::NotText { line: node.line, path: path.to_string() });
            }
            let key = path.steps().iter().rev().find_map(|step| match step {
                Step::Key(key) => Some(key.clone()),
                _ => None,
            });
            let repository = parent.and_then(|parent| self.repository(parent));
            let field = Field::Named { key: key.unwrap_or_default(), repository };
            self.places.push(Place { node: id, path: path.to_string(), field });
        }
        Ok(())
    }

    /// Returns the nodes at the end of `steps`, with the mapping that each stands in. A key that is there twice leads to
    /// both values.
    fn resolve(&self, document: Id, steps: &[Step]) -> Vec<(Id, Option<Id>)> {
        let mut reached = vec![(document, None)];
        for step in steps {
            let mut next = Vec::new();
            for (id, _) in reached {
                let id = self.tree.resolved(id);
                match (&self.tree.node(id).kind, step) {
                    (Kind::Mapping(pairs), Step::Key(key)) => {
                        let values = pairs.iter().filter(|(name, _)| self.tree.scalar(*name) == Some(key));
                        next.extend(values.map(|(_, value)| (*value, Some(id))));
                    }
                    (Kind::Sequence(items), Step::Index(index)) => {
                        next.extend(items.get(*index).map(|item| (*item, None)));
                    }
                    (Kind::Sequence(items), Step::Each) => next.extend(items.iter().map(|item| (*item, None))),
                    _ => {}
                }
            }
            reached = next;
        }
        reached
    }

    /// Returns the repository that a mapping of Helm's values names beside a tag or digest, with its registry.
    fn repository(&self, mapping: Id) -> Option<String> {
        let Kind::Mapping(pairs) = &self.tree.node(mapping).kind else { return None };
        let text =
            |key: &str| self.first(pairs, key).and_then(|id| self.tree.scalar(id)).filter(|text| !text.is_empty());
        let repository = text("repository")?;
        Some(text("registry").map_or_else(|| repository.to_owned(), |registry| format!("{registry}/{repository}")))
    }
}

/// Returns the last part of a JSON pointer that is no number and not `-`: the key of the value.
fn last_key(pointer: &str) -> &str {
    let is_index = |part: &str| part == "-" || part.bytes().all(|byte| byte.is_ascii_digit());
    pointer.rsplit('/').find(|part| !is_index(part)).unwrap_or_default()
}

fn shown(steps: &[Down<'_>]) -> String {
    let mut path = String::new();
    for (number, step) in steps.iter().enumerate() {
        // Writing to a text does not fail.
        let _infallible = match step {
            Down::Key(key) => write_key(&mut path, key, number == 0),
            Down::Index(index) => std::fmt::Write::write_fmt(&mut path, format_args!("[{index}]")),
        };
    }
    path
}
