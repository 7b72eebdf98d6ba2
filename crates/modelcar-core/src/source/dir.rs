//! A directory as a source.

/// A directory.
#[derive(Debug)]
pub struct DirSource;
