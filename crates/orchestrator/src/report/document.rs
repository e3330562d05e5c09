//! The document of a run that `--json` prints: what the API returns.

use super::Report;
use crate::changes::Changes;
use api::{Merge, Run, Task};
use serde::Serialize;

/// The run as `GET /runs/{id}` returns it, its tasks and merges as their lists have them, and the size of the change.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RunDocument {
    #[serde(flatten)]
    pub(crate) run: Run,
    /// As `GET /runs/{id}/tasks` lists them.
    pub(crate) task_list: Vec<Task>,
    /// As `GET /runs/{id}/merges` lists them.
    pub(crate) merge_list: Vec<Merge>,
    /// What differs between base and branch; null where nothing was delivered.
    pub(crate) changes: Option<Changes>,
}

impl RunDocument {
    /// The same for people.
    pub(crate) fn report(&self) -> Report {
        let document = self.clone();
        Report::new(document.run, document.task_list, document.merge_list, document.changes)
    }
}
