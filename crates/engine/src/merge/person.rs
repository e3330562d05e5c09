//! The last layer: a person.
//!
//! An open conflict does not fail a task that cost money: its merge leaves the queue, which goes on without it, until a
//! person has answered. The gate judges a person's answer like any other resolution.

use super::{
    Failure,
    end::{Ended, Question},
    entry::ActiveMerge,
};
use domain::{
    merge::{Choice, Layer, MergeEnd},
    run::{Reason, ReasonCode},
};
use git::{Conflict, ConflictFile, Version};
use store::{resolution::ResolutionRow, waiting::AnswerRow};

impl ActiveMerge {
    /// Whether a person is asked about open conflicts.
    fn asks_a_person(&self) -> bool {
        let context = &self.entry.branch.context;
        context
            .merge_settings(&self.entry.branch.details.workspace_path)
            .asks(Layer::Person)
    }

    /// Ends work with an open conflict: it goes back to its worker while that has an attempt left, else a person is asked.
    /// Without both layers the task fails.
    pub(super) async fn end_unresolved(
        &self,
        conflict: &Conflict,
        why: String,
        paths: Vec<String>,
    ) -> Result<Ended, Failure> {
        let ended = self
            .entry
            .rejected(ReasonCode::Conflict, &why, true)
            .with_conflicts(&paths);
        match (self.asks_the_worker(), self.asks_a_person()) {
            (false, false) => return Ok(Ended::error(ReasonCode::Conflict, why, true)),
            (true, false) => return Ok(ended),
            (true, true) if self.has_attempt_left().await? => return Ok(ended),
            (true | false, true) => {}
        }
        let outdated = self.outdated(conflict).await?;
        let why = match outdated.is_empty() {
            true => why,
            false => format!(
                "{}: the branch has moved, and the conflict is no longer the one that was decided. {why}",
                outdated.join(", ")
            ),
        };
        Ok(ask_instead(ended, paths, why))
    }

    /// Replaces the end of work that failed the gate, where a person decided and the worker has no attempt left: the person
    /// is asked again about every path of the conflict, with the gate's report.
    pub(super) async fn or_ask_person(&self, ended: Ended) -> Result<Ended, Failure> {
        let answers = self
            .entry
            .branch
            .context
            .store
            .person_answers(self.entry.merge.id)
            .await?;
        if !ended.conflicted || answers.is_empty() || !self.asks_a_person() || self.has_attempt_left().await? {
            return Ok(ended);
        }
        let asked = self.entry.branch.context.store.asked_merge(self.entry.merge.id).await?;
        let paths = asked.ok_or(Failure::NotOurs)?.conflicts;
        let why = match &ended.end {
            MergeEnd::Rejected { reason } => format!("the decision does not pass: {}", reason.message),
            MergeEnd::Landed { .. } | MergeEnd::Error { .. } => return Ok(ended),
        };
        Ok(ask_instead(ended, paths, why))
    }

    /// Whether work that is sent back now is tried again. While we work on its merge, nobody else counts failures.
    pub(super) async fn has_attempt_left(&self) -> Result<bool, Failure> {
        let task = self
            .entry
            .branch
            .context
            .store
            .task_details(self.entry.merge.task)
            .await?;
        let task = task.ok_or(Failure::NotOurs)?;
        Ok(task.failures + 1 < self.entry.branch.details.limits.failures)
    }

    /// Paths that a person decided when they had other versions.
    async fn outdated(&self, conflict: &Conflict) -> Result<Vec<String>, Failure> {
        let answers = self
            .entry
            .branch
            .context
            .store
            .person_answers(self.entry.merge.id)
            .await?;
        let outdated = |answer: &AnswerRow| {
            let path = |file: &&ConflictFile| file.path.to_string() == answer.path;
            let file = conflict.files.iter().find(path);
            file.is_some_and(|file| versions(file) != answer.versions)
        };
        Ok(answers.into_iter().filter(outdated).map(|answer| answer.path).collect())
    }

    /// A person's decision about a path, if it was made for the versions that conflict now.
    pub(super) async fn decided_by_a_person(
        &self,
        file: &ConflictFile,
    ) -> Result<Option<(git::Resolution, ResolutionRow)>, Failure> {
        let (path, now) = (file.path.to_string(), versions(file));
        let answers = self
            .entry
            .branch
            .context
            .store
            .person_answers(self.entry.merge.id)
            .await?;
        let own = answers
            .into_iter()
            .find(|answer| answer.path == path && answer.versions == now);
        let Some(answer) = own else {
            return Ok(None);
        };
        let text = match &answer.choice {
            Choice::Content(content) => String::from_utf8(content.clone()).ok(),
            Choice::Ours | Choice::Theirs | Choice::Delete => None,
        };
        let row = ResolutionRow {
            path,
            text,
            reason: format!("{} decided: {}", answer.by, answer.choice.in_words()),
            ..ResolutionRow::default()
        };
        Ok(Some((resolution(file, answer.choice), row)))
    }
}

fn ask_instead(ended: Ended, conflicts: Vec<String>, why: String) -> Ended {
    let code = match &ended.end {
        MergeEnd::Rejected { reason } | MergeEnd::Error { reason } => reason.code,
        MergeEnd::Landed { .. } => ReasonCode::Conflict,
    };
    let why = Reason::new(code, telemetry::secrets::redact(&why));
    Ended {
        question: Some(Question { conflicts, why }),
        ..ended
    }
}

/// The conflicting versions of a path: base, ours, theirs.
pub(crate) fn versions(file: &ConflictFile) -> [Option<String>; 3] {
    let blob = |version: &Option<Version>| version.as_ref().map(|version| version.blob.0.clone());
    [blob(&file.base), blob(&file.ours), blob(&file.theirs)]
}

/// A decision as a resolution for git. A side without a version deleted the path.
pub(crate) fn resolution(file: &ConflictFile, choice: Choice) -> git::Resolution {
    let side = |version: &Option<Version>| match version {
        Some(version) => git::Resolution::Version(version.clone()),
        None => git::Resolution::Delete,
    };
    match choice {
        Choice::Ours => side(&file.ours),
        Choice::Theirs => side(&file.theirs),
        Choice::Delete => git::Resolution::Delete,
        Choice::Content(content) => git::Resolution::Content(content),
    }
}
