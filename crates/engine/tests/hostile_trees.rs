//! Workers that write what a user's git would execute, or can't check out: each class through a whole run.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod harness;

use domain::run::RunState;
use engine::LimitOverrides;
use harness::{Harness, done, file, git, plan};
use serde_json::{Value, json};
use sim_llm::{Rule, Scenario};

fn shell(command: &str) -> Value {
    json!({"command": command})
}

/// A worker that does the first thing, and, once it was corrected why that is refused, the second.
fn corrected(first: &str, why: &str, second: &str) -> Scenario {
    Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("task", &[])])),
        Rule::worker("task").turn(1).call("shell", shell(first)),
        Rule::worker("task")
            .contains(why)
            .call("shell", shell(second))
            .call("finish", done()),
        Rule::worker("task").call("finish", done()),
    ])
}

async fn completes_without(first: &str, why: &str, undo: &str, absent: &str) {
    let harness = Harness::open(corrected(first, why, undo)).await;
    let repository = harness.repository(&[("README.md", "read me\n")]);
    let run = harness.submit(&repository, Some("echo 1..1; echo ok 1 - fine")).await;
    assert_eq!(
        harness.end(run.id).await,
        (RunState::Complete, String::new()),
        "{first}"
    );
    let paths = git(&repository, &["ls-tree", "-r", "-z", "--name-only", "main"]);
    assert!(paths.contains("good.txt") && !paths.contains(absent), "{paths:?}");
    // It was corrected in the same attempt: no merge was made of it.
    let merges = harness.engine.views().merges(run.id).await.unwrap();
    assert_eq!(merges.len(), 1, "{first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn git_directory_in_another_spelling_is_refused_and_reported_to_the_worker() {
    completes_without(
        "mkdir -p \"$(printf '.g\\342\\200\\215it/hooks')\"; echo x > \"$(printf '.g\\342\\200\\215it/hooks/post-checkout')\"",
        "its name is .git",
        "rm -r .g*it; echo good > good.txt",
        "hooks",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn linked_gitmodules_is_refused_and_reported_to_the_worker() {
    completes_without(
        "ln -s README.md .gitmodules",
        "nothing but a regular file",
        "rm .gitmodules; echo good > good.txt",
        ".gitmodules",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_repeats_a_linked_gitmodules_fails_its_task_at_the_limit() {
    for link in [".gitmodules", ".gitattributes", "src/.GITIGNORE"] {
        let scenario = Scenario::from_rules(vec![
            Rule::director().json(&plan(&[("task", &[])])),
            Rule::worker("task")
                .turn(1)
                .call("shell", shell(&format!("mkdir -p src; ln -s README.md {link}"))),
            Rule::worker("task").call("finish", done()),
        ]);
        let harness = Harness::open(scenario).await;
        let repository = harness.repository(&[("README.md", "read me\n")]);
        let limits = LimitOverrides {
            failures: Some(2),
            ..LimitOverrides::default()
        };
        let run = harness.submit_with(&repository, Some("true"), limits).await.unwrap();
        let (state, why) = harness.end(run.id).await;
        assert_eq!(state, RunState::Failed);
        assert!(why.contains("regular file") && why.contains(link), "{why}");
        assert_eq!(git(&repository, &["status", "--porcelain"]), "");
    }
}

/// What git-crypt would encrypt when a person commits it goes back to the worker, and never into a commit.
#[tokio::test(flavor = "multi_thread")]
async fn file_that_a_filter_encrypts_is_never_delivered_in_clear_text() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("task", &[])])),
        Rule::worker("task")
            .attempt(1)
            .call("write_file", file("secrets/key.txt", "the password\n"))
            .call("finish", done()),
        Rule::worker("task")
            .from_attempt(2)
            .contains("filter=git-crypt")
            .call("shell", shell("git checkout-index -f secrets/key.txt 2>/dev/null; git show HEAD:secrets/key.txt > secrets/key.txt"))
            .call("write_file", file("good.txt", "good\n"))
            .call("finish", done()),
    ]);
    let harness = Harness::open(scenario).await;
    let repository = harness.repository(&[
        (
            ".gitattributes",
            "[attr]crypt filter=git-crypt diff=git-crypt\nsecrets/** crypt\n",
        ),
        ("secrets/key.txt", "\0GITCRYPT\0encrypted"),
    ]);
    let run = harness.submit(&repository, Some("echo 1..1; echo ok 1 - fine")).await;
    assert_eq!(harness.end(run.id).await, (RunState::Complete, String::new()));
    let branch = format!("orchestrator/{}", run.id.short());
    let kept = git(&repository, &["show", &format!("{branch}:secrets/key.txt")]);
    assert!(kept.contains("GITCRYPT"), "{kept:?}");
    let everything = git(&repository, &["log", "-p", "--all", "--format=%H"]);
    assert!(!everything.contains("the password"), "{everything}");
    assert!(git(&repository, &["ls-tree", "-r", "--name-only", &branch]).contains("good.txt"));
}

/// What the user's git, editor, shell or forge would run is delivered as a branch and flagged; the checkout moves only with
/// consent.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_the_users_tools_run_are_flagged_and_move_the_checkout_only_with_consent() {
    let written = [
        ("executable_by_git", "tools/hooks/pre-commit"),
        ("git_attributes_filter", ".gitattributes"),
        ("direnv", ".envrc"),
        ("editor_task", ".vscode/tasks.json"),
        ("workflow", ".github/workflows/ci.yml"),
        ("package_script", ".npmrc"),
    ];
    let mut worker = Rule::worker("task");
    for (_, path) in written {
        worker = worker.call("write_file", file(path, "*.x filter=evil\n"));
    }
    let worker = worker
        .call("shell", shell("ln -s ../../elsewhere out"))
        .call("finish", done());
    let harness = Harness::open(Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("task", &[])])),
        worker,
    ]))
    .await;
    let repository = harness.repository(&[("README.md", "read me\n")]);
    git(&repository, &["config", "core.hooksPath", "tools/hooks"]);
    let before = git(&repository, &["rev-parse", "main"]);
    let run = harness.submit(&repository, Some("echo 1..1; echo ok 1 - fine")).await;
    assert_eq!(harness.end(run.id).await, (RunState::Complete, String::new()));
    let detail = harness.engine.views().run(run.id).await.unwrap().unwrap();
    let mut flags: Vec<(String, String)> = detail
        .integrity_flags
        .iter()
        .map(|view| (view.flag.kind.to_string(), view.flag.path.clone().unwrap_or_default()))
        .collect();
    flags.sort();
    let mut expected = written.map(|(kind, path)| (kind.to_owned(), path.to_owned())).to_vec();
    expected.push(("link_outside".into(), "out".into()));
    // npm reads it when it runs tests, too.
    expected.push(("runner_configuration_changed".into(), ".npmrc".into()));
    expected.sort();
    assert_eq!(flags, expected);
    // The branch is there, the checkout is where it was, and no hook is in it.
    let branch = format!("orchestrator/{}", run.id.short());
    assert!(git(&repository, &["ls-tree", "-r", "--name-only", &branch]).contains("tools/hooks/pre-commit"));
    assert_eq!(git(&repository, &["rev-parse", "main"]), before);
    assert!(!repository.join("tools").exists());

    let at = git(&repository, &["rev-parse", &branch]);
    harness.engine.deliver(run.id, true).await.unwrap();
    let moved = async {
        while git(&repository, &["rev-parse", "main"]) != at {
            let detail = harness.engine.views().run(run.id).await.unwrap().unwrap();
            harness.engine.changed(run.id, detail.last_event).await;
        }
    };
    tokio::time::timeout(harness::TIMEOUT, moved).await.unwrap();
    assert!(repository.join("tools/hooks/pre-commit").exists());
}

/// A repository as no git makes it: `.gitmodules` is a link, and a directory is `.git` on a Mac.
#[tokio::test(flavor = "multi_thread")]
async fn repository_that_already_has_such_names_is_worked_on_and_delivered_to() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("task", &[])])),
        Rule::worker("task")
            .call("write_file", file("good.txt", "good\n"))
            .call("finish", done()),
    ]);
    let harness = Harness::open(scenario).await;
    let repository = harness.repository(&[("README.md", "read me\n")]);
    let blob = git(&repository, &["hash-object", "README.md"]);
    let inner = git_with_input(&repository, &["mktree"], &format!("100644 blob {blob}\tx\n"));
    let tree = git_with_input(
        &repository,
        &["mktree"],
        &format!("120000 blob {blob}\t.gitmodules\n040000 tree {inner}\t.g\u{200d}it\n100644 blob {blob}\tREADME.md\n"),
    );
    let commit = git(
        &repository,
        &[
            "-c",
            "user.name=U",
            "-c",
            "user.email=u@localhost",
            "commit-tree",
            &tree,
            "-m",
            "odd",
        ],
    );
    git(&repository, &["update-ref", "refs/heads/main", &commit]);
    let run = harness.submit(&repository, Some("echo 1..1; echo ok 1 - fine")).await;
    assert_eq!(harness.end(run.id).await, (RunState::Complete, String::new()));
    let branch = format!("orchestrator/{}", run.id.short());
    let paths = git(&repository, &["ls-tree", "-r", "-z", "--name-only", &branch]);
    for path in [".gitmodules", ".g\u{200d}it/x", "good.txt"] {
        assert!(paths.split('\0').any(|found| found == path), "{paths:?}");
    }
}

fn git_with_input(repository: &std::path::Path, arguments: &[&str], input: &str) -> String {
    use std::{io::Write, process::Stdio};
    let mut child = std::process::Command::new("git")
        .current_dir(repository)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
