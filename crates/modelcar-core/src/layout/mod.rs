//! The format of OCI image layouts: a directory, and an archive that holds one as a tar file.
//!
//! [`LayoutSink`] and [`ArchiveSink`] write images; [`reader::open_layout`](crate::reader::open_layout) reads them.

mod archive;
mod copy;
mod error;
mod lock;
mod read;
mod temporary;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use self::read::{Layout, ref_name};
pub use self::{archive::ArchiveSink, error::LayoutError, write::LayoutSink};
