//! A workspace is admitted twice: when the run is submitted, and when it is prepared. What a failed attempt made goes.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

#[allow(unused_imports, reason = "other tests use more of the harness")]
mod harness;

use domain::{RunId, run::RunState};
use engine::{FieldProblem, LimitOverrides, ModelRef, NewRun, SubmitError, Submitted};
use harness::{Harness, git};
use sim_llm::Scenario;
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

async fn submit(harness: &Harness, workspace: &Path, initialise: bool) -> Result<Submitted, SubmitError> {
    let model = ModelRef::new("scripted", "scripted");
    harness
        .engine
        .submit(NewRun {
            objective: "Do what the plan says".into(),
            workspace: workspace.to_path_buf(),
            initialise,
            director: Some(model.clone()),
            worker: Some(model),
            check: None,
            limits: LimitOverrides::default(),
            allow_integrity_flags: None,
            idempotency_key: None,
        })
        .await
}

/// Every path below a directory.
fn listing(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(listing(&entry.path()));
        }
        found.insert(entry.path());
    }
    found
}

fn hubs(harness: &Harness) -> Vec<PathBuf> {
    let mut hubs: Vec<PathBuf> = listing(&harness.directory.path().join("data/hubs"))
        .into_iter()
        .collect();
    hubs.retain(|path| path.is_dir());
    hubs
}

fn notes(harness: &Harness) -> usize {
    let notes = listing(&harness.directory.path().join("data/preparing"));
    notes.iter().filter(|path| path.extension().is_some()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_become_a_first_commit_only_on_request() {
    let harness = Harness::open(Scenario::trivial(1, 1)).await;
    let directory = harness.directory.path().join("notes");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("a.txt"), "a\n").unwrap();
    let refused = submit(&harness, &directory, false).await.unwrap_err();
    let SubmitError::Unusable(FieldProblem { field, hint, .. }) = &refused else {
        panic!("{refused}");
    };
    assert_eq!(*field, "initialise");
    assert!(hint.contains("initialise"), "{hint}");
    assert!(!directory.join(".git").exists());

    let run = submit(&harness, &directory, true).await.unwrap().id;
    assert_eq!(harness.end(run).await.0, RunState::Complete);
    assert_eq!(git(&directory, &["ls-tree", "--name-only", "main~1"]), "a.txt");
    assert!(!directory.join(".git/orchestrator-made").exists(), "it is settled");
    assert_eq!(notes(&harness), 0);

    let missing = harness.directory.path().join("new/project");
    let run = submit(&harness, &missing, false).await.unwrap().id;
    assert_eq!(harness.end(run).await.0, RunState::Complete);
    assert_eq!(fs::metadata(&missing).unwrap().permissions().mode() & 0o077, 0);
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn path_that_leads_elsewhere_when_it_is_prepared_is_refused() {
    // Nothing is prepared before the path has changed.
    let mut harness = Harness::open(Scenario::trivial(1, 1)).await;
    harness.changed = Box::new(|settings| settings.duties = engine::Duties::None);
    harness.reopen().await;
    let place = harness.directory.path().join("place");
    fs::create_dir(&place).unwrap();
    let run = submit(&harness, &place, false).await.unwrap().id;
    let secret = harness.directory.path().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("key"), "k").unwrap();
    fs::remove_dir(&place).unwrap();
    symlink(&secret, &place).unwrap();
    let with_files = harness.directory.path().join("files");
    let other = submit(&harness, &with_files, false).await.unwrap().id;
    fs::create_dir(&with_files).unwrap();
    fs::write(with_files.join("mine"), "m").unwrap();

    harness.changed = Box::new(|_| ());
    harness.reopen().await;
    for run in [run, other] {
        let (state, reason) = harness.end(run).await;
        assert_eq!(state, RunState::Failed);
        assert!(
            reason.contains("leads to") || reason.contains("nobody asked"),
            "{reason}"
        );
    }
    harness.engine.drain().await;
    assert_eq!(listing(&secret).len(), 1);
    assert_eq!(listing(&with_files).len(), 1);
    assert_eq!(hubs(&harness), Vec::<PathBuf>::new());
    assert_eq!(notes(&harness), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn first_commit_over_its_limits_leaves_nothing_behind() {
    let harness = Harness::open_with(Scenario::trivial(1, 1), |settings| settings.initialise_files = 50).await;
    let directory = harness.directory.path().join("many");
    fs::create_dir(&directory).unwrap();
    for number in 0..60 {
        fs::write(directory.join(format!("{number}.txt")), format!("{number}\n")).unwrap();
    }
    let before = listing(&directory);
    let run = submit(&harness, &directory, true).await.unwrap().id;
    let (state, reason) = harness.end(run).await;
    assert_eq!(state, RunState::Failed);
    assert!(reason.contains("more than 50 files"), "{reason}");
    harness.engine.drain().await;
    assert_eq!(listing(&directory), before);
    assert_eq!(hubs(&harness), Vec::<PathBuf>::new());
    assert_eq!(notes(&harness), 0);
}

/// As `kill -9` leaves it: the note is there, and what was made; the next start clears it, if nothing comes of the run.
#[tokio::test(flavor = "multi_thread")]
async fn next_start_removes_what_a_killed_one_started_for_an_ended_run() {
    let mut harness = Harness::open(Scenario::trivial(1, 1)).await;
    harness.changed = Box::new(|settings| settings.duties = engine::Duties::None);
    harness.reopen().await;
    let files = harness.directory.path().join("files");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("mine"), "m").unwrap();
    let missing = harness.directory.path().join("new/project");
    let (first, second) = (
        submit(&harness, &files, true).await.unwrap().id,
        submit(&harness, &missing, false).await.unwrap().id,
    );
    let going_on = harness.directory.path().join("going-on");
    let third = submit(&harness, &going_on, false).await.unwrap().id;
    for run in [first, second] {
        harness.engine.cancel(run).await.unwrap();
    }
    // What their ends left to do is done: the notes are of a life that was killed.
    harness.engine.drain().await;
    note(&harness, first, &files, &[]);
    note(
        &harness,
        second,
        &missing,
        &[&harness.directory.path().join("new"), &missing],
    );
    note(&harness, third, &going_on, &[&going_on]);
    for path in [&files, &missing, &going_on] {
        fs::create_dir_all(path.join(".git.orchestrator-making/objects/aa")).unwrap();
    }
    harness.changed = Box::new(|_| ());
    harness.reopen().await;
    assert_eq!(harness.end(third).await.0, RunState::Complete);
    assert_eq!(listing(&files).len(), 1, "{:?}", listing(&files));
    assert!(!harness.directory.path().join("new").exists());
    assert!(!going_on.join(".git.orchestrator-making").exists());
    assert_eq!(notes(&harness), 0);
}

fn note(harness: &Harness, run: RunId, workspace: &Path, directories: &[&Path]) {
    let note = serde_json::json!({"workspace": workspace, "directories": directories, "hub": null});
    let file = harness.directory.path().join(format!("data/preparing/{run}.json"));
    fs::write(file, note.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hubs_are_private_to_our_account_and_older_ones_are_closed() {
    let mut harness = Harness::open(Scenario::trivial(2, 1)).await;
    let repository = harness.repository(&[("a.txt", "a\n")]);
    let usual = fs::metadata(repository.join("a.txt")).unwrap().permissions().mode();
    let run = harness.submit(&repository, None).await.id;
    assert_eq!(harness.end(run).await.0, RunState::Complete);
    harness.engine.drain().await;
    assert_closed(&harness);
    // What is delivered has the rights that the user's own files have.
    let delivered = git(&repository, &["ls-files", "task-1*", "*.txt"]);
    for name in delivered.lines() {
        let mode = fs::metadata(repository.join(name)).unwrap().permissions().mode();
        assert_eq!(mode, usual, "{name}");
    }
    let hub = hubs(&harness)
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "git"))
        .unwrap();
    for path in listing(&hub).into_iter().chain([hub]) {
        let open = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
    }
    harness.reopen().await;
    assert_closed(&harness);
}

/// Everything in the hubs, but what is linked from the user's repository: that is the user's, and nobody gets there.
fn assert_closed(harness: &Harness) {
    use std::os::unix::fs::MetadataExt;
    let hubs = harness.directory.path().join("data/hubs");
    for path in listing(&hubs).into_iter().chain([hubs]) {
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() || metadata.nlink() == 1 {
            assert_eq!(
                metadata.mode() & 0o077,
                0,
                "{} has mode {:o}",
                path.display(),
                metadata.mode()
            );
        }
    }
}
