//! The order of the merge queue, and the fences of its steps.

use crate::place::Place;
use domain::{
    CommitId, RunId,
    gate::GateReport,
    merge::{MergeEnd, MergeState},
};
use store::merge::{BroughtRow, Hold, merge_lease};

/// A level of priority is worth so many seconds.
const LEVEL_S: f64 = 60.0;

async fn queued(place: &Place, run: RunId, key: &str, priority: i64, age_s: f64) {
    let task = place.task(run, key, priority, 0).await;
    let mut tx = place.database.store().begin().await.unwrap();
    tx.queue_merge(run, task, &CommitId(key.into())).await.unwrap();
    tx.commit().await.unwrap();
    place
        .sql(format!(
            "update merge set queued_at = now() - interval '{age_s} s' where task = {task}"
        ))
        .await;
}

async fn order(place: &Place, run: RunId) -> Vec<String> {
    let queue = place.database.store().merge_queue(run, LEVEL_S, 10).await.unwrap();
    queue.into_iter().map(|entry| entry.key.0).collect()
}

#[tokio::test]
async fn a_higher_priority_goes_first_but_nobody_is_passed_over_for_ever() {
    let place = Place::new().await;
    let run = place.run(1, 0.0).await;
    queued(&place, run, "old", 1, 200.0).await;
    queued(&place, run, "urgent", 3, 10.0).await;
    queued(&place, run, "new", 1, 0.0).await;
    queued(&place, run, "older", 1, 90.0).await;
    // `urgent` is worth two minutes more than the others.
    assert_eq!(order(&place, run).await, ["old", "urgent", "older", "new"]);
}

#[tokio::test]
async fn landings_that_are_intended_come_first_and_in_their_order() {
    let place = Place::new().await;
    let run = place.run(1, 0.0).await;
    let (store, own) = (place.database.store(), place.process("own").await);
    for (key, age_s) in [("first", 1.0), ("second", 50.0), ("third", 100.0)] {
        queued(&place, run, key, 1, age_s).await;
    }
    let lease = store.take_lease(&merge_lease(run), own).await.unwrap().unwrap();
    let queue = store.merge_queue(run, LEVEL_S, 10).await.unwrap();
    let id = |key: &str| queue.iter().find(|entry| entry.key.0 == key).unwrap().id;
    let hold = |key: &str| Hold {
        merge: id(key),
        lease: &lease,
    };
    let commit = |text: &str| CommitId(text.into());
    let mut tx = store.begin().await.unwrap();
    for (at, key) in ["first", "second"].into_iter().enumerate() {
        assert!(
            tx.intend_landing(hold(key), &commit("tip"), &commit(key), at)
                .await
                .unwrap()
        );
    }
    tx.commit().await.unwrap();
    assert_eq!(order(&place, run).await, ["first", "second", "third"]);
}

#[tokio::test]
async fn a_step_under_an_old_fence_changes_nothing() {
    let place = Place::new().await;
    let run = place.run(1, 0.0).await;
    let (store, own) = (place.database.store(), place.process("own").await);
    queued(&place, run, "t", 1, 0.0).await;
    let lease = merge_lease(run);
    let old = store.take_lease(&lease, own).await.unwrap().unwrap();
    let new = store.take_lease(&lease, own).await.unwrap().unwrap();
    let merge = store.merge_queue(run, LEVEL_S, 1).await.unwrap()[0].id;
    let (tip, merged, nothing) = (CommitId("tip".into()), CommitId("merged".into()), serde_json::json!([]));
    let row = BroughtRow {
        tip: &tip,
        method: "fast",
        conflicts: &nothing,
        merged: Some((&merged, "tree")),
        gate: None,
    };
    let (end, report) = (
        MergeEnd::Landed { commit: merged.clone() },
        GateReport::not_configured(),
    );
    for (lease, ours) in [(&old, false), (&new, true)] {
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.begin_merge(Hold { merge, lease }, true).await.unwrap(), ours);
        assert_eq!(
            tx.brought(Hold { merge, lease }, MergeState::Verifying, row)
                .await
                .unwrap(),
            ours
        );
        // A report on another commit than the merge's is not saved either.
        assert!(!tx.save_gate(Hold { merge, lease }, &tip, &report).await.unwrap());
        assert_eq!(
            tx.save_gate(Hold { merge, lease }, &merged, &report).await.unwrap(),
            ours
        );
        assert_eq!(
            tx.intend_landing(Hold { merge, lease }, &tip, &merged, 0)
                .await
                .unwrap(),
            ours
        );
        assert!(
            !tx.brought(Hold { merge, lease }, MergeState::Verifying, row)
                .await
                .unwrap(),
            "an intent stands"
        );
        assert_eq!(tx.end_merge(Hold { merge, lease }, &end, 1).await.unwrap(), ours);
        assert!(
            !tx.begin_merge(Hold { merge, lease }, true).await.unwrap(),
            "it is not ours, or has ended"
        );
        tx.commit().await.unwrap();
    }
}
