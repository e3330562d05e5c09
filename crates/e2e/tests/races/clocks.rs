//! Processes with wrong clocks: leases use the database's clock, so nothing changes.

use crate::harness::Harness;
use std::process::Command;

/// The library that gives a process another time.
fn library() -> String {
    let output = Command::new("faketime")
        .args(["-f", "+0", "printenv", "LD_PRELOAD"])
        .output()
        .unwrap_or_else(|error| panic!("{error}: is faketime installed? On Debian: sudo apt-get install faketime"));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_and_jumping_clocks_do_not_affect_leases() {
    let harness = Harness::open(700).await;
    let library = library();
    let clock = harness.directory.path().join("clock");
    std::fs::write(&clock, "+6h\n").unwrap();
    let fake = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_NO_CACHE", "1"),
    ];
    let jumping = [&fake[..], &[("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap())]].concat();
    let behind = [&fake[..], &[("FAKETIME", "-9h")]].concat();
    let first = harness.enter("first", "", &jumping).await;
    let second = harness.enter("second", "", &behind).await;
    first.submit(&harness.repository, "sleep 1; sh test.sh").await;
    harness
        .fact("a task is worked on", "select 1 from task where state = 'active'")
        .await;
    std::fs::write(&clock, "-30h\n").unwrap();
    harness
        .fact("a task is merged", "select 1 from merge where state = 'verifying'")
        .await;
    std::fs::write(&clock, "+400d\n").unwrap();
    harness
        .fact("the run ends", "select 1 from run where ended_at is not null")
        .await;
    harness.assert_whole().await;
    // No process was considered dead.
    assert!(!harness.holds("select 1 from event where kind = 'task_recovered'").await);
    assert!(!harness.holds("select 1 from task where fence <> 1").await);
    assert!(!harness.holds("select 1 from model_call where state = 'lost'").await);
    first.leave().await;
    second.leave().await;
}
