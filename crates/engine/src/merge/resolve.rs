//! Deciding a conflict: a model per hunk for texts that both sides changed; everything else goes back to the
//! task's own worker with the conflict. What is decided is put in mechanically; a decline keeps the conflict.

use super::{Failure, entry::Merger};
use crate::{engine::blocking, ports::Account};
use agents::resolver::{self, ConflictOrder};
use domain::{CommitId, event::Fact, run::ReasonCode};
use git::{Conflict, ConflictFile, ConflictKind, ConflictedText, Hub, RepoPath, TreeId};
use llm::ModelRef;
use std::time::{Duration, Instant};
use store::merge::{LandedWork, ResolutionRow};
use telemetry::TraceContext;

/// Decided lines around a hunk that the model is shown.
const SURROUNDING_LINES: usize = 20;
/// How much of each side's difference in the file is at hand.
const DIFF_BYTES: usize = 16 << 10;
/// How long one decision may take.
const DECISION_LIMIT: Duration = Duration::from_secs(600);

/// What became of a conflict.
pub(super) enum Resolved {
    /// Every path is decided; this tree holds both sides.
    Tree(TreeId),
    /// Somebody declined, or nobody could be asked: the conflict stands, for the reason given.
    Undecided(String),
}

/// A file on its way to a decision.
struct OpenFile {
    file: ConflictFile,
    text: ConflictedText,
    ours_intent: String,
    diffs: [String; 2],
}

impl Merger {
    /// Decides file by file and hunk by hunk; the first that stays open ends it.
    pub(super) async fn resolve(&self, conflict: &Conflict, trace: &TraceContext) -> Result<Resolved, Failure> {
        self.engine.parts.store.clear_resolutions(self.merge.id).await?;
        let mut decided = Vec::new();
        for (file, open) in conflict.files.iter().zip(self.read(conflict).await?) {
            let open = match open {
                Ok(open) => open,
                Err(why) => return self.back_to_worker(file, why).await,
            };
            match self.decide_file(&open, trace).await? {
                Ok(content) => decided.push((file.path.clone(), git::Resolution::Content(content))),
                Err(why) => return Ok(Resolved::Undecided(why)),
            }
        }
        let (hub, conflict) = (self.hub.clone(), conflict.clone());
        Ok(match blocking(move || hub.with_resolutions(&conflict, decided)).await {
            Ok(tree) => Resolved::Tree(tree),
            Err(git::ResolveError::Git(error)) => return Err(error.into()),
            Err(unresolved) => Resolved::Undecided(unresolved.to_string()),
        })
    }

    /// What git knows of each file, for whoever decides; in words, why a conflict is not for a model.
    async fn read(&self, conflict: &Conflict) -> Result<Vec<Result<OpenFile, String>>, Failure> {
        let landed = self.engine.parts.store.landed_work(self.facts.id).await?;
        let (hub, conflict, begun) = (self.hub.clone(), conflict.clone(), self.facts.base.clone());
        let read = blocking(move || {
            let brought = landed.into_iter().map(|work| Ok((hub.brought(&work.commit)?, work)));
            let brought = brought.collect::<Result<Vec<_>, git::GitError>>()?;
            let open = |file| open(&hub, &conflict, file, &brought, begun.as_ref());
            Ok::<_, git::GitError>(conflict.files.iter().map(open).collect())
        });
        Ok(read.await?)
    }

    async fn decide_file(&self, open: &OpenFile, trace: &TraceContext) -> Result<Result<Vec<u8>, String>, Failure> {
        let mut replacements = Vec::new();
        for index in 0..open.text.hunks().count() {
            match self.decide_hunk(open, index, trace).await? {
                Ok(text) => replacements.push(text),
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(open
            .text
            .resolve(&replacements)
            .map_err(|error| format!("{}: {error}", open.file.path)))
    }

    async fn decide_hunk(
        &self,
        open: &OpenFile,
        index: usize,
        trace: &TraceContext,
    ) -> Result<Result<String, String>, Failure> {
        let order = self.order(open, index).await?;
        let account = Account {
            engine: self.engine.clone(),
            run: self.facts.id,
            task: Some(self.merge.task),
            attempt: None,
        };
        let models = &self.engine.parts.models;
        let asked = resolver::resolve(&order, models, &account, Some(trace));
        let answer = self
            .engine
            .parts
            .drain
            .run_until_cancelled(asked)
            .await
            .ok_or(Failure::Stopped)?;
        let (result, text, reason) = match answer {
            Ok(resolver::Resolution::Replace { text, reason, .. }) => ("resolved", Some(text), reason),
            Ok(resolver::Resolution::Decline { reason }) => ("declined", None, reason),
            Err(reason) if reason.code == ReasonCode::Asked => return Err(Failure::NotOurs),
            Err(reason) => ("failed", None, reason.message),
        };
        let row = ResolutionRow {
            path: order.file,
            hunk: order.hunk,
            layer: "model".into(),
            result: result.into(),
            texts: [order.base, order.ours, order.theirs],
            text: text.clone(),
            reason: telemetry::secrets::redact(&reason),
        };
        self.decided(&row, "model", result).await?;
        Ok(text.ok_or_else(|| format!("the conflict in {} stands: {}", row.path, row.reason)))
    }

    async fn order(&self, open: &OpenFile, index: usize) -> Result<ConflictOrder, Failure> {
        let task = self
            .engine
            .parts
            .store
            .task_facts(self.merge.task)
            .await?
            .ok_or(Failure::NotOurs)?;
        let hunk = open.text.hunks().nth(index).cloned();
        let hunk = hunk.ok_or_else(|| Failure::Passing(format!("hunk {index} of {} is gone", open.file.path)))?;
        let (before, after) = open.text.surroundings(index, SURROUNDING_LINES);
        let [ours_diff, theirs_diff] = open.diffs.clone();
        let path = open.file.path.to_string();
        Ok(ConflictOrder {
            task: self.merge.key.clone(),
            language: path.rsplit_once('.').map(|(_, ending)| ending.to_owned()),
            file: path,
            hunk: index as u32 + 1,
            hunks: open.text.hunks().count() as u32,
            base: hunk.base,
            ours: hunk.ours,
            theirs: hunk.theirs,
            before,
            after,
            ours_intent: open.ours_intent.clone(),
            theirs_intent: format!("{} ({}): {}", task.key, task.title, task.spec.instructions),
            ours_diff,
            theirs_diff,
            model: ModelRef::new(self.facts.worker.0.clone(), self.facts.worker.1.clone()),
            deadline: Some(Instant::now() + DECISION_LIMIT),
        })
    }

    /// A conflict that is not for a model: recorded, and told to the task's own worker.
    async fn back_to_worker(&self, file: &ConflictFile, why: String) -> Result<Resolved, Failure> {
        let row = ResolutionRow {
            path: file.path.to_string(),
            hunk: 0,
            layer: "worker".into(),
            result: "declined".into(),
            texts: Default::default(),
            text: None,
            reason: why.clone(),
        };
        self.decided(&row, "worker", "declined").await?;
        Ok(Resolved::Undecided(why))
    }

    async fn decided(&self, row: &ResolutionRow, layer: &'static str, result: &'static str) -> Result<(), Failure> {
        self.engine.parts.store.save_resolution(self.merge.id, row).await?;
        telemetry::merge::conflict_resolved(layer, result);
        self.log(Fact::ConflictDecided {
            merge: self.merge.id,
            path: row.path.clone(),
            layer: row.layer.clone(),
            result: row.result.clone(),
            reason: row.reason.clone(),
        })
        .await
    }
}

/// The hunks of a text that both sides changed; in words, why another conflict is not for a model.
fn open(
    hub: &Hub,
    conflict: &Conflict,
    file: &ConflictFile,
    landed: &[(Vec<RepoPath>, LandedWork)],
    begun: Option<&CommitId>,
) -> Result<OpenFile, String> {
    if file.kind != ConflictKind::Content {
        return Err(format!("{}: {}", file.path, in_words(file.kind)));
    }
    let text = hub.hunks(conflict, file).map_err(|error| error.to_string())?;
    let ours = landed.iter().filter(|(paths, _)| paths.contains(&file.path));
    let ours_intent = ours
        .map(|(_, work)| format!("{} ({}): {}\n", work.key, work.title, work.instructions))
        .collect();
    let diff = |side| match conflict.base.as_ref().or(begun) {
        Some(base) => hub.file_diff(base, side, &file.path, DIFF_BYTES).unwrap_or_default(),
        None => String::new(),
    };
    let diffs = [diff(&conflict.tip), diff(&conflict.theirs)];
    Ok(OpenFile {
        file: file.clone(),
        text,
        ours_intent,
        diffs,
    })
}

/// What meets there, and that it is the worker's to decide.
fn in_words(kind: ConflictKind) -> &'static str {
    match kind {
        ConflictKind::Content => "both sides changed the same lines; decide what they are to be",
        ConflictKind::AddAdd => "both sides added a file of this name; decide what it is to hold",
        ConflictKind::ModifyDelete => "one side changed what the other deleted; decide whether it stays",
        ConflictKind::RenameRename => "both sides renamed it; decide its name",
        ConflictKind::Binary => "both sides changed a file that is not text; decide which version stays",
        ConflictKind::Symlink => "a symbolic link is involved; decide what it is to be",
        ConflictKind::Submodule => "a submodule is involved; decide its commit",
        ConflictKind::Other => "a file meets a folder, or a renamed folder is unclear; decide where things go",
    }
}
