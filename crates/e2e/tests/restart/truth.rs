//! What must hold after a run, whatever happened on the way, read off the database and the repositories.

use crate::scene::{Scene, branch, files_below};
use domain::RunId;
use e2e::{eventually, git};
use std::collections::BTreeMap;

/// Statements that find something only where the rows contradict each other.
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
        "a fact that happens once is told twice",
        "select e.kind || ' ' || coalesce(e.task::text, '') from event e
         where e.kind in ('plan_saved', 'workspace_prepared', 'task_completed', 'run_delivering', 'run_completed')
         group by e.run, e.kind, e.task having count(*) > 1",
    ),
];

/// That a completed run is what is told of it.
pub(crate) async fn assert_told(scene: &Scene, run: RunId) {
    // The last words of a run are written in the moments after it: a branch's lease is given back, a folder removed.
    eventually("the branch's lease is given back", || async {
        let free = "select 1 where not exists (select 1 from lease where process is not null)";
        sqlx::query(free).fetch_optional(&scene.database).await.unwrap()
    })
    .await;
    for (what, query) in CONTRADICTIONS {
        let found: Vec<String> = sqlx::query_scalar(query).fetch_all(&scene.database).await.unwrap();
        assert!(found.is_empty(), "{what}: {found:?}\n{}", told(scene).await);
    }
    assert_each_once(scene, run).await;
    assert_nothing_left(scene).await;
    let violations: Vec<_> = scene
        .product
        .journal()
        .into_iter()
        .flat_map(|entry| entry.violations)
        .collect();
    assert!(violations.is_empty(), "{violations:?}");
}

/// The delivered branch is the hub's, and holds one commit and one merge of each task.
async fn assert_each_once(scene: &Scene, run: RunId) {
    let branch = branch(run);
    assert_eq!(git(&scene.repository, &["rev-parse", &branch]), scene.tip(run));
    let format = "--format=%(trailers:key=Task,valueonly,separator=%x2C) %P";
    let log = git(&scene.repository, &["log", format, &branch]);
    let mut commits: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for line in log.lines() {
        let mut words = line.split(' ');
        let key = words.next().unwrap_or_default();
        *commits.entry((key, words.count() > 1)).or_default() += 1;
    }
    let keys: Vec<String> = sqlx::query_scalar("select key from task where run = $1")
        .bind(run.0)
        .fetch_all(&scene.database)
        .await
        .unwrap();
    for key in &keys {
        for is_merge in [false, true] {
            assert_eq!(
                commits.get(&(key.as_str(), is_merge)),
                Some(&1),
                "{key}, merge: {is_merge}\n{log}"
            );
        }
    }
    // Ours, and the one that the user made.
    let all = git(&scene.repository, &["rev-list", "--count", &branch]);
    assert_eq!(all, (2 * keys.len() + 1).to_string(), "{log}");
}

/// No worktree, no registration of one, no lock file, no process.
async fn assert_nothing_left(scene: &Scene) {
    let data = scene.product.data_dir();
    let hub = scene.hub();
    let left = || {
        let inside = |folder: &std::path::Path| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        let locks = files_below(&hub.join("refs")).into_iter();
        let locks = locks.filter(|path| path.extension().is_some_and(|ending| ending == "lock"));
        let mut left = inside(&data.join("worktrees"));
        left.extend(inside(&hub.join("worktrees")));
        left.extend(locks);
        left
    };
    let cleared = eventually("worktrees and locks are cleared away", || async {
        left().is_empty().then_some(())
    });
    if tokio::time::timeout(std::time::Duration::from_secs(10), cleared)
        .await
        .is_err()
    {
        panic!("left behind: {:#?}\n{}", left(), scene.product.log());
    }
    let place = data.join("worktrees").display().to_string();
    let commands = commands_with(&place);
    assert!(commands.is_empty(), "{commands:#?}");
}

/// Command lines of living processes that name a path.
pub(crate) fn commands_with(path: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(path))
        .collect()
}

/// The log of every run, for the message of a test that failed.
pub(crate) async fn told(scene: &Scene) -> String {
    let lines: Vec<String> =
        sqlx::query_scalar("select seq || ' ' || kind || ' ' || data::text from event order by run, seq")
            .fetch_all(&scene.database)
            .await
            .unwrap();
    lines.join("\n")
}
