//! Entries of a source that are skipped, in place of an error, when they can't be files of a model.

use std::{fmt, sync::Arc};

/// Decides by the path of an entry whether the caller does not want the entry.
///
/// A source asks only about an entry that can't be a file of a model, such as a file with a backslash in its name or an
/// unreadable folder. If the entry is unwanted, the source skips it. Otherwise the source fails.
#[derive(Clone, Default)]
pub struct Unwanted(Option<Arc<Predicate>>);

type Predicate = dyn Fn(&str) -> bool + Send + Sync;

impl Unwanted {
    /// No entry is unwanted: a source fails at every entry that can't be a file of a model.
    pub fn none() -> Self {
        Self::default()
    }

    /// Every entry is unwanted: a source skips all entries that can't be files of a model. This suits a caller that has
    /// the list of wanted files already.
    pub fn all() -> Self {
        Self::by(|_| true)
    }

    /// Those entries are unwanted for which `is_unwanted` returns `true`. Its argument is the entry's path inside the
    /// source; the path of a folder ends in `/`.
    pub fn by(is_unwanted: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(is_unwanted)))
    }

    /// Returns whether the entry is unwanted, and logs that it is.
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
