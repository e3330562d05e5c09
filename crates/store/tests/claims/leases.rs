//! Leases on branches.

use crate::place::Place;
use domain::CommitId;

#[tokio::test]
async fn a_lease_that_could_not_be_given_back_does_not_block_its_own_process() {
    let place = Place::new().await;
    let run = place.run(1, 0.0).await;
    let task = place.task(run, "t", 1, 0).await;
    let (own, other) = (place.process("own").await, place.process("other").await);
    let store = place.database.store();
    let mut tx = store.begin().await.unwrap();
    tx.queue_merge(run, task, &CommitId("c".into())).await.unwrap();
    tx.commit().await.unwrap();
    let lease = store::merge::merge_lease(run);
    let first = store.take_lease(&lease, own).await.unwrap().unwrap();
    assert!(
        store.merge_targets(own, &[run]).await.unwrap().is_empty(),
        "it is being merged"
    );
    assert!(
        store.merge_targets(other, &[]).await.unwrap().is_empty(),
        "another holds it"
    );
    assert!(store.take_lease(&lease, other).await.unwrap().is_none());
    // Nobody here works under it any more: the answer to its return never came.
    assert_eq!(store.merge_targets(own, &[]).await.unwrap(), [run]);
    let second = store.take_lease(&lease, own).await.unwrap().unwrap();
    assert!(second.fence() > first.fence(), "the old fence is shut out");
    place.silent(own).await;
    assert_eq!(store.merge_targets(other, &[]).await.unwrap(), [run]);
    let third = store.take_lease(&lease, other).await.unwrap().unwrap();
    assert!(third.fence() > second.fence());
}
