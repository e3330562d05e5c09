//! The toolchain that builds this workspace also works in a sandbox, offline.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use sandbox::{Job, Sandbox, Settings, Tier};

fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// An empty `[workspace]` keeps cargo from looking for one above.
fn manifest(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}\n")
}

async fn cargo_test(directory: &Path) -> sandbox::Finished {
    let sandbox = Sandbox::probe(Tier::Bubblewrap, Settings::default()).await.unwrap();
    let mut job = Job::shell("cargo test --offline", directory.to_owned());
    job.time_limit = Duration::from_secs(240);
    sandbox.run(job).await.unwrap()
}

#[tokio::test]
async fn cargo_tests_crate_with_path_dependency() {
    let directory = tempfile::tempdir().unwrap();
    write(
        directory.path(),
        "Cargo.toml",
        &manifest("outer", "[workspace]\n[dependencies]\ninner = { path = \"inner\" }"),
    );
    write(
        directory.path(),
        "src/lib.rs",
        "#[test] fn works() { assert_eq!(inner::one(), 1); }",
    );
    write(directory.path(), "inner/Cargo.toml", &manifest("inner", ""));
    write(directory.path(), "inner/src/lib.rs", "pub fn one() -> u8 { 1 }");
    let finished = cargo_test(directory.path()).await;
    assert!(finished.succeeded(), "{}", finished.output_head_tail);
    assert!(
        finished.output_head_tail.contains("1 passed"),
        "{}",
        finished.output_head_tail
    );
}

#[tokio::test]
async fn cargo_tests_crate_with_downloaded_dependency() {
    let directory = tempfile::tempdir().unwrap();
    // This workspace uses httpdate itself, so it is in the registry cache wherever these tests are built.
    write(
        directory.path(),
        "Cargo.toml",
        &manifest("user", "[workspace]\n[dependencies]\nhttpdate = \"1\""),
    );
    write(
        directory.path(),
        "src/lib.rs",
        "#[test] fn works() { assert!(httpdate::parse_http_date(\"x\").is_err()); }",
    );
    let finished = cargo_test(directory.path()).await;
    assert!(finished.succeeded(), "{}", finished.output_head_tail);
}

#[tokio::test]
async fn tier_none_has_own_home_and_clean_environment() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::probe(Tier::None, Settings::default()).await.unwrap();
    let command = "echo $HOME; env | grep -c CARGO_MANIFEST_DIR; sleep 987201 & pwd";
    let finished = sandbox
        .run(Job::shell(command, directory.path().to_owned()))
        .await
        .unwrap();
    let lines: Vec<&str> = finished.output_head_tail.lines().collect();
    assert!(finished.succeeded(), "{finished:?}");
    assert_ne!(Some(Path::new(lines[0])), std::env::home_dir().as_deref());
    assert_eq!(lines[1..], ["0", directory.path().to_str().unwrap()]);
    assert!(sandbox.describe().contains("no sandbox"), "{}", sandbox.describe());
}
