//! Plan.

/// Why files make no image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {}
