//! Work: one attempt at a task, from a worktree to a frozen commit.
//!
//! Twice: each claim has a fence of its own and a worktree that is named after it. An attempt whose process died
//! goes on from its last snapshot and its journal; nothing that was answered is asked again.

use super::plan::remaining;
use crate::{
    engine::{Engine, blocking},
    housekeeping::end_overdue_runs,
    patience::patiently,
    ports::{Account, AttemptJournal},
    step::StepError,
    trace,
};
use agents::{
    profile::Profile,
    tools::{Finish, ToolBox, ToolLimits, ToolSettings, WritePolicy},
    worker::{self, Feedback, HandOff, JournaledTurn, Means, WorkEnd, WorkOrder},
};
use domain::{
    CommitId,
    event::{Event, Fact},
    plan::PlanDocument,
    profile::Change,
    run::{Check, CheckSource, Reason, ReasonCode},
    task::{AttemptEnd, Outcome},
};
use git::{Hub, RepoPath, SnapshotError, TreeId, TreeLimits, WorktreeStart};
use llm::ModelRef;
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant, SystemTime},
};
use store::{attempt::Writer, claim::Claimed, run::RunFacts, task::TaskFacts};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// An attempt could not be made ready or recorded, for a reason outside the work.
type Broken = Reason;

/// Everything about one attempt.
struct Attempt<'a> {
    engine: &'a Engine,
    claimed: &'a Claimed,
    facts: RunFacts,
    task: TaskFacts,
    profile: Profile,
    hub: Arc<Hub>,
    base: CommitId,
    worktree: PathBuf,
    conflicted: Vec<String>,
    limits: TreeLimits,
    cancel: CancellationToken,
    /// When the attempt was opened, by whichever process.
    started: SystemTime,
}

/// Performs an attempt and posts how it ended.
pub(crate) async fn perform(engine: &Engine, claimed: Claimed, cancel: &CancellationToken) {
    let metered = telemetry::queue::started("work");
    let waited = Duration::from_millis(claimed.waited_ms.max(0) as u64);
    let working = telemetry::task::attempt_started(&claimed.profile, waited);
    telemetry::task::blocked("dependency", Duration::from_millis(claimed.depended_ms.max(0) as u64));
    if claimed.attempt > 1 {
        telemetry::queue::retried("work");
    }
    let posted = attempt(engine, &claimed, cancel.clone()).await;
    drop(working);
    match posted {
        Ok(()) => metered.succeeded(),
        // The task was cancelled or taken over meanwhile: its state is recorded already.
        Err(StepError::Refused(refusal)) => tracing::debug!(%refusal, "the end of an attempt came too late"),
        Err(error) => {
            metered.failed();
            tracing::error!(%error, task = %claimed.key, "the end of an attempt could not be recorded; it is recovered later");
        }
    }
}

async fn attempt(engine: &Engine, claimed: &Claimed, cancel: CancellationToken) -> Result<(), StepError> {
    let attempt = match Attempt::begin(engine, claimed, cancel).await {
        Ok(attempt) => attempt,
        Err(reason) => {
            return post(engine, claimed, AttemptEnd::Failed { reason }, None).await;
        }
    };
    let context = trace::of_attempt(&trace::of_run(&attempt.facts.trace), claimed.task, claimed.attempt);
    let scope = telemetry::log::scope(&context, Some(claimed.run), Some(claimed.task), Some(&claimed.profile));
    let (end, finish) = attempt.work(&context).instrument(scope).await;
    if let Err(error) = engine.parts.store.lose_calls_of(claimed.attempt_id).await {
        tracing::warn!(%error, "calls that were dropped stay reserved until the next start");
    }
    trace::attempt_ended(&attempt.facts.trace, claimed, attempt.started, &end);
    let posted = post(engine, claimed, end, finish.as_ref()).await;
    attempt.clear().await;
    posted
}

/// Records how the attempt ended, and tells the next one of it.
async fn post(engine: &Engine, claimed: &Claimed, end: AttemptEnd, finish: Option<&Finish>) -> Result<(), StepError> {
    // Where the time of the whole run is up, that is what is told, not that this attempt ran into it.
    if let AttemptEnd::Failed { .. } = end {
        end_overdue_runs(engine).await.map_err(StepError::Store)?;
    }
    let commit = match &end {
        AttemptEnd::Submitted { commit } => Some(commit.clone()),
        AttemptEnd::Unchanged | AttemptEnd::Failed { .. } | AttemptEnd::GaveUp { .. } | AttemptEnd::Released => None,
    };
    let end = end.redacted(telemetry::secrets::redact);
    let feedback = match &end {
        AttemptEnd::Failed { reason } => Some(json!({ "attempt": claimed.attempt, "reason": reason.message })),
        AttemptEnd::Submitted { .. } | AttemptEnd::Unchanged | AttemptEnd::GaveUp { .. } | AttemptEnd::Released => None,
    };
    let report = finish.and_then(|finish| serde_json::to_string(finish).ok());
    let report: Option<Value> = report.and_then(|text| serde_json::from_str(&telemetry::secrets::redact(&text)).ok());
    let fact = Fact::AttemptEnded {
        attempt: claimed.attempt,
        end: end.clone(),
        outcome: finish.map(|finish| finish.outcome),
    };
    let (run, task, row) = (claimed.run, claimed.task, claimed.attempt_id);
    let event = Event::AttemptEnded {
        fence: claimed.fence,
        end: end.clone(),
    };
    // While the database is away the end waits: the work is pinned, and nobody else can say how it went.
    patiently(&engine.parts.drain, || {
        engine.step(run, Some(task), event.clone(), async |tx| {
            tx.close_attempt(row, &end, commit.as_ref(), report.as_ref()).await?;
            if let Some(feedback) = &feedback {
                tx.save_feedback(task, feedback).await?;
            }
            tx.append(run, &[(Some(task), fact.clone())]).await?;
            Ok(())
        })
    })
    .await
}

impl<'a> Attempt<'a> {
    /// Reads what is known and makes the worktree.
    async fn begin(engine: &'a Engine, claimed: &'a Claimed, cancel: CancellationToken) -> Result<Self, Broken> {
        let store = &engine.parts.store;
        let facts = store
            .run_facts(claimed.run)
            .await
            .map_err(broken)?
            .ok_or_else(|| broken("the run is gone"))?;
        let task = store
            .task_facts(claimed.task)
            .await
            .map_err(broken)?
            .ok_or_else(|| broken("the task is gone"))?;
        let profile = engine.parts.profiles.get(&claimed.profile).cloned();
        let profile = profile.ok_or_else(|| {
            Reason::new(
                ReasonCode::Plan,
                format!("there is no profile {} here any more", claimed.profile),
            )
        })?;
        let hub = engine.parts.hub(&facts.hub).await.map_err(broken)?;
        let row = store.attempt(claimed.attempt_id).await.map_err(broken)?;
        let base = match row.base {
            Some(base) => base,
            None => {
                let (own, integration) = (hub.clone(), git::refs::integration(&claimed.run));
                let tip = blocking(move || own.tip(&integration)).await.map_err(broken)?;
                let tip = tip.ok_or_else(|| broken("the integration branch is gone from the hub"))?;
                store
                    .save_attempt_base(claimed.attempt_id, &tip)
                    .await
                    .map_err(broken)?;
                tip
            }
        };
        let started = trace::at(row.began_unix_s);
        let previous = store
            .previous_work(claimed.task, claimed.attempt)
            .await
            .map_err(broken)?;
        let worktree = engine.parts.layout.worktree(claimed.run, &claimed.key, claimed.fence);
        let limits = TreeLimits {
            max_file_bytes: facts.limits.file_bytes,
            max_changed_files: facts.limits.files as usize,
            ..TreeLimits::default()
        };
        let place = Place {
            hub: hub.clone(),
            base: base.clone(),
            snapshot: row.snapshot,
            previous,
        };
        let at = worktree.clone();
        let conflicted = blocking(move || place.make(&at)).await?;
        Ok(Self {
            engine,
            claimed,
            facts,
            task,
            profile,
            hub,
            base,
            worktree,
            conflicted,
            limits,
            cancel,
            started,
        })
    }

    /// The worker's loop, then what its tree is worth.
    async fn work(&self, context: &telemetry::TraceContext) -> (AttemptEnd, Option<Finish>) {
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
            engine: self.engine.clone(),
            run: self.claimed.run,
            task: Some(self.claimed.task),
            attempt: Some(self.claimed.attempt_id),
        };
        let means = Means {
            toolbox: &toolbox,
            models: &self.engine.parts.models,
            ledger: &account,
            journal: &journal,
            cancel: &self.cancel,
            trace: Some(context),
        };
        match worker::work(&order, means).await {
            WorkEnd::Finished(finish) => (self.weigh(&journal, &finish).await, Some(finish)),
            WorkEnd::Failed(reason) => (AttemptEnd::Failed { reason }, None),
            WorkEnd::GaveUp(reason) => (AttemptEnd::GaveUp { reason }, None),
            WorkEnd::Stopped => (AttemptEnd::Released, None),
        }
    }

    /// The tree, not the model, says what was done.
    async fn weigh(&self, journal: &AttemptJournal, finish: &Finish) -> AttemptEnd {
        if self.profile.change == Change::None {
            return AttemptEnd::Unchanged;
        }
        let failed = |code, message: String| AttemptEnd::Failed {
            reason: Reason::new(code, message),
        };
        let snapshot = match journal.snapshot(0).await {
            Ok(snapshot) => snapshot,
            Err(SnapshotError::Refused(refusal)) => return failed(ReasonCode::Worker, refusal.to_string()),
            Err(SnapshotError::Git(error)) => return failed(ReasonCode::Internal, error.to_string()),
        };
        if finish.outcome == Outcome::Partial {
            return failed(
                ReasonCode::Worker,
                format!("only part of it is done: {}", finish.summary),
            );
        }
        match self.freeze(&snapshot).await {
            Ok(Some(commit)) => AttemptEnd::Submitted { commit },
            Ok(None) => AttemptEnd::Unchanged,
            Err(reason) => AttemptEnd::Failed { reason },
        }
    }

    /// One commit of ours on the base, pinned before any state changes; `None` where nothing differs.
    async fn freeze(&self, snapshot: &CommitId) -> Result<Option<CommitId>, Broken> {
        let stamp = self.engine.parts.stamp(format!(
            "{}\n\nRun: {}\nTask: {}\nAttempt: {}\n",
            self.task.title, self.claimed.run, self.claimed.key, self.claimed.attempt
        ));
        let (hub, base, snapshot) = (self.hub.clone(), self.base.clone(), snapshot.clone());
        let (run, key, conflicted) = (self.claimed.run, self.claimed.key.clone(), self.conflicted.clone());
        let (policy, profile) = (self.profile.write.clone(), self.profile.name.clone());
        blocking(move || {
            let tree = hub.tree_of(&snapshot).map_err(broken)?;
            if tree == hub.tree_of(&base).map_err(broken)? {
                return Ok(None);
            }
            let commit = hub
                .commit_tree(&tree, std::slice::from_ref(&base), &stamp)
                .map_err(broken)?;
            let written = not_permitted(&hub, &base, &commit, &policy)?;
            if let Some(path) = written {
                return Err(Reason::new(
                    ReasonCode::Worker,
                    format!("{path} was changed, which profile {profile} may not"),
                ));
            }
            for path in &conflicted {
                let text = hub.read_file(&commit, &RepoPath::from(path.as_str())).map_err(broken)?;
                if text.is_some_and(|text| has_markers(&text)) {
                    return Err(Reason::new(
                        ReasonCode::Conflict,
                        format!("{path} still has conflict markers"),
                    ));
                }
            }
            hub.pin(&git::refs::submission(&run, &key, &commit), &commit)
                .map_err(broken)?;
            hub.make_durable(&commit).map_err(broken)?;
            Ok(Some(commit))
        })
        .await
    }

    async fn order(&self) -> Result<WorkOrder, Broken> {
        let store = &self.engine.parts.store;
        let plan = store.plan(self.claimed.run).await.map_err(broken)?.unwrap_or_default();
        let replayed = store.replay(self.claimed.attempt_id).await.map_err(broken)?;
        let spec = &self.task.spec;
        let attempt_ends = Instant::now() + Duration::from_secs(self.facts.limits.attempt_s);
        Ok(WorkOrder {
            run: self.claimed.run.short(),
            task: self.claimed.key.clone(),
            attempt: self.claimed.attempt,
            title: self.task.title.clone(),
            instructions: spec.instructions.clone(),
            acceptance: spec.acceptance.clone(),
            gate: self.facts.check.clone().unwrap_or(Check {
                command: None,
                source: CheckSource::NotConfigured,
            }),
            check: spec.check.clone(),
            objective: self.facts.objective.clone(),
            interfaces: interfaces(&plan, spec),
            hand_offs: self.hand_offs().await?,
            feedback: self.task.feedback.as_ref().map(told),
            paths: spec.paths.clone(),
            base: self.base.clone(),
            conflicted: self.conflicted.clone(),
            profile: self.profile.clone(),
            model: ModelRef::new(self.facts.worker.0.clone(), self.facts.worker.1.clone()),
            limits: self.facts.limits.clone(),
            resume: replayed.into_iter().filter_map(journaled).collect(),
            deadline: remaining(&self.facts).map_or(attempt_ends, |run_ends| run_ends.min(attempt_ends)),
        })
    }

    async fn hand_offs(&self) -> Result<Vec<HandOff>, Broken> {
        let parents = self
            .engine
            .parts
            .store
            .parents(self.claimed.task)
            .await
            .map_err(broken)?;
        let hub = self.hub.clone();
        blocking(move || {
            parents
                .into_iter()
                .map(|parent| {
                    let paths = parent
                        .commit
                        .as_ref()
                        .map_or_else(|| Ok(Vec::new()), |commit| hub.brought(commit));
                    let summary = parent
                        .finish
                        .as_ref()
                        .and_then(|finish| finish["summary"].as_str().map(str::to_owned));
                    Ok(HandOff {
                        key: parent.key,
                        title: parent.title,
                        commit: parent.commit,
                        summary: summary.unwrap_or_default(),
                        paths: paths.map_err(broken)?.iter().map(RepoPath::to_string).collect(),
                    })
                })
                .collect()
        })
        .await
    }

    async fn toolbox(&self) -> Result<ToolBox, Broken> {
        let parts = &self.engine.parts;
        let outputs = parts
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
                shell_longest_time: Duration::from_secs(self.facts.limits.tool_s),
                ..ToolLimits::default()
            },
            shell_env: Vec::new(),
            build_caches: Vec::new(),
        };
        ToolBox::new(settings, parts.sandbox.clone()).map_err(broken)
    }

    fn journal(&self) -> AttemptJournal {
        AttemptJournal {
            engine: self.engine.clone(),
            writer: Writer {
                run: self.claimed.run,
                task: self.claimed.task,
                attempt: self.claimed.attempt_id,
                fence: self.claimed.fence,
            },
            key: self.claimed.key.clone(),
            number: self.claimed.attempt,
            hub: self.hub.clone(),
            worktree: self.worktree.clone(),
            base: self.base.clone(),
            limits: self.limits.clone(),
            cancel: self.cancel.clone(),
            changed: AtomicBool::new(false),
        }
    }

    /// Removes the worktree. Its work is in the attempt's snapshots: each result was recorded with one. None is taken
    /// here: the task may be another's by now, and so is the reference.
    async fn clear(&self) {
        let (hub, worktree) = (self.hub.clone(), self.worktree.clone());
        if let Err(error) = blocking(move || hub.remove_worktree(&worktree)).await {
            tracing::warn!(%error, "a worktree could not be removed");
        }
    }
}

/// From what a worktree is made.
struct Place {
    hub: Arc<Hub>,
    base: CommitId,
    snapshot: Option<CommitId>,
    previous: Option<CommitId>,
}

impl Place {
    /// Makes the worktree; returns the paths that hold conflict markers. What an earlier try at this task left is
    /// carried over onto the base: it goes on from its own work.
    fn make(&self, at: &std::path::Path) -> Result<Vec<String>, Broken> {
        let carried = self
            .previous
            .as_ref()
            .map(|previous| self.hub.rebase_tree(&self.base, previous));
        let carried = carried.transpose().map_err(broken)?;
        let tree: Option<TreeId> = match (&self.snapshot, &carried) {
            (Some(snapshot), _) => Some(self.hub.tree_of(snapshot).map_err(broken)?),
            (None, Some(carried)) => Some(carried.tree.clone()),
            (None, None) => None,
        };
        let start = match tree {
            Some(tree) => WorktreeStart::Carrying {
                head: self.base.clone(),
                tree,
            },
            None => WorktreeStart::At(self.base.clone()),
        };
        if let Err(error) = self.hub.add_worktree(at, &start) {
            // What is half made is in nobody's way; without it the disk is, should that be what was missing.
            self.hub.remove_worktree(at).ok();
            return Err(broken(error));
        }
        let conflicts = carried.map(|carried| carried.conflicts).unwrap_or_default();
        Ok(conflicts.iter().map(RepoPath::to_string).collect())
    }
}

/// The first changed path that the profile may not write. Commands can write anywhere in the worktree, so what the
/// tools refuse is looked at again here.
fn not_permitted(
    hub: &Hub,
    base: &CommitId,
    commit: &CommitId,
    policy: &WritePolicy,
) -> Result<Option<RepoPath>, Broken> {
    let changed = hub.changed_paths(base, commit).map_err(broken)?;
    Ok(changed
        .into_iter()
        .find(|path| !policy.permits(std::path::Path::new(&path.to_string()))))
}

fn interfaces(plan: &PlanDocument, spec: &domain::plan::PlannedTask) -> Vec<domain::plan::Interface> {
    let concerns = |id: &String| spec.provides.contains(id) || spec.needs.contains(id);
    plan.interfaces
        .iter()
        .filter(|interface| concerns(&interface.id))
        .cloned()
        .collect()
}

fn journaled(turn: store::attempt::ReplayedTurn) -> Option<JournaledTurn> {
    Some(JournaledTurn {
        turn: turn.number,
        assistant: serde_json::from_value(turn.assistant).ok()?,
        results: turn.results,
    })
}

/// What the last try was told, as the worker reads it.
fn told(feedback: &Value) -> Feedback {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Feedback {
        attempt: feedback["attempt"].as_u64().unwrap_or_default() as u32,
        reason: text(&feedback["reason"]),
        output: text(&feedback["gate"]["output"]),
    }
}

fn has_markers(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n')
        .any(|line| line.starts_with(b"<<<<<<< ") || line.starts_with(b">>>>>>> "))
}

fn broken(error: impl std::fmt::Display) -> Broken {
    Reason::new(ReasonCode::Internal, telemetry::secrets::redact(&error.to_string()))
}
