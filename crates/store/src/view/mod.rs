//! The read side: what the interfaces show, as plain structs and named queries. Nothing here changes anything.
//!
//! Lists are bounded, newest first or in the order of their numbers, and paged by the last row seen.

mod cost;
mod detail;
mod event;
mod find;
mod integrity;
mod merge;
mod returned;
mod run;
mod task;
mod transcript;
mod waiting;

pub use crate::Error;
pub use cost::{Cost, CostLine, Tokens};
pub use detail::{Delivering, RunDetail};
pub use event::{EventPage, LoggedEvent};
pub use find::FindRunError;
pub use integrity::IntegrityFlagView;
pub use merge::{MergeView, ResolutionView};
pub use returned::ReturnedAttempt;
pub use run::{RunFilter, RunPage, RunSummary, TaskCounts};
pub(crate) use task::conflict_paths;
pub use task::{Action, TaskMerge, TaskView};
pub use transcript::{AttemptView, TaskDetail, ToolCallView, TurnView};
pub use waiting::MergeLine;

use std::time::Duration;

/// A handle on the read side. Clones share the pool.
#[derive(Clone, Debug)]
pub struct Views {
    pub(crate) pool: sqlx::PgPool,
    priority_level: Option<Duration>,
}

impl Views {
    pub(crate) fn new(pool: sqlx::PgPool) -> Self {
        Self {
            pool,
            priority_level: None,
        }
    }

    /// With the seconds of waiting that one level of priority counts for: the order of the merge queue depends on them.
    #[must_use]
    pub fn with_priority_level(self, level: Duration) -> Self {
        Self {
            priority_level: Some(level),
            ..self
        }
    }
}
