//! A barrier in the database: a transaction that reaches it waits.

use e2e::eventually;
use sqlx::{AssertSqlSafe, PgPool, Postgres, pool::PoolConnection};

/// The advisory lock of the barrier: an arbitrary number.
const LOCK: i64 = 4_711;
/// Finds the waiting backends of this database; other databases of the server may have their own barriers.
const WAITING: &str = "select l.pid from pg_locks l join pg_database d on d.oid = l.database
     where d.datname = current_database() and l.locktype = 'advisory' and l.objid = 4711 and not l.granted";

/// A closed barrier; once lifted, it stays open.
pub(crate) struct Barrier {
    pool: PgPool,
    holder: PoolConnection<Postgres>,
}

impl Barrier {
    /// Closes a barrier before a row change: `change` is a trigger event, such as `update on task`, and `when` its
    /// condition on `old` and `new`.
    pub(crate) async fn before(pool: &PgPool, change: &str, when: &str) -> Self {
        let mut holder = pool.acquire().await.unwrap();
        let statements = format!(
            "select pg_advisory_lock({LOCK});
             create function wait_at_barrier() returns trigger language plpgsql as
                 'begin perform pg_advisory_xact_lock_shared({LOCK}); return new; end';
             create trigger barrier before {change} for each row when ({when}) execute function wait_at_barrier();"
        );
        sqlx::raw_sql(AssertSqlSafe(statements))
            .execute(&mut *holder)
            .await
            .unwrap();
        Self {
            pool: pool.clone(),
            holder,
        }
    }

    /// Waits until the product reaches it.
    pub(crate) async fn reached(&self) {
        eventually("the product comes to the barrier", || async {
            sqlx::query(WAITING).fetch_optional(&self.pool).await.unwrap()
        })
        .await;
    }

    /// Ends waiting backends of a killed server, so that they change nothing, and opens the barrier.
    pub(crate) async fn lift(mut self) {
        eventually("nobody waits at the barrier any more", || async {
            let end = AssertSqlSafe(format!("select pg_terminate_backend(w.pid) from ({WAITING}) w"));
            let ended = sqlx::query(end).fetch_all(&self.pool).await.unwrap();
            ended.is_empty().then_some(())
        })
        .await;
        sqlx::query("select pg_advisory_unlock_all()")
            .execute(&mut *self.holder)
            .await
            .unwrap();
    }
}
