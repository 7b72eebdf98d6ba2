//! The files of a layout as bytes, for the fuzzing of `tests/fuzz` alone.

use std::path::Path;

use super::{
    error::LayoutError,
    read::{self, INDEX_FILE, LAYOUT_FILE},
};
use crate::{oci::Descriptor, sink::ManifestBlob};

/// Checks the content of `oci-layout`.
pub fn version(bytes: &[u8]) -> Result<(), LayoutError> {
    read::check_version(bytes, LAYOUT_FILE.into())
}

/// Returns the entries of an `index.json`.
pub fn entries(index: &[u8]) -> Result<Vec<Descriptor>, LayoutError> {
    read::listed(read::parse_index(index, INDEX_FILE.into())?, Path::new(INDEX_FILE))
}

/// Returns the name that an entry has in its layout.
pub fn name(entry: &Descriptor) -> Option<&str> {
    read::ref_name(entry)
}

/// Returns the `index.json` with `image` added, as it is written.
pub fn with(index: &[u8], image: &ManifestBlob, name: Option<&str>) -> Result<Vec<u8>, LayoutError> {
    let mut json = read::parse_index(index, INDEX_FILE.into())?;
    read::add_to_index(&mut json, image, name).map_err(|reason| LayoutError::Invalid {
        path: INDEX_FILE.into(),
        reason: reason.to_owned(),
        source: None,
    })?;
    Ok(read::canonical(json))
}
