//! How conflicts were decided, and what is kept of it.

use crate::place::Place;
use domain::{CommitId, MergeId, RunId};
use store::{Store, lease::Lease, merge::Hold, resolution::ResolutionRow};

fn row(layer: &str, result: &str, text: &str) -> ResolutionRow {
    ResolutionRow {
        path: "src/a.rs".into(),
        hunk: 1,
        layer: layer.into(),
        result: result.into(),
        texts: ["base\n".into(), "ours\n".into(), "theirs\n".into()],
        text: Some(text.into()),
        reason: "both".into(),
        ..ResolutionRow::default()
    }
}

/// A run with a queued merge, and its lease.
async fn queued(place: &Place, name: &str) -> (RunId, MergeId, String) {
    let run = place.run(1, 0.0).await;
    let task = place.task(run, name, 1, 0).await;
    let store = place.database.store();
    let mut tx = store.begin().await.unwrap();
    tx.queue_merge(run, task, &CommitId("c".into())).await.unwrap();
    tx.commit().await.unwrap();
    let merge = store.merge_queue(run, 1.0, 1).await.unwrap()[0].id;
    (run, merge, store::merge::merge_lease(run))
}

fn hold(merge: MergeId, lease: &Lease) -> Hold<'_> {
    Hold { merge, lease }
}

async fn saved(store: &Store, hold: Hold<'_>, row: ResolutionRow) -> bool {
    let mut tx = store.begin().await.unwrap();
    let saved = tx.save_resolution(hold, &row).await.unwrap();
    tx.commit().await.unwrap();
    saved
}

async fn learned(store: &Store, merge: MergeId) {
    let mut tx = store.begin().await.unwrap();
    tx.learn_resolutions(merge).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_decision_stays_is_noted_once_and_no_stale_merger_adds_one() {
    let place = Place::new().await;
    let process = place.process("own").await;
    let store = place.database.store();
    let (run, merge, lease) = queued(&place, "t").await;
    let old = store.take_lease(&lease, process).await.unwrap().unwrap();
    let new = store.take_lease(&lease, process).await.unwrap().unwrap();
    let (old, new) = (hold(merge, &old), hold(merge, &new));
    assert!(store.begin_round(new).await.unwrap().unwrap().is_empty());
    assert!(saved(&store, new, row("model", "resolved", "older")).await);
    assert!(saved(&store, new, row("model", "resolved", "kept")).await);
    assert!(saved(&store, new, row("model", "declined", "open")).await);
    assert!(!saved(&store, old, row("model", "resolved", "stale")).await);
    assert!(store.begin_round(old).await.unwrap().is_none());
    // The holder is told what was decided, the latest first, however often it begins.
    for _ in 0..2 {
        let earlier = store.begin_round(new).await.unwrap().unwrap();
        let texts: Vec<_> = earlier.iter().map(|one| one.row.text.as_deref()).collect();
        assert_eq!(texts, [Some("kept"), Some("older")]);
    }
    let kept = store.begin_round(new).await.unwrap().unwrap()[0].id;
    let mut tx = store.begin().await.unwrap();
    assert!(!tx.keep_resolution(old, kept).await.unwrap());
    assert!(tx.keep_resolution(new, kept).await.unwrap());
    tx.commit().await.unwrap();
    let noted = async || {
        let merges = store.views().merges(run).await.unwrap();
        let rows = merges.into_iter().flat_map(|merge| merge.resolutions);
        rows.map(|row| (row.text.unwrap_or_default(), row.earlier))
            .collect::<Vec<_>>()
    };
    let history = [
        ("older".to_owned(), true),
        ("open".to_owned(), true),
        ("kept".to_owned(), false),
    ];
    assert_eq!(noted().await, history);
    // What did not pass the gate is not offered again, and stays to be seen. Older ones are none of its tree.
    let mut tx = store.begin().await.unwrap();
    tx.refuse_resolutions(new).await.unwrap();
    tx.commit().await.unwrap();
    let earlier = store.begin_round(new).await.unwrap().unwrap();
    assert_eq!(earlier.len(), 1);
    assert_eq!(earlier[0].row.text.as_deref(), Some("older"));
    assert_eq!(noted().await.len(), 3);
    // A merge that has ended takes no decision any more.
    let mut tx = store.begin().await.unwrap();
    let reason = domain::run::Reason::new(domain::run::ReasonCode::Requested, "enough");
    let end = domain::merge::MergeEnd::Rejected { reason };
    assert!(tx.end_merge(new, &end, 1).await.unwrap());
    tx.commit().await.unwrap();
    assert!(!saved(&store, new, row("model", "resolved", "late")).await);
    assert!(store.begin_round(new).await.unwrap().is_none());
}

#[tokio::test]
async fn only_what_a_model_or_a_person_decided_is_learned_and_the_latest_counts() {
    let place = Place::new().await;
    let process = place.process("own").await;
    let store = place.database.store();
    let known = async |run| {
        let key = store::resolution::key("src/a.rs", &row("", "", "").texts);
        store.remembered(run, &key).await.unwrap()
    };
    let (first, merge, lease) = queued(&place, "first").await;
    let lease = store.take_lease(&lease, process).await.unwrap().unwrap();
    assert!(saved(&store, hold(merge, &lease), row("driver", "resolved", "of a driver")).await);
    assert!(saved(&store, hold(merge, &lease), row("model", "declined", "of nobody")).await);
    learned(&store, merge).await;
    assert!(known(first).await.is_none());
    assert!(saved(&store, hold(merge, &lease), row("model", "resolved", "of a model")).await);
    learned(&store, merge).await;
    let landed = known(first).await.unwrap();
    assert_eq!(
        (landed.text.as_str(), landed.task.as_str(), landed.uses),
        ("of a model", "first", 0)
    );
    assert_eq!(landed.run, Some(first));

    let (second, merge, lease) = queued(&place, "second").await;
    let lease = store.take_lease(&lease, process).await.unwrap().unwrap();
    assert!(saved(&store, hold(merge, &lease), row("remembered", "resolved", "of a model")).await);
    learned(&store, merge).await;
    assert_eq!(known(second).await.unwrap().uses, 1);
    assert!(saved(&store, hold(merge, &lease), row("person", "resolved", "of a person")).await);
    learned(&store, merge).await;
    let landed = known(second).await.unwrap();
    assert_eq!((landed.text.as_str(), landed.layer.as_str()), ("of a person", "person"));
    let alike = store.remembered_alike(second, "lib/other.rs").await.unwrap();
    assert_eq!(alike.len(), 1);
    assert!(store.remembered_alike(second, "lib/other.py").await.unwrap().is_empty());
    // It did not pass the gate there: this run is not offered it again, and another is.
    let reason = domain::run::Reason::new(domain::run::ReasonCode::Gate, "red");
    let mut tx = store.begin().await.unwrap();
    tx.refuse_resolutions(hold(merge, &lease)).await.unwrap();
    let end = domain::merge::MergeEnd::Rejected { reason };
    assert!(tx.end_merge(hold(merge, &lease), &end, 1).await.unwrap());
    tx.commit().await.unwrap();
    assert!(known(second).await.is_none());
    assert!(known(first).await.is_some());
}
