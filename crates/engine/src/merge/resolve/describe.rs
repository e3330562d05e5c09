//! Describes conflicts that are not about lines, for the worker and for a person: what each side did, and the options. The
//! table in `docs/merging.md` has the same for each kind.

use super::{ConflictResolver, OpenFile};
use crate::{context::blocking, merge::Failure};
use git::{ConflictKind, GitError, Hub, Version};

/// Limits on the quoted target of a link and on the quoted purpose of the branch's tasks.
const TARGET_BYTES: usize = 200;
const INTENT_CHARACTERS: usize = 600;

/// The description of a lock file without a rule.
pub(super) fn lock_file(path: &str) -> String {
    format!(
        "both sides changed this lock file, which a tool writes: no model is asked about its lines. Resolve everything \
         else, then generate it again with that tool. (The setting [[merge.generated]] files = \"{}\" with a command \
         does this automatically.)",
        name(path)
    )
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The conflict, and the options.
const fn describe_kind(kind: ConflictKind) -> (&'static str, &'static str) {
    match kind {
        ConflictKind::Content => (
            "both sides changed the same lines",
            "Write them so that both purposes hold.",
        ),
        ConflictKind::AddAdd => (
            "both sides added a file of this name",
            "Join both into one file; or, if they are different things, rename yours and update references to it.",
        ),
        ConflictKind::ModifyDelete => (
            "one side changed what the other deleted",
            "Delete it, and move the change to where its purpose lives now; or keep it changed, if nothing needs it \
             deleted.",
        ),
        ConflictKind::RenameRename => (
            "both sides moved or renamed it, or something onto it",
            "Take the branch's name, with your changes in it, and update references to the other; or explain in your \
             summary why yours must stay.",
        ),
        ConflictKind::Binary => (
            "both sides changed a file that is not text",
            "Generate it again from both intentions, if it can be generated; else take the branch's version and repeat \
             your change on it.",
        ),
        ConflictKind::Symlink => (
            "a symbolic link is involved, and the sides differ in where it leads or whether it is one",
            "Decide whether it is a link, and its target.",
        ),
        ConflictKind::Submodule => (
            "a submodule is involved, and the sides differ in its commit or whether it is one",
            "Decide its commit: one that contains both, where there is one.",
        ),
        ConflictKind::Other => (
            "a file meets a directory or another sort of thing, or the rename of a whole directory is unclear",
            "Decide the location of each, so that no two have the same.",
        ),
    }
}

impl ConflictResolver<'_> {
    /// Describes a conflict that is not about lines.
    pub(super) async fn describe(&self, file: &OpenFile) -> Result<String, Failure> {
        let (hub, conflicting) = (self.active.entry.branch.hub.clone(), file.file.clone());
        let sides = blocking(move || -> Result<[String; 3], GitError> {
            Ok([
                side(&hub, conflicting.base.as_ref())?,
                side(&hub, conflicting.ours.as_ref())?,
                side(&hub, conflicting.theirs.as_ref())?,
            ])
        });
        let [base, ours, theirs] = sides.await?;
        let (what, choice) = describe_kind(file.file.kind);
        let said = self
            .conflict
            .messages
            .iter()
            .filter(|message| message.kind.starts_with("CONFLICT") && message.paths.contains(&file.file.path));
        let said: Vec<&str> = said.map(|message| message.text.trim()).collect();
        let said = match said.is_empty() {
            true => String::new(),
            false => format!(" git says: {}.", said.join("; ").trim_end_matches('.')),
        };
        let intent = match file.ours_intent.trim() {
            "" => String::new(),
            intent => {
                let intent: String = intent.chars().take(INTENT_CHARACTERS).collect();
                format!(" Purpose of the branch's version: {}.", intent.trim_end_matches('.'))
            }
        };
        Ok(format!(
            "{what}. The branch has {ours}; your work has {theirs}; both began from {base}.{said}{intent} {choice}"
        ))
    }
}

/// A version, for people.
fn side(hub: &Hub, version: Option<&Version>) -> Result<String, GitError> {
    let Some(version) = version else {
        return Ok("nothing".to_owned());
    };
    let (blob, mode) = (&version.blob, version.mode);
    Ok(match mode {
        0o120_000 => {
            let target = hub.read_blob(blob)?;
            let shown = String::from_utf8_lossy(&target[..target.len().min(TARGET_BYTES)]).into_owned();
            format!("a symbolic link to {shown:?}")
        }
        0o160_000 => format!("a submodule at commit {blob}"),
        mode => {
            let sort = if mode == 0o100_755 {
                "an executable file"
            } else {
                "a file"
            };
            format!(
                "{sort} of {} bytes (mode {mode:o}, git show {blob})",
                hub.blob_size(blob)?
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_file_is_described_with_the_setting() {
        assert!(lock_file("a/yarn.lock").contains("files = \"yarn.lock\""));
    }
}
