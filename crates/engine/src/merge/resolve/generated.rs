//! Files that tools write: both sides' lines for those that are only appended to, and a command in the sandbox for those that
//! are generated from others.
//!
//! The command runs in a throwaway checkout of the merge with everything else resolved. Only the file is taken from it.

use super::{ConflictResolver, FileState, OpenFile, output_file};
use crate::{
    context::blocking,
    merge::{Failure, build_caches::BuildCache},
    settings::{GeneratedRule, Generation},
};
use domain::merge::{Decision, Layer};
use git::{ConflictFile, ConflictKind, RepoPath, Resolution, Version, WorktreeStart};
use sandbox::{Exit, Job};
use std::{collections::BTreeMap, path::Path};

/// Bytes of a failed command's output that are recorded: its end, where tools report errors.
const KEPT_OUTPUT_BYTES: usize = 2 << 10;
const OUTPUT_BYTES: usize = 64 << 10;

/// A file that a command generates again once everything else is resolved.
pub(super) struct Regeneration<'a> {
    pub(super) file: &'a OpenFile,
    /// The branch's version, which the command starts from.
    begin: &'a Version,
    command: &'a str,
}

impl Regeneration<'_> {
    /// The reason for the worker where other files are open.
    pub(super) fn for_the_worker(&self) -> String {
        format!(
            "it is a generated file: once everything else is resolved, generate it again with `{}`",
            self.command
        )
    }
}

impl ConflictResolver<'_> {
    /// Applies the rule to a file; `None` where it does not apply to this kind of conflict.
    pub(super) async fn by_rule<'a>(
        &'a self,
        file: &'a OpenFile,
        rule: &'a GeneratedRule,
    ) -> Result<Option<FileState<'a>>, Failure> {
        match (&rule.how, file.file.kind) {
            (Generation::Union, ConflictKind::Content | ConflictKind::AddAdd) => self.union(file, rule).await,
            (Generation::Command(command), ConflictKind::Content | ConflictKind::AddAdd | ConflictKind::Binary) => {
                let begin = file.file.ours.as_ref().filter(|version| version.is_file());
                Ok(begin.map(|begin| FileState::AwaitsCommand(Regeneration { file, begin, command })))
            }
            // Whether, where or as what the file exists is not a matter of its lines, and can't be generated.
            (
                Generation::Union | Generation::Command(_),
                ConflictKind::ModifyDelete
                | ConflictKind::RenameRename
                | ConflictKind::Symlink
                | ConflictKind::Submodule
                | ConflictKind::Other,
            )
            | (Generation::Union, ConflictKind::Binary) => Ok(None),
        }
    }

    async fn union<'a>(&self, file: &OpenFile, rule: &GeneratedRule) -> Result<Option<FileState<'a>>, Failure> {
        let (hub, conflicting) = (self.active.entry.branch.hub.clone(), file.file.clone());
        let joined = match (blocking(move || hub.union(&conflicting)).await?, &file.text) {
            (Some(content), Ok(text)) => self.accept(file, text, content).await?,
            (Some(content), Err(_)) => self.check_content(&file.file, content).await?,
            // Too large for a merge of the whole file, but its hunks are known.
            (None, Ok(text)) => {
                let both: Vec<String> = text.hunks.hunks().map(both_sides).collect();
                self.whole(file, text, &both.iter().map(String::as_str).collect::<Vec<_>>())
                    .await?
            }
            (None, Err(_)) => Err("a version is not text, or too large for a merge by lines".to_owned()),
        };
        let files = &rule.files;
        match joined {
            Ok(content) => {
                let reason = format!("both sides' lines are kept, by the rule for {files}");
                self.record_file(&file.path, Layer::Generated, Decision::Resolved, reason)
                    .await?;
                Ok(Some(FileState::Decided(Resolution::Content(content))))
            }
            Err(why) => {
                let reason = format!("the union by the rule for {files} failed: {why}");
                self.record_file(&file.path, Layer::Generated, Decision::Failed, reason)
                    .await?;
                Ok(None)
            }
        }
    }

    /// Generates the files again and adds them to the resolved ones. Returns those that failed, with the reason.
    pub(super) async fn regenerate<'a>(
        &self,
        decided: &mut Vec<(RepoPath, Resolution)>,
        awaiting: Vec<Regeneration<'a>>,
    ) -> Result<Vec<(&'a ConflictFile, String)>, Failure> {
        let begins = awaiting
            .iter()
            .map(|one| (one.file.file.path.clone(), Resolution::Version(one.begin.clone())));
        let tree = match self.assemble(decided.iter().cloned().chain(begins).collect()).await? {
            Ok(tree) => tree,
            Err(why) => return Ok(awaiting.iter().map(|one| (&one.file.file, why.clone())).collect()),
        };
        let active = self.active;
        let context = &active.entry.branch.context;
        let cache = active
            .entry
            .branch
            .gates
            .build_caches
            .take(&context.layout.build_cache(&active.entry.branch.details.hub));
        let place = context.layout.regeneration(
            active.entry.branch.details.id,
            active.entry.merge.id,
            active.entry.branch.lock.fence(),
        );
        let stamp = context.stamp("Merge that generated files are made from".into());
        let parents = [self.conflict.tip.clone(), self.conflict.theirs.clone()];
        let (hub, checkout) = (active.entry.branch.hub.clone(), place.clone());
        blocking(move || {
            let commit = hub.commit_tree(&tree, &parents, &stamp)?;
            hub.add_worktree(&checkout, &WorktreeStart::At(commit))
        })
        .await
        .map_err(Failure::transient)?;
        let made = self.regenerate_in(&place, &cache, decided, awaiting).await;
        let hub = active.entry.branch.hub.clone();
        if let Err(error) = blocking(move || hub.remove_worktree(&place)).await {
            tracing::warn!(%error, "could not remove a regeneration's checkout");
        }
        made
    }

    async fn regenerate_in<'a>(
        &self,
        place: &Path,
        cache: &BuildCache,
        decided: &mut Vec<(RepoPath, Resolution)>,
        awaiting: Vec<Regeneration<'a>>,
    ) -> Result<Vec<(&'a ConflictFile, String)>, Failure> {
        let mut ran: BTreeMap<&str, Result<(), String>> = BTreeMap::new();
        let mut open = Vec::new();
        for one in awaiting {
            let ended = match ran.get(one.command) {
                Some(ended) => ended.clone(),
                None => {
                    let ended = self.run(one.command, place, cache).await?;
                    ran.insert(one.command, ended.clone());
                    ended
                }
            };
            let made = match ended {
                Ok(()) => self.made(place, &one.file.file).await?,
                Err(why) => Err(why),
            };
            let (path, command) = (&one.file.path, one.command);
            match made {
                Ok(content) => {
                    let reason = format!("generated again from the merged tree by `{command}`");
                    self.record_file(path, Layer::Generated, Decision::Resolved, reason)
                        .await?;
                    decided.push((one.file.file.path.clone(), Resolution::Content(content)));
                }
                Err(why) => {
                    let reason = format!("`{command}` did not generate it again: {why}");
                    self.record_file(path, Layer::Generated, Decision::Failed, &reason)
                        .await?;
                    open.push((&one.file.file, reason));
                }
            }
        }
        Ok(open)
    }

    /// Runs the command; the error says why it generated nothing.
    async fn run(&self, command: &str, place: &Path, cache: &BuildCache) -> Result<Result<(), String>, Failure> {
        let (context, details) = (&self.active.entry.branch.context, &self.active.entry.branch.details);
        let mut job = Job::shell(command, place.to_path_buf());
        job.hub = Some(self.active.entry.branch.hub.path().to_path_buf());
        job.time_limit = self.settings.regenerate_limit;
        job.output_limit_bytes = OUTPUT_BYTES;
        job.extra_read_only = context.extra_read_only(&details.workspace_path);
        let cache = cache.path.clone();
        if tokio::fs::create_dir_all(&cache).await.is_ok() {
            job.env
                .push(("CARGO_TARGET_DIR".into(), cache.join("target").display().to_string()));
            job.extra_read_write.push(cache);
        }
        job.cancel = self.over.clone();
        let finished = context.sandbox.run(job).await;
        let finished = finished.map_err(Failure::transient)?;
        let how = match finished.exit {
            Exit::Code(0) => return Ok(Ok(())),
            Exit::Cancelled => return Err(self.interrupted()),
            Exit::Code(code) => format!("it ended with exit code {code}"),
            Exit::Signal(signal) => format!("signal {signal} ended it"),
            Exit::OverLimit(limit) => format!("it was killed: {limit}"),
            Exit::TimedOut => format!(
                "it was ended after {} s (limit merge.regenerate_s)",
                self.settings.regenerate_limit.as_secs()
            ),
        };
        let output = output_file::end_of(&finished.output_head_tail, KEPT_OUTPUT_BYTES);
        Ok(Err(match output.trim().is_empty() {
            true => how,
            false => format!("{how}; its output ends with:\n{output}"),
        }))
    }

    async fn made(&self, checkout: &Path, file: &ConflictFile) -> Result<Result<Vec<u8>, String>, Failure> {
        let (checkout, path, most) = (checkout.to_path_buf(), file.path.clone(), self.settings.file_bytes);
        match blocking(move || output_file::read_file(&checkout, path.as_bytes(), most)).await {
            Ok(content) => self.check_content(file, content).await,
            Err(error) => Ok(Err(format!("its result can't be read: {error}"))),
        }
    }
}

/// The lines of both sides of a hunk, the branch's first.
fn both_sides(hunk: &git::Hunk) -> String {
    let end = match (
        hunk.ours.is_empty() || hunk.ours.ends_with('\n'),
        hunk.theirs.contains("\r\n"),
    ) {
        (true, _) => "",
        (false, true) => "\r\n",
        (false, false) => "\n",
    };
    [&hunk.ours, end, &hunk.theirs].concat()
}
