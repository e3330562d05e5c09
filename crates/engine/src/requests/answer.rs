//! Answering for a person: what a merge that waits asks, and what is done with the answer.

mod shown;

pub use shown::{OpenConflict, OpenFile, OpenHunk, OpenVersion};

use crate::{
    context::{StepError, blocking, step},
    engine::Engine,
    merge::{resolution, versions},
};
use domain::{
    MergeId,
    feedback::Feedback,
    input::Input,
    merge::{Answer, Choice, MergeState},
};
use git::{Conflict, ConflictFile, ConflictKind, Hub, MergeOutcome, ResolveError};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use store::waiting::{AnswerRow, AskedMerge};

/// The largest content that is taken for one path, in bytes.
pub const ANSWER_BYTES: usize = 1 << 20;
/// The longest note or reason, in characters.
const NOTE_CHARACTERS: usize = 4_000;
/// The longest name of somebody.
const NAME_CHARACTERS: usize = 80;
/// So many paths are named in an error.
const NAMED_PATHS: usize = 10;

/// Why an answer changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// There is no such merge.
    #[error("there is no merge {0}")]
    Unknown(MergeId),
    /// It asks nobody.
    #[error("merge {merge} does not wait for a person: it is {state}")]
    NotWaiting {
        /// Which merge.
        merge: MergeId,
        /// Where it stands.
        state: MergeState,
    },
    /// It asks about another conflict than the one that was looked at.
    #[error("the conflict of merge {0} has changed since it was looked at")]
    Changed(MergeId),
    /// A value can't be used.
    #[error("{message}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// The value that was found.
        value: String,
        /// What is wrong with it.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The product's own fault, or the machine's.
    #[error("the answer could not be taken: {0}")]
    Internal(String),
}

impl From<store::Error> for AnswerError {
    fn from(error: store::Error) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<git::GitError> for AnswerError {
    fn from(error: git::GitError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl Engine {
    /// The conflict that a merge met last, made again from its commits; empty where it met none.
    ///
    /// # Errors
    /// When there is no such merge, or the hub of one that has not ended can't be read.
    pub async fn open_conflict(&self, merge: MergeId) -> Result<OpenConflict, AnswerError> {
        let asked = self.asked(merge).await?;
        if let Some(at) = asked.expired_at {
            let gone = format!(
                "the trees of its run were given up on {}, and what met here with them",
                at.date()
            );
            return Ok(OpenConflict::gone(gone));
        }
        let answers = self.context.store.person_answers(merge).await?;
        let (hub, conflict) = match self.conflict(&asked).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(OpenConflict::default()),
            // What is over can be read without its commits.
            Err(error)
                if matches!(
                    asked.state,
                    MergeState::Landed | MergeState::Rejected | MergeState::Error
                ) =>
            {
                tracing::warn!(%error, merge = merge.0, "the conflict of a merge that has ended can't be read");
                let gone = "its commits can't be read any more, so what met here is not shown".to_owned();
                return Ok(OpenConflict::gone(gone));
            }
            Err(error) => return Err(error),
        };
        let shown = blocking(move || {
            let files = conflict
                .files
                .iter()
                .map(|file| shown::open(&hub, &conflict, file, &answers));
            Ok::<_, git::GitError>(OpenConflict {
                files: files.collect::<Result<_, _>>()?,
                messages: conflict.messages.iter().map(|said| said.text.clone()).collect(),
                gone: None,
            })
        });
        Ok(shown.await?)
    }

    /// Decides conflicting paths of a merge that waits; it goes back into the queue. A path without a choice is left
    /// to the layers once more, and what was answered about it before is withdrawn; one that is left out keeps its
    /// answer, and goes through the layers where it has none. `seen` is the tip of the conflict that was looked at:
    /// without it, the answer is for what waits now.
    ///
    /// # Errors
    /// [`AnswerError`]; then nothing has changed.
    pub async fn resolve_merge(
        &self,
        merge: MergeId,
        choices: Vec<(String, Option<Choice>)>,
        seen: Option<&str>,
        by: &str,
    ) -> Result<(), AnswerError> {
        let asked = self.waiting(merge).await?;
        if seen.is_some_and(|seen| asked.tip.as_ref().is_none_or(|tip| tip.0 != seen)) {
            return Err(AnswerError::Changed(merge));
        }
        let conflict = self.conflict(&asked).await?;
        let (hub, conflict) = conflict.ok_or(AnswerError::Changed(merge))?;
        let by = name(by);
        let answered = checked(&conflict, choices, &by)?;
        let tried = answered.rows.clone();
        if !tried.is_empty() {
            blocking(move || try_out(&hub, conflict, tried)).await?;
        }
        let paths = answered.rows.iter().map(|row| row.path.clone()).collect();
        self.answered(merge, &asked, Answer::Resolved { paths }, by, answered)
            .await
    }

    /// Sends the work of a merge that waits back to its worker, with a note, for one more try.
    ///
    /// # Errors
    /// [`AnswerError`]; then nothing has changed.
    pub async fn send_merge_back(&self, merge: MergeId, note: &str, by: &str) -> Result<(), AnswerError> {
        let asked = self.waiting(merge).await?;
        let note = words("note", note)?;
        self.answered(merge, &asked, Answer::SentBack { note }, name(by), Answers::default())
            .await
    }

    /// Gives the work of a merge that waits up: its task fails for this reason.
    ///
    /// # Errors
    /// [`AnswerError`]; then nothing has changed.
    pub async fn give_merge_up(&self, merge: MergeId, reason: &str, by: &str) -> Result<(), AnswerError> {
        let asked = self.waiting(merge).await?;
        let reason = words("reason", reason)?;
        self.answered(
            merge,
            &asked,
            Answer::Abandoned { reason },
            name(by),
            Answers::default(),
        )
        .await
    }

    async fn asked(&self, merge: MergeId) -> Result<AskedMerge, AnswerError> {
        let asked = self.context.store.asked_merge(merge).await?;
        asked.ok_or(AnswerError::Unknown(merge))
    }

    async fn waiting(&self, merge: MergeId) -> Result<AskedMerge, AnswerError> {
        let asked = self.asked(merge).await?;
        match asked.state {
            MergeState::Waiting => Ok(asked),
            state => Err(AnswerError::NotWaiting { merge, state }),
        }
    }

    async fn conflict(&self, asked: &AskedMerge) -> Result<Option<(Arc<Hub>, Conflict)>, AnswerError> {
        let Some(tip) = asked.tip.clone().filter(|_| asked.conflicted) else {
            return Ok(None);
        };
        let hub = self.context.hub(&asked.hub, asked.run).await?;
        let (own, work) = (hub.clone(), asked.commit.clone());
        let submission = git::refs::submission(&asked.run, &asked.key, &work);
        let merged = move || {
            own.follow_fixed(&submission)?;
            own.merge(&tip, &work)
        };
        Ok(match blocking(merged).await? {
            MergeOutcome::Conflicted(conflict) => Some((hub, conflict)),
            MergeOutcome::Clean(_) | MergeOutcome::AlreadyMerged | MergeOutcome::NoMergeBase => None,
        })
    }

    /// The answer in one transaction: the task, the merge, what was decided, the log.
    async fn answered(
        &self,
        merge: MergeId,
        asked: &AskedMerge,
        answer: Answer,
        by: String,
        answers: Answers,
    ) -> Result<(), AnswerError> {
        let mut tx = self.context.store.begin().await?;
        let input = Input::PersonAnswered {
            merge,
            answer: answer.clone(),
            by: by.clone(),
        };
        let applied = match step::apply(&mut tx, asked.run, Some(asked.task), input).await {
            Ok(applied) => applied,
            Err(StepError::Store(error)) => return Err(error.into()),
            // It was answered, or its run ended, a moment ago.
            Err(StepError::Refused(_) | StepError::Unknown(_)) => return Err(self.overtaken(merge).await?),
        };
        if !tx.person_answered(merge, asked.tip.as_ref(), &answer).await? {
            drop(tx);
            return Err(self.overtaken(merge).await?);
        }
        for row in &answers.rows {
            tx.save_answer(merge, row).await?;
        }
        for path in &answers.withdrawn {
            tx.withdraw_answer(merge, path).await?;
        }
        if let Answer::SentBack { note } = &answer {
            let feedback = Feedback::new(asked.attempt, format!("{by}, a person, looked at it: {note}"));
            tx.save_feedback(asked.task, &feedback).await?;
        }
        tx.commit().await?;
        self.context.applied(&applied);
        if matches!(answer, Answer::SentBack { .. } | Answer::Abandoned { .. }) {
            let worked = Duration::from_millis(asked.merge_ms.max(0) as u64);
            telemetry::merge::conflict_resolved("person", "declined");
            telemetry::merge::finished(telemetry::merge::MergeResult::Conflict, worked);
        }
        Ok(())
    }

    async fn overtaken(&self, merge: MergeId) -> Result<AnswerError, AnswerError> {
        let state = self.asked(merge).await?.state;
        Ok(match state {
            MergeState::Waiting => AnswerError::Changed(merge),
            state => AnswerError::NotWaiting { merge, state },
        })
    }
}

/// What an answer says path by path.
#[derive(Default)]
struct Answers {
    rows: Vec<AnswerRow>,
    /// Paths that are left to the layers once more.
    withdrawn: Vec<String>,
}

/// The choices as they are kept, each about a path that conflicts.
fn checked(conflict: &Conflict, choices: Vec<(String, Option<Choice>)>, by: &str) -> Result<Answers, AnswerError> {
    let invalid = |value: &str, message: String, hint: &str| {
        Err(AnswerError::Invalid {
            field: "paths",
            value: value.to_owned(),
            message,
            hint: hint.to_owned(),
        })
    };
    if conflict.files.is_empty() {
        let message = "this conflict is about directories and can't be decided path by path".to_owned();
        return invalid("", message, "send the work back with a note, or give it up");
    }
    let known: Vec<String> = conflict.files.iter().map(|file| file.path.to_string()).collect();
    let hint = match known.len() {
        0..=NAMED_PATHS => format!("conflicting are: {}", known.join(", ")),
        more => format!(
            "conflicting are: {} and {} more",
            known[..NAMED_PATHS].join(", "),
            more - NAMED_PATHS
        ),
    };
    if choices.is_empty() {
        return invalid("", "no path is decided".to_owned(), &hint);
    }
    let (mut answers, mut seen) = (Answers::default(), BTreeSet::new());
    for (path, choice) in choices {
        let Some(file) = conflict.files.iter().find(|file| file.path.to_string() == path) else {
            return invalid(&path, format!("{path} does not conflict in this merge"), &hint);
        };
        if !seen.insert(path.clone()) {
            return invalid(&path, format!("{path} is decided twice"), "decide each path once");
        }
        let Some(choice) = choice else {
            answers.withdrawn.push(path);
            continue;
        };
        if let Choice::Content(content) = &choice
            && let Some((message, hint)) = refuse_content(file, content)
        {
            return invalid(&path, format!("{path}: {message}"), &hint);
        }
        let (versions, by) = (versions(file), by.to_owned());
        answers.rows.push(AnswerRow {
            path,
            versions,
            choice,
            by,
        });
    }
    Ok(answers)
}

/// Why a content can't be what a path holds, and what to do.
fn refuse_content(file: &ConflictFile, content: &[u8]) -> Option<(String, String)> {
    if matches!(file.kind, ConflictKind::Symlink | ConflictKind::Submodule) {
        let message = "a symbolic link or a submodule has no text of its own".to_owned();
        return Some((message, "take ours or theirs, or delete it".to_owned()));
    }
    if content.len() > ANSWER_BYTES {
        let message = format!("the content has {} bytes, more than {ANSWER_BYTES}", content.len());
        return Some((message, "take a side, or send the work back with a note".to_owned()));
    }
    let text = String::from_utf8_lossy(content);
    if telemetry::secrets::redacted(&text) != text {
        let message = "the content holds a secret, or what looks like one, and would be stored".to_owned();
        let hint = "take it out, take a side, or send the work back with a note";
        return Some((message, hint.to_owned()));
    }
    None
}

/// Puts the choices into the tree, to see whether they can be.
fn try_out(hub: &Hub, mut conflict: Conflict, rows: Vec<AnswerRow>) -> Result<(), AnswerError> {
    conflict
        .files
        .retain(|file| rows.iter().any(|row| row.path == file.path.to_string()));
    let resolutions = conflict.files.iter().filter_map(|file| {
        let row = rows.iter().find(|row| row.path == file.path.to_string())?;
        Some((file.path.clone(), resolution(file, row.choice.clone())))
    });
    let resolutions = resolutions.collect();
    match hub.with_resolutions(&conflict, resolutions) {
        Ok(_) => Ok(()),
        Err(ResolveError::Git(error)) => Err(error.into()),
        Err(error) => {
            let value = match &error {
                ResolveError::MarkersLeft { path, .. }
                | ResolveError::Unresolved { path }
                | ResolveError::Unexpected { path } => path.to_string(),
                ResolveError::NotByPath { .. } | ResolveError::Git(_) => String::new(),
            };
            Err(AnswerError::Invalid {
                field: "paths",
                value,
                message: error.to_string(),
                hint: "nothing was changed; mend it and answer again".to_owned(),
            })
        }
    }
}

/// Words of a person's, as they may be kept.
fn words(field: &'static str, text: &str) -> Result<String, AnswerError> {
    let text = telemetry::secrets::redact(text.trim());
    let length = text.chars().count();
    let message = match length {
        0 => "it is empty".to_owned(),
        1..=NOTE_CHARACTERS => return Ok(text),
        _ => format!("it has {length} characters, more than {NOTE_CHARACTERS}"),
    };
    Err(AnswerError::Invalid {
        field,
        value: text.chars().take(NAME_CHARACTERS).collect(),
        message: format!("the {field} can't be used: {message}"),
        hint: "say in a few sentences what is to be known".to_owned(),
    })
}

/// What somebody calls themselves, in one line.
fn name(by: &str) -> String {
    let by: String = by
        .chars()
        .filter(|letter| !letter.is_control())
        .take(NAME_CHARACTERS)
        .collect();
    match by.trim() {
        "" => "a person".to_owned(),
        by => telemetry::secrets::redact(by),
    }
}
