//! Which module uses which.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many source files are shown per edge.
const SHOWN_SITES: usize = 3;

/// Edges between modules, each with the files it was read from.
#[derive(Debug, Default)]
pub(crate) struct Edges(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

impl Edges {
    /// Adds an edge. A module may use itself.
    pub(crate) fn add(&mut self, from: &str, to: &str, site: &str) {
        if from != to {
            let targets = self.0.entry(from.to_owned()).or_default();
            targets.entry(to.to_owned()).or_default().insert(site.to_owned());
        }
    }

    /// Removes an edge; returns whether it existed.
    pub(crate) fn remove(&mut self, from: &str, to: &str) -> bool {
        self.0.get_mut(from).is_some_and(|targets| targets.remove(to).is_some())
    }

    /// Every edge, in order.
    pub(crate) fn all(&self) -> Vec<String> {
        let edges = self
            .0
            .iter()
            .flat_map(|(from, targets)| targets.keys().map(move |to| (from, to)));
        edges.map(|(from, to)| format!("{from} → {to}")).collect()
    }

    /// The files with an edge.
    pub(crate) fn sites(&self, from: &str, to: &str) -> String {
        let sites = self.0.get(from).and_then(|targets| targets.get(to));
        let shown: Vec<&str> = sites
            .into_iter()
            .flatten()
            .take(SHOWN_SITES)
            .map(String::as_str)
            .collect();
        shown.join(", ")
    }

    /// The shortest path from one module to another.
    pub(crate) fn path(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut next = VecDeque::from([from]);
        while let Some(module) = next.pop_front() {
            if module == to {
                let mut path = vec![to.to_owned()];
                let mut at = to;
                while at != from {
                    at = came_from[at];
                    path.insert(0, at.to_owned());
                }
                return Some(path);
            }
            for target in self.0.get(module).into_iter().flat_map(BTreeMap::keys) {
                if target != from && !came_from.contains_key(target.as_str()) {
                    came_from.insert(target, module);
                    next.push_back(target);
                }
            }
        }
        None
    }

    /// A shortest cycle, closed: its first module is also the last.
    pub(crate) fn shortest_cycle(&self) -> Option<Vec<String>> {
        let edges = self
            .0
            .iter()
            .flat_map(|(from, targets)| targets.keys().map(move |to| (from, to)));
        let cycles = edges.filter_map(|(from, to)| {
            let mut cycle = self.path(to, from)?;
            cycle.insert(0, from.clone());
            Some(cycle)
        });
        cycles.min_by_key(Vec::len)
    }
}
