//! From the name of a database to a [`Store`]: connecting, checking the server, migrating the schema.

use crate::Store;
use sqlx::{
    Connection, PgConnection, PgPool,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{str::FromStr, time::Duration};

/// Every migration, in order. What a database holds beyond these was written by a newer version.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// The oldest major version of PostgreSQL that is known to work.
pub const OLDEST_SERVER: u32 = 13;

/// The advisory lock under which migrations run: an arbitrary number, the same in every version.
const MIGRATION_LOCK: i64 = 0x6f72_6368_6573_7472;

/// A connection that has idled longer is asked whether it is alive before it is used.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// Which database.
#[derive(Clone)]
pub enum Database {
    /// A server that somebody else runs, by its `postgres://` address.
    Url(String),
    /// The private server of the data directory ([`crate::embedded::start`]), or another known one.
    Options(Box<PgConnectOptions>),
}

impl From<PgConnectOptions> for Database {
    fn from(options: PgConnectOptions) -> Self {
        Self::Options(Box::new(options))
    }
}

/// How connections are made and kept.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// Shown by the server as `orchestrator/<name>`.
    pub process_name: String,
    /// Connections at one time.
    pub connections: u32,
    /// How long a caller waits for a free connection, and the start for the server.
    pub acquire_timeout: Duration,
    /// How long the server lets a transaction stand idle before it ends it.
    pub idle_in_transaction: Duration,
    /// What is between us and the server.
    pub route: Route,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            process_name: "process".into(),
            connections: 16,
            acquire_timeout: Duration::from_secs(10),
            idle_in_transaction: Duration::from_secs(60),
            route: Route::Direct,
        }
    }
}

/// What is between us and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Nothing: a connection is a session.
    Direct,
    /// A connection pooler in transaction mode: each transaction may meet another session, so nothing is set on
    /// one. Statements stay prepared by name, which PgBouncer follows from 1.21 (`max_prepared_statements`);
    /// without a name they would be prepared in one session and run in another.
    Pooler,
}

/// Why the database can't be used. None of these holds a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is not one.
    #[error(
        "DATABASE_URL is not the address of a Postgres database ({0}); it looks like postgres://user:password@host:5432/name"
    )]
    Address(String),
    /// Nobody answers.
    #[error(
        "the database server at {server} can't be reached: {source}\n  start it, or mend DATABASE_URL; without DATABASE_URL a private server is started"
    )]
    Unreachable {
        /// Host and port, or the socket.
        server: String,
        /// What the system said.
        source: sqlx::Error,
    },
    /// The server let nobody in by that name.
    #[error(
        "the database server at {server} refuses user {user}: {source}\n  mend the user or the password in DATABASE_URL"
    )]
    Refused {
        /// Host and port, or the socket.
        server: String,
        /// The user.
        user: String,
        /// What the server said.
        source: sqlx::Error,
    },
    /// The server has no such database.
    #[error("the database server at {server} has no database {name}; make it (createdb {name}), or mend DATABASE_URL")]
    Missing {
        /// Host and port, or the socket.
        server: String,
        /// The database.
        name: String,
    },
    /// The server is too old.
    #[error("the database server at {server} is PostgreSQL {found}; {OLDEST_SERVER} or later is needed")]
    TooOld {
        /// Host and port, or the socket.
        server: String,
        /// Its version.
        found: String,
    },
    /// The schema is from the future.
    #[error(
        "the database at {server} has schema {found}, and this version knows none after {known}; it was used by a newer orchestrator: run that one, or name another database"
    )]
    Newer {
        /// Host and port, or the socket.
        server: String,
        /// The newest migration that it holds.
        found: i64,
        /// The newest migration that we know.
        known: i64,
    },
    /// The text of this database can't hold everything that text may be.
    #[error(
        "the database at {server} has the encoding {found}, and UTF8 is needed; make one with it: createdb --encoding=UTF8 --template=template0 NAME"
    )]
    Encoding {
        /// Host and port, or the socket.
        server: String,
        /// Its encoding.
        found: String,
    },
    /// There is no schema: no server of ours has used the database.
    #[error("the database at {server} holds nothing of orchestrator")]
    Empty {
        /// Host and port, or the socket.
        server: String,
    },
    /// The schema is from the past, and the caller brings nothing up to date.
    #[error(
        "the database at {server} has schema {found}, older than schema {known} of this version\n  start the server once to bring it up to date: `orchestrator serve`"
    )]
    Older {
        /// Host and port, or the socket.
        server: String,
        /// The newest migration that it holds.
        found: i64,
        /// The newest migration that we know.
        known: i64,
    },
    /// The schema could not be brought up to date.
    #[error("the schema of the database at {server} could not be brought up to date: {source}")]
    Migration {
        /// Host and port, or the socket.
        server: String,
        /// Which migration, and what the server said.
        source: MigrateError,
    },
}

/// What is done with a database that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every transaction is read only; the server refuses to write.
    ReadOnly,
    /// Rows may change; the schema doesn't.
    ReadWrite,
}

impl Store {
    /// Connects, checks that the server is usable, and brings the schema up to date.
    ///
    /// Several processes may do this at once: the migrations run in one transaction under one lock.
    ///
    /// # Errors
    /// Each way a database can be unusable has its own, with the server's address and the way out.
    pub async fn open(database: Database, settings: &PoolSettings) -> Result<Self, OpenError> {
        let options = prepare(database, settings)?;
        let server = server_name(&options);
        let mut connection = connect(&options, settings).await?;
        check_server(&mut connection, &server).await?;
        migrate(&mut connection, &server).await?;
        // The server sees the end of the connection either way.
        drop(connection.close().await);
        Ok(Self {
            pool: pool(options, settings),
        })
    }

    /// Connects to a database that has its schema already, and changes nothing there.
    ///
    /// # Errors
    /// As [`Store::open`]; and [`OpenError::Empty`] or [`OpenError::Older`] where the schema is missing or from the past.
    pub async fn open_existing(database: Database, settings: &PoolSettings, access: Access) -> Result<Self, OpenError> {
        let options = prepare(database, settings)?;
        let options = match (access, settings.route) {
            (Access::ReadOnly, Route::Direct) => options.options([("default_transaction_read_only", "on")]),
            (Access::ReadOnly, Route::Pooler) | (Access::ReadWrite, _) => options,
        };
        let server = server_name(&options);
        let mut connection = connect(&options, settings).await?;
        check_server(&mut connection, &server).await?;
        check_schema(&mut connection, &server).await?;
        drop(connection.close().await);
        Ok(Self {
            pool: pool(options, settings),
        })
    }

    /// How many connections are in use, and how many stand by.
    pub fn connections(&self) -> (u32, u32) {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        (self.pool.size().saturating_sub(idle), idle)
    }

    /// Whether the database answers within a time.
    pub async fn answers(&self, within: Duration) -> bool {
        let asking = sqlx::query_scalar!("select 1").fetch_one(&self.pool);
        matches!(tokio::time::timeout(within, asking).await, Ok(Ok(_)))
    }

    /// Ends every connection, waiting for those in use.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A handle on the read side.
    pub fn views(&self) -> crate::view::Views {
        crate::view::Views::new(self.pool.clone())
    }
}

/// The connections themselves, made when they are first needed.
pub(crate) fn pool(options: PgConnectOptions, settings: &PoolSettings) -> PgPool {
    PgPoolOptions::new()
        .max_connections(settings.connections)
        .acquire_timeout(settings.acquire_timeout)
        // Asking before each use would double the round trips of a busy process; a connection that was in use a
        // moment ago is alive.
        .test_before_acquire(false)
        .before_acquire(|connection, state| {
            Box::pin(async move {
                if state.idle_for > TRUSTED_FOR {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options)
}

fn prepare(database: Database, settings: &PoolSettings) -> Result<PgConnectOptions, OpenError> {
    let options = match database {
        Database::Url(url) => {
            if !["postgres://", "postgresql://"]
                .iter()
                .any(|scheme| url.starts_with(scheme))
            {
                return Err(OpenError::Address("it does not begin with postgres://".into()));
            }
            if has_unencoded_password(&url) {
                return Err(OpenError::Address(UNENCODED.into()));
            }
            PgConnectOptions::from_str(&url).map_err(|error| OpenError::Address(without_value(&error)))?
        }
        Database::Options(options) => *options,
    };
    let options = options.application_name(&format!("orchestrator/{}", settings.process_name));
    Ok(match settings.route {
        Route::Direct => options.options([(
            "idle_in_transaction_session_timeout",
            format!("{}ms", settings.idle_in_transaction.as_millis()),
        )]),
        // A pooler refuses start-up parameters that it does not know.
        Route::Pooler => options.extra_float_digits(None),
    })
}

const UNENCODED: &str = "a special character in the user or the password is not percent-encoded: \
    @ is %40, / is %2F, ? is %3F, # is %23";

/// Whether an `@` stands behind the end of the part that names user, password and host: then a piece of the password was
/// taken for the host, and would be repeated as such.
fn has_unencoded_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    let path = behind
        .split_once('?')
        .map_or(behind, |(path, query)| match query.contains('=') {
            true => path,
            false => behind,
        });
    authority.contains(':') && path.contains('@')
}

/// The kind of a parse error, without what was parsed: that may hold a password.
fn without_value(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Configuration(source) if source.is::<std::num::ParseIntError>() => {
            "the port is not a number".into()
        }
        _ => "it can't be taken apart; is a special character in the password not percent-encoded?".into(),
    }
}

fn server_name(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

fn classify(error: sqlx::Error, options: &PgConnectOptions) -> OpenError {
    let server = server_name(options);
    let code = match &error {
        sqlx::Error::Database(refusal) => refusal.code().map(std::borrow::Cow::into_owned),
        _ => None,
    };
    match code.as_deref() {
        Some("3D000") => OpenError::Missing {
            server,
            name: options
                .get_database()
                .unwrap_or_else(|| options.get_username())
                .to_owned(),
        },
        Some(code) if code.starts_with("28") => OpenError::Refused {
            server,
            user: options.get_username().to_owned(),
            source: error,
        },
        Some(_) | None => OpenError::Unreachable { server, source: error },
    }
}

async fn connect(options: &PgConnectOptions, settings: &PoolSettings) -> Result<PgConnection, OpenError> {
    let connecting = PgConnection::connect_with(options);
    match tokio::time::timeout(settings.acquire_timeout, connecting).await {
        Ok(connected) => connected.map_err(|error| classify(error, options)),
        Err(_) => Err(classify(sqlx::Error::PoolTimedOut, options)),
    }
}

/// Whether the server is new enough, and the database holds any text.
async fn check_server(connection: &mut PgConnection, server: &str) -> Result<(), OpenError> {
    let failed = |source| OpenError::Unreachable {
        server: server.to_owned(),
        source,
    };
    let found = sqlx::query_scalar!(r#"select current_setting('server_version') as "version!""#)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let digits = found.split(|character: char| !character.is_ascii_digit()).next();
    let major: Option<u32> = digits.and_then(|digits| digits.parse().ok());
    if major.is_none_or(|major| major < OLDEST_SERVER) {
        return Err(OpenError::TooOld {
            server: server.to_owned(),
            found,
        });
    }
    let found = sqlx::query_scalar!(r#"select current_setting('server_encoding') as "encoding!""#)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    match found.as_str() {
        "UTF8" => Ok(()),
        _ => Err(OpenError::Encoding {
            server: server.to_owned(),
            found,
        }),
    }
}

/// Whether the schema is the one that this version knows.
async fn check_schema(connection: &mut PgConnection, server: &str) -> Result<(), OpenError> {
    let server = server.to_owned();
    // The table is sqlx's own, and missing in an empty database: it is asked for by name, unchecked.
    let failed = |source: sqlx::Error| OpenError::Unreachable {
        server: server.clone(),
        source,
    };
    let made: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if !made {
        return Err(OpenError::Empty { server });
    }
    let applied: Vec<i64> = sqlx::query_scalar("select version from _sqlx_migrations where success order by version")
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let known = newest();
    let Some(found) = applied.last().copied() else {
        return Err(OpenError::Empty { server });
    };
    if found > known {
        return Err(OpenError::Newer { server, found, known });
    }
    let is_missing = |version: &i64| !applied.contains(version);
    match MIGRATIONS.iter().map(|migration| migration.version).find(is_missing) {
        Some(missing) => {
            let before = applied.into_iter().filter(|version| *version < missing);
            let found = before.max().unwrap_or(0);
            Err(OpenError::Older { server, found, known })
        }
        None => Ok(()),
    }
}

/// The newest migration that we know.
fn newest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Runs what is missing. sqlx's own lock belongs to a session, which a pooler takes away between statements; one
/// that belongs to the transaction holds wherever the transaction goes.
async fn migrate(connection: &mut PgConnection, server: &str) -> Result<(), OpenError> {
    let known = newest();
    let failed = |source: MigrateError| match source {
        MigrateError::VersionMissing(found) if found > known => OpenError::Newer {
            server: server.to_owned(),
            found,
            known,
        },
        source => OpenError::Migration {
            server: server.to_owned(),
            source,
        },
    };
    let migrator = Migrator {
        migrations: MIGRATIONS.migrations.clone(),
        locking: false,
        ..Migrator::DEFAULT
    };
    let mut transaction = connection.begin().await.map_err(|error| failed(error.into()))?;
    sqlx::query!("select pg_advisory_xact_lock($1)", MIGRATION_LOCK)
        .execute(&mut *transaction)
        .await
        .map_err(|error| failed(error.into()))?;
    migrator
        .run_direct(None, &mut *transaction, false)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(|error| failed(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_a_password_is_never_taken_for_the_host() {
        for url in [
            "postgres://me:a@b/c@host/db",
            "postgres://me:a/b@host/db",
            "postgres://me:a?b@host/db",
            "postgres://me:a#b@host/db",
        ] {
            let error = prepare(Database::Url(url.into()), &PoolSettings::default()).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("percent-encoded"), "{text}");
            assert!(!text.contains("me:") && !text.contains("b@"), "{text}");
        }
        for url in [
            "postgres://me:a%40b@host:5432/db",
            "postgres://me:a@host/db?user=me@corp",
            "postgres:///db",
        ] {
            assert!(!has_unencoded_password(url), "{url}");
        }
    }
}
