//! From a queue entry to an end: merge onto the tip, resolve, verify, land. The way of `docs/ARCHITECTURE.md`,
//! "A merge".

use super::{Ended, Failure, Merger, gate, land::Validated, resolve::Resolved};
use crate::engine::blocking;
use domain::{
    CommitId,
    event::Fact,
    merge::{GateVerdict, MergeState},
    run::ReasonCode,
};
use git::{Conflict, MergeEngine, MergeOutcome, TreeId};
use serde_json::{Value, json};
use telemetry::{merge::GateResult, span::SpanKind};

/// A tree that holds both sides, and who decided it.
struct Brought {
    tree: TreeId,
    how: &'static str,
    conflicts: Value,
    conflicted: bool,
}

impl Merger<'_> {
    /// Takes the entry as far as it goes.
    pub(super) async fn bring_in(&mut self) -> Result<Ended, Failure> {
        if self.merge.intended {
            return self.recover_landing().await;
        }
        self.enter(MergeState::Merging, Vec::new()).await?;
        let integration = git::refs::integration(&self.facts.id);
        let (hub, branch) = (self.hub.clone(), integration.clone());
        let tip = blocking(move || hub.tip(&branch))
            .await?
            .ok_or_else(|| Failure::Passing(format!("the branch {integration} is gone from the hub")))?;
        let (hub, onto, work) = (self.hub.clone(), tip.clone(), self.merge.commit.clone());
        let brought = match blocking(move || hub.merge(&onto, &work)).await? {
            MergeOutcome::AlreadyMerged => return Ok(Ended::landed(tip, false)),
            MergeOutcome::NoMergeBase => {
                return Ok(Ended::error(
                    ReasonCode::Conflict,
                    "the work and the branch have no common history",
                    false,
                ));
            }
            MergeOutcome::Clean(clean) => Brought {
                tree: clean.tree,
                how: match clean.engine {
                    MergeEngine::Fast => "fast",
                    MergeEngine::Ort => "ort",
                },
                conflicts: json!([]),
                conflicted: false,
            },
            MergeOutcome::Conflicted(conflict) => match self.decide(&tip, conflict).await? {
                Ok(brought) => brought,
                Err(rejected) => return Ok(rejected),
            },
        };
        self.verify(tip, brought).await
    }

    /// The layers of resolution, file by file. The conflict is recorded before anybody is asked.
    async fn decide(&mut self, tip: &CommitId, conflict: Conflict) -> Result<Result<Brought, Ended>, Failure> {
        let paths: Vec<String> = conflict.files.iter().map(|file| file.path.to_string()).collect();
        let conflicts = serde_json::to_value(&conflict.files).unwrap_or_else(|_| json!(paths));
        self.engine
            .parts
            .store
            .save_merged(self.merge.id, tip, "ort", &conflicts, None)
            .await?;
        self.enter(MergeState::Resolving, paths.clone()).await?;
        let span = telemetry::span::child(&self.trace, SpanKind::Resolve);
        let resolved = self.resolve(&conflict, &span.context()).await?;
        Ok(match resolved {
            Resolved::Tree(tree) => Ok(Brought {
                tree,
                how: "ort",
                conflicts,
                conflicted: true,
            }),
            Resolved::Undecided(why) => {
                let told = json!({ "conflicts": paths });
                Err(self.rejected(ReasonCode::Conflict, why, told, true))
            }
        })
    }

    /// The gate on the merge commit, outside any transaction; what passes may land.
    async fn verify(&mut self, tip: CommitId, brought: Brought) -> Result<Ended, Failure> {
        let title = match self.engine.parts.store.task_facts(self.merge.task).await? {
            Some(task) => task.title,
            None => return Err(Failure::NotOurs),
        };
        let stamp = self.engine.parts.stamp(format!(
            "Merge {}: {title}\n\nRun: {}\nTask: {}\nAttempt: {}\n",
            self.merge.key, self.facts.id, self.merge.key, self.merge.attempt
        ));
        let (hub, tree, onto, work) = (
            self.hub.clone(),
            brought.tree.clone(),
            tip.clone(),
            self.merge.commit.clone(),
        );
        let (run, key) = (self.facts.id, self.merge.key.clone());
        let merged = blocking(move || -> Result<CommitId, git::GitError> {
            let merged = hub.commit_merge(&tree, &onto, &work, &stamp)?;
            hub.pin(&git::refs::candidate(&run, &key, &merged), &merged)?;
            Ok(merged)
        })
        .await?;
        let known = Some((&merged, brought.tree.0.as_str()));
        let store = &self.engine.parts.store;
        store
            .save_merged(self.merge.id, &tip, brought.how, &brought.conflicts, known)
            .await?;
        self.enter(MergeState::Verifying, Vec::new()).await?;
        let report = self.run_gate(&merged).await?;
        match report.verdict {
            GateVerdict::Passed | GateVerdict::NotConfigured => {
                self.land(Validated::new(tip, merged, brought.conflicted)).await
            }
            GateVerdict::Failed | GateVerdict::CouldNotRun => {
                let told = json!({ "gate": {
                    "command": report.command, "exit": report.exit, "output": report.output,
                    "failing": report.failing,
                }});
                Ok(self.rejected(ReasonCode::Gate, report.sentence(), told, brought.conflicted))
            }
        }
    }

    async fn run_gate(&mut self, merged: &CommitId) -> Result<gate::GateReport, Failure> {
        let started = std::time::Instant::now();
        let mut span = telemetry::span::child(&self.trace, SpanKind::Gate);
        let checked = gate::check_merge(self.engine, self.facts, &self.hub, self.merge.id, self.fence, merged).await;
        self.gate_time += started.elapsed();
        let report = checked.map_err(|error| match error {
            gate::GateError::Stopped => Failure::Stopped,
            other => Failure::Passing(other.to_string()),
        })?;
        let result = match report.verdict {
            GateVerdict::Passed => GateResult::Passed,
            GateVerdict::Failed => GateResult::Failed,
            GateVerdict::CouldNotRun => GateResult::CouldNotRun,
            GateVerdict::NotConfigured => GateResult::NotConfigured,
        };
        telemetry::merge::gate_finished(result, started.elapsed());
        if !matches!(report.verdict, GateVerdict::Passed | GateVerdict::NotConfigured) {
            span.fail(report.verdict.as_str());
        }
        drop(span);
        let kept = serde_json::to_value(&report).map_err(|error| Failure::Passing(error.to_string()))?;
        self.engine.parts.store.save_gate(self.merge.id, &kept).await?;
        self.log(Fact::GateFinished {
            merge: self.merge.id,
            verdict: report.verdict,
            passed: report.passed,
            failed: report.failed,
            duration_ms: report.duration_ms,
        })
        .await?;
        Ok(report)
    }
}
