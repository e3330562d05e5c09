//! The result of a clean-up.

use crate::disk::usage::{Area, bytes_in_words};
use domain::RunId;
use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    time::Duration,
};
use time::OffsetDateTime;

/// Unreferenced objects are kept this long: longer than it takes from writing an object to referencing it.
pub(super) const GRACE: Duration = Duration::from_secs(6 * 3_600);

/// Whether a clean-up removes what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanMode {
    /// Reports what would be removed.
    DryRun,
    /// Removes it.
    Remove,
}

/// Whether a run ended so recently that its objects may be too young to prune.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Young,
    Old,
}

/// What was removed, or would be in a dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Ended runs.
    pub runs: Vec<CleanedRun>,
    /// Build caches of workspaces.
    pub caches: Vec<CleanedCache>,
    /// References in hubs.
    pub references: u64,
    /// Unreferenced objects in hubs.
    pub objects: u64,
    /// Freed bytes by part of the data directory.
    pub freed: BTreeMap<Area, u64>,
    /// Bytes of unreferenced objects that are too young to prune. They are pruned later.
    pub later_bytes: u64,
}

/// The removed data of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanedRun {
    /// Which run.
    pub run: RunId,
    /// When it ended.
    pub ended_at: OffsetDateTime,
    /// Whether its trees were removed; otherwise only its outputs.
    pub trees: bool,
    /// References in its hub.
    pub references: u64,
    /// Bytes of the objects that only these references kept, at least.
    pub hub_bytes: u64,
    /// Bytes of its outputs.
    pub output_bytes: u64,
}

/// A build cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanedCache {
    /// The name of its directory, after the workspace's hub.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
}

impl Cleaned {
    /// Whether there was nothing to do.
    pub fn is_nothing(&self) -> bool {
        self.runs.is_empty() && self.caches.is_empty() && self.references == 0 && self.objects == 0
    }

    /// Bytes in hubs that only runs of this age kept.
    pub(super) fn hub_bytes(&self, age: Age) -> u64 {
        let young = OffsetDateTime::now_utc() - GRACE;
        let of_age = |line: &&CleanedRun| (line.ended_at > young) == (age == Age::Young);
        self.runs.iter().filter(of_age).map(|line| line.hub_bytes).sum()
    }

    pub(super) fn free(&mut self, area: Area, bytes: u64) {
        *self.freed.entry(area).or_default() += bytes;
    }

    /// The entry of a run.
    pub(super) fn run(&mut self, run: RunId, ended_at: OffsetDateTime) -> &mut CleanedRun {
        let at = self.runs.iter().position(|line| line.run == run);
        let at = at.unwrap_or_else(|| {
            self.runs.push(CleanedRun {
                run,
                ended_at,
                trees: false,
                references: 0,
                hub_bytes: 0,
                output_bytes: 0,
            });
            self.runs.len() - 1
        });
        &mut self.runs[at]
    }
}

impl Display for Cleaned {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} runs, {} build caches, {} references, {} objects; free:",
            self.runs.len(),
            self.caches.len(),
            self.references,
            self.objects
        )?;
        for (area, bytes) in &self.freed {
            write!(formatter, " {} {}", area.as_str(), bytes_in_words(*bytes))?;
        }
        Ok(())
    }
}
