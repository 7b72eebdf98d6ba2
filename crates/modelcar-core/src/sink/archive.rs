//! An OCI archive: one tar file that holds an image layout.

/// Archive.
#[derive(Debug)]
pub struct ArchiveSink;
