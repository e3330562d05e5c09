//! Invariants of the database after every run has ended.

use sqlx::PgPool;

/// Queries that return rows only if rows contradict each other.
const CONTRADICTIONS: [(&str, &str); 10] = [
    (
        "a counter differs from its rows",
        "select r.id::text from run r where
             r.open <> (select count(*) from task t where t.run = r.id and t.ended_at is null)
             or r.active <> (select count(*) from task t where t.run = r.id and t.state = 'active')
             or r.ready <> (select count(*) from task t where t.run = r.id and t.state = 'ready')
             or r.failed <> (select count(*) from task t where t.run = r.id and t.state = 'failed')",
    ),
    (
        "the log has a gap",
        "select r.id::text from run r where
             r.event_seq <> (select count(*) from event e where e.run = r.id)
             or r.event_seq <> (select coalesce(max(seq), 0) from event e where e.run = r.id)",
    ),
    (
        "a call is neither settled nor lost",
        "select m.id::text from model_call m where m.state not in ('settled', 'lost') or m.settled_at is null",
    ),
    (
        "what was spent is not the sum of the settled calls",
        "select b.run::text from budget b where
             b.spent <> (select coalesce(sum(m.cost), 0) from model_call m where m.run = b.run and m.state = 'settled')
             or b.reserved <> (select coalesce(sum(m.reserved), 0) from model_call m
                               where m.run = b.run and m.state = 'lost')",
    ),
    (
        "a task of a complete run is not complete, or did not land exactly once",
        "select t.key from task t join run r on r.id = t.run where r.state = 'complete' and (t.state <> 'complete'
             or (select count(*) from merge m where m.task = t.id and m.state = 'landed') <> 1
             or t.commit is distinct from (select m.merged from merge m where m.task = t.id and m.state = 'landed'))",
    ),
    (
        "a merge of an ended run is open",
        "select m.id::text from merge m join run r on r.id = m.run
         where r.ended_at is not null and m.ended_at is null",
    ),
    (
        "an effect of an ended run is open",
        "select e.key from effect e join run r on r.id = e.run
         where r.ended_at is not null and e.done_at is null",
    ),
    (
        "an attempt of an ended run is open",
        "select a.id::text from attempt a join run r on r.id = a.run
         where r.ended_at is not null and a.ended_at is null",
    ),
    (
        "a task was claimed twice under one fence, or its fence went back",
        "select e.task::text from event e join event f on f.run = e.run and f.task = e.task and f.seq > e.seq
         where e.kind = 'task_claimed' and f.kind = 'task_claimed'
             and (f.data ->> 'fence')::bigint <= (e.data ->> 'fence')::bigint",
    ),
    (
        "a fact that happens once is recorded twice",
        "select e.kind || ' ' || coalesce(e.task::text, '') from event e
         where e.kind in ('plan_saved', 'workspace_prepared', 'task_completed', 'run_delivering', 'run_completed')
         group by e.run, e.kind, e.task having count(*) > 1",
    ),
];

/// The contradictions among rows; empty if there are none.
pub async fn contradictions(database: &PgPool) -> Vec<String> {
    let mut contradictions = Vec::new();
    for (what, query) in CONTRADICTIONS {
        let found: Vec<String> = sqlx::query_scalar(query)
            .fetch_all(database)
            .await
            .expect("the database answers");
        if !found.is_empty() {
            contradictions.push(format!("{what}: {found:?}"));
        }
    }
    contradictions
}
