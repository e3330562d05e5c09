//! One attempt, from its claim to the verdict about its tree.

use super::{Broken, Unready, broken, journal::AttemptJournal, worktree::Source};
use crate::{
    context::{Account, Context, HeldTask, ProviderWait, Running, blocking},
    settings::Duties,
    trace,
};
use agents::{
    profile::Profile,
    tools::{Finish, ToolBox, ToolLimits, ToolSettings},
    worker::{BackendId, Session, WorkEnd},
};
use domain::{
    CommitId,
    run::{Reason, ReasonCode},
    task::AttemptEnd,
};
use git::{Hub, TreeLimits};
use llm::ModelRef;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};
use store::{
    attempt::{ReplayedTurn, Writer},
    claim::Claimed,
    run::RunDetails,
    task::TaskDetails,
};
use tokio_util::sync::CancellationToken;

/// Everything about one attempt.
pub(super) struct Attempt<'a> {
    pub(super) context: &'a Context,
    pub(super) claimed: &'a Claimed,
    pub(super) details: RunDetails,
    pub(super) task: TaskDetails,
    pub(super) profile: Profile,
    pub(super) hub: Arc<Hub>,
    pub(super) base: CommitId,
    pub(super) worktree: PathBuf,
    pub(super) conflicted: Vec<String>,
    pub(super) limits: TreeLimits,
    pub(super) cancel: CancellationToken,
    /// Its waits for a slot of the provider, where the worker needs them.
    pub(super) provider_wait: Option<Arc<ProviderWait>>,
    /// The turns that are journaled already.
    pub(super) journaled: Vec<ReplayedTurn>,
    /// When the attempt was first claimed, by whichever process.
    pub(super) started: SystemTime,
}

impl<'a> Attempt<'a> {
    /// Reads the rows and makes the worktree.
    pub(super) async fn start(context: &'a Context, claimed: &'a Claimed, running: &Running) -> Result<Self, Unready> {
        let store = &context.store;
        let details = store
            .run_details(claimed.run)
            .await
            .map_err(broken)?
            .ok_or_else(|| broken("the run is gone"))?;
        let task = store
            .task_details(claimed.task)
            .await
            .map_err(broken)?
            .ok_or_else(|| broken("the task is gone"))?;
        let profile = context.profiles.get(&claimed.profile).cloned();
        let profile = profile.ok_or_else(|| {
            Reason::new(
                ReasonCode::Plan,
                format!("there is no profile {} here any more", claimed.profile),
            )
        })?;
        if let Err(error) = context.knows_models_of(&details) {
            return Err(Unready::Away {
                what: "a process that has its model",
                error,
            });
        }
        let journaled = store.replay(claimed.attempt_id).await.map_err(broken)?;
        check_can_resume(context, claimed, &journaled)?;
        let hub = context.hub(&details.hub, claimed.run).await?;
        let row = store.attempt(claimed.attempt_id).await.map_err(broken)?;
        let base = match row.base {
            Some(base) => base,
            None => {
                let (own, integration) = (hub.clone(), git::refs::integration(&claimed.run));
                let tip = blocking(move || own.tip(&integration)).await?;
                let tip = tip.ok_or_else(|| broken("the integration branch is gone from the hub"))?;
                store
                    .save_attempt_base(claimed.attempt_id, &tip)
                    .await
                    .map_err(broken)?;
                tip
            }
        };
        let (own, tries) = (hub.clone(), git::refs::all_of_task(&claimed.run, &claimed.key));
        blocking(move || own.follow(&tries.each_ref().map(String::as_str))).await?;
        context.show_blocked_on(HeldTask::of(claimed), None).await;
        let started = trace::at(row.began_unix_s);
        let previous = store
            .previous_work(claimed.task, claimed.attempt)
            .await
            .map_err(broken)?;
        let worktree = context.layout.worktree(claimed.run, &claimed.key, claimed.fence);
        let limits = TreeLimits {
            max_file_bytes: details.limits.file_bytes,
            max_changed_files: details.limits.files as usize,
            ..TreeLimits::default()
        };
        let decided = match previous {
            Some(_) => store.decided_hunks(claimed.task).await.map_err(broken)?,
            None => Vec::new(),
        };
        let source = Source {
            hub: hub.clone(),
            base: base.clone(),
            snapshot: row.snapshot,
            previous,
            decided,
            settings: context.merge_settings(&details.workspace_path).clone(),
        };
        let provider_wait = provider_slot(context, claimed, &details, running).await?;
        let at = worktree.clone();
        let conflicted = blocking(move || source.make_worktree(&at)).await?;
        Ok(Self {
            context,
            claimed,
            details,
            task,
            profile,
            hub,
            base,
            worktree,
            conflicted,
            limits,
            cancel: running.cancel.clone(),
            provider_wait,
            journaled,
            started,
        })
    }

    /// Lets the worker work, then judges its tree.
    pub(super) async fn work(&self, context: &telemetry::TraceContext) -> (AttemptEnd, Option<Finish>) {
        let order = match self.order().await {
            Ok(order) => order,
            Err(reason) => return (AttemptEnd::Failed { reason }, None),
        };
        let toolbox = match self.toolbox().await {
            Ok(toolbox) => toolbox,
            Err(reason) => return (AttemptEnd::Failed { reason }, None),
        };
        let journal = self.journal();
        let account = Account {
            context: self.context.clone(),
            run: self.claimed.run,
            task: Some(self.claimed.task),
            attempt: Some(self.claimed.attempt_id),
            provider_wait: self.provider_wait.clone(),
        };
        let session = Session {
            toolbox: &toolbox,
            ledger: &account,
            journal: &journal,
            cancel: &self.cancel,
            trace: Some(context),
        };
        let end = self.context.worker.work(&order, session).await;
        if let Some(wait) = &self.provider_wait {
            drop(wait.take_first_slot());
        }
        match end {
            WorkEnd::Finished(finish) => (self.judge(&journal, &finish).await, Some(finish)),
            WorkEnd::Failed(reason) if self.is_out_of_reach(&reason, &journal) => {
                tracing::warn!(task = %self.claimed.key, error = reason.message, "Released a task: its model does not answer on this machine");
                self.context.pauses.pause_tasks();
                (AttemptEnd::Released, None)
            }
            WorkEnd::Failed(reason) => (AttemptEnd::Failed { reason }, None),
            WorkEnd::GaveUp(reason) => (AttemptEnd::Unrecoverable { reason }, None),
            WorkEnd::Stopped => (AttemptEnd::Released, None),
        }
    }

    /// Whether a remote worker can't reach the model: no call was answered, so nothing was spent, and another machine may
    /// reach it.
    fn is_out_of_reach(&self, reason: &Reason, journal: &AttemptJournal) -> bool {
        self.context.settings.duties == Duties::WithoutWorkspaces
            && reason.code == ReasonCode::Model
            && !journal.answered.load(Ordering::Relaxed)
    }

    async fn toolbox(&self) -> Result<ToolBox, Broken> {
        let context = &self.context;
        let outputs = context
            .layout
            .outputs(self.claimed.run, &self.claimed.key, self.claimed.attempt);
        tokio::fs::create_dir_all(&outputs).await.map_err(broken)?;
        let settings = ToolSettings {
            worktree: self.worktree.clone(),
            hub: Some(self.hub.path().to_path_buf()),
            outputs,
            allowed: self.profile.tools.clone(),
            write_policy: self.profile.write.clone(),
            limits: ToolLimits {
                shell_longest_time: Duration::from_secs(self.details.limits.tool_s),
                ..ToolLimits::default()
            },
            shell_env: Vec::new(),
            build_caches: Vec::new(),
        };
        ToolBox::new(settings, context.sandbox.clone()).map_err(broken)
    }

    fn journal(&self) -> AttemptJournal {
        AttemptJournal {
            context: self.context.clone(),
            writer: Writer {
                run: self.claimed.run,
                task: self.claimed.task,
                attempt: self.claimed.attempt_id,
                fence: self.claimed.fence,
            },
            backend: self.context.worker.id(),
            key: self.claimed.key.clone(),
            number: self.claimed.attempt,
            hub: self.hub.clone(),
            worktree: self.worktree.clone(),
            base: self.base.clone(),
            limits: self.limits.clone(),
            cancel: self.cancel.clone(),
            changed: AtomicBool::new(false),
            answered: AtomicBool::new(false),
        }
    }

    /// Removes the worktree. Its work is in the attempt's snapshots, which are recorded with the results. No snapshot is
    /// taken here: another process may hold the task by now, and so its reference.
    pub(super) async fn remove_worktree(&self) {
        let (hub, worktree) = (self.hub.clone(), self.worktree.clone());
        if let Err(error) = blocking(move || hub.remove_worktree(&worktree)).await {
            tracing::warn!(%error, "Could not remove a worktree");
        }
    }
}

/// Fails an attempt whose journal was written by a backend that this process can't resume. The next attempt starts from
/// its snapshot.
fn check_can_resume(context: &Context, claimed: &Claimed, journaled: &[ReplayedTurn]) -> Result<(), Broken> {
    let writers = journaled.iter().map(|turn| BackendId {
        kind: turn.backend.kind.clone().into(),
        version: turn.backend.version,
    });
    for writer in writers {
        if !context.worker.can_resume(&writer) {
            let text = format!(
                "attempt {} was started by the worker backend {writer}, which {} can't resume",
                claimed.attempt,
                context.worker.id()
            );
            return Err(Reason::new(ReasonCode::Internal, text));
        }
    }
    Ok(())
}

/// Waits for a slot of the worker's provider, before there is a worktree.
async fn provider_slot(
    context: &Context,
    claimed: &Claimed,
    details: &RunDetails,
    running: &Running,
) -> Result<Option<Arc<ProviderWait>>, Unready> {
    if !context.worker.uses_provider_slots() {
        return Ok(None);
    }
    let wait = Arc::new(ProviderWait::new(context, HeldTask::of(claimed), running.slot.clone()));
    let model = ModelRef::new(details.worker.0.clone(), details.worker.1.clone());
    let acquired = wait.acquire_first_slot(&context.models, &model);
    match running.cancel.run_until_cancelled(acquired).await {
        Some(Ok(())) => Ok(Some(wait)),
        Some(Err(error)) => Err(Unready::Broken(Reason::new(ReasonCode::Model, error.to_string()))),
        None => Err(Unready::Stopped),
    }
}
