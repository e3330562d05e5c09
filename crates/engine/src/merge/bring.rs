//! Bringing an entry together with a tip: the trees merged, every conflict decided, a merge commit made.

use super::{
    Failure,
    entry::{Ended, Merger},
    gate, integrity,
    resolve::Resolved,
};
use crate::context::{blocking, user_git};
use domain::{CommitId, gate::GateReport, merge::MergeState, run::ReasonCode};
use git::{Conflict, MergeEngine, MergeOutcome, Refused, TreeId};
use serde_json::{Value, json};
use std::time::Instant;
use store::merge::BroughtRow;
use telemetry::span::SpanKind;

/// What became of an entry.
pub(super) enum Brought {
    /// A merge commit on the tip, for the gate to judge.
    Built(Built),
    /// It ends here.
    Ended(Ended),
    /// What becomes of it can be told only when all that goes before it has landed.
    NotAhead,
}

/// A merge commit that holds both sides.
pub(super) struct Built {
    /// What it was merged onto: its first parent.
    pub(super) tip: CommitId,
    pub(super) merged: CommitId,
    pub(super) conflicted: bool,
    /// The report of a run without a gate.
    pub(super) unchecked: Option<GateReport>,
}

/// A tree that holds both sides, and who decided it.
struct Together {
    tree: TreeId,
    method: &'static str,
    conflicts: Value,
    conflicted: bool,
}

impl Merger {
    /// Merges the entry onto `tip`. `ahead` of commits that have not landed only what merges cleanly is built: nobody
    /// is asked, and paid, about a conflict with work that may never land.
    pub(super) async fn bring(&mut self, tip: &CommitId, ahead: bool) -> Result<Brought, Failure> {
        let started = Instant::now();
        let brought = self.bring_onto(tip, ahead).await;
        if !matches!(brought, Ok(Brought::NotAhead)) {
            self.worked += started.elapsed();
        }
        brought
    }

    async fn bring_onto(&mut self, tip: &CommitId, ahead: bool) -> Result<Brought, Failure> {
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
        let together = match outcome {
            MergeOutcome::Clean(clean) => Together {
                tree: clean.tree,
                method: match clean.engine {
                    MergeEngine::Fast => "fast",
                    MergeEngine::Ort => "ort",
                },
                conflicts: json!([]),
                conflicted: false,
            },
            _ if ahead => return Ok(Brought::NotAhead),
            MergeOutcome::AlreadyMerged => return Ok(Brought::Ended(Ended::landed(tip.clone(), false))),
            MergeOutcome::NoMergeBase => {
                let message = "the work and the branch have no common history";
                return Ok(Brought::Ended(Ended::error(ReasonCode::Conflict, message, false)));
            }
            MergeOutcome::Conflicted(conflict) => match self.decide(tip, conflict).await? {
                Ok(together) => together,
                Err(rejected) => return Ok(Brought::Ended(rejected)),
            },
        };
        match self.build(tip, together).await? {
            // What it is refused for may lie in what goes before it.
            Brought::Ended(_) if ahead => Ok(Brought::NotAhead),
            brought => Ok(brought),
        }
    }

    /// The layers of resolution, file by file. The conflict is recorded before anybody is asked.
    async fn decide(&mut self, tip: &CommitId, conflict: Conflict) -> Result<Result<Together, Ended>, Failure> {
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
        self.entry.brought(MergeState::Resolving, row, vec![moved]).await?;
        let span = telemetry::span::child(&self.entry.trace, SpanKind::Resolve);
        let resolved = self.resolve(&conflict, &span.context()).await?;
        Ok(match resolved {
            Resolved::Tree(tree) => Ok(Together {
                tree,
                method: "ort",
                conflicts,
                conflicted: true,
            }),
            Resolved::Undecided(why) => Err(self.undecided(&conflict, why, paths).await?),
        })
    }

    /// Makes the merge commit. Nothing names it before it lands or is rejected: one that is put down before that is
    /// made anew.
    async fn build(&mut self, tip: &CommitId, together: Together) -> Result<Brought, Failure> {
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
            together.tree.clone(),
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
                    .rejected(ReasonCode::Worker, &refused.to_string(), together.conflicted);
                return Ok(Brought::Ended(ended));
            }
        };
        let unchecked = (!self.entry.branch.is_gated()).then(GateReport::not_configured);
        let row = BroughtRow {
            tip,
            method: together.method,
            conflicts: &together.conflicts,
            merged: Some((&merged, together.tree.0.as_str())),
            gate: unchecked.as_ref(),
        };
        let mut details = vec![self.entry.moved(MergeState::Verifying, Vec::new())];
        details.extend(unchecked.as_ref().map(|report| gate::finished(&self.entry, report)));
        self.entry.brought(MergeState::Verifying, row, details).await?;
        if unchecked.is_some() {
            let flags = integrity::of_tree(&self.entry, tip, &merged).await?;
            self.entry.ungated(&flags).await?;
        }
        Ok(Brought::Built(Built {
            tip: tip.clone(),
            merged,
            conflicted: together.conflicted,
            unchecked,
        }))
    }
}
