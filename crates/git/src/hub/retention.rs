//! Giving up what ended runs left in a hub: their references first, then, after a grace time, the objects that nothing
//! names any more.
//!
//! C git finds what can go, but does not take it: its own look at an object and its removal are not one step, and a
//! writer that comes upon the same content in between builds on what is gone. Here the removal is made in short rounds
//! under a lock that every user of the hub shares ([`Hub::with`]). So a writer either makes an old object young before
//! the round, and it stays, or finds it gone and writes it again. What is young keeps everything it refers to. Only
//! loose objects go: packs came from the user's repository, or hold what a reference named. HEADs and indexes of
//! worktrees count as references.

use crate::{
    error::{At, GitError, GitResult},
    hub::{Hub, USE_LOCK},
    private::Private,
    process::{self, isolated, join},
    refs,
};
use domain::{CommitId, RunId};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    process::Command,
    str::FromStr,
    thread,
    time::{Duration, Instant, SystemTime},
};

/// Looking for what can go may take so long.
const LOOK_LIMIT: Duration = Duration::from_secs(3_600);
/// Objects that are removed while the users of the hub wait: a few milliseconds.
const ROUND: usize = 200;
/// How long a prune waits for a gap between the users of the hub.
const BUSY: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Where the references of runs are.
const RUNS: &str = "refs/orchestrator/";

/// What a prune took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Objects.
    pub objects: u64,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Whether it ended early, because the hub was in use all the time: the rest goes next time.
    pub was_busy: bool,
}

impl Hub {
    /// The runs that have references here, besides their integration branches.
    pub fn runs_with_references(&self) -> GitResult<Vec<RunId>> {
        let references = self.references(&format!("{RUNS}*"))?;
        let mut runs: Vec<RunId> = references
            .iter()
            .filter_map(|(name, _)| RunId::from_str(name.strip_prefix(RUNS)?.split('/').next()?).ok())
            .collect();
        runs.sort_unstable();
        runs.dedup();
        Ok(runs)
    }

    /// Takes a run's references away: all that the upstream has, if there is one, then these here, each only where it
    /// is at its commit, in their order.
    pub fn give_up(&self, run: &RunId, references: &[(String, CommitId)]) -> GitResult<()> {
        if let Some(upstream) = &self.upstream {
            self.unpublish(upstream, run)?;
        }
        references.iter().try_for_each(|(name, at)| self.unpin(name, at))
    }

    /// The references of a run here, its integration branch first.
    pub fn references_of(&self, run: &RunId) -> GitResult<Vec<(String, CommitId)>> {
        let integration = refs::integration(run);
        let mut references = Vec::new();
        references.extend(self.tip_here(&integration)?.map(|at| (integration, at)));
        references.extend(self.references(&refs::all_of(run))?);
        Ok(references)
    }

    /// Bytes that come free on the disk once these references and what they alone keep are gone: loose objects that are
    /// not shared with the user's repository.
    pub fn bytes_held_by(&self, references: &[(String, CommitId)]) -> GitResult<u64> {
        if references.is_empty() {
            return Ok(0);
        }
        let all = self.references("refs/*")?;
        let others = all.iter().filter(|other| !references.contains(other));
        let mut list = String::new();
        references.iter().for_each(|(_, commit)| line(&mut list, &commit.0));
        others.for_each(|(_, commit)| line(&mut list, &format!("^{commit}")));
        let mut command = self.keeper();
        command.args(["rev-list", "--objects", "--stdin"]);
        command.stdin(self.input(&list)?);
        let listed = succeeded(command, "git rev-list --objects")?;
        Ok(listed
            .lines()
            .filter_map(|line| self.loose(line))
            .map(|found| own_bytes(&found))
            .sum())
    }

    /// Takes away the loose objects that nothing names, and that are at least `grace` old. Cut short at any point, or
    /// done twice, it does no harm.
    pub fn prune(&self, grace: Duration) -> GitResult<Pruned> {
        // What a refresh brings in may name objects that are here and that nothing names yet.
        let path = self.path().join("orchestrator-refresh.lock");
        let _private = Private::begin();
        let lock = File::create(&path).at("can't make the lock file", &path)?;
        flock(&lock, FlockOperation::LockExclusive).at("can't take the lock", &path)?;
        let before = SystemTime::now() - grace;
        let objects = self.newest_first(&self.unnamed(grace)?)?;
        let mut pruned = Pruned::default();
        for round in objects.chunks(ROUND) {
            let Some(_alone) = self.alone()? else {
                pruned.was_busy = true;
                break;
            };
            for object in round {
                self.remove_old(object, before, &mut pruned)?;
            }
        }
        Ok(pruned)
    }

    /// What a prune after `grace` would remove. Changes nothing.
    pub fn prunable(&self, grace: Duration) -> GitResult<Pruned> {
        let mut prunable = Pruned::default();
        let unnamed = self.unnamed(grace)?;
        for found in unnamed.lines().filter_map(|line| self.loose(line)) {
            prunable.objects += 1;
            prunable.bytes += own_bytes(&found);
        }
        Ok(prunable)
    }

    /// The file of the object that a line of git's begins with; nothing where it is packed, or gone meanwhile.
    fn loose(&self, line: &str) -> Option<fs::Metadata> {
        let (directory, name) = line.split(' ').next()?.split_at_checked(2)?;
        fs::symlink_metadata(self.path().join("objects").join(directory).join(name)).ok()
    }

    /// The objects that nothing names and that are at least so old, each a line with its kind.
    fn unnamed(&self, grace: Duration) -> GitResult<String> {
        let mut command = self.keeper();
        let expire = format!("--expire={}.seconds.ago", grace.as_secs());
        command.args(["prune", "--dry-run", &expire]);
        succeeded(command, "git prune --dry-run")
    }

    /// Commits before their parents, then everything else: whatever is left by a prune that is cut short, a commit that
    /// is still there is there with all it refers to, and may be fetched or named again.
    fn newest_first(&self, listed: &str) -> GitResult<Vec<String>> {
        let listed: Vec<(&str, &str)> = listed.lines().filter_map(|line| line.split_once(' ')).collect();
        let of = |wanted: fn(&str) -> bool| listed.iter().filter(move |(_, kind)| wanted(kind)).map(|(oid, _)| *oid);
        let commits: HashSet<&str> = of(|kind| kind == "commit").collect();
        // A tag names one of the commits.
        let mut objects: Vec<String> = of(|kind| kind == "tag").map(str::to_owned).collect();
        if !commits.is_empty() {
            let mut list = String::new();
            commits.iter().for_each(|oid| line(&mut list, oid));
            let mut command = self.keeper();
            command.args(["rev-list", "--topo-order", "--stdin"]);
            command.stdin(self.input(&list)?);
            let ordered = succeeded(command, "git rev-list --topo-order")?;
            objects.extend(ordered.lines().filter(|oid| commits.contains(oid)).map(str::to_owned));
        }
        objects.extend(of(|kind| !matches!(kind, "commit" | "tag")).map(str::to_owned));
        Ok(objects)
    }

    /// Removes a loose object that is old still. Its directory stays: a writer may be about to put another one there.
    fn remove_old(&self, object: &str, before: SystemTime, pruned: &mut Pruned) -> GitResult<()> {
        let Some((directory, name)) = object.split_at_checked(2) else {
            return Ok(());
        };
        let path = self.path().join("objects").join(directory).join(name);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(GitError::io("can't look at", &path, error)),
        };
        if metadata.modified().at("can't read the age of", &path)? < before {
            fs::remove_file(&path).at("can't remove", &path)?;
            pruned.objects += 1;
            pruned.bytes += own_bytes(&metadata);
        }
        Ok(())
    }

    /// The hub for oneself, or nothing where its users leave no gap for long.
    fn alone(&self) -> GitResult<Option<File>> {
        let path = self.path().join(USE_LOCK);
        let _private = Private::begin();
        let lock = File::create(&path).at("can't make the lock file", &path)?;
        let deadline = Instant::now() + BUSY;
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(lock)),
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(LOOK_AGAIN),
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(GitError::io("can't take the lock", &path, error.into())),
            }
        }
    }

    /// Lines for a git to read.
    fn input(&self, list: &str) -> GitResult<File> {
        let name = format!("orchestrator-list.{}.{:?}", std::process::id(), thread::current().id());
        let path = self.path().join(name);
        let _private = Private::begin();
        let written = fs::write(&path, list).at("can't write", &path);
        let input = written.and_then(|()| File::open(&path).at("can't read", &path));
        fs::remove_file(&path).at("can't remove", &path)?;
        input
    }

    /// A git that reads the hub's objects, and runs nothing.
    fn keeper(&self) -> Command {
        let mut command = isolated("git");
        command.arg(join("--git-dir=", self.path()));
        for setting in ["core.hooksPath=/dev/null", "core.fsmonitor=false", "gc.auto=0"] {
            command.args(["-c", setting]);
        }
        command
    }
}

/// What comes free with a file: nothing, where it is shared with the user's repository.
fn own_bytes(metadata: &fs::Metadata) -> u64 {
    match metadata.nlink() {
        1 => metadata.blocks() * 512,
        _ => 0,
    }
}

fn line(list: &mut String, text: &str) {
    list.push_str(text);
    list.push('\n');
}

fn succeeded(command: Command, name: &str) -> GitResult<String> {
    let output = process::run(command, name, LOOK_LIMIT)?;
    match output.status {
        Some(0) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        _ => Err(GitError::Program {
            command: name.to_owned(),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
    }
}
