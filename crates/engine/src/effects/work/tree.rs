//! Judges the tree at the end of an attempt.

use super::{Broken, attempt::Attempt, broken, journal::AttemptJournal};
use crate::context::{HeldTask, RetryPolicy, blocking, user_git};
use agents::tools::{Finish, WritePolicy};
use domain::{
    CommitId,
    profile::Change,
    run::{Reason, ReasonCode},
    task::{AttemptEnd, Outcome},
};
use git::{Hub, Refused, RepoPath, SnapshotError};

impl Attempt<'_> {
    /// Decides how the attempt ended. The tree counts, not what the agent reports.
    pub(super) async fn judge(&self, journal: &AttemptJournal, finish: &Finish) -> AttemptEnd {
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
            Ok(Some(commit)) => match self.pin(&commit).await {
                Ok(()) => AttemptEnd::Submitted { commit },
                Err(_) if self.cancel.is_cancelled() => AttemptEnd::Released,
                Err(reason) => AttemptEnd::Failed { reason },
            },
            Ok(None) => AttemptEnd::Unchanged,
            Err(reason) => AttemptEnd::Failed { reason },
        }
    }

    /// Makes one commit on the base; `None` if nothing changed.
    async fn freeze(&self, snapshot: &CommitId) -> Result<Option<CommitId>, Broken> {
        let stamp = self.context.stamp(format!(
            "{}\n\nRun: {}\nTask: {}\nAttempt: {}\n",
            self.task.title, self.claimed.run, self.claimed.key, self.claimed.attempt
        ));
        let (hub, base, snapshot) = (self.hub.clone(), self.base.clone(), snapshot.clone());
        let conflicted = self.conflicted.clone();
        let (context, details) = (self.context.clone(), self.details.clone());
        let (policy, profile) = (self.profile.write.clone(), self.profile.name.clone());
        blocking(move || {
            let tree = hub.tree_of(&snapshot).map_err(broken)?;
            if tree == hub.tree_of(&base).map_err(broken)? {
                return Ok(None);
            }
            let commit = hub
                .commit_tree(&tree, std::slice::from_ref(&base), &stamp)
                .map_err(broken)?;
            let attributes = user_git::attributes(&context, &details);
            hub.check(&base, &commit, &attributes)
                .map_err(|refused| match refused {
                    Refused::Git(error) => broken(error),
                    refused => Reason::new(ReasonCode::Worker, refused.to_string()),
                })?;
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
            hub.make_durable(&commit).map_err(broken)?;
            Ok(Some(commit))
        })
        .await
    }

    /// Pins the commit under a reference, retrying while the hub is unavailable. Nothing may be recorded before.
    async fn pin(&self, commit: &CommitId) -> Result<(), Broken> {
        let reference = git::refs::submission(&self.claimed.run, &self.claimed.key, commit);
        let task = HeldTask::of(self.claimed);
        let retry = RetryPolicy::until(&self.cancel).shown_at(self.context, task);
        let pinned = retry.run(|| {
            let (hub, reference, commit) = (self.hub.clone(), reference.clone(), commit.clone());
            blocking(move || hub.pin(&reference, &commit))
        });
        pinned.await.map_err(broken)
    }
}

/// The first changed path that the profile may not write. Commands can write anywhere in the worktree, so the rule of
/// the tools is checked again here.
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

fn has_markers(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n')
        .any(|line| line.starts_with(b"<<<<<<< ") || line.starts_with(b">>>>>>> "))
}
