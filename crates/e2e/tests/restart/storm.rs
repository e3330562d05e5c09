//! One larger run, killed repeatedly at random points in several ways.

use crate::scene::{Before, Scene, file, kill_process};
use domain::RunId;
use e2e::{done, eventually, plan};
use serde_json::{Value, json};
use sim_llm::{Rule, Scenario};

/// The variable with the random seed, which determines the points.
const SEED: u64 = 2_026;
const SEED_VARIABLE: &str = "STORM_SEED";

/// A way to end the product.
#[derive(Clone, Copy, Debug)]
enum KillPoint {
    /// SIGKILL of the server.
    Server,
    /// SIGKILL of the database, and a moment later of the server.
    Both,
    /// SIGTERM.
    Stop,
}

const BLOWS: [KillPoint; 9] = [
    KillPoint::Server,
    KillPoint::Server,
    KillPoint::Both,
    KillPoint::Server,
    KillPoint::Stop,
    KillPoint::Server,
    KillPoint::Server,
    KillPoint::Both,
    KillPoint::Server,
];

#[tokio::test(flavor = "multi_thread")]
async fn run_completes_after_many_random_kills() {
    let seed = std::env::var(SEED_VARIABLE).map_or(SEED, |seed| seed.parse().unwrap());
    println!("{SEED_VARIABLE}={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut blows = BLOWS;
    random.shuffle(&mut blows);
    let mut scene = Scene::open(eight_tasks()).await;
    let run = scene.submit().await;
    let mut killed_at: Vec<Before> = Vec::new();
    for kill_point in blows {
        let more = random.i64(1..10);
        if !goes_on(&scene, run, more).await {
            break;
        }
        killed_at.push(scene.before().await);
        println!("{kill_point:?} after {more} more facts");
        match kill_point {
            KillPoint::Server => scene.product.kill().await,
            KillPoint::Both => {
                kill_process(scene.postmaster());
                scene.product.kill().await;
            }
            KillPoint::Stop => assert_eq!(scene.product.stop().await, Some(0)),
        }
        scene.product.start_again().await;
    }
    assert!(killed_at.len() >= 8, "the run ended after {} blows", killed_at.len());
    for before in &killed_at {
        scene.assert_completes(run, before).await;
    }
    assert_work(&scene).await;
}

/// Waits until the log has this many more events; `false` if the run ended before.
async fn goes_on(scene: &Scene, run: RunId, more: i64) -> bool {
    let state = "select event_seq, ended_at is not null from run where id = $1";
    let look = || async {
        let found = sqlx::query_as::<_, (i64, bool)>(state)
            .bind(run.0)
            .fetch_one(&scene.database)
            .await;
        found.ok()
    };
    let (from, _) = eventually("the database answers", look).await;
    eventually("the run goes on", || async {
        let (seq, ended) = look().await?;
        (ended || seq >= from + more).then_some(!ended)
    })
    .await
}

/// Asserts that every file exists, each task took the expected attempts, and the conflict and the failed gate were handled
/// once.
async fn assert_work(scene: &Scene) {
    for key in ["a1", "a2", "a3", "b2", "b3", "c2"] {
        let text = std::fs::read_to_string(scene.repository.join(format!("work/{key}"))).unwrap();
        assert_eq!(text, format!("{key}\n"));
    }
    let shared = std::fs::read_to_string(scene.repository.join("shared")).unwrap();
    assert_eq!(shared, "one\ntwo b\ntwo c\nthree\n");
    let tries: Vec<(String, i32, i32)> = sqlx::query_as("select key, attempt, failures from task order by key")
        .fetch_all(&scene.database)
        .await
        .unwrap();
    for (key, attempts, failures) in tries {
        let rejected = i32::from(key == "a2");
        let log = crate::truth::events(scene).await;
        assert_eq!((attempts, failures), (1 + rejected, rejected), "{key}\n{log}");
    }
    // They conflict only if neither saw the other's work: a later task starts from what has landed.
    let met = "select count(*) from attempt a join task t on t.id = a.task join run r on r.id = t.run
         where t.key in ('b1', 'c1') and a.base = r.base";
    let resolved = "select count(*) from resolution where layer = 'model' and result = 'resolved'";
    let conflicts = i64::from(scene.count(met).await == 2);
    assert_eq!(scene.count(resolved).await, conflicts);
}

/// Three columns. The first tasks of two of them change the same line; one task fails its gate the first time.
fn eight_tasks() -> Scenario {
    let edges: [(&str, &[&str]); 8] = [
        ("a1", &[]),
        ("b1", &[]),
        ("c1", &[]),
        ("a2", &["a1"]),
        ("b2", &["b1"]),
        ("c2", &["c1"]),
        ("a3", &["a2"]),
        ("b3", &["b2"]),
    ];
    let both = json!({"decision": "replace", "text": "two b\ntwo c\n", "reason": "both", "dropped_lines": []});
    let mut rules = vec![
        Rule::director().json(&plan(&edges)),
        Rule::resolver("*").json(&both),
        work("a2", "write_file", file("work/a2", "broken\n")).attempt(1),
        work("b1", "shell", change_line("b", "c")),
        work("c1", "shell", change_line("c", "b")),
    ];
    for key in ["a1", "a2", "a3", "b2", "b3", "c2"] {
        rules.push(work(
            key,
            "write_file",
            file(&format!("work/{key}"), &format!("{key}\n")),
        ));
    }
    Scenario::from_rules(rules)
}

/// Changes the second line once, whether or not the other task has.
fn change_line(own: &str, other: &str) -> Value {
    let after = r"two b\ntwo c";
    let command =
        format!("grep -qx 'two {own}' shared || sed -i -e 's/^two$/two {own}/' -e 's/^two {other}$/{after}/' shared");
    json!({ "command": command })
}

/// A worker that waits a moment, makes one change and finishes.
fn work(key: &str, tool: &str, arguments: Value) -> Rule {
    Rule::worker(key)
        .latency_ms(40)
        .call(tool, arguments)
        .call("finish", done())
}
