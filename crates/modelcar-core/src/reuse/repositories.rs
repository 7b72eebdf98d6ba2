//! Handles on the repositories that hold reusable layers, by their places.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::action::Place;
use crate::registry::Repository;

/// Handles on repositories. There is one handle for each place, because each handle has a client with its own
/// connections and tokens.
#[derive(Debug)]
pub(super) struct Repositories {
    /// The repository that is pushed to.
    target: Repository,
    /// All other repositories, added when they are first needed.
    others: Mutex<BTreeMap<Place, Repository>>,
}

impl Repositories {
    /// Starts with the repository that is pushed to.
    pub(super) fn new(target: Repository) -> Self {
        Self { target, others: Mutex::default() }
    }

    /// Returns the repository that is pushed to.
    pub(super) fn target(&self) -> &Repository {
        &self.target
    }

    /// Adds a handle that exists already. The place of the target keeps its handle.
    pub(super) fn add(&mut self, place: &Place, repository: &Repository) {
        if *place != Place::Here {
            let others = self.others.get_mut().unwrap_or_else(PoisonError::into_inner);
            others.insert(place.clone(), repository.clone());
        }
    }

    /// Returns the repository of `place`. `None` for a sibling whose name is no valid repository name, and for a
    /// repository of another registry that was not added before, so that no request goes to a registry that the user
    /// did not name.
    pub(super) fn get(&self, place: &Place) -> Option<Repository> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        match place {
            Place::Here => Some(self.target.clone()),
            Place::Elsewhere(_) => others.get(place).cloned(),
            Place::Sibling(name) => {
                if let Some(known) = others.get(place) {
                    return Some(known.clone());
                }
                let sibling = self.target.sibling(name).ok()?;
                others.insert(place.clone(), sibling.clone());
                Some(sibling)
            }
        }
    }
}
