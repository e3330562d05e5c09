//! The driver layer.

use super::*;

/// A driver that joins the lines of both sides, sorted; or fails where it finds the word.
fn driver(harness: &Harness) -> MergeSettings {
    let script = harness.directory.path().join("driver.sh");
    let body = "#!/bin/sh\ngrep -q hard \"$2\" && { echo too hard; exit 1; }\ntest \"$(ls | wc -l)\" = 3 || exit 4\n\
                sort -u \"$2\" \"$3\" > \"$4\"\n";
    std::fs::write(&script, body).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let placeholders = ["{base}", "{ours}", "{theirs}", "{output}"].map(str::to_owned);
    MergeSettings {
        driver: std::iter::once(script.display().to_string())
            .chain(placeholders)
            .collect(),
        ..MergeSettings::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn driver_resolves_in_the_sandbox_where_a_gate_checks_the_result() {
    let work = |key: &str| format!("echo '{key}' > a.txt; printf 'hard\\n{key}\\n' > b.txt");
    let both = Rule::resolver("*").json(&replace("left\nright\n"));
    let mut harness = Harness::open(two(&work("left"), &work("right"), vec![both])).await;
    let merge = driver(&harness);
    harness.changed = Box::new(move |settings| settings.merge = merge.clone());
    harness.reopen().await;
    let repository = harness.repository(&[("a.txt", "base\n"), ("b.txt", "hard\nbase\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, run.id).await;
    assert_eq!(text(&repository, "a.txt"), "left\nright\n");
    assert_eq!(text(&repository, "b.txt"), "hard\nleft\nright\n");
    let expected = [("driver", "resolved"), ("driver", "failed"), ("model", "resolved")];
    assert_eq!(decisions(&harness, run.id).await, pairs(&expected));
    assert!(reasons(&harness, run.id, Layer::Driver).await.contains("too hard"));
    assert!(
        std::fs::read_dir(harness.directory.path().join("data/worktrees"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mergiraf_resolves_where_it_is_installed() {
    if std::process::Command::new("mergiraf")
        .arg("--version")
        .output()
        .is_err()
    {
        return eprintln!("mergiraf is not installed: skipped");
    }
    let work = |key: &str| format!("sed -i 's/^use std::fs;$/&\\nuse std::{key};/' main.rs");
    let harness = Harness::open(two(&work("env"), &work("io"), Vec::new())).await;
    let source = "use std::fs;\n\nfn main() {\n    println!(\"{}\", fs::read_to_string(\"a\").is_ok());\n}\n";
    let repository = harness.repository(&[("main.rs", source)]);
    let run = harness
        .submit(&repository, Some("grep -q 'use std::fs;' main.rs"))
        .await;
    completes(&harness, run.id).await;
    let merged = text(&repository, "main.rs");
    assert!(
        merged.contains("use std::env;\n") && merged.contains("use std::io;\n"),
        "{merged}"
    );
    assert_eq!(decisions(&harness, run.id).await, pairs(&[("driver", "resolved")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn driver_is_not_asked_without_a_gate() {
    let both = Rule::resolver("*").json(&replace("left\nright\n"));
    let mut harness = Harness::open(two("echo left > a.txt", "echo right > a.txt", vec![both])).await;
    let merge = driver(&harness);
    harness.changed = Box::new(move |settings| settings.merge = merge.clone());
    harness.reopen().await;
    let repository = harness.repository(&[("a.txt", "base\n")]);
    let run = harness.submit(&repository, None).await;
    completes(&harness, run.id).await;
    let expected = [("driver", "declined"), ("model", "resolved")];
    assert_eq!(decisions(&harness, run.id).await, pairs(&expected));
    assert!(
        reasons(&harness, run.id, Layer::Driver)
            .await
            .contains("no check command")
    );
}
