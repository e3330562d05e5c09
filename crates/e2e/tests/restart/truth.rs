//! Invariants after a run, read from the database and the repositories.

use crate::scene::{Scene, branch, files_below};
use domain::RunId;
use e2e::{eventually, git};
use std::collections::BTreeMap;

/// Asserts that the records of a completed run are correct.
pub(crate) async fn assert_events(scene: &Scene, run: RunId) {
    // The last steps follow shortly after a run: a branch's lease is released, a directory removed.
    eventually("the branch's lease is given back", || async {
        // A lease of an ended process is void.
        let free = "select 1 where not exists (select 1 from lease l join process p on p.id = l.process
             and p.epoch = l.epoch and p.expires_at >= now())";
        sqlx::query(free).fetch_optional(&scene.database).await.unwrap()
    })
    .await;
    let contradictions = e2e::truth::contradictions(&scene.database).await;
    assert!(contradictions.is_empty(), "{contradictions:?}\n{}", events(scene).await);
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

/// Asserts that the delivered branch equals the hub's, with one commit and one merge per task.
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
    // The product's commits, and the user's.
    let all = git(&scene.repository, &["rev-list", "--count", &branch]);
    assert_eq!(all, (2 * keys.len() + 1).to_string(), "{log}");
}

/// Asserts that no worktree, registration, lock file or process remains.
async fn assert_nothing_left(scene: &Scene) {
    let data = scene.product.data_dir();
    let hub = scene.hub();
    let left = || {
        let inside = |directory: &std::path::Path| {
            let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
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
    // A process whose parent was just killed may still be ending; a remaining one leaked.
    let ended = eventually("commands of killed servers end", || async {
        commands_with(&place).is_empty().then_some(())
    });
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), ended).await;
    assert!(ended.is_ok(), "{:#?}", commands_with(&place));
}

/// Command lines of living processes that contain a path.
pub(crate) fn commands_with(path: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(path))
        .collect()
}

/// The log of every run, for failure messages.
pub(crate) async fn events(scene: &Scene) -> String {
    let lines: Vec<String> =
        sqlx::query_scalar("select seq || ' ' || kind || ' ' || data::text from event order by run, seq")
            .fetch_all(&scene.database)
            .await
            .unwrap();
    lines.join("\n")
}
