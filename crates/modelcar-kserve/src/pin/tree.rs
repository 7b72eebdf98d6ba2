//! The values of a YAML text, each with the bytes that it was read from.
//!
//! The parser is granit-parser's, whose events have byte offsets. Aliases are kept as aliases: a text of many aliases
//! does not grow.

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::error::PinError;

/// Most values that a text may have: hundreds of times what the largest manifests have.
const MOST_NODES: usize = 500_000;

/// Place of a node in its tree.
pub(super) type Id = usize;

/// All documents of a text. Nodes are in the order in which they begin.
#[derive(Debug, Default)]
pub(super) struct Tree<'t> {
    nodes: Vec<Node<'t>>,
    /// The top node of each document.
    pub(super) documents: Vec<Id>,
}

/// A value.
#[derive(Debug)]
pub(super) struct Node<'t> {
    pub(super) kind: Kind<'t>,
    /// Bytes of the text: of a scalar with its quotes, of a block scalar from its first line's content.
    pub(super) span: Range<usize>,
    /// Line on which the span begins, from 1.
    pub(super) line: usize,
    /// Spaces before each line of a block scalar.
    pub(super) column: usize,
    /// Number of the document, from 1.
    pub(super) document: usize,
    tag: Option<Box<str>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind<'t> {
    Scalar(Cow<'t, str>, ScalarStyle),
    Sequence(Vec<Id>),
    Mapping(Vec<(Id, Id)>),
    /// Another name of an earlier node.
    Alias(Id),
}

impl<'t> Tree<'t> {
    /// Reads a text of any number of documents.
    ///
    /// # Errors
    /// [`PinError::NotYaml`], [`PinError::TooLarge`].
    pub(super) fn parse(text: &'t str) -> Result<Self, PinError> {
        let mut reading = Reading::default();
        let mut options = granit_parser::Options::default();
        options.set_emit_comments(false);
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, span) = next.map_err(|error| not_yaml(&error))?;
            let bytes = span.byte_range().unwrap_or(0..0);
            reading.take(event, (bytes, span.start.line(), span.start.col()));
            if reading.tree.nodes.len() > MOST_NODES {
                return Err(PinError::TooLarge(MOST_NODES));
            }
        }
        Ok(reading.tree)
    }

    pub(super) fn node(&self, id: Id) -> &Node<'t> {
        &self.nodes[id]
    }

    /// Returns the node that an alias stands for; any other node is itself.
    pub(super) fn resolved(&self, id: Id) -> Id {
        // An alias names an earlier node, which is no alias.
        if let Kind::Alias(target) = self.nodes[id].kind { target } else { id }
    }

    /// Returns the text of a scalar, also behind an alias.
    pub(super) fn scalar(&self, id: Id) -> Option<&str> {
        match &self.nodes[self.resolved(id)].kind {
            Kind::Scalar(value, _) => Some(value),
            _ => None,
        }
    }

    /// Returns whether `other` has the same nodes, with the values of `changed` in place of the values here.
    pub(super) fn differs_only_in(&self, other: &Tree<'_>, changed: &BTreeMap<Id, String>) -> bool {
        let same = |(id, (own, other)): (Id, (&Node<'_>, &Node<'_>))| {
            let is_same_value = match (&own.kind, &other.kind) {
                (Kind::Scalar(own, style), Kind::Scalar(other, others)) => {
                    let expected = changed.get(&id).map_or(&**own, String::as_str);
                    expected == &**other && style == others
                }
                (own, other) => own == other,
            };
            is_same_value && own.tag == other.tag && own.document == other.document
        };
        self.documents == other.documents
            && self.nodes.len() == other.nodes.len()
            && self.nodes.iter().zip(&other.nodes).enumerate().all(same)
    }
}

/// A tree that is being made.
#[derive(Debug, Default)]
struct Reading<'t> {
    tree: Tree<'t>,
    /// Collections that have begun and not ended, with the key that waits for its value.
    open: Vec<(Id, Option<Id>)>,
    anchors: BTreeMap<usize, Id>,
}

impl<'t> Reading<'t> {
    /// Adds what an event tells. `place` is the bytes, line and column of the event.
    fn take(&mut self, event: Event<'t>, place: (Range<usize>, usize, usize)) {
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                self.add(Kind::Scalar(value, style), place, anchor, tag.as_deref());
            }
            Event::Alias(anchor) => {
                // The parser refuses an alias without its anchor.
                let target = self.anchors.get(&anchor).copied().unwrap_or(self.tree.nodes.len());
                self.add(Kind::Alias(target), place, 0, None);
            }
            Event::SequenceStart(_, anchor, tag) => {
                let id = self.add(Kind::Sequence(Vec::new()), place, anchor, tag.as_deref());
                self.open.push((id, None));
            }
            Event::MappingStart(_, anchor, tag) => {
                let id = self.add(Kind::Mapping(Vec::new()), place, anchor, tag.as_deref());
                self.open.push((id, None));
            }
            Event::SequenceEnd | Event::MappingEnd => drop(self.open.pop()),
            Event::DocumentEnd => self.anchors.clear(),
            _ => {}
        }
    }

    /// Adds a node to the collection that is open, or as the top of a document.
    fn add(
        &mut self,
        kind: Kind<'t>,
        (span, line, column): (Range<usize>, usize, usize),
        anchor: usize,
        tag: Option<&Tag>,
    ) -> Id {
        let id = self.tree.nodes.len();
        if let Some((parent, key)) = self.open.last_mut() {
            match (&mut self.tree.nodes[*parent].kind, key.take()) {
                (Kind::Sequence(items), _) => items.push(id),
                (Kind::Mapping(pairs), Some(key)) => pairs.push((key, id)),
                _ => *key = Some(id),
            }
        } else {
            self.tree.documents.push(id);
        }
        let (document, tag) = (self.tree.documents.len(), tag.map(|tag| tag.original().into()));
        self.tree.nodes.push(Node { kind, span, line, column, document, tag });
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        id
    }
}

fn not_yaml(error: &ScanError) -> PinError {
    let place = error.marker();
    PinError::NotYaml { line: place.line(), column: place.col() + 1, reason: error.info().clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_bytes_of_the_text() {
        let text = "\u{feff}é: 'x'\r\nb: &a \"y\"\r\nc: *a\r\n---\r\n[1]\r\n";
        let tree = Tree::parse(text).unwrap();
        let scalars = tree.nodes.iter().filter(|node| matches!(node.kind, Kind::Scalar(..)));
        let shown: Vec<_> = scalars.map(|node| (&text[node.span.clone()], node.line, node.document)).collect();
        let expected = [("é", 1, 1), ("'x'", 1, 1), ("b", 2, 1), ("\"y\"", 2, 1), ("c", 3, 1), ("1", 5, 2)];
        assert_eq!(shown, expected);
        let Kind::Mapping(pairs) = &tree.node(tree.documents[0]).kind else { panic!("no mapping") };
        assert_eq!(tree.scalar(pairs[2].1), Some("y"));
    }

    #[test]
    fn a_difference_is_found_wherever_it_is() {
        let tree = Tree::parse("a: [x, {b: y}]\n").unwrap();
        let id = tree.nodes.iter().position(|node| matches!(&node.kind, Kind::Scalar(v, _) if v == "x")).unwrap();
        let changed = BTreeMap::from([(id, "z".to_owned())]);
        let same = |text: &str| tree.differs_only_in(&Tree::parse(text).unwrap(), &changed);
        assert!(same("a: [z, {b: y}]\n") && same("a: [ z ,{ b: y}] # c\n"));
        for text in [
            "a: [x, {b: y}]",
            "a: [z, {b: z}]",
            "a: [z, {c: y}]",
            "a: ['z', {b: y}]",
            "a: [!x z, {b: y}]",
            "a: [z, {b: y}, 1]",
            "a: [z, [b, y]]",
            "---\na: [z, {b: y}]\n---\n",
        ] {
            assert!(!same(text), "{text}");
        }
    }

    #[test]
    fn too_many_values_are_refused() {
        let text = "- \n".repeat(MOST_NODES + 1);
        assert_eq!(Tree::parse(&text).unwrap_err(), PinError::TooLarge(MOST_NODES));
    }
}
