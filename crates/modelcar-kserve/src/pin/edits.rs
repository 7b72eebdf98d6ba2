//! Decides which bytes of a text change, and proves that nothing else does.

use std::{collections::BTreeMap, ops::Range};

use super::{
    error::PinError,
    fields::{self, Field, Place},
    scalar::Origin,
    target::{Change, Judged, PinTarget},
    tree::{Id, Kind, Tree},
};

/// A reference to the repository, as it was and as it is after pinning.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Reference {
    /// Number of the document in the file, from 1.
    pub document: usize,
    /// Line on which the value begins, from 1.
    pub line: usize,
    /// The place in the document: `spec.predictor.model.storageUri`.
    pub path: String,
    /// The value before.
    pub old: String,
    /// The value after. It is the value before where the digest was there already.
    pub new: String,
}

impl Reference {
    /// Returns whether the reference had the digest before.
    pub fn is_pinned(&self) -> bool {
        self.old == self.new
    }
}

/// Bytes of a text that are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Edit {
    /// The bytes of the text before.
    pub range: Range<usize>,
    /// What takes their place.
    pub text: String,
}

/// What there is to do in a text.
#[derive(Debug, Default)]
pub(super) struct Planned {
    pub(super) references: Vec<Reference>,
    pub(super) edits: Vec<Edit>,
}

/// Plans all changes of `view`, which has the bytes of `text` except for what the view hides.
pub(super) fn plan(text: &str, view: &str, target: &PinTarget) -> Result<Planned, PinError> {
    plan_at(text, view, target, false)
}

/// As [`plan`]. A text inside a value (`is_inner`) is read once: texts inside that text are left alone.
fn plan_at(text: &str, view: &str, target: &PinTarget, is_inner: bool) -> Result<Planned, PinError> {
    let tree = Tree::parse(view)?;
    let mut plan =
        Plan { tree: &tree, text, view, target, is_inner, planned: Planned::default(), changes: BTreeMap::new() };
    for place in fields::find(&tree, target)? {
        // A node has as many places as aliases name it.
        if !plan.changes.contains_key(&place.node) {
            plan.place(&place)?;
        }
    }
    plan.finish()
}

struct Plan<'p> {
    tree: &'p Tree<'p>,
    text: &'p str,
    view: &'p str,
    target: &'p PinTarget,
    is_inner: bool,
    planned: Planned,
    /// For each node that was judged, its changes and its place.
    changes: BTreeMap<Id, (Vec<Change>, String)>,
}

impl Plan<'_> {
    fn place(&mut self, place: &Place) -> Result<(), PinError> {
        let Kind::Scalar(value, _) = &self.tree.node(place.node).kind else { return Ok(()) };
        let digest = || self.target.digest().to_string();
        let whole = |text: &str| Judged::Change(Change { range: 0..value.len(), text: text.to_owned() });
        let judged = match &place.field {
            Field::Uri => self.target.uri(value),
            Field::Image => self.target.image_or_uri(value),
            Field::Document if self.is_inner => Judged::Foreign,
            Field::Document => return self.document(place, value),
            Field::Named { key, repository } => self.named(place, value, key, repository.as_deref())?,
            Field::KustomizeDigest if **value == digest() => Judged::Pinned,
            Field::KustomizeDigest => whole(&digest()),
            Field::KustomizeTag { key } => {
                let new = format!("digest: {}", digest());
                self.tell(place, &format!("newTag: {}", value.trim()), &new);
                self.change(place.node, Change { range: 0..value.len(), text: digest() }, &place.path);
                self.change(*key, Change { range: 0.."newTag".len(), text: "digest".to_owned() }, &place.path);
                return Ok(());
            }
        };
        match judged {
            Judged::Foreign => {}
            Judged::Pinned => {
                self.tell(place, value.trim(), value.trim());
                self.changes.entry(place.node).or_default();
            }
            Judged::Change(change) => {
                let mut new = value.to_string();
                new.replace_range(change.range.clone(), &change.text);
                self.tell(place, value.trim(), new.trim());
                self.change(place.node, change, &place.path);
            }
            Judged::FilledIn => {
                let node = self.tree.node(place.node);
                let found = self.text.get(node.span.clone()).unwrap_or(value).trim().to_owned();
                return Err(PinError::FilledIn { line: node.line, path: place.path.clone(), found });
            }
        }
        Ok(())
    }

    /// Judges what the user's path names. There, a reference to another repository is an error.
    fn named(&self, place: &Place, value: &str, key: &str, repository: Option<&str>) -> Result<Judged, PinError> {
        let (node, path) = (self.tree.node(place.node), place.path.clone());
        let line = node.line;
        if node.span.is_empty() || matches!(value, "~" | "null") {
            return Err(PinError::NotText { line, path });
        }
        let judged = self.target.at_path(value, key);
        match (repository, &judged) {
            (_, Judged::Foreign) if value.trim().is_empty() => Err(PinError::NotText { line, path }),
            (_, Judged::Foreign) => Err(PinError::OtherRepository { line, path, found: value.trim().to_owned() }),
            (Some(found), _) if !self.target.is_own_repository(found) => {
                Err(PinError::OtherRepository { line, path, found: found.to_owned() })
            }
            _ => Ok(judged),
        }
    }

    /// Plans the changes of a manifest or patch that is the text of a value.
    fn document(&mut self, place: &Place, value: &str) -> Result<(), PinError> {
        // The user's paths are of the file.
        let planned = match plan_at(value, value, &self.target.clone().without_paths(), true) {
            Ok(planned) => planned,
            // The name of a file, or a text for another program.
            Err(PinError::NotYaml { .. }) if !self.target.is_named_in(value) => return Ok(()),
            Err(_) => return Err(self.entangled(place.node, &place.path)),
        };
        let above = self.tree.node(place.node).line - 1;
        for reference in planned.references {
            let path = format!("{} > {}", place.path, reference.path);
            let document = self.tree.node(place.node).document;
            self.planned.references.push(Reference { document, line: above + reference.line, path, ..reference });
        }
        for edit in planned.edits {
            self.change(place.node, Change { range: edit.range, text: edit.text }, &place.path);
        }
        Ok(())
    }

    fn tell(&mut self, place: &Place, old: &str, new: &str) {
        let node = self.tree.node(place.node);
        let (old, new, path) = (old.to_owned(), new.to_owned(), place.path.clone());
        self.planned.references.push(Reference { document: node.document, line: node.line, path, old, new });
    }

    fn change(&mut self, node: Id, change: Change, path: &str) {
        let (changes, named) = self.changes.entry(node).or_default();
        changes.push(change);
        path.clone_into(named);
    }

    /// Turns the changes of values into edits of the text, and compares the values of the new text with the old ones.
    fn finish(mut self) -> Result<Planned, PinError> {
        let mut expected = BTreeMap::new();
        for (id, (changes, path)) in &self.changes {
            let node = self.tree.node(*id);
            let Kind::Scalar(value, style) = &node.kind else { continue };
            if changes.is_empty() {
                continue;
            }
            let origin = Origin::of(node, value, *style, self.view);
            let edits = changes.iter().map(|change| {
                let range = origin.as_ref()?.range(change.range.start, change.range.end)?;
                Some(Edit { range, text: change.text.clone() })
            });
            let edits: Option<Vec<Edit>> = edits.collect();
            self.planned.edits.extend(edits.ok_or_else(|| self.entangled(*id, path))?);
            let of_value = changes.iter().map(|change| Edit { range: change.range.clone(), text: change.text.clone() });
            let new = splice(value, &of_value.collect::<Vec<_>>());
            expected.insert(*id, new.ok_or_else(|| self.entangled(*id, path))?);
        }
        let Some((first, (_, path))) = self.changes.iter().find(|(_, (changes, _))| !changes.is_empty()) else {
            return Ok(self.planned);
        };
        self.planned.edits.sort_by_key(|edit| edit.range.start);
        let new = splice(self.view, &self.planned.edits);
        let is_proven =
            new.is_some_and(|new| Tree::parse(&new).is_ok_and(|new| self.tree.differs_only_in(&new, &expected)));
        if is_proven { Ok(self.planned) } else { Err(self.entangled(*first, path)) }
    }

    fn entangled(&self, node: Id, path: &str) -> PinError {
        PinError::Entangled { line: self.tree.node(node).line, path: path.to_owned() }
    }
}

/// Returns `text` after the edits. `None` if two of them overlap or one is not of the text.
pub(super) fn splice(text: &str, edits: &[Edit]) -> Option<String> {
    let mut edits: Vec<&Edit> = edits.iter().collect();
    edits.sort_by_key(|edit| edit.range.start);
    let (mut new, mut at) = (String::with_capacity(text.len()), 0);
    for edit in edits {
        new.push_str(text.get(at..edit.range.start)?);
        new.push_str(&edit.text);
        at = edit.range.end;
    }
    new.push_str(text.get(at..)?);
    Some(new)
}
