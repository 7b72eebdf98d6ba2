//! The repositories that hold layers which may serve, by their places.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::action::Place;
use crate::registry::Repository;

/// Handles on repositories. There is one handle for each place, because a client is not cheap.
#[derive(Debug)]
pub(super) struct Repositories {
    target: Repository,
    others: Mutex<BTreeMap<Place, Repository>>,
}

impl Repositories {
    pub(super) fn new(target: Repository) -> Self {
        Self { target, others: Mutex::default() }
    }

    /// Returns the repository that is pushed to.
    pub(super) fn target(&self) -> &Repository {
        &self.target
    }

    pub(super) fn add(&mut self, place: &Place, repository: &Repository) {
        if *place != Place::Here {
            let others = self.others.get_mut().unwrap_or_else(PoisonError::into_inner);
            others.insert(place.clone(), repository.clone());
        }
    }

    /// Returns the repository of `place`; `None` for a name that is no repository, or one of a registry that no image
    /// was named in.
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
