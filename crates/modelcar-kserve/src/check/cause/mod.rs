//! What the words of kubelets, container runtimes, schedulers and the API server mean.
//!
//! None of them has codes: what they say is told apart by the words that they use, in the forms of every release and
//! every runtime that is known.

mod create;
mod eviction;
mod pull;
mod refusal;

pub(super) use self::{
    create::{CreateFault, of_container},
    eviction::of_eviction,
    pull::{is_pull, of_pull},
    refusal::of_refusal,
};
pub use self::{eviction::Eviction, pull::PullFault, refusal::Refusal};

/// Words of somebody in small letters.
struct Words(String);

impl Words {
    fn new(text: &str) -> Self {
        Self(text.to_ascii_lowercase())
    }

    /// Returns whether one of `parts` is there.
    fn any(&self, parts: &[&str]) -> bool {
        parts.iter().any(|part| self.0.contains(part))
    }

    /// Returns whether one of `numbers` is there as a word of its own.
    fn has_status(&self, numbers: &[&str]) -> bool {
        self.0.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| numbers.contains(&word))
    }

    /// Returns whether all of `parts` are there.
    fn all(&self, parts: &[&str]) -> bool {
        parts.iter().all(|part| self.0.contains(part))
    }
}
