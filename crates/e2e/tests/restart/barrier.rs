//! A point in the product's way that is shut from outside: the transaction that comes there stands still.

use e2e::eventually;
use sqlx::{AssertSqlSafe, PgPool, Postgres, pool::PoolConnection};

/// The lock that whoever comes to the barrier waits for: an arbitrary number.
const LOCK: i64 = 4_711;
/// Who waits for it. Other databases of the server may have barriers of their own.
const WAITING: &str = "select l.pid from pg_locks l join pg_database d on d.oid = l.database
     where d.datname = current_database() and l.locktype = 'advisory' and l.objid = 4711 and not l.granted";

/// A shut barrier. Lifted, it stays open for good.
pub(crate) struct Barrier {
    pool: PgPool,
    holder: PoolConnection<Postgres>,
}

impl Barrier {
    /// Shuts the way before a change of a row: `happening` is an event of a trigger, such as `update on task`, and
    /// `when` its condition on `old` and `new`.
    pub(crate) async fn before(pool: &PgPool, happening: &str, when: &str) -> Self {
        let mut holder = pool.acquire().await.unwrap();
        let statements = format!(
            "select pg_advisory_lock({LOCK});
             create function wait_at_barrier() returns trigger language plpgsql as
                 'begin perform pg_advisory_xact_lock_shared({LOCK}); return new; end';
             create trigger barrier before {happening} for each row when ({when}) execute function wait_at_barrier();"
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

    /// Waits until the product stands there.
    pub(crate) async fn reached(&self) {
        eventually("the product comes to the barrier", || async {
            sqlx::query(WAITING).fetch_optional(&self.pool).await.unwrap()
        })
        .await;
    }

    /// Ends what a killed server left waiting there, so that it changes nothing, and opens the way.
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
