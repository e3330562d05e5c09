//! The generated layer: rules with a command or a union.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn generated_files_are_generated_again_from_the_merged_tree() {
    let own = |key: &str| {
        format!("echo {key} > parts/{key}; cat parts/* > Cargo.lock; cat parts/* > new.lock; echo {key} >> src.txt")
    };
    let both = Rule::resolver("*").file("src.txt").json(&replace("left\nright\n"));
    let settings = ruled(vec![rule(
        "*.lock",
        command("cat parts/* src.txt > Cargo.lock; cp Cargo.lock new.lock"),
    )]);
    let harness = opened(two(&own("left"), &own("right"), vec![both]), settings).await;
    let repository = harness.repository(&[("parts/a", "a\n"), ("Cargo.lock", "a\n"), ("src.txt", "s\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, run.id).await;
    // The command saw what the other layers had decided, and what both sides brought.
    assert_eq!(text(&repository, "Cargo.lock"), "a\nleft\nright\ns\nleft\nright\n");
    assert_eq!(text(&repository, "new.lock"), text(&repository, "Cargo.lock"));
    let expected = [
        ("model", "resolved"),
        ("generated", "resolved"),
        ("generated", "resolved"),
    ];
    assert_eq!(decisions(&harness, run.id).await, pairs(&expected));
}

/// With the command that docs/configuration.md shows, and a check that refuses a lock file which cargo would change.
#[tokio::test(flavor = "multi_thread")]
async fn cargo_lock_of_two_new_crates_is_accepted_by_cargo() {
    let own = |key: &str| {
        let manifest = format!("[package]\\nname = \"{key}\"\\nversion = \"1.0.0\"\\nedition = \"2024\"\\n");
        format!(
            "mkdir -p crates/{key}/src; touch crates/{key}/src/lib.rs; printf '{manifest}' > crates/{key}/Cargo.toml; \
             cargo generate-lockfile --offline"
        )
    };
    let settings = ruled(vec![rule("Cargo.lock", command("cargo update --workspace --offline"))]);
    let harness = opened(two(&own("left"), &own("right"), vec![]), settings).await;
    let repository = harness.repository(&[
        (
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n",
        ),
        (
            "crates/base/Cargo.toml",
            "[package]\nname = \"base\"\nversion = \"1.0.0\"\nedition = \"2024\"\n",
        ),
        ("crates/base/src/lib.rs", ""),
        (
            "Cargo.lock",
            "version = 4\n\n[[package]]\nname = \"base\"\nversion = \"1.0.0\"\n",
        ),
    ]);
    let check = "cargo metadata --locked --offline --format-version 1 > /dev/null && echo 1..1 && echo ok 1";
    let run = harness.submit(&repository, Some(check)).await;
    completes(&harness, run.id).await;
    assert_eq!(decisions(&harness, run.id).await, pairs(&[("generated", "resolved")]));
    let lock = text(&repository, "Cargo.lock");
    assert!(
        ["base", "left", "right"]
            .iter()
            .all(|name| lock.contains(&format!("\"{name}\""))),
        "{lock}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn command_without_a_result_is_recorded_and_reported_to_the_worker() {
    let again = Rule::worker("*")
        .from_attempt(2)
        .contains("no such package")
        .call("shell", json!({"command": "echo both > Cargo.lock"}))
        .call("finish", done());
    let settings = ruled(vec![rule("Cargo.lock", command("echo no such package >&2; exit 3"))]);
    let harness = opened(
        two("echo left > Cargo.lock", "echo right > Cargo.lock", vec![again]),
        settings,
    )
    .await;
    let repository = harness.repository(&[("Cargo.lock", "a\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, run.id).await;
    assert_eq!(text(&repository, "Cargo.lock"), "both\n");
    let expected = [("generated", "failed"), ("worker", "declined")];
    assert_eq!(decisions(&harness, run.id).await, pairs(&expected));
    assert!(
        reasons(&harness, run.id, Layer::Generated)
            .await
            .contains("exit code 3")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_a_command_leaves_are_not_followed_out_of_the_checkout() {
    let again = Rule::worker("*")
        .from_attempt(2)
        .call("shell", json!({"command": "echo both > Cargo.lock"}))
        .call("finish", done());
    let settings = ruled(vec![rule(
        "Cargo.lock",
        command("rm Cargo.lock; ln -s /etc/passwd Cargo.lock"),
    )]);
    let harness = opened(
        two("echo left > Cargo.lock", "echo right > Cargo.lock", vec![again]),
        settings,
    )
    .await;
    let repository = harness.repository(&[("Cargo.lock", "a\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, run.id).await;
    assert!(
        reasons(&harness, run.id, Layer::Generated)
            .await
            .contains("it is a link")
    );
    assert_eq!(text(&repository, "Cargo.lock"), "both\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn appended_files_keep_the_lines_of_both_sides() {
    let harness = opened(
        two(
            "echo left | tee -a log.jsonl >> long.jsonl",
            "echo right | tee -a log.jsonl >> long.jsonl",
            vec![],
        ),
        ruled(vec![rule("*.jsonl", Generation::Union)]),
    )
    .await;
    // The second is too long to be merged whole.
    let long = "0\n".repeat(60_000);
    let repository = harness.repository(&[("log.jsonl", "1\n"), ("long.jsonl", &long)]);
    let run = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, run.id).await;
    for (file, before) in [("log.jsonl", "1\n"), ("long.jsonl", &long)] {
        let added = text(&repository, file).strip_prefix(before).unwrap().to_owned();
        let mut lines: Vec<&str> = added.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["left", "right"], "{file}");
    }
    assert_eq!(
        decisions(&harness, run.id).await,
        pairs(&[("generated", "resolved"); 2])
    );
    assert_eq!(resolver_calls(&harness), 0);
}
