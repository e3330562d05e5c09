//! What watches a job while it runs and looks once more at its end.

use std::time::Duration;

use tokio::time::sleep;

use crate::cgroup::JobGroup;
use crate::limit::Limit;
use crate::worktree_limit::Watch;
use crate::{Job, Sandbox, SandboxError};

/// How often it is looked whether the kernel ended a process for want of memory. Version 2 of control groups ends the
/// whole job by itself; version 1 leaves the others running.
const TICK: Duration = Duration::from_millis(100);

/// The limits of one job that bubblewrap does not set.
pub(crate) struct Guard {
    watch: Watch,
    pub(crate) group: Option<JobGroup>,
}

/// What a job reached.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    /// For this it was ended, or has to be called ended.
    pub(crate) over: Option<Limit>,
    /// This it ran into without an end.
    pub(crate) noted: Option<Limit>,
}

impl Guard {
    pub(crate) async fn begin(sandbox: &Sandbox, job: &Job) -> Result<Self, SandboxError> {
        Ok(Self {
            watch: Watch::begin(&sandbox.trees, &sandbox.settings, job).await?,
            group: sandbox.groups.job()?,
        })
    }

    /// Splits off what can end the job from what says that it has to.
    pub(crate) fn parts(&mut self) -> (&mut Watch, Option<&JobGroup>) {
        (&mut self.watch, self.group.as_ref())
    }

    /// What was reached, once no process of the command is left.
    pub(crate) async fn end(self) -> Reached {
        let out_of_memory = self.group.as_ref().and_then(JobGroup::out_of_memory);
        let noted = self.group.as_ref().and_then(JobGroup::out_of_processes);
        if let Some(group) = &self.group {
            // Without namespaces there may be some left.
            group.kill();
        }
        let over = self.watch.end().await;
        Reached {
            over: out_of_memory.or(over),
            noted,
        }
    }
}

/// Resolves when a job has to be stopped.
pub(crate) async fn reached(watch: &mut Watch, group: Option<&JobGroup>) -> Limit {
    tokio::select! {
        limit = watch.reached() => limit,
        limit = out_of_memory(group) => limit,
    }
}

async fn out_of_memory(group: Option<&JobGroup>) -> Limit {
    let Some(group) = group else {
        return std::future::pending().await;
    };
    loop {
        sleep(TICK).await;
        if let Some(limit) = group.out_of_memory() {
            return limit;
        }
    }
}
