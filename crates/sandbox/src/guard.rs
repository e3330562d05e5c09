//! Watches the limits of a job while it runs, and checks them again at its end.

use std::time::Duration;

use tokio::time::sleep;

use crate::cgroup::JobGroup;
use crate::limit::Limit;
use crate::worktree_limit::Watch;
use crate::{Job, Sandbox, SandboxError};

/// How often to check whether the kernel killed a process for lack of memory. Version 2 of control groups kills the
/// whole job by itself; version 1 leaves its other processes running.
const TICK: Duration = Duration::from_millis(100);

/// The limits of one job that bubblewrap does not enforce.
pub(crate) struct Guard {
    watch: Watch,
    pub(crate) group: Option<JobGroup>,
}

/// The limits that a job reached.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    /// The limit that ended the job, or that its result must name.
    pub(crate) over: Option<Limit>,
    /// A limit that it reached without being killed.
    pub(crate) noted: Option<Limit>,
}

impl Guard {
    pub(crate) async fn start(sandbox: &Sandbox, job: &Job) -> Result<Self, SandboxError> {
        Ok(Self {
            watch: Watch::start(&sandbox.trees, &sandbox.settings, job).await?,
            group: sandbox.groups.job()?,
        })
    }

    /// The watch, which reports a reached limit, and the group, which can kill the job.
    pub(crate) fn parts(&mut self) -> (&mut Watch, Option<&JobGroup>) {
        (&mut self.watch, self.group.as_ref())
    }

    /// The limits that were reached; call it when all processes of the command have ended.
    pub(crate) async fn end(self) -> Reached {
        let out_of_memory = self.group.as_ref().and_then(JobGroup::out_of_memory);
        let noted = self.group.as_ref().and_then(JobGroup::out_of_processes);
        if let Some(group) = &self.group {
            // Without namespaces, some processes may still run.
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
