//! What a clean-up gave up.

use crate::disk::usage::{Area, bytes_in_words};
use domain::RunId;
use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    time::Duration,
};
use time::OffsetDateTime;

/// Objects that nothing names are kept so long: longer than anybody takes from writing one to naming it.
pub(super) const GRACE: Duration = Duration::from_secs(6 * 3_600);

/// Whether a clean-up removes what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanMode {
    /// It only says what it would remove.
    DryRun,
    /// It removes it.
    Remove,
}

/// Whether a run ended so lately that what it wrote may be too young to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Young,
    Old,
}

/// What was given up, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// What ended runs left.
    pub runs: Vec<CleanedRun>,
    /// Build output that gates of a workspace shared.
    pub caches: Vec<CleanedCache>,
    /// References in hubs.
    pub references: u64,
    /// Objects in hubs that nothing named.
    pub objects: u64,
    /// Bytes that came free, by part of the data directory.
    pub freed: BTreeMap<Area, u64>,
    /// Bytes in hubs that nothing names any more and that are too young to go; they follow by themselves.
    pub later_bytes: u64,
}

/// What a run left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanedRun {
    /// Which run.
    pub run: RunId,
    /// When it ended.
    pub ended_at: OffsetDateTime,
    /// Whether its trees were given up; otherwise its outputs alone.
    pub trees: bool,
    /// References in its hub.
    pub references: u64,
    /// Bytes of the objects that these alone kept, at least.
    pub hub_bytes: u64,
    /// Bytes of its outputs.
    pub output_bytes: u64,
}

/// A build cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanedCache {
    /// Its directory's name: that of the workspace's hub.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
}

impl Cleaned {
    /// Whether there was nothing to do.
    pub fn is_nothing(&self) -> bool {
        self.runs.is_empty() && self.caches.is_empty() && self.references == 0 && self.objects == 0
    }

    /// Bytes in hubs that runs alone kept.
    pub(super) fn hub_bytes(&self, age: Age) -> u64 {
        let young = OffsetDateTime::now_utc() - GRACE;
        let of_age = |line: &&CleanedRun| (line.ended_at > young) == (age == Age::Young);
        self.runs.iter().filter(of_age).map(|line| line.hub_bytes).sum()
    }

    pub(super) fn free(&mut self, area: Area, bytes: u64) {
        *self.freed.entry(area).or_default() += bytes;
    }

    /// The line of a run.
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
