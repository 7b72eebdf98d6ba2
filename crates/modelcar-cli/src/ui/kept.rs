//! Which layers of a push stay in the registry when the push ends early.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use modelcar_core::progress::{Event, Progress};

use super::words::count;

/// Passes events on, and counts the layers that the next push would find.
#[derive(Debug)]
pub(crate) struct Kept {
    next: Arc<dyn Progress>,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    /// Number of layers in the plan.
    planned: usize,
    /// The layers, by their index in the plan, that have a checkpoint or were in the registry before.
    kept: BTreeSet<usize>,
}

impl Kept {
    /// Returns a progress that passes every event on to `next`.
    pub(crate) fn before(next: Arc<dyn Progress>) -> Arc<Self> {
        Arc::new(Self { next, counted: Mutex::default() })
    }

    /// Says how many layers are kept; `None` if none is.
    pub(crate) fn told(&self) -> Option<String> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, planned) = (counted.kept.len(), count(counted.planned, "layer"));
        let are = if kept == 1 { "is" } else { "are" };
        (kept > 0).then(|| format!("{kept} of {planned} {are} kept: the same command goes on from there"))
    }
}

impl Progress for Kept {
    fn report(&self, event: &Event) {
        // Bytes that move are most of the events: those take no lock.
        let counted = || self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Planned { layers, .. } => *counted() = Counted { planned: *layers, kept: BTreeSet::new() },
            Event::LayerKept { layer } | Event::LayerReused { layer, .. } => {
                counted().kept.insert(*layer);
            }
            // The registry may have said of a layer that it has it, and not have it.
            Event::LayerStarted { layer, .. } => {
                counted().kept.remove(layer);
            }
            _ => {}
        }
        self.next.report(event);
    }
}

#[cfg(test)]
mod tests {
    use modelcar_core::progress::NoProgress;

    use super::*;

    #[test]
    fn layers_that_the_next_push_finds_are_counted() {
        let kept = Kept::before(Arc::new(NoProgress));
        assert_eq!(kept.told(), None);
        kept.report(&Event::Planned { layers: 3, bytes: 3 });
        kept.report(&Event::LayerKept { layer: 0 });
        assert_eq!(kept.told().as_deref(), Some("1 of 3 layers is kept: the same command goes on from there"));
        let (title, from) = (String::new(), String::new());
        kept.report(&Event::LayerReused { layer: 2, title: title.clone(), size: 1, from });
        assert_eq!(kept.told().as_deref(), Some("2 of 3 layers are kept: the same command goes on from there"));
        kept.report(&Event::LayerStarted { layer: 2, title, size: 1 });
        assert_eq!(kept.told().as_deref(), Some("1 of 3 layers is kept: the same command goes on from there"));
    }
}
