//! Effects: each is performed by one process at a time.

use crate::place::Place;
use domain::effect::{Effect, EffectKind};
use std::{collections::BTreeMap, time::Duration};

const KINDS: [EffectKind; EffectKind::ALL.len()] = EffectKind::ALL;

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn eight_processes_never_claim_the_same_effect() {
    let place = Place::new().await;
    let run = place.run(1, 0.0).await;
    place
        .sql(format!(
            "insert into effect (run, kind, key) select '{run}', 'plan', 'plan:' || n from generate_series(1, 400) n"
        ))
        .await;
    let mut claimers = Vec::new();
    for number in 0..8 {
        let holder = place.process(&format!("p{number}")).await;
        let store = place.database.store();
        claimers.push(tokio::spawn(async move {
            let mut claimed = Vec::new();
            // One that finds everything locked by others looks again: nothing is done before the end.
            let mut empty = 0;
            while empty < 20 {
                match store.claim_effect(holder, &claimed, &KINDS, None).await.unwrap() {
                    Some(effect) => claimed.push(effect.id),
                    None => empty += 1,
                }
            }
            claimed
        }));
    }
    let mut times: BTreeMap<i64, u32> = BTreeMap::new();
    for claimer in claimers {
        for effect in claimer.await.unwrap() {
            *times.entry(effect).or_default() += 1;
        }
    }
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "claimed more than once: {twice:?}");
    assert_eq!(times.len(), 400);
}

/// An effect of a run of its own.
async fn effect(place: &Place) {
    let run = place.run(1, 0.0).await;
    place
        .sql(format!(
            "insert into effect (run, kind, key) values ('{run}', 'plan', 'plan:{run}')"
        ))
        .await;
}

#[tokio::test]
async fn whoever_lost_an_effect_to_another_neither_finishes_nor_returns_it() {
    let place = Place::new().await;
    effect(&place).await;
    let (slow, quick) = (place.process("slow").await, place.process("quick").await);
    let store = place.database.store();
    let first = store.claim_effect(slow, &[], &KINDS, None).await.unwrap().unwrap();
    assert!(
        store.claim_effect(quick, &[], &KINDS, None).await.unwrap().is_none(),
        "it is held"
    );
    place.silent(slow).await;
    let second = store.claim_effect(quick, &[], &KINDS, None).await.unwrap().unwrap();
    assert!(second.fence > first.fence);

    store
        .retry_effect(&first, "too slow", Duration::ZERO, true)
        .await
        .unwrap();
    store.release_effect(&first).await.unwrap();
    let third = place.process("third").await;
    assert!(
        store.claim_effect(third, &[], &KINDS, None).await.unwrap().is_none(),
        "a stale return changes nothing"
    );
    let mut tx = store.begin().await.unwrap();
    assert!(!tx.finish_effect(&first).await.unwrap(), "a stale end changes nothing");
    assert!(tx.finish_effect(&second).await.unwrap());
    tx.commit().await.unwrap();
    assert!(store.claim_effect(third, &[], &KINDS, None).await.unwrap().is_none());
}

#[tokio::test]
async fn an_effect_whose_claim_was_never_answered_is_claimed_again_by_its_holder() {
    let place = Place::new().await;
    effect(&place).await;
    let holder = place.process("p").await;
    let store = place.database.store();
    let first = store.claim_effect(holder, &[], &KINDS, None).await.unwrap().unwrap();
    assert!(
        store
            .claim_effect(holder, &[first.id], &KINDS, None)
            .await
            .unwrap()
            .is_none(),
        "it is being performed"
    );
    let again = store.claim_effect(holder, &[], &KINDS, None).await.unwrap().unwrap();
    assert_eq!((again.id, again.tries), (first.id, 2));
    store.release_effect(&again).await.unwrap();
    assert_eq!(
        store
            .claim_effect(holder, &[], &KINDS, None)
            .await
            .unwrap()
            .unwrap()
            .tries,
        2,
        "a drain costs no try"
    );
}

#[tokio::test]
async fn effects_of_unknown_kinds_or_payloads_or_other_runs_are_not_touched() {
    let place = Place::new().await;
    let run = place.run(1, 0.0).await;
    // More of them than are looked at in one query, and all older than the one that is known.
    for number in 0..40 {
        for (kind, payload) in [
            ("review", "null"),
            ("PLAN", "null"),
            ("", "null"),
            ("plan", "'{}'"),
            ("deliver", "null"),
            ("deliver", "'{\"again\": 1}'"),
            ("deliver", "'{\"again\": true, \"draft\": true}'"),
        ] {
            place
                .sql(format!(
                    "insert into effect (run, kind, key, payload)
                     values ('{run}', '{kind}', '{kind}:{number}:' || gen_random_uuid(), {payload})"
                ))
                .await;
        }
    }
    effect(&place).await;
    let holder = place.process("older").await;
    let store = place.database.store();
    let own = store.claim_effect(holder, &[], &KINDS, Some(run)).await.unwrap();
    assert!(own.is_none(), "the known one belongs to another run");
    let known = store.claim_effect(holder, &[], &KINDS, None).await.unwrap().unwrap();
    assert_eq!(known.effect, Effect::Plan);
    let more = store.claim_effect(holder, &[known.id], &KINDS, None).await.unwrap();
    assert!(more.is_none(), "{more:?}");
    let none = store.claim_effect(holder, &[], &[], None).await.unwrap();
    assert!(none.is_none(), "no kind may be claimed");
    let touched: i64 = sqlx::query_scalar("select count(*) from effect where tries > 0 or fence > 0")
        .fetch_one(place.database.pool())
        .await
        .unwrap();
    assert_eq!(touched, 1);
    let open = store.open_effects().await.unwrap();
    let unknown: i64 = open
        .iter()
        .filter(|(effect, _)| effect.is_err())
        .map(|(_, count)| count)
        .sum();
    assert_eq!(unknown, 280, "{open:?}");
}

#[tokio::test]
async fn effect_is_claimed_with_its_payload_and_open_once_for_each_key() {
    let place = Place::new().await;
    let run = place.run(1, 0.0).await;
    let holder = place.process("p").await;
    let store = place.database.store();
    let insert = async |again: bool| {
        let mut tx = store.begin().await.unwrap();
        tx.insert_effect(run, &Effect::Deliver { again }).await.unwrap();
        tx.commit().await.unwrap();
    };
    insert(false).await;
    insert(true).await;
    let first = store.claim_effect(holder, &[], &KINDS, None).await.unwrap().unwrap();
    assert_eq!(
        first.effect,
        Effect::Deliver { again: false },
        "an open effect stays as it is"
    );
    let mut tx = store.begin().await.unwrap();
    assert!(tx.finish_effect(&first).await.unwrap());
    tx.commit().await.unwrap();
    insert(true).await;
    let second = store.claim_effect(holder, &[], &KINDS, None).await.unwrap().unwrap();
    assert_eq!((second.effect, second.tries), (Effect::Deliver { again: true }, 1));
}
