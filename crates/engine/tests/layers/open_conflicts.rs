//! Open conflicts go back to the worker.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn resolved_files_stay_when_the_rest_goes_back_to_the_worker() {
    let work = |key: &str| {
        format!(
            "sed -i '1s/.*/{key} 1/; 9s/.*/{key} 9/' both.txt; echo {key} > decided.txt; echo {key} >> log.jsonl; \
             echo {key} > parts/{key}; cat parts/* > made.lock"
        )
    };
    let hunk = |number: u32, answer: Value| Rule::resolver("*").file("both.txt").hunk(number).json(&answer);
    let seen = "cat both.txt decided.txt log.jsonl made.lock > seen; sed -i '/^<<<<<<</,/^>>>>>>>/c decided 9' both.txt; \
                cat parts/* > made.lock";
    let again = |key: &str| {
        Rule::worker(key)
            .from_attempt(2)
            .call("shell", json!({"command": seen}))
            .call("finish", done())
    };
    let rules = vec![
        Rule::resolver("*").file("decided.txt").json(&replace("left\nright\n")),
        hunk(1, replace("left 1\nright 1\n")),
        hunk(2, decline("not these")),
        again("left"),
        again("right"),
    ];
    let settings = ruled(vec![
        rule("log.jsonl", Generation::Union),
        rule("made.lock", command("cat parts/* > made.lock")),
    ]);
    let harness = opened(two(&work("left"), &work("right"), rules), settings).await;
    let lines = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
    let files = [
        ("both.txt", lines),
        ("decided.txt", "a\n"),
        ("log.jsonl", "begun\n"),
        ("made.lock", "\n"),
        ("parts/a", "a\n"),
    ];
    let repository = harness.repository(&files);
    let run = harness.submit(&repository, Some("test -f both.txt")).await;
    completes(&harness, run.id).await;
    let seen = text(&repository, "seen");
    assert!(seen.starts_with("left 1\nright 1\n2\n"), "{seen}");
    assert_eq!(seen.matches("<<<<<<<").count(), 1, "{seen}");
    assert!(
        seen.contains(">>>>>>> theirs: the work\nleft\nright\nbegun\n"),
        "{seen}"
    );
    assert_eq!(
        text(&repository, "both.txt"),
        "left 1\nright 1\n2\n3\n4\n5\n6\n7\n8\ndecided 9\n"
    );
    assert_eq!(text(&repository, "decided.txt"), "left\nright\n");
    assert_eq!(text(&repository, "made.lock"), "a\nleft\nright\n");
    assert_eq!(text(&repository, "log.jsonl").lines().count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_that_are_not_about_lines_go_to_the_worker_together() {
    let again = Rule::worker("*")
        .from_attempt(2)
        .contains("gone.txt: one side changed what the other deleted")
        .contains("new.txt: both sides added a file of this name")
        .call(
            "shell",
            json!({"command": "rm -f gone.txt; echo both > new.txt; echo both > Cargo.lock"}),
        )
        .call("finish", done());
    let harness = Harness::open(two(
        "rm gone.txt; echo left > new.txt; echo left > Cargo.lock",
        "echo right > gone.txt; echo right > new.txt; echo right > Cargo.lock",
        vec![again],
    ))
    .await;
    let repository = harness.repository(&[("gone.txt", "a\n"), ("Cargo.lock", "a\n"), ("other", "\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, run.id).await;
    assert_eq!(resolver_calls(&harness), 0);
    assert_eq!(decisions(&harness, run.id).await, pairs(&[("worker", "declined"); 3]));
    let shown = reasons(&harness, run.id, Layer::Worker).await;
    for part in [
        "[[merge.generated]] files = \"Cargo.lock\"",
        "bytes (mode 100644, git show ",
        "has nothing",
        "Do what",
    ] {
        assert!(shown.contains(part), "{part} is missing in:\n{shown}");
    }
    assert!(!repository.join("gone.txt").exists());
}
