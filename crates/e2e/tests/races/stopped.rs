//! SIGSTOP past the lease, at each point where a woken process could do harm.

use crate::{harness::Harness, process::Process};
use e2e::eventually;

pub(crate) const ENDED: &str = "select 1 from run where ended_at is not null";
const INTENDED: &str = "select 1 from merge where intended_at is not null and ended_at is null";

/// Another process takes over and completes the run; the stopped one wakes and changes nothing.
async fn taken_over(harness: &Harness, first: Process) {
    let second = harness.enter("second", "", &[]).await;
    taken_over_by(harness, first, second).await;
}

/// The same with a process that runs already.
pub(crate) async fn taken_over_by(harness: &Harness, mut first: Process, second: Process) {
    harness.fact("the run ends without the stopped process", ENDED).await;
    // A lease of an ended process is void.
    let free = "select 1 where not exists (select 1 from lease l join process p on p.id = l.process
             and p.epoch = l.epoch and p.expires_at >= now())";
    harness.fact("the branch's lease is given back", free).await;
    harness.assert_whole().await;
    // The wait was only for the lease and for the work after it.
    let soon = "select 1 from run where ended_at < created_at + interval '40 seconds'";
    assert!(harness.holds(soon).await, "{}", harness.log());
    let before = harness.fingerprint().await;
    first.wake();
    first.beats(harness, 3).await;
    let after = harness.fingerprint().await;
    for (place, was) in &before {
        assert_eq!(Some(was), after.get(place), "{place}\n{}", harness.log());
    }
    // A commit that it was about to submit may still be pinned, which moves nothing.
    let new = after.keys().filter(|place| !before.contains_key(*place));
    let unexpected: Vec<_> = new.filter(|place| !place.contains("/submission/")).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}\n{}", harness.log());
    harness.assert_whole().await;
    first.leave().await;
    second.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn start_does_not_disturb_a_process_on_the_same_hub() {
    let harness = Harness::open(0).await;
    let first = harness.enter("first", "", &[]).await;
    in_the_gate(&harness, &first).await;
    let second = harness.enter("second", "", &[]).await;
    // Its cleanup runs beside its work.
    second.beats(&harness, 2).await;
    std::fs::write(harness.directory.path().join("signals/go"), "").unwrap();
    harness.fact("the run ends", ENDED).await;
    harness.assert_whole().await;
    assert!(
        !harness
            .holds("select 1 from task where fence <> 1 or failures > 0")
            .await,
        "{}",
        harness.log()
    );
    first.leave().await;
    second.leave().await;
}

/// Submits a run whose gate waits for a file, and waits until it does.
async fn in_the_gate(harness: &Harness, first: &Process) {
    let go = harness.directory.path().join("signals/go");
    let check = format!(
        "touch started; until test -e {}; do sleep 0.05; done; test -e started && sh test.sh",
        go.display()
    );
    first.submit(&harness.repository, &check).await;
    let worktrees = first.data_dir.join("worktrees");
    eventually("the gate runs", || async {
        let mut entries = std::fs::read_dir(&worktrees).unwrap().flatten();
        entries.find(|entry| entry.path().join("started").exists())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_in_a_model_call() {
    let harness = Harness::open(1_000).await;
    let first = harness.enter("first", "", &[]).await;
    first.submit(&harness.repository, "sh test.sh").await;
    eventually("the model is asked", || async {
        (harness.model.journal().len() >= 3).then_some(())
    })
    .await;
    first.stop();
    taken_over(&harness, first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_in_the_gate() {
    let harness = Harness::open(0).await;
    let first = harness.enter("first", "", &[]).await;
    in_the_gate(&harness, &first).await;
    first.stop();
    std::fs::write(harness.directory.path().join("signals/go"), "").unwrap();
    taken_over(&harness, first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_in_a_transaction_that_locks_the_run() {
    let harness = Harness::open(0).await;
    let mut first = harness.enter("first", "sendto", &[]).await;
    first.submitting(&harness.repository, "sh test.sh");
    first
        .step_until(async || {
            harness
                .holds(
                    "select 1 from pg_stat_activity a join pg_locks l on l.pid = a.pid
                     where a.state = 'idle in transaction' and l.relation = 'run'::regclass
                         and l.mode = 'RowShareLock' and exists (select 1 from merge)",
                )
                .await
        })
        .await;
    taken_over(&harness, first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_between_intent_and_branch_move() {
    let harness = Harness::open(0).await;
    // Each update of a reference starts with this call.
    let mut first = harness.enter("first", "flock", &[]).await;
    first.submitting(&harness.repository, "sh test.sh");
    first.step_until(async || harness.holds(INTENDED).await).await;
    taken_over(&harness, first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_in_a_delivery_after_its_push() {
    let harness = Harness::open(0).await;
    let remote = harness.remote();
    let first = harness.enter("first", "", &[]).await;
    harness.before_the_branch_moves(&remote, &format!("kill -STOP {}", first.pid()));
    first.submit(&harness.repository, "sh test.sh").await;
    harness.branch_moves().await;
    taken_over(&harness, first).await;
    let branch: String = sqlx::query_scalar("select branch from run")
        .fetch_one(harness.pool())
        .await
        .unwrap();
    let at = |place: &std::path::Path| e2e::git(place, &["rev-parse", &branch]);
    assert_eq!(at(&remote), at(&harness.hub()));
    let pushed = "select 1 where 1 = (select count(*) from event where kind = 'push_intended')";
    assert!(harness.holds(pushed).await, "{}", harness.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_while_holding_the_branch_lock_file() {
    let harness = Harness::open(0).await;
    let mut first = harness.enter("first", "fsync", &[]).await;
    first.submitting(&harness.repository, "sh test.sh");
    let hub = || harness.hub().join("refs/heads/orchestrator");
    let locked = || {
        let entries = std::fs::read_dir(hub()).into_iter().flatten().flatten();
        let mut entries = entries.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "lock"));
        entries.next().is_some()
    };
    first
        .step_until(async || harness.holds(INTENDED).await && locked())
        .await;
    // It lives, so its lock is not stale: the other process waits, and continues when it wakes.
    let second = harness.enter("second", "", &[]).await;
    harness
        .fact(
            "the other process has taken over the branch, and waits",
            "select 1 from lease l join process p on p.id = l.process and p.epoch = l.epoch
             where l.fence > 1 and p.name like '%/second/%'",
        )
        .await;
    eventually("the other process has met the lock", || async {
        harness.log().contains("; waited ").then_some(())
    })
    .await;
    assert!(locked() && harness.holds(INTENDED).await);
    first.wake();
    harness.fact("the run ends", ENDED).await;
    first.beats(&harness, 2).await;
    harness.assert_whole().await;
    first.leave().await;
    second.leave().await;
}
