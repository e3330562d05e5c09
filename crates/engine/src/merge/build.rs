//! Building: merges an entry onto a commit, resolves its conflicts, and makes the merge commit.

use super::{Failure, end::Ended, entry::ActiveMerge, gate, integrity, resolve::Resolved};
use crate::context::{blocking, user_git};
use domain::{CommitId, gate::GateReport, merge::MergeState, run::ReasonCode};
use git::{Conflict, MergeEngine, MergeOutcome, Refused, TreeId};
use serde_json::{Value, json};
use std::time::Instant;
use store::merge::BroughtRow;
use telemetry::span::SpanKind;

/// The outcome of building an entry.
pub(super) enum BuildOutcome {
    /// A merge commit for the gate.
    Built(Built),
    /// The entry ends here.
    Ended(Ended),
    /// It can only be built when everything before it has landed.
    NotAhead,
}

/// A merge commit.
pub(super) struct Built {
    /// The commit it was merged onto, its first parent.
    pub(super) tip: CommitId,
    pub(super) merged: CommitId,
    pub(super) conflicted: bool,
    /// The report of a run without a gate.
    pub(super) unchecked: Option<GateReport>,
}

/// A tree with both sides merged, and how.
struct MergedTree {
    tree: TreeId,
    method: &'static str,
    conflicts: Value,
    conflicted: bool,
}

impl ActiveMerge {
    /// Merges the entry onto `tip`. `ahead` of its turn, on commits that have not landed, only clean merges are built:
    /// no model is paid to resolve a conflict with work that may never land.
    pub(super) async fn build(&mut self, tip: &CommitId, ahead: bool) -> Result<BuildOutcome, Failure> {
        let started = Instant::now();
        let outcome = self.build_onto(tip, ahead).await;
        if !matches!(outcome, Ok(BuildOutcome::NotAhead)) {
            self.worked += started.elapsed();
        }
        outcome
    }

    async fn build_onto(&mut self, tip: &CommitId, ahead: bool) -> Result<BuildOutcome, Failure> {
        let (hub, onto, work) = (
            self.entry.branch.hub.clone(),
            tip.clone(),
            self.entry.merge.commit.clone(),
        );
        let submission = git::refs::submission(&self.entry.branch.details.id, &self.entry.merge.key, &work);
        let outcome = blocking(move || {
            hub.follow_fixed(&submission)?;
            hub.merge(&onto, &work)
        })
        .await?;
        let merged_tree = match outcome {
            MergeOutcome::Clean(clean) => MergedTree {
                tree: clean.tree,
                method: match clean.engine {
                    MergeEngine::Fast => "fast",
                    MergeEngine::Ort => "ort",
                },
                conflicts: json!([]),
                conflicted: false,
            },
            _ if ahead => return Ok(BuildOutcome::NotAhead),
            MergeOutcome::AlreadyMerged => return Ok(BuildOutcome::Ended(Ended::landed(tip.clone(), false))),
            MergeOutcome::NoMergeBase => {
                let message = "the work and the branch have no common history";
                return Ok(BuildOutcome::Ended(Ended::error(ReasonCode::Conflict, message, false)));
            }
            MergeOutcome::Conflicted(conflict) => match self.resolve_conflict(tip, conflict).await? {
                Ok(merged_tree) => merged_tree,
                Err(rejected) => return Ok(BuildOutcome::Ended(rejected)),
            },
        };
        match self.commit(tip, merged_tree).await? {
            // The cause may be in an entry before it.
            BuildOutcome::Ended(_) if ahead => Ok(BuildOutcome::NotAhead),
            outcome => Ok(outcome),
        }
    }

    /// Resolves a conflict, layer by layer. It is recorded before any layer is asked.
    async fn resolve_conflict(
        &mut self,
        tip: &CommitId,
        conflict: Conflict,
    ) -> Result<Result<MergedTree, Ended>, Failure> {
        let paths: Vec<String> = conflict.files.iter().map(|file| file.path.to_string()).collect();
        let conflicts = serde_json::to_value(&conflict.files).unwrap_or_else(|_| json!(paths));
        let row = BroughtRow {
            tip,
            method: "ort",
            conflicts: &conflicts,
            merged: None,
            gate: None,
        };
        let moved = self.entry.moved(MergeState::Resolving, paths.clone());
        self.entry.save_built(MergeState::Resolving, row, vec![moved]).await?;
        let span = telemetry::span::child(&self.entry.trace, SpanKind::Resolve);
        let resolved = self.resolve(&conflict, &span.context()).await?;
        Ok(match resolved {
            Resolved::Tree(tree) => Ok(MergedTree {
                tree,
                method: "ort",
                conflicts,
                conflicted: true,
            }),
            Resolved::Undecided(why) => Err(self.end_unresolved(&conflict, why, paths).await?),
        })
    }

    /// Makes the merge commit. No reference names it before it lands or is rejected; after a release it is made again.
    async fn commit(&mut self, tip: &CommitId, merged_tree: MergedTree) -> Result<BuildOutcome, Failure> {
        let title = match self
            .entry
            .branch
            .context
            .store
            .task_details(self.entry.merge.task)
            .await?
        {
            Some(task) => task.title,
            None => return Err(Failure::NotOurs),
        };
        let stamp = self.entry.branch.context.stamp(format!(
            "Merge {}: {title}\n\nRun: {}\nTask: {}\nAttempt: {}\n",
            self.entry.merge.key, self.entry.branch.details.id, self.entry.merge.key, self.entry.merge.attempt
        ));
        let (hub, tree, onto, work) = (
            self.entry.branch.hub.clone(),
            merged_tree.tree.clone(),
            tip.clone(),
            self.entry.merge.commit.clone(),
        );
        // Against the base of the run: attributes that one task adds may apply to what another wrote.
        let base = self.entry.branch.details.base.clone().unwrap_or_else(|| tip.clone());
        let (context, details) = (self.entry.branch.context.clone(), self.entry.branch.details.clone());
        let merged = blocking(move || {
            let merged = hub.commit_merge(&tree, &onto, &work, &stamp)?;
            let attributes = user_git::attributes(&context, &details);
            hub.check(&base, &merged, &attributes).map(|()| merged)
        })
        .await;
        let merged = match merged {
            Ok(merged) => merged,
            Err(Refused::Git(error)) => return Err(error.into()),
            Err(refused) => {
                let ended = self
                    .entry
                    .rejected(ReasonCode::Worker, &refused.to_string(), merged_tree.conflicted);
                return Ok(BuildOutcome::Ended(ended));
            }
        };
        let unchecked = (!self.entry.branch.is_gated()).then(GateReport::not_configured);
        let row = BroughtRow {
            tip,
            method: merged_tree.method,
            conflicts: &merged_tree.conflicts,
            merged: Some((&merged, merged_tree.tree.0.as_str())),
            gate: unchecked.as_ref(),
        };
        let mut events = vec![self.entry.moved(MergeState::Verifying, Vec::new())];
        events.extend(unchecked.as_ref().map(|report| gate::event(&self.entry, report)));
        self.entry.save_built(MergeState::Verifying, row, events).await?;
        if unchecked.is_some() {
            let flags = integrity::of_tree(&self.entry, tip, &merged).await?;
            self.entry.save_flags(&flags).await?;
        }
        Ok(BuildOutcome::Built(Built {
            tip: tip.clone(),
            merged,
            conflicted: merged_tree.conflicted,
            unchecked,
        }))
    }
}
