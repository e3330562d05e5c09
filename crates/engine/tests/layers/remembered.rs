//! The remembered layer.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn landed_decision_is_remembered_without_asking_a_model() {
    let both = Rule::resolver("*")
        .file("a.txt")
        .json(&replace("left\nright\n"))
        .times(1);
    let other = Rule::resolver("*")
        .file("b.txt")
        .contains("A conflict that was decided before, in a.txt")
        .json(&replace("left\nright\n"));
    let work = |key: &str| {
        let again = format!("printf '{key}\\r\\n' > a.txt; echo {key} > b.txt");
        format!("if test -f second; then {again}; else echo {key} > a.txt; fi")
    };
    let harness = Harness::open(two(&work("left"), &work("right"), vec![both, other])).await;
    let repository = harness.repository(&[("a.txt", "base\n"), ("b.txt", "other\n")]);
    let first = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, first.id).await;
    assert_eq!(text(&repository, "a.txt"), "left\nright\n");
    // The same lines again, with the line ends of another system.
    std::fs::write(repository.join("a.txt"), "base\r\n").unwrap();
    std::fs::write(repository.join("second"), "").unwrap();
    git(&repository, &["add", "-A"]);
    git(
        &repository,
        &[
            "-c",
            "user.name=U",
            "-c",
            "user.email=u@localhost",
            "commit",
            "-qm",
            "again",
        ],
    );

    let second = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, second.id).await;
    assert_eq!(text(&repository, "a.txt"), "left\r\nright\r\n");
    let expected = [("remembered", "resolved"), ("model", "resolved")];
    assert_eq!(decisions(&harness, second.id).await, pairs(&expected));
    let reason = reasons(&harness, second.id, Layer::Remembered).await;
    assert!(reason.contains(&format!("in run {}", first.id.short())), "{reason}");
    assert_eq!(resolver_calls(&harness), 2, "one for each hunk that was new");
    let kept: Vec<(String, i64)> = sqlx::query_as("select path, uses from remembered_resolution order by path")
        .fetch_all(harness.database.pool())
        .await
        .unwrap();
    assert_eq!(kept, [("a.txt".to_owned(), 1), ("b.txt".to_owned(), 0)]);
}
