//! The format of OCI image layouts (OCI image-spec, image-layout.md): as a directory, and as an archive that holds a
//! layout in one tar file.
//!
//! [`LayoutSink`] and [`ArchiveSink`] write images; [`reader::open_layout`](crate::reader::open_layout) reads a
//! directory. An archive can't be read by this library: unpack it and read the directory.

mod archive;
mod copy;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz;
mod lock;
mod read;
mod temporary;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use self::read::{Layout, ref_name};
pub use self::{archive::ArchiveSink, error::LayoutError, write::LayoutSink};
