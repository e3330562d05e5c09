//! The read side: what the interfaces show, as plain structs and named queries. Nothing here changes anything.

/// A handle on the read side. Clones share the pool.
#[derive(Clone, Debug)]
pub struct Views {
    pub(crate) pool: sqlx::PgPool,
}

impl Views {
    pub(crate) fn new(pool: sqlx::PgPool) -> Self {
        Self { pool }
    }
}
