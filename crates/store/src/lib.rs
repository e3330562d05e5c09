//! Everything that is in Postgres: the private cluster, the migrations, and each entity's statements in its file.
//!
//! The only user of sqlx. Rules are not here: [`domain::transition`] decides, and what it decided is saved.

pub mod connect;
pub mod embedded;
mod error;

mod storable;
mod timed;
pub mod tx;

pub mod attempt;
pub mod claim;
pub mod effect;
pub mod event;
pub mod integrity;
pub mod lease;
pub mod ledger;
pub mod merge;
pub mod process;
pub mod remembered;
pub mod resolution;
pub mod retention;
pub mod run;
pub mod task;
pub mod waiting;

pub mod view;

#[cfg(feature = "testing")]
pub mod testing;

pub use error::Error;
pub use process::Holder;
pub use tx::Tx;

/// The database: a pool of connections. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) pool: sqlx::PgPool,
}
