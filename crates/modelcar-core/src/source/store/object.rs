//! One object of a store, and what it is known by.

use std::{path::PathBuf, sync::OnceLock};

use object_store::{GetOptions, GetRange, ObjectMeta, path::Path};

use crate::{
    Digest,
    source::{Extent, SourceError},
};

/// An object as it was listed. Every read has this as its condition.
#[derive(Debug)]
pub(super) struct Object {
    /// Key in the bucket.
    pub(super) location: Path,
    /// Size in bytes, as listed.
    pub(super) size: u64,
    /// Entity tag, as listed.
    e_tag: Option<String>,
    /// Version or generation: listed, or else that of the first answer.
    version: OnceLock<String>,
    /// Time of the last change, in nanoseconds since 1970.
    modified: i64,
}

impl Object {
    /// Takes an object of a listing; `None` if nothing tells a later version of it apart.
    pub(super) fn new(meta: ObjectMeta) -> Option<Self> {
        let version = OnceLock::new();
        let modified = meta.last_modified.timestamp_nanos_opt().unwrap_or_default();
        if let Some(listed) = meta.version {
            let _was_empty = version.set(listed);
        }
        let has_condition = meta.e_tag.is_some() || version.get().is_some();
        has_condition.then_some(Self { location: meta.location, size: meta.size, e_tag: meta.e_tag, version, modified })
    }

    /// Returns the request for a part of the object. With `by_version` it is for the version, too.
    pub(super) fn request(&self, part: &Extent, by_version: bool) -> GetOptions {
        GetOptions {
            if_match: self.e_tag.clone(),
            version: self.version.get().filter(|_| by_version).cloned(),
            range: Some(GetRange::Bounded(part.offset..part.offset + part.len)),
            ..GetOptions::default()
        }
    }

    /// Compares what an answer says of the object with the listing: a store may overlook a condition. `name` is the
    /// object's URL.
    ///
    /// The first answer decides the version where the listing has none. All answers stand under the listed entity tag, so
    /// that parts which are read side by side are of one version.
    ///
    /// # Errors
    /// [`SourceError::Changed`].
    pub(super) fn check(&self, answer: &ObjectMeta, name: &str) -> Result<(), SourceError> {
        let changed = |reason: String| Err(SourceError::Changed { path: PathBuf::from(name), reason });
        if answer.size != self.size {
            return changed(format!("it has {} bytes, {} were listed", answer.size, self.size));
        }
        if let (Some(listed), Some(found)) = (&self.e_tag, &answer.e_tag)
            && listed != found
        {
            return changed("its entity tag is not the one that was listed".to_owned());
        }
        match &answer.version {
            Some(found) if self.version.get_or_init(|| found.clone()) != found => {
                changed("its version is not the one that was read before".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Returns what the object's content is kept by: where the store is, and all that the listing tells the version by.
    /// To be asked for before the first read.
    pub(super) fn key(&self, place: &str) -> Digest {
        let tag = self.e_tag.as_deref().unwrap_or_default();
        let version = self.version.get().map_or("", String::as_str);
        Digest::of(format!("{place}\n{}\n{version}\n{tag}\n{}\n{}", self.location, self.size, self.modified).as_bytes())
    }
}
