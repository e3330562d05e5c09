//! Resolves a conflict, file by file and layer by layer: generated files by their rule, hunks that were resolved before, an
//! external driver that knows the syntax, a model, a stronger model. Open files go back to the task's worker together.
//!
//! Each layer is a file here and names itself in the record. Resolutions are inserted mechanically. A decline keeps the
//! conflict; a side is never chosen just to end one.

mod describe;
mod driver;
mod files;
mod generated;
mod model;
mod output_file;
mod person_answers;
mod remembered;

use super::{Failure, entry::ActiveMerge};
use crate::{context::blocking, settings::MergeSettings};
use domain::{
    lock_files::is_lock_file,
    merge::{Decision, Layer},
};
use files::{OpenFile, OpenText};
use generated::Regeneration;
use git::{Conflict, ConflictFile, ConflictKind, RepoPath, TreeId};
use std::time::Duration;
use store::{
    resolution::{EarlierDecision, ResolutionRow},
    task::TaskDetails,
};
use telemetry::TraceContext;
use tokio_util::sync::CancellationToken;

/// How often to check that the merge goes on while its conflict is resolved.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The result for a conflict.
pub(super) enum Resolved {
    /// Every path is resolved; the tree with both sides.
    Tree(TreeId),
    /// The conflict is open, for these reasons, a line for each file.
    Undecided(String),
}

/// The state of a file after its layers.
enum FileState<'a> {
    /// It is resolved.
    Decided(git::Resolution),
    /// A command generates it again once everything else is resolved.
    AwaitsCommand(Regeneration<'a>),
    /// It is open, for this reason.
    Open(String),
}

/// Takes one conflict through the layers.
struct ConflictResolver<'a> {
    active: &'a ActiveMerge,
    settings: &'a MergeSettings,
    conflict: &'a Conflict,
    task: TaskDetails,
    /// Decisions of models in earlier rounds of this merge, the latest first.
    earlier: Vec<EarlierDecision>,
    trace: &'a TraceContext,
    /// Cancelled when the merge has ended or the process stops.
    over: CancellationToken,
}

impl ActiveMerge {
    /// Asks the layers about every file. Each resolution stays recorded, whatever the result for the others.
    pub(super) async fn resolve(&self, conflict: &Conflict, trace: &TraceContext) -> Result<Resolved, Failure> {
        let context = &self.entry.branch.context;
        let earlier = context.store.begin_round(self.entry.hold());
        let over = context.drain.child_token();
        let resolver = ConflictResolver {
            active: self,
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
        let mut resolving = std::pin::pin!(resolver.resolve_all());
        // Work in progress is ended, not dropped, so that it releases what it holds.
        tokio::select! {
            resolved = &mut resolving => resolved,
            () = watched => resolving.await,
        }
    }

    /// Waits until the merge has ended, or is another's.
    async fn until_over(&self) {
        let store = &self.entry.branch.context.store;
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            match store.is_merging(self.entry.hold()).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::debug!(%error, "could not check whether the merge goes on"),
            }
        }
    }

    /// Whether open files go back to the task's worker.
    pub(super) fn asks_the_worker(&self) -> bool {
        let context = &self.entry.branch.context;
        context
            .merge_settings(&self.entry.branch.details.workspace_path)
            .asks(Layer::Worker)
    }
}

impl ConflictResolver<'_> {
    /// The failure of work that was cancelled.
    fn interrupted(&self) -> Failure {
        match self.active.entry.branch.context.drain.is_cancelled() {
            true => Failure::Stopped,
            false => Failure::NotOurs,
        }
    }

    async fn resolve_all(&self) -> Result<Resolved, Failure> {
        let files = self.read().await?;
        let (mut decided, mut awaiting, mut open) = (Vec::new(), Vec::new(), Vec::new());
        for file in &files {
            match self.resolve_file(file).await? {
                FileState::Decided(resolution) => decided.push((file.file.path.clone(), resolution)),
                FileState::AwaitsCommand(regeneration) => awaiting.push(regeneration),
                FileState::Open(why) => open.push((&file.file, why)),
            }
        }
        if open.is_empty() && !awaiting.is_empty() {
            open = self.regenerate(&mut decided, awaiting).await?;
        } else {
            open.extend(awaiting.into_iter().map(|one| (&one.file.file, one.for_the_worker())));
        }
        if !open.is_empty() {
            return self.return_open(open).await;
        }
        match self.assemble(decided).await? {
            Ok(tree) => Ok(Resolved::Tree(tree)),
            Err(unresolved) => {
                let paths: Vec<String> = self.conflict.paths().iter().map(RepoPath::to_string).collect();
                self.record_worker(&paths.join(", "), &unresolved).await?;
                Ok(Resolved::Undecided(unresolved))
            }
        }
    }

    /// Asks the layers about one file. A person's answer, where there is one, comes before all of them.
    async fn resolve_file<'a>(&'a self, file: &'a OpenFile) -> Result<FileState<'a>, Failure> {
        if let Some(decided) = self.answered(file).await? {
            return Ok(FileState::Decided(decided));
        }
        if let Some(rule) = self.settings.rule_for(&file.path)
            && let Some(standing) = self.by_rule(file, rule).await?
        {
            return Ok(standing);
        }
        match (file.file.kind, &file.text) {
            (ConflictKind::Content | ConflictKind::AddAdd | ConflictKind::Binary, _) if is_lock_file(&file.path) => {
                Ok(FileState::Open(describe::lock_file(&file.path)))
            }
            (ConflictKind::Content, Ok(text)) => self.by_hunk(file, text).await,
            (ConflictKind::Content, Err(why)) => Ok(FileState::Open(why.clone())),
            (
                ConflictKind::AddAdd
                | ConflictKind::ModifyDelete
                | ConflictKind::RenameRename
                | ConflictKind::Binary
                | ConflictKind::Symlink
                | ConflictKind::Submodule
                | ConflictKind::Other,
                _,
            ) => Ok(FileState::Open(self.describe(file).await?)),
        }
    }

    /// Resolves a text that both sides changed. A driver is asked about the whole file, if memory does not resolve it.
    async fn by_hunk<'a>(&self, file: &OpenFile, text: &OpenText) -> Result<FileState<'a>, Failure> {
        let mut known = self.known(file, text).await?;
        if let Some(content) = self.recalled(file, text, &mut known).await? {
            return Ok(FileState::Decided(git::Resolution::Content(content)));
        }
        if let Some(content) = self.driven(file, text).await? {
            return Ok(FileState::Decided(git::Resolution::Content(content)));
        }
        self.by_model(file, text, known).await
    }

    /// The content with every hunk replaced, if it is acceptable.
    async fn whole(
        &self,
        file: &OpenFile,
        text: &OpenText,
        replaced: &[&str],
    ) -> Result<Result<Vec<u8>, String>, Failure> {
        match text.hunks.resolve(replaced) {
            Ok(content) => self.accept(file, text, content).await,
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    /// Accepts a content for the file: no markers, not too large, and it parses if every version did.
    async fn accept(
        &self,
        file: &OpenFile,
        text: &OpenText,
        content: Vec<u8>,
    ) -> Result<Result<Vec<u8>, String>, Failure> {
        if let Err(problem) = text.parses(&content) {
            return Ok(Err(problem));
        }
        self.check_content(&file.file, content).await
    }

    /// Checks that no marker is left and that the content is not too large.
    async fn check_content(&self, file: &ConflictFile, content: Vec<u8>) -> Result<Result<Vec<u8>, String>, Failure> {
        let (length, most) = (content.len(), self.settings.file_bytes);
        if length > most {
            return Ok(Err(format!(
                "the result has {length} bytes, more than merge.file_bytes = {most}"
            )));
        }
        let (hub, file) = (self.active.entry.branch.hub.clone(), file.clone());
        match blocking(move || hub.check_resolution(&file, &content).map(|()| content)).await {
            Ok(content) => Ok(Ok(content)),
            Err(git::ResolveError::Git(error)) => Err(error.into()),
            Err(marked) => Ok(Err(marked.to_string())),
        }
    }

    /// The tree with the resolutions, or why there is none.
    async fn assemble(&self, decided: Vec<(RepoPath, git::Resolution)>) -> Result<Result<TreeId, String>, Failure> {
        let (hub, conflict) = (self.active.entry.branch.hub.clone(), self.conflict.clone());
        match blocking(move || hub.with_resolutions(&conflict, decided)).await {
            Ok(tree) => Ok(Ok(tree)),
            Err(git::ResolveError::Git(error)) => Err(error.into()),
            Err(unresolved) => Ok(Err(unresolved.to_string())),
        }
    }

    /// Records all open files for the task's worker.
    async fn return_open(&self, open: Vec<(&ConflictFile, String)>) -> Result<Resolved, Failure> {
        let mut reasons = Vec::with_capacity(open.len());
        for (file, why) in open {
            let why = telemetry::secrets::redact(&why);
            let path = file.path.to_string();
            self.record_worker(&path, &why).await?;
            reasons.push(format!("{path}: {why}"));
        }
        Ok(Resolved::Undecided(reasons.join("\n")))
    }

    /// Records that the worker is asked next, if the layer is on and it has an attempt left.
    async fn record_worker(&self, path: &str, why: &str) -> Result<(), Failure> {
        match self.settings.asks(Layer::Worker) && self.active.has_attempt_left().await? {
            true => self.record_file(path, Layer::Worker, Decision::Declined, why).await,
            false => Ok(()),
        }
    }

    /// Records a decision: row, event, count.
    async fn record(&self, layer: Layer, decision: Decision, row: ResolutionRow) -> Result<(), Failure> {
        let row = ResolutionRow {
            layer: layer.as_str().into(),
            result: decision.as_str().into(),
            reason: telemetry::secrets::redact(&row.reason),
            ..row
        };
        self.active.entry.save_decision(row).await?;
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
