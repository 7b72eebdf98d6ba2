//! The Hugging Face Hub as a source.

/// Options.
#[derive(Debug, Clone, Default)]
pub struct HubOptions;

/// The Hub.
#[derive(Debug)]
pub struct HubSource;
