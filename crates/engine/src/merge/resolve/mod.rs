//! Deciding a conflict, file by file, layer by layer: generated files by their rule, hunks that were decided before,
//! an external driver that knows the syntax, a model and a stronger one after it. What stays open goes back to the
//! task's own worker, all of it at once.
//!
//! Each layer is a file here and names itself in the record. What is decided is put in mechanically; a decline keeps
//! the conflict, and nobody's side is ever taken to end one.

mod answered;
mod driver;
mod generated;
mod model;
mod place;
mod read;
mod remembered;
mod words;

use super::{Failure, entry::Merger};
use crate::{context::blocking, settings::MergeSettings};
use domain::merge::{Decision, Layer};
use generated::Regeneration;
use git::{Conflict, ConflictFile, ConflictKind, RepoPath, TreeId};
use read::{OpenFile, OpenText};
use std::time::Duration;
use store::{
    resolution::{EarlierDecision, ResolutionRow},
    task::TaskDetails,
};
use telemetry::TraceContext;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether the merge goes on while its conflict is resolved.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What became of a conflict.
pub(super) enum Resolved {
    /// Every path is decided; this tree holds both sides.
    Tree(TreeId),
    /// Somebody declined, or nobody could be asked: the conflict stands, for the reasons given, a line for each file.
    Undecided(String),
}

/// Where a file stands after its layers.
enum Standing<'a> {
    /// It is decided.
    Decided(git::Resolution),
    /// It is made anew once everything else is decided.
    Awaits(Regeneration<'a>),
    /// Nobody decided it, for this reason.
    Open(String),
}

/// One conflict on its way through the layers.
struct Ladder<'a> {
    merger: &'a Merger,
    settings: &'a MergeSettings,
    conflict: &'a Conflict,
    task: TaskDetails,
    /// What models decided in earlier rounds of this merge, the latest first.
    earlier: Vec<EarlierDecision>,
    trace: &'a TraceContext,
    /// The merge has ended, or the process is being stopped: what is under way for it ends.
    over: CancellationToken,
}

impl Merger {
    /// Asks the layers about every file. What was decided stays recorded, whatever became of the others.
    pub(super) async fn resolve(&self, conflict: &Conflict, trace: &TraceContext) -> Result<Resolved, Failure> {
        let context = &self.entry.branch.context;
        let earlier = context.store.begin_round(self.entry.hold());
        let over = context.drain.child_token();
        let ladder = Ladder {
            merger: self,
            over: over.clone(),
            settings: context.merge_settings(&self.entry.branch.details.workspace_path),
            conflict,
            earlier: earlier.await?.ok_or(Failure::NotOurs)?,
            task: context
                .store
                .task_details(self.entry.merge.task)
                .await?
                .ok_or(Failure::NotOurs)?,
            trace,
        };
        let watched = async {
            self.until_over().await;
            over.cancel();
        };
        let mut climbing = std::pin::pin!(ladder.climb());
        // What is under way is ended, not dropped: it gives back what it holds.
        tokio::select! {
            resolved = &mut climbing => resolved,
            () = watched => climbing.await,
        }
    }

    /// Waits until the merge has ended, or is another's.
    async fn until_over(&self) {
        let store = &self.entry.branch.context.store;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match store.is_merging(self.entry.hold()).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::debug!(%error, "whether a merge goes on could not be read"),
            }
        }
    }

    /// Whether what stays open goes back to the task's worker.
    pub(super) fn asks_the_worker(&self) -> bool {
        let context = &self.entry.branch.context;
        context
            .merge_settings(&self.entry.branch.details.workspace_path)
            .asks(Layer::Worker)
    }
}

impl Ladder<'_> {
    /// What it means that something was ended in the middle.
    fn interrupted(&self) -> Failure {
        match self.merger.entry.branch.context.drain.is_cancelled() {
            true => Failure::Stopped,
            false => Failure::NotOurs,
        }
    }

    async fn climb(&self) -> Result<Resolved, Failure> {
        let files = self.read().await?;
        let (mut decided, mut awaiting, mut open) = (Vec::new(), Vec::new(), Vec::new());
        for file in &files {
            match self.stand(file).await? {
                Standing::Decided(resolution) => decided.push((file.file.path.clone(), resolution)),
                Standing::Awaits(regeneration) => awaiting.push(regeneration),
                Standing::Open(why) => open.push((&file.file, why)),
            }
        }
        if open.is_empty() && !awaiting.is_empty() {
            open = self.regenerate(&mut decided, awaiting).await?;
        } else {
            open.extend(awaiting.into_iter().map(|one| (&one.file.file, one.for_the_worker())));
        }
        if !open.is_empty() {
            return self.left_open(open).await;
        }
        match self.assemble(decided).await? {
            Ok(tree) => Ok(Resolved::Tree(tree)),
            Err(unresolved) => {
                let paths: Vec<String> = self.conflict.paths().iter().map(RepoPath::to_string).collect();
                self.hand_over(&paths.join(", "), &unresolved).await?;
                Ok(Resolved::Undecided(unresolved))
            }
        }
    }

    /// The layers for one file. An answer of a person's, where there is one, goes before all of them.
    async fn stand<'a>(&'a self, file: &'a OpenFile) -> Result<Standing<'a>, Failure> {
        if let Some(decided) = self.answered(file).await? {
            return Ok(Standing::Decided(decided));
        }
        if let Some(rule) = self.settings.rule_for(&file.path)
            && let Some(standing) = self.by_rule(file, rule).await?
        {
            return Ok(standing);
        }
        match (file.file.kind, &file.text) {
            (ConflictKind::Content | ConflictKind::AddAdd | ConflictKind::Binary, _)
                if words::is_lock_file(&file.path) =>
            {
                Ok(Standing::Open(words::lock_file(&file.path)))
            }
            (ConflictKind::Content, Ok(text)) => self.by_hunk(file, text).await,
            (ConflictKind::Content, Err(why)) => Ok(Standing::Open(why.clone())),
            (
                ConflictKind::AddAdd
                | ConflictKind::ModifyDelete
                | ConflictKind::RenameRename
                | ConflictKind::Binary
                | ConflictKind::Symlink
                | ConflictKind::Submodule
                | ConflictKind::Other,
                _,
            ) => Ok(Standing::Open(self.in_words(file).await?)),
        }
    }

    /// A text that both sides changed. A driver is asked about the whole file, and only where memory does not do.
    async fn by_hunk<'a>(&self, file: &OpenFile, text: &OpenText) -> Result<Standing<'a>, Failure> {
        let mut known = self.known(file, text).await?;
        if let Some(content) = self.recalled(file, text, &mut known).await? {
            return Ok(Standing::Decided(git::Resolution::Content(content)));
        }
        if let Some(content) = self.driven(file, text).await? {
            return Ok(Standing::Decided(git::Resolution::Content(content)));
        }
        self.by_model(file, text, known).await
    }

    /// The content with every hunk replaced, if it is one that may stand.
    async fn whole(
        &self,
        file: &OpenFile,
        text: &OpenText,
        replaced: &[&str],
    ) -> Result<Result<Vec<u8>, String>, Failure> {
        match text.hunks.resolve(replaced) {
            Ok(content) => self.may_stand(file, text, content).await,
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    /// Whether a content may stand in the file's place: no markers, not too large, and it parses if every version did.
    async fn may_stand(
        &self,
        file: &OpenFile,
        text: &OpenText,
        content: Vec<u8>,
    ) -> Result<Result<Vec<u8>, String>, Failure> {
        if let Err(problem) = text.parses(&content) {
            return Ok(Err(problem));
        }
        self.is_whole(&file.file, content).await
    }

    /// No marker is left in it, and it is not too large.
    async fn is_whole(&self, file: &ConflictFile, content: Vec<u8>) -> Result<Result<Vec<u8>, String>, Failure> {
        let (length, most) = (content.len(), self.settings.file_bytes);
        if length > most {
            return Ok(Err(format!(
                "the result has {length} bytes, more than merge.file_bytes = {most}"
            )));
        }
        let (hub, file) = (self.merger.entry.branch.hub.clone(), file.clone());
        match blocking(move || hub.check_resolution(&file, &content).map(|()| content)).await {
            Ok(content) => Ok(Ok(content)),
            Err(git::ResolveError::Git(error)) => Err(error.into()),
            Err(marked) => Ok(Err(marked.to_string())),
        }
    }

    /// The tree with what was decided; in words, why there is none.
    async fn assemble(&self, decided: Vec<(RepoPath, git::Resolution)>) -> Result<Result<TreeId, String>, Failure> {
        let (hub, conflict) = (self.merger.entry.branch.hub.clone(), self.conflict.clone());
        match blocking(move || hub.with_resolutions(&conflict, decided)).await {
            Ok(tree) => Ok(Ok(tree)),
            Err(git::ResolveError::Git(error)) => Err(error.into()),
            Err(unresolved) => Ok(Err(unresolved.to_string())),
        }
    }

    /// What nobody decided, told to the task's worker in one piece.
    async fn left_open(&self, open: Vec<(&ConflictFile, String)>) -> Result<Resolved, Failure> {
        let mut told = Vec::with_capacity(open.len());
        for (file, why) in open {
            let why = telemetry::secrets::redact(&why);
            let path = file.path.to_string();
            self.hand_over(&path, &why).await?;
            told.push(format!("{path}: {why}"));
        }
        Ok(Resolved::Undecided(told.join("\n")))
    }

    /// Records that the worker is asked next, if workers are asked in this workspace and it has a try left.
    async fn hand_over(&self, path: &str, why: &str) -> Result<(), Failure> {
        match self.settings.asks(Layer::Worker) && self.merger.has_a_try_left().await? {
            true => self.record_file(path, Layer::Worker, Decision::Declined, why).await,
            false => Ok(()),
        }
    }

    /// One row, one event, one count.
    async fn record(&self, layer: Layer, decision: Decision, row: ResolutionRow) -> Result<(), Failure> {
        let row = ResolutionRow {
            layer: layer.as_str().into(),
            result: decision.as_str().into(),
            reason: telemetry::secrets::redact(&row.reason),
            ..row
        };
        self.merger.entry.decided(row).await?;
        telemetry::merge::conflict_resolved(layer.as_str(), decision.as_str());
        Ok(())
    }

    /// A row about a whole file.
    async fn record_file(
        &self,
        path: &str,
        layer: Layer,
        decision: Decision,
        reason: impl Into<String>,
    ) -> Result<(), Failure> {
        let row = ResolutionRow {
            path: path.to_owned(),
            reason: reason.into(),
            ..ResolutionRow::default()
        };
        self.record(layer, decision, row).await
    }
}
