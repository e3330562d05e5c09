//! A database with processes, runs and tasks, made with as few words as a test needs.

use domain::{RunId, TaskId};
use sqlx::AssertSqlSafe;
use std::time::Duration;
use store::{
    Holder,
    testing::{self, TestDatabase},
};

/// Longer than any test.
const LEASE: Duration = Duration::from_secs(600);

pub(crate) struct Place {
    pub(crate) database: TestDatabase,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let place = Self {
            database: testing::database().await,
        };
        place
            .sql("insert into workspace (path, hub) values ('/w', 'hub')")
            .await;
        place
    }

    pub(crate) async fn sql(&self, statements: impl Into<String>) {
        sqlx::raw_sql(AssertSqlSafe(statements.into()))
            .execute(self.database.pool())
            .await
            .unwrap();
    }

    /// A living process.
    pub(crate) async fn process(&self, name: &str) -> Holder {
        let store = self.database.store();
        store.register_process(name, "test", LEASE).await.unwrap()
    }

    /// A process whose lease has run out, though it may live on.
    pub(crate) async fn silent(&self, holder: Holder) {
        let id = holder.process.0;
        self.sql(format!(
            "update process set expires_at = now() - interval '1 s' where id = {id}"
        ))
        .await;
    }

    /// A run under way.
    pub(crate) async fn run(&self, max_active: i64, vtime: f64) -> RunId {
        let id = RunId::new();
        self.sql(format!(
            "insert into run (id, request, workspace, objective, director_provider, director_model, worker_provider,
                 worker_model, state, limits, branch, max_active, vtime, trace, deadline_at)
             values ('{id}', '{{}}', 1, 'o', 'p', 'd', 'p', 'w', 'running', '{{}}', 'b', {max_active}, {vtime}, '{{}}',
                 now() + interval '1 day');
             insert into budget (run, cap) values ('{id}', 1000);"
        ))
        .await;
        id
    }

    /// A task that can be claimed from `wait_s` seconds on.
    pub(crate) async fn task(&self, run: RunId, key: &str, priority: i64, wait_s: i64) -> TaskId {
        let wake_at = match wait_s {
            0 => "null".to_owned(),
            wait_s => format!("now() + interval '{wait_s} s'"),
        };
        let id: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
            "insert into task (run, key, ordinal, title, profile, change, spec, state, claimable, priority, wake_at,
                 ready_at)
             values ('{run}', '{key}', 0, 't', 'coder', 'required', '{{}}', 'ready', true, {priority}, {wake_at}, now())
             returning id"
        )))
        .fetch_one(self.database.pool())
        .await
        .unwrap();
        self.sql(format!(
            "update run set open = open + 1, ready = ready + 1 where id = '{run}'"
        ))
        .await;
        TaskId(id)
    }
}

impl Place {
    /// A held task can be claimed again, at once or in an hour.
    pub(crate) async fn give_back(&self, run: RunId, task: TaskId, waits: bool) {
        let wake_at = if waits { "now() + interval '1 hour'" } else { "null" };
        self.sql(format!(
            "begin;
             update run set active = active - 1, ready = ready + 1 where id = '{run}';
             update task set state = 'ready', claimable = true, wake_at = {wake_at} where id = {task};
             commit;"
        ))
        .await;
    }

    /// A held task ends.
    pub(crate) async fn end(&self, run: RunId, task: TaskId) {
        self.sql(format!(
            "begin;
             update run set active = active - 1, open = open - 1 where id = '{run}';
             update task set state = 'complete', ended_at = now() where id = {task};
             commit;"
        ))
        .await;
    }

    /// Tasks of a run that are held, as the rows have it.
    pub(crate) async fn active(&self, run: RunId) -> i64 {
        self.number(format!(
            "select count(*) from task where run = '{run}' and state = 'active'"
        ))
        .await
    }

    /// Runs whose counters are not what their rows say.
    pub(crate) async fn wrong_counters(&self) -> i64 {
        self.number(
            "select count(*) from run r where
               r.active <> (select count(*) from task t where t.run = r.id and t.state = 'active')
               or r.ready <> (select count(*) from task t where t.run = r.id and t.state = 'ready')
               or r.ready <> (select count(*) from task t where t.run = r.id and t.claimable)
               or r.event_seq <> (select count(*) from event e where e.run = r.id)",
        )
        .await
    }

    pub(crate) async fn number(&self, question: impl Into<String>) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(question.into()))
            .fetch_one(self.database.pool())
            .await
            .unwrap()
    }
}
