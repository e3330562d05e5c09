//! Columns and queries follow what `domain` says of every state.

use crate::place::Place;
use domain::{
    CommitId, NanoDollars, RunId,
    merge::MergeState,
    run::{RunState, Spending},
    task::TaskState,
};
use store::ledger::{Reservation, Reserved};

async fn state_of_run(place: &Place, run: RunId, state: RunState) {
    let mut tx = place.database.store().begin().await.unwrap();
    let mut row = tx.lock_run(run).await.unwrap().unwrap();
    row.state = state;
    tx.save_run(&row).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn tasks_are_claimed_and_runs_expire_as_their_state_allows() {
    let place = Place::new().await;
    let holder = place.process("p").await;
    let store = place.database.store();
    for state in RunState::ALL {
        let run = place.run(1, 0.0).await;
        place.task(run, "t", 0, 0).await;
        place
            .sql(format!(
                "update run set deadline_at = now() - interval '1 s' where id = '{run}'"
            ))
            .await;
        state_of_run(&place, run, state).await;
        let ended = place
            .number(format!(
                "select count(*) from run where id = '{run}' and ended_at is not null"
            ))
            .await;
        assert_eq!(ended == 1, state.is_final(), "{state}");
        let overdue = store.overdue_runs().await.unwrap();
        assert_eq!(overdue.contains(&run), state.has_deadline(), "{state}");
        let claimed = store.claim(holder, 1, &[]).await.unwrap();
        assert_eq!(claimed.len() == 1, state.allows_claims(), "{state}");
        state_of_run(&place, run, RunState::Cancelled).await;
    }
}

#[tokio::test]
async fn columns_of_a_task_follow_its_state() {
    let place = Place::new().await;
    let store = place.database.store();
    for state in TaskState::ALL {
        let run = place.run(1, 0.0).await;
        let id = place.task(run, "t", 0, 0).await;
        let mut tx = store.begin().await.unwrap();
        let mut task = tx.lock_task(id).await.unwrap().unwrap();
        task.state = state;
        tx.save_task(&task).await.unwrap();
        tx.commit().await.unwrap();
        let claimable = place
            .number(format!("select claimable::int::bigint from task where id = {id}"))
            .await;
        assert_eq!(claimable == 1, state.is_claimable(), "{state}");
        let ended = place
            .number(format!(
                "select (ended_at is not null)::int::bigint from task where id = {id}"
            ))
            .await;
        assert_eq!(ended == 1, state.is_final(), "{state}");
    }
}

#[tokio::test]
async fn merges_are_queued_as_their_state_allows() {
    let place = Place::new().await;
    let holder = place.process("p").await;
    let store = place.database.store();
    for state in MergeState::ALL {
        let run = place.run(1, 0.0).await;
        let task = place.task(run, "t", 0, 0).await;
        let commit = CommitId("c".repeat(40));
        let submit = async || {
            let mut tx = store.begin().await.unwrap();
            tx.queue_merge(run, task, &commit).await.unwrap();
            tx.commit().await.unwrap();
        };
        submit().await;
        let (name, is_final) = (state.as_str(), state.is_final());
        place
            .sql(format!(
                "update merge set state = '{name}', ended_at = case when {is_final} then now() end where run = '{run}'"
            ))
            .await;
        let queued = store.merge_queue(run, 60.0, 10).await.unwrap();
        assert_eq!(queued.len() == 1, state.is_mergeable(), "{state}");
        let targets = store.merge_targets(holder, &[]).await.unwrap();
        assert_eq!(targets.contains(&run), state.is_mergeable(), "{state}");
        let waiting = store.merges_waiting().await.unwrap();
        assert_eq!(waiting == 1, state.waits_for_person(), "{state}");
        submit().await;
        let again = place
            .number(format!(
                "select count(*) from merge where run = '{run}' and state = 'queued'"
            ))
            .await;
        assert_eq!(
            again == 1,
            state.can_be_resubmitted() || state == MergeState::Queued,
            "{state}"
        );
        place.sql(format!("delete from merge where run = '{run}'")).await;
    }
}

#[tokio::test]
async fn money_is_reserved_exactly_where_the_cap_allows_it() {
    let place = Place::new().await;
    let holder = place.process("p").await;
    let store = place.database.store();
    let run = place.run(1, 0.0).await;
    for cap in [None, Some(0), Some(1), Some(1_000)] {
        for spent in [0, 1, 400, 1_000] {
            for reserved in [0, 1, 600, 601] {
                for upper_bound in [0, 1, 2, 1_000] {
                    let stored = cap.map_or("null".to_owned(), |cap: i64| cap.to_string());
                    place
                        .sql(format!(
                            "update budget set cap = {stored}, spent = {spent}, reserved = {reserved} where run = '{run}'"
                        ))
                        .await;
                    let spending = Spending {
                        spent: NanoDollars(spent),
                        reserved: NanoDollars(reserved),
                        cap: cap.map(NanoDollars),
                    };
                    let upper_bound = NanoDollars(upper_bound);
                    let reservation = Reservation {
                        run,
                        task: None,
                        attempt: None,
                        role: "worker",
                        provider: "p".into(),
                        model: "m".into(),
                        upper_bound,
                    };
                    let granted = store.reserve(holder, &reservation).await.unwrap();
                    assert_eq!(
                        matches!(granted, Reserved::Yes(_)),
                        spending.allows(upper_bound),
                        "{spending:?} {upper_bound:?}"
                    );
                }
            }
        }
    }
}
