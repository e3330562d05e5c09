//! How long merges and landings take: `cargo bench -p git`. Prints a table and judges nothing.
//!
//! Merges are those of `orchestrator merge-audit`, so C git's time stands beside ours for the very same merges.
//! Landings run twice, on the disk of the temporary directory and in memory: the difference is what fsync costs.

#![expect(clippy::unwrap_used, reason = "a measurement that can't be made has nothing to tell")]

#[path = "../tests/generate/ordinary.rs"]
mod ordinary;
#[path = "../tests/generate/source.rs"]
mod source;

use domain::{CommitId, RunId, TaskKey};
use git::{CleanMerge, Hub, Identity, MergeOutcome, Stamp, Times, merge_audit, refs};
use git2::{Oid, Repository, Signature, Time};
use ordinary::Shape;
use std::{
    io::Write,
    ops::ControlFlow,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

const SMALL: Shape = Shape {
    files: 400,
    merges: 300,
    seed: 1,
};
const LARGE: Shape = Shape {
    files: 20_000,
    merges: 200,
    seed: 2,
};
/// So many of this repository's own newest commits are made into branches.
const OWN_COMMITS: usize = 200;

fn main() {
    println!("{:<44}{:>7}{:>12}{:>12}", "", "count", "p50 ms", "p99 ms");
    let place = tempfile::tempdir().unwrap();
    for (name, shape) in [("generated, 400 files", SMALL), ("generated, 20,000 files", LARGE)] {
        let path = place.path().join(shape.files.to_string());
        generated(&path, shape);
        merges(name, &path);
    }
    let own = place.path().join("own");
    if let Some(count) = own_history(&own) {
        merges(&format!("this repository's {count} newest commits as branches"), &own);
    }
    for (name, directory) in [("on disk", std::env::temp_dir()), ("in memory", "/dev/shm".into())] {
        for shape in [SMALL, LARGE] {
            match tempfile::tempdir_in(&directory) {
                Ok(place) => landings(name, place.path(), shape),
                Err(error) => println!("landings {name}: not measured: {error}"),
            }
        }
    }
}

fn line(name: &str, times: Times) {
    let milliseconds = |us: u64| us as f64 / 1000.0;
    println!(
        "  {name:<42}{:>7}{:>12.3}{:>12.3}",
        times.count,
        milliseconds(times.p50_us),
        milliseconds(times.p99_us)
    );
}

/// A generated history in one pack, as a clone has it.
fn generated(path: &Path, shape: Shape) -> Vec<ordinary::Merge> {
    let repository = Repository::init_bare(path).unwrap();
    let merges = ordinary::generate(&repository, shape);
    git(path, &["gc", "-q"]);
    merges
}

fn merges(name: &str, path: &Path) {
    let report = merge_audit(path, None, &mut |_, _| ControlFlow::Continue(())).unwrap();
    println!(
        "merges, {name}: {} clean of {}, {} decided fast, {} wrong, {} falsely in conflict",
        report.clean, report.merges, report.clean_decided, report.wrong, report.false_conflict
    );
    line("ours, fast", report.fast);
    line("ours, left to git", report.ort);
    line("ours, all", report.ours);
    line("git merge-tree", report.git);
}

/// The newest commits of this repository, each moved beside the one before it and merged; `None` without a history.
fn own_history(path: &Path) -> Option<usize> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let source = Repository::open(root).ok()?;
    let cloned = Command::new("git")
        .args(["clone", "-q", "--bare"])
        .args([source.path(), path])
        .status();
    if !cloned.is_ok_and(|status| status.success()) {
        return None;
    }
    let repository = Repository::open_bare(path).unwrap();
    let mut walk = repository.revwalk().unwrap();
    walk.push_head().ok()?;
    walk.simplify_first_parent().unwrap();
    let newest: Vec<Oid> = walk.take(OWN_COMMITS + 2).map(Result::unwrap).collect();
    let mut made = 0;
    for commits in newest.windows(3) {
        let [child, commit, parent] = [commits[0], commits[1], commits[2]];
        let beside = format!("--merge-base={commit}");
        let moved = git(
            path,
            &[
                "merge-tree",
                "--write-tree",
                &beside,
                &parent.to_string(),
                &child.to_string(),
            ],
        );
        let Some(tree) = moved else {
            continue;
        };
        let commit_of = |tree: Oid, parents: &[Oid]| {
            let signature = Signature::new("B", "b@example.org", &Time::new(0, 0)).unwrap();
            let tree = repository.find_tree(tree).unwrap();
            let parents: Vec<_> = parents
                .iter()
                .map(|oid| repository.find_commit(*oid).unwrap())
                .collect();
            let parents: Vec<_> = parents.iter().collect();
            repository
                .commit(None, &signature, &signature, "b", &tree, &parents)
                .unwrap()
        };
        let branch = commit_of(tree.parse().unwrap(), &[parent]);
        let merged = repository.find_commit(child).unwrap().tree_id();
        let merge = commit_of(merged, &[commit, branch]);
        repository
            .reference(&format!("refs/heads/merge-{made}"), merge, true, "b")
            .unwrap();
        made += 1;
    }
    (made > 0).then_some(made)
}

fn landings(name: &str, place: &Path, shape: Shape) {
    let user = place.join("user.git");
    let merges = generated(&user, shape);
    let hub = Hub::open_or_create(&place.join("hub"), &user).unwrap();
    let run = RunId::new();
    let branch = refs::integration(&run);
    let [mut merging, mut pinning, mut landing] = [const { Vec::new() }; 3];
    for (number, merge) in merges.into_iter().enumerate() {
        let [tip, task] = merge.map(|oid| CommitId(oid.to_string()));
        let at = hub.tip(&branch).unwrap();
        hub.advance(&branch, at.as_ref(), &tip).unwrap();
        let key = TaskKey::from(format!("task-{number}").as_str());
        hub.pin(&refs::submission(&run, &key, &task), &task).unwrap();

        let started = Instant::now();
        let MergeOutcome::Clean(CleanMerge { tree, .. }) = hub.merge(&tip, &task).unwrap() else {
            continue;
        };
        let merged = hub.commit_merge(&tree, &tip, &task, &stamp()).unwrap();
        merging.push(started.elapsed());
        pinning.push(timed(|| {
            hub.pin(&refs::candidate(&run, &key, &merged), &merged).unwrap()
        }));
        landing.push(timed(|| {
            let durable = hub.make_durable(&merged).unwrap();
            hub.land(&branch, &tip, &durable).unwrap();
        }));
    }
    println!("landings, {name}, {} files", shape.files);
    line("merge and its commit", Times::of(merging));
    line("candidate made durable and pinned", Times::of(pinning));
    line("landing step", Times::of(landing));
    std::io::stdout().flush().unwrap();
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn stamp() -> Stamp {
    Stamp {
        message: "merge\n".to_owned(),
        identity: Identity {
            name: "B".to_owned(),
            email: "b@example.org".to_owned(),
        },
        at_unix_s: 1_750_000_000,
    }
}

fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("--git-dir")
        .arg(directory)
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    output
        .status
        .success()
        .then(|| text.lines().next().unwrap_or_default().to_owned())
}
