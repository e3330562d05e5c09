//! How fast a queue of finished work lands: `cargo bench -p engine`. Prints a table and judges nothing.
//!
//! A real Postgres that keeps what it commits, a real hub, the whole engine. The branch's lease is held by a process
//! that does not exist until so many tasks wait; then it lets go, and the clock runs from the lease's taking to the
//! last landing. The same again in memory and without fsync: the difference is what durability costs.

#![expect(clippy::unwrap_used, reason = "a measurement that can't be made has nothing to tell")]

use domain::{RunId, run::RunState};
use engine::{Engine, LimitOverrides, ModelRef, NewRun, Settings};
use llm::{Models, Provider};
use sim_llm::{Options, Scenario, Server};
use sqlx::{Connection, PgConnection};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};
use store::{
    Store,
    connect::{Database, PoolSettings},
    embedded::{self, Durability},
};

/// Finished tasks that wait together.
const WAITING: [usize; 3] = [1, 4, 16];
/// How often each is measured.
const REPEATS: usize = 5;

#[tokio::main]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    println!(
        "{:<34}{:>8}{:>14}{:>14}{:>16}{:>16}",
        "", "waiting", "landings/s", "ms each", "landing p50 ms", "landing p99 ms"
    );
    let places = [
        ("fsync", std::env::temp_dir(), Durability::Full),
        ("no fsync, in memory", PathBuf::from("/dev/shm"), Durability::None),
    ];
    for (name, place, durability) in places {
        let place = tempfile::tempdir_in(place).unwrap();
        // The account of the database server passes through.
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let bench = Bench::start(place.path(), durability).await;
        for (gate, check) in [("without a gate", None), ("a gate that does nothing", Some("true"))] {
            for waiting in WAITING {
                bench.measure(&format!("{name}, {gate}"), waiting, check).await;
            }
        }
        bench.engine.drain().await;
        bench.running.stop().unwrap();
    }
    gates().await;
}

/// What speculation saves: the same queue of 4 with a gate of half a second, with and without gates ahead.
async fn gates() {
    println!("\n{:<50}{:>12}", "4 waiting, a gate of 0.5 s", "seconds");
    for gates_ahead in [0, 1, 3] {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut bench = Bench::start(place.path(), Durability::Full).await;
        bench.engine.drain().await;
        bench.engine = bench.life(gates_ahead).await;
        let (took, _) = bench.run(4, Some("sleep 0.5")).await;
        println!("{:<50}{took:>12.2}", format!("  {gates_ahead} ahead of their turn"));
        bench.engine.drain().await;
        bench.running.stop().unwrap();
    }
}

struct Bench {
    place: PathBuf,
    running: embedded::Running,
    models: Vec<(usize, Server)>,
    engine: Engine,
}

impl Bench {
    async fn start(place: &Path, durability: Durability) -> Self {
        let settings = embedded::Settings {
            durability,
            ..embedded::Settings::default()
        };
        let at = place.to_owned();
        let running = tokio::task::spawn_blocking(move || embedded::start(&at.join("postgres"), &settings).unwrap());
        let running = running.await.unwrap();
        let mut models = Vec::new();
        for waiting in WAITING {
            models.push((
                waiting,
                Server::start(Scenario::trivial(waiting, waiting), Options::default())
                    .await
                    .unwrap(),
            ));
        }
        let engine = life(place, &running, &models, 1).await;
        Self {
            place: place.to_owned(),
            running,
            models,
            engine,
        }
    }

    async fn life(&self, gates_ahead: u32) -> Engine {
        life(&self.place, &self.running, &self.models, gates_ahead).await
    }

    async fn measure(&self, name: &str, waiting: usize, check: Option<&str>) {
        let (mut seconds, mut landings) = (Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            let (took, steps) = self.run(waiting, check).await;
            seconds.push(took);
            landings.extend(steps);
        }
        seconds.sort_by(f64::total_cmp);
        landings.sort_by(f64::total_cmp);
        let median = seconds[seconds.len() / 2];
        let at = |share: f64| landings[((landings.len() - 1) as f64 * share).round() as usize];
        println!(
            "{name:<34}{waiting:>8}{:>14.0}{:>14.2}{:>16.2}{:>16.2}",
            waiting as f64 / median,
            median / waiting as f64 * 1e3,
            at(0.5),
            at(0.99)
        );
    }

    /// One run: seconds from the lease's taking to the last landing, and the milliseconds from each intent to its end.
    async fn run(&self, waiting: usize, check: Option<&str>) -> (f64, Vec<f64>) {
        let mut database = PgConnection::connect_with(&self.running.options).await.unwrap();
        let repository = self.repository();
        let model = ModelRef::new(format!("tasks-{waiting}"), "scripted");
        let asked = NewRun {
            objective: "Each task leaves its file".into(),
            workspace: repository,
            initialise: false,
            director: Some(model.clone()),
            worker: Some(model),
            check: check.map(str::to_owned),
            limits: LimitOverrides {
                active_tasks: Some(16),
                ..LimitOverrides::default()
            },
            idempotency_key: None,
            allow_integrity_flags: None,
        };
        let run = self.engine.submit(asked).await.unwrap().id;
        hold(&mut database, run).await;
        loop {
            let query = sqlx::query_scalar("select count(*) from merge where run = $1 and state = 'queued'");
            let queued: i64 = query.bind(run.0).fetch_one(&mut database).await.unwrap();
            if queued == waiting as i64 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sqlx::query("update process set expires_at = now() - interval '1 s' where name = 'nobody'")
            .execute(&mut database)
            .await
            .unwrap();
        loop {
            let detail = self.engine.views().run(run).await.unwrap().unwrap();
            if detail.summary.state.is_final() {
                assert_eq!(detail.summary.state, RunState::Complete, "{:?}", detail.summary.reason);
                break;
            }
            // Seldom: who looks takes time from what is measured.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let took = sqlx::query_scalar(
            "select extract(epoch from max(m.ended_at) - min(l.taken_at))::float8
             from merge m join lease l on l.name = 'merge:' || m.run::text where m.run = $1",
        );
        let took: f64 = took.bind(run.0).fetch_one(&mut database).await.unwrap();
        let steps = sqlx::query_scalar(
            "select extract(epoch from ended_at - intended_at)::float8 * 1000 from merge where run = $1",
        );
        let steps = steps.bind(run.0).fetch_all(&mut database).await.unwrap();
        (took, steps)
    }

    fn repository(&self) -> PathBuf {
        let path = tempfile::tempdir_in(&self.place).unwrap().keep();
        fs::write(path.join("README.md"), "read me\n").unwrap();
        let git = |arguments: &[&str]| {
            let done = Command::new("git")
                .arg("-C")
                .arg(&path)
                .args(arguments)
                .status()
                .unwrap();
            assert!(done.success());
        };
        git(&["init", "-q", "-b", "main"]);
        git(&["add", "-A"]);
        git(&[
            "-c",
            "user.name=U",
            "-c",
            "user.email=u@localhost",
            "commit",
            "-q",
            "-m",
            "first",
        ]);
        path
    }
}

/// Somebody who does nothing holds the branch.
async fn hold(database: &mut PgConnection, run: RunId) {
    let nobody = "insert into process (name, host, pid, version, expires_at)
                  values ('nobody', 'nowhere', 0, 'none', now() + interval '1 hour')
                  on conflict (name) do update set expires_at = excluded.expires_at returning id";
    let nobody: i64 = sqlx::query_scalar(nobody).fetch_one(&mut *database).await.unwrap();
    sqlx::query("insert into lease (name, process, epoch, fence) values ('merge:' || $1::text, $2, 1, 1)")
        .bind(run.0)
        .bind(nobody)
        .execute(database)
        .await
        .unwrap();
}

async fn life(place: &Path, running: &embedded::Running, models: &[(usize, Server)], gates_ahead: u32) -> Engine {
    let data_dir = place.join("data");
    fs::create_dir_all(&data_dir).unwrap();
    let providers = models
        .iter()
        .map(|(waiting, server)| (format!("tasks-{waiting}"), Provider::new(server.base_url(), None)));
    let providers: BTreeMap<_, _> = providers.collect();
    let settings = Settings {
        slots: 16,
        poll: Duration::from_millis(50),
        gate_reruns: 0,
        gates_ahead,
        fast_forward: false,
        ..Settings::at(data_dir)
    };
    let database: Database = running.options.clone().into();
    let store = Store::open(database, &PoolSettings::default()).await.unwrap();
    let sandbox = sandbox::Sandbox::probe(sandbox::Tier::None, sandbox::Settings::default())
        .await
        .unwrap();
    let models = Models::new(llm::Settings::new(providers).unwrap()).unwrap();
    Engine::start(settings, store, Arc::new(models), Arc::new(sandbox))
        .await
        .unwrap()
}
