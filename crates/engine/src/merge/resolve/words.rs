//! What a worker, or a person after it, is told of a conflict that is not about lines: what each side did, and what
//! can be chosen. The table in `docs/merging.md` says the same of each kind.

use super::{Ladder, OpenFile};
use crate::{context::blocking, merge::Failure};
use git::{ConflictKind, GitError, Hub, Version};

/// Bytes of a link's target, and of the tasks' words, that are told.
const TARGET_BYTES: usize = 200;
const INTENT_CHARACTERS: usize = 600;

/// Files that tools write to pin versions, by name: a choice of lines from both sides is nothing the tool would write.
const LOCK_FILES: [&str; 26] = [
    "Cargo.lock",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    "bun.lockb",
    "deno.lock",
    "poetry.lock",
    "uv.lock",
    "pdm.lock",
    "Pipfile.lock",
    "composer.lock",
    "Gemfile.lock",
    "go.sum",
    "go.work.sum",
    "flake.lock",
    "mix.lock",
    "rebar.lock",
    "pubspec.lock",
    "Podfile.lock",
    "Cartfile.resolved",
    "Package.resolved",
    "packages.lock.json",
    "gradle.lockfile",
    ".terraform.lock.hcl",
];

/// Whether a file pins versions and is written by a tool.
pub(super) fn is_lock_file(path: &str) -> bool {
    LOCK_FILES.contains(&name(path))
}

/// What is told of a lock file that no rule is for.
pub(super) fn lock_file(path: &str) -> String {
    format!(
        "both sides changed this lock file, which a tool writes: no model is asked about its lines. Decide everything \
         else, then make it anew with that tool. (The setting [[merge.generated]] files = \"{}\" with a command would \
         have done so by itself.)",
        name(path)
    )
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What meets there, and what can be chosen.
const fn kind_in_words(kind: ConflictKind) -> (&'static str, &'static str) {
    match kind {
        ConflictKind::Content => (
            "both sides changed the same lines",
            "Decide what they are to be, so that both purposes hold.",
        ),
        ConflictKind::AddAdd => (
            "both sides added a file of this name",
            "Join both into one file; or, if they are different things, give yours another name and what refers to it.",
        ),
        ConflictKind::ModifyDelete => (
            "one side changed what the other deleted",
            "Delete it, and carry the change to where its purpose lives on now; or keep it changed, if what deleted it \
             does not need it gone.",
        ),
        ConflictKind::RenameRename => (
            "both sides moved or renamed it, or something onto it",
            "Take the branch's name, with your changes in it, and mend what refers to the other; or say in your \
             summary why yours must stand.",
        ),
        ConflictKind::Binary => (
            "both sides changed a file that is not text",
            "Make it anew from what both sides meant, if it can be made; else take the branch's version and make your \
             change again on top of it.",
        ),
        ConflictKind::Symlink => (
            "a symbolic link is involved, and the sides differ in where it leads or whether it is one",
            "Decide whether it is a link, and to what.",
        ),
        ConflictKind::Submodule => (
            "a submodule is involved, and the sides differ in its commit or whether it is one",
            "Decide which commit it is at: one that holds both, where there is one.",
        ),
        ConflictKind::Other => (
            "a file meets a directory or another sort of thing, or the rename of a whole directory is unclear",
            "Decide where each goes, so that no two want one place.",
        ),
    }
}

impl Ladder<'_> {
    /// What is told of a conflict that is not about lines.
    pub(super) async fn in_words(&self, file: &OpenFile) -> Result<String, Failure> {
        let (hub, conflicting) = (self.merger.entry.branch.hub.clone(), file.file.clone());
        let sides = blocking(move || -> Result<[String; 3], GitError> {
            Ok([
                side(&hub, conflicting.base.as_ref())?,
                side(&hub, conflicting.ours.as_ref())?,
                side(&hub, conflicting.theirs.as_ref())?,
            ])
        });
        let [base, ours, theirs] = sides.await?;
        let (what, choice) = kind_in_words(file.file.kind);
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
                format!(
                    " What the branch has there came with: {}.",
                    intent.trim_end_matches('.')
                )
            }
        };
        Ok(format!(
            "{what}. The branch has {ours}; your work has {theirs}; both began from {base}.{said}{intent} {choice}"
        ))
    }
}

/// A version as people name it.
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
    fn a_lock_file_is_known_by_its_name_and_told_with_the_setting() {
        assert!(is_lock_file("web/package-lock.json") && is_lock_file("Cargo.lock"));
        assert!(!is_lock_file("src/lock.rs") && !is_lock_file("package-lock.json/readme"));
        assert!(lock_file("a/yarn.lock").contains("files = \"yarn.lock\""));
    }
}
