//! Merging again what a repository has merged before, beside C git, without writing to it.
//!
//! New objects go to two bare repositories in the temporary directory, one for us and one for git, which read the
//! audited one's objects as an alternate. No configuration, hook or attribute file of the audited repository's is
//! read; references and commits are.

mod report;

pub use report::{AuditReport, Suspect, Times, Verdict};

use self::report::Recorder;
use crate::{
    error::{At, Doing, GitError, GitResult},
    hub::tree_of,
    ids::{TreeId, commit_id, commit_oid},
    merge::{
        CleanMerge, MergeOutcome,
        fast::GaveUp,
        fast_outcome,
        ort::{self, Answer, ConflictStyle},
        ort_outcome,
    },
    said::histories_are_unrelated,
};
use domain::CommitId;
use git2::{Config, Oid, Repository, RepositoryInitOptions, Sort};
use std::{
    fs,
    ops::ControlFlow,
    os::unix::ffi::OsStrExt,
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// After this many merges the temporary repositories are made again, which bounds the disk space they take.
const MERGES_PER_SCRATCH: usize = 500;

/// Merges every commit with two parents that a reference of the repository reaches again, newest first, at most
/// `last` of them. `progress` gets how many are done, of how many, and may stop the audit.
pub fn merge_audit(
    repository: &Path,
    last: Option<usize>,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> GitResult<AuditReport> {
    let audited =
        Repository::open(repository).doing(|| format!("can't open the repository {}", repository.display()))?;
    let merges = merges_of(&audited, last)?;
    let mut recorder = Recorder::default();
    for (batch, chunk) in merges.chunks(MERGES_PER_SCRATCH).enumerate() {
        let (ours, gits) = (Scratch::beside(&audited)?, Scratch::beside(&audited)?);
        for (index, merge) in chunk.iter().enumerate() {
            if progress(batch * MERGES_PER_SCRATCH + index, merges.len()).is_break() {
                return Ok(recorder.report(merges.len()));
            }
            match again(&ours, &gits, merge) {
                Ok(comparison) => comparison.record(merge, &mut recorder),
                Err(error) => recorder.unreadable(&merge.commit, &error),
            }
        }
    }
    Ok(recorder.report(merges.len()))
}

/// A merge that someone committed.
struct Committed {
    commit: CommitId,
    tree: TreeId,
    ours: CommitId,
    theirs: CommitId,
}

fn merges_of(repository: &Repository, last: Option<usize>) -> GitResult<Vec<Committed>> {
    let doing = || format!("can't read the history of {}", repository.path().display());
    let mut walk = repository.revwalk().doing(doing)?;
    walk.set_sorting(Sort::TIME).doing(doing)?;
    walk.push_glob("refs/*").doing(doing)?;
    if let Ok(head) = repository.head().and_then(|head| head.peel_to_commit()) {
        walk.push(head.id()).doing(doing)?;
    }
    let mut found = Vec::new();
    for oid in walk {
        if last.is_some_and(|last| found.len() >= last) {
            break;
        }
        let commit = repository.find_commit(oid.doing(doing)?).doing(doing)?;
        let parents: Vec<Oid> = commit.parent_ids().collect();
        if let [ours, theirs] = parents[..] {
            found.push(Committed {
                commit: commit_id(commit.id()),
                tree: commit.tree_id().into(),
                ours: commit_id(ours),
                theirs: commit_id(theirs),
            });
        }
    }
    Ok(found)
}

/// An empty bare repository that sees another one's objects.
struct Scratch {
    repository: Repository,
    /// Removes the files in the end.
    _directory: TempDir,
}

impl Scratch {
    fn beside(audited: &Repository) -> GitResult<Self> {
        let temporary = std::env::temp_dir();
        let directory = tempfile::tempdir().at("can't make a directory in", &temporary)?;
        let path = directory.path().join("scratch.git");
        let doing = || format!("can't make a repository at {}", path.display());
        let mut options = RepositoryInitOptions::new();
        options.bare(true).no_reinit(true).external_template(false);
        let made = Repository::init_opts(&path, &options).doing(doing)?;
        let common = audited.commondir();
        let objects = common
            .join("objects")
            .canonicalize()
            .at("can't find the objects in", common)?;
        if objects.as_os_str().as_bytes().contains(&b'\n') {
            return Err(GitError::NotAnAlternate { path: objects });
        }
        let alternates = path.join("objects/info/alternates");
        fs::write(&alternates, [objects.as_os_str().as_bytes(), b"\n"].concat()).at("can't write", &alternates)?;
        if let Ok(shallow) = fs::read(common.join("shallow")) {
            let ours = path.join("shallow");
            fs::write(&ours, shallow).at("can't write", &ours)?;
        }
        drop(made);
        let repository = Repository::open(&path).doing(doing)?;
        repository.set_config(&Config::new().doing(doing)?).doing(doing)?;
        Ok(Self {
            repository,
            _directory: directory,
        })
    }
}

/// What git said of a merge.
enum Reference {
    Clean(TreeId),
    Conflict,
    Refused,
}

struct Comparison {
    outcome: MergeOutcome,
    /// What our clean merge has; for one that was merged already, the branch's own files.
    tree: Option<TreeId>,
    gave_up: Option<GaveUp>,
    took: Duration,
    reference: Reference,
    git_took: Duration,
}

fn again(ours: &Scratch, gits: &Scratch, merge: &Committed) -> GitResult<Comparison> {
    let started = Instant::now();
    let (outcome, gave_up) = match fast_outcome(&ours.repository, &merge.ours, &merge.theirs)? {
        Ok(outcome) => (outcome, None),
        Err(reason) => (ort_outcome(&ours.repository, &merge.ours, &merge.theirs)?, Some(reason)),
    };
    let took = started.elapsed();
    let started = Instant::now();
    let answer = ort::merge_tree(gits.repository.path(), &merge.ours, &merge.theirs, ConflictStyle::Plain);
    let git_took = started.elapsed();
    let reference = match answer {
        Ok(Answer::Clean(tree)) => Reference::Clean(tree),
        Ok(Answer::Conflicted(_)) => Reference::Conflict,
        Err(GitError::Program { said, .. }) if histories_are_unrelated(&said) => Reference::Refused,
        Err(error) => return Err(error),
    };
    let tree = match &outcome {
        MergeOutcome::Clean(CleanMerge { tree, .. }) => Some(tree.clone()),
        MergeOutcome::AlreadyMerged => Some(tree_of(&ours.repository, commit_oid(&merge.ours)?)?.id().into()),
        MergeOutcome::Conflicted(_) | MergeOutcome::NoMergeBase => None,
    };
    Ok(Comparison {
        outcome,
        tree,
        gave_up,
        took,
        reference,
        git_took,
    })
}

impl Comparison {
    fn record(self, merge: &Committed, recorder: &mut Recorder) {
        recorder.times(self.took, self.gave_up, self.git_took);
        let verdict = match (&self.tree, &self.reference) {
            (Some(ours), Reference::Clean(gits)) if ours != gits => Verdict::Wrong,
            (Some(ours), Reference::Clean(_)) if *ours == merge.tree => Verdict::Same,
            (Some(_), Reference::Clean(_)) => Verdict::Different,
            (Some(_), Reference::Conflict | Reference::Refused) => Verdict::Wrong,
            (None, Reference::Clean(_)) => Verdict::FalseConflict,
            (None, Reference::Refused) => Verdict::Unrelated,
            (None, Reference::Conflict) => match self.outcome {
                MergeOutcome::NoMergeBase => Verdict::FalseConflict,
                _ => Verdict::Conflict,
            },
        };
        let suspect = matches!(verdict, Verdict::Wrong | Verdict::FalseConflict).then(|| Suspect {
            merge: merge.commit.clone(),
            verdict,
            ours: self.tree.clone(),
            git: match self.reference {
                Reference::Clean(tree) => Some(tree),
                Reference::Conflict | Reference::Refused => None,
            },
        });
        recorder.verdict(verdict, self.gave_up.is_none(), suspect);
    }
}
