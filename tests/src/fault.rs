//! Owns scripted misbehaviour: which request a fault applies to, and how often.

use std::sync::{Mutex, PoisonError};

/// Applies `action` to matching requests; the first rule that matches and is not used up wins.
#[derive(Clone, Debug)]
pub struct FaultRule<A> {
    method: Option<String>,
    server: Option<&'static str>,
    path_contains: String,
    after: usize,
    times: usize,
    action: A,
}

impl<A> FaultRule<A> {
    /// A rule for every request whose path and query, raw or decoded, contain `path_contains`.
    pub fn new(path_contains: impl Into<String>, action: A) -> Self {
        let path_contains = path_contains.into();
        Self { method: None, server: None, path_contains, after: 0, times: usize::MAX, action }
    }

    /// Limits the rule to one HTTP method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Limits the rule to one listener: `hub`, `cdn`, `registry` or `storage`.
    #[must_use]
    pub fn server(mut self, server: &'static str) -> Self {
        self.server = Some(server);
        self
    }

    /// Lets the first `count` matching requests pass.
    #[must_use]
    pub fn after(mut self, count: usize) -> Self {
        self.after = count;
        self
    }

    /// Applies the rule `count` times only.
    #[must_use]
    pub fn times(mut self, count: usize) -> Self {
        self.times = count;
        self
    }

    fn matches(&self, server: &str, method: &str, raw: &str, decoded: &str) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted == method)
            && self.server.is_none_or(|wanted| wanted == server)
            && (raw.contains(&self.path_contains) || decoded.contains(&self.path_contains))
    }
}

/// The rules of one server, in the order they were added.
#[derive(Debug)]
pub(crate) struct FaultQueue<A>(Mutex<Vec<FaultRule<A>>>);

impl<A> Default for FaultQueue<A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<A: Clone> FaultQueue<A> {
    pub(crate) fn push(&self, rule: FaultRule<A>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(rule);
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The action for this request, using up one application of its rule.
    pub(crate) fn take(&self, server: &str, method: &str, target: &str) -> Option<A> {
        let decoded = crate::server::decode(target);
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for rule in rules.iter_mut() {
            if rule.times == 0 || !rule.matches(server, method, target, &decoded) {
                continue;
            }
            if rule.after > 0 {
                rule.after -= 1;
                continue;
            }
            rule.times = rule.times.saturating_sub(1);
            return Some(rule.action.clone());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_skip_apply_and_run_out() {
        let queue = FaultQueue::default();
        queue.push(FaultRule::new("a b", 1).method("GET").after(1).times(2));
        let mut hits = Vec::new();
        for _ in 0..4 {
            hits.push(queue.take("hub", "GET", "/x/a%20b"));
        }
        assert_eq!(hits, [None, Some(1), Some(1), None]);
        assert_eq!(queue.take("hub", "PUT", "/x/a%20b"), None);
    }
}
