//! Which entries of a source nobody wants, asked where an entry can't stand in a model.

use std::{fmt, sync::Arc};

/// Says of an entry, by its name as the source has it, whether nobody wants it.
///
/// A source asks only about an entry that can't stand in a model: one with a backslash in its name, a folder that can't be
/// read. An unwanted one is passed over; any other is an error.
#[derive(Clone, Default)]
pub struct Unwanted(Option<Arc<Predicate>>);

type Predicate = dyn Fn(&str) -> bool + Send + Sync;

impl Unwanted {
    /// Every entry is wanted.
    pub fn none() -> Self {
        Self::default()
    }

    /// No entry is wanted that can't stand in a model, for those who know already which files they want.
    pub fn all() -> Self {
        Self::by(|_| true)
    }

    /// The entries are unwanted of which `is_unwanted` says so. The name of a folder ends in `/`.
    pub fn by(is_unwanted: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(is_unwanted)))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        let found = self.0.as_ref().is_some_and(|is_unwanted| is_unwanted(name));
        if found {
            tracing::info!(name = crate::text::excerpt(name), "an entry that can't stand in a model is passed over");
        }
        found
    }
}

impl fmt::Debug for Unwanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unwanted").field(&self.0.is_some()).finish()
    }
}
