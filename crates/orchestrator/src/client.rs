//! Finds the server of the data directory, or opens in this process what the command needs.

use crate::{
    config::Loaded,
    failure::{Exit, Failure, Kind},
    opens::Opens,
    presence::Presence,
    token::token,
    wire::{self, Existing, Harness, OpenError, Plan, Purpose, QUIET_LOG, Scripted},
};
use api::{Client, ClientError};
use secrecy::ExposeSecret;
use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};
use store::connect::Access;

/// How long a server may take to answer that it is ready.
const PROBE: Duration = Duration::from_secs(3);
/// How long a process that holds the data directory may take to publish its address.
const TIMEOUT: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A server that answers for the data directory.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) address: String,
    pub(crate) client: Client,
}

/// The server that holds the data directory, if one is there and answers.
pub(crate) async fn find(loaded: &Loaded) -> Option<Found> {
    let data_dir = &loaded.config.data_dir;
    let presence = Presence::read(data_dir)?;
    let token = token(loaded).ok()?;
    let client = Client::new(&presence.address, token.as_ref().map(ExposeSecret::expose_secret)).ok()?;
    let readiness = tokio::time::timeout(PROBE, client.readiness()).await.ok()?.ok()?;
    // The port of a dead server may have gone to another one.
    (canonical(Path::new(&readiness.data_dir)) == canonical(data_dir)).then_some(Found {
        address: presence.address,
        client,
    })
}

fn canonical(path: &Path) -> std::path::PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// A server to talk to, in this process or another.
pub(crate) struct Attached {
    pub(crate) client: Client,
    /// Where answers come from, for error messages.
    place: String,
    here: Here,
}

/// What was opened in this process.
enum Here {
    Nothing,
    Harness(Box<Harness>),
    Existing(Box<Existing>),
}

impl Attached {
    /// Uses the server that holds the data directory, or opens what exists, as far as the command may ([`Opens`]).
    /// `None` where nothing exists; nothing is created then.
    pub(crate) async fn existing(loaded: &Loaded) -> Result<Option<Self>, Failure> {
        let access = match loaded.opens {
            // A command that opens everything reads first.
            Opens::ToRead | Opens::ForOneJob | Opens::Everything => Access::ReadOnly,
            Opens::ToChange => Access::ReadWrite,
            Opens::Nothing => return Ok(None),
        };
        if let Some(found) = find(loaded).await {
            return Ok(Some(Self::elsewhere(loaded, found)));
        }
        let Some(existing) = Existing::open(loaded, access).await? else {
            return Ok(None);
        };
        let address = format!("http://{}", existing.address);
        Ok(Some(Self {
            client: Client::new(&address, Some(existing.token.expose_secret())).map_err(failure)?,
            place: wire::place(loaded),
            here: Here::Existing(Box::new(existing)),
        }))
    }

    /// The same for a command that names a run or a merge: where nothing exists, that is missing, too.
    pub(crate) async fn to(loaded: &Loaded, what: &str) -> Result<Self, Failure> {
        match Self::existing(loaded).await? {
            Some(attached) => Ok(attached),
            None => {
                let place = format!("{}, which does not exist", wire::place(loaded));
                let missing = Failure::new(Kind::NotFound, format!("there is no {what}"));
                Err(elsewhere(missing, &place))
            }
        }
    }

    /// Uses the server that holds the data directory, or opens everything here.
    pub(crate) async fn open(loaded: &Loaded, purpose: Purpose) -> Result<Self, Failure> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(found) = find(loaded).await {
                return Ok(Self::elsewhere(loaded, found));
            }
            let plan = Plan {
                listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                log: QUIET_LOG,
                scripted: None,
                purpose,
            };
            match Harness::open(loaded, plan).await {
                Ok(harness) => return Self::in_process(loaded, harness),
                // The process that holds the directory may be starting or stopping.
                Err(OpenError::Held(_)) if Instant::now() < deadline => tokio::time::sleep(LOOK_AGAIN).await,
                Err(error) => return Err(error.failure()),
            }
        }
    }

    fn elsewhere(loaded: &Loaded, found: Found) -> Self {
        let data_dir = loaded.config.data_dir.display();
        Self {
            client: found.client,
            place: format!("the server at {} (data directory {data_dir})", found.address),
            here: Here::Nothing,
        }
    }

    /// Opens everything here, with a scripted model.
    pub(crate) async fn scripted(loaded: &Loaded, listen: SocketAddr, scripted: Scripted) -> Result<Self, Failure> {
        let plan = Plan {
            listen,
            log: QUIET_LOG,
            scripted: Some(scripted),
            purpose: Purpose::Work,
        };
        let harness = Harness::open(loaded, plan).await.map_err(OpenError::failure)?;
        Self::in_process(loaded, harness)
    }

    /// Connects again after the server went away: it may have been restarted, or its process may have ended.
    pub(crate) async fn again(mut self, loaded: &Loaded) -> Result<Self, Failure> {
        let deadline = Instant::now() + TIMEOUT / 2;
        while Instant::now() < deadline {
            if let Some(found) = find(loaded).await {
                self.client = found.client;
                return Ok(self);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.close().await;
        Self::open(loaded, Purpose::Work).await
    }

    fn in_process(loaded: &Loaded, harness: Harness) -> Result<Self, Failure> {
        let address = format!("http://{}", harness.address);
        let token = token(loaded)?;
        let client = Client::new(&address, token.as_ref().map(ExposeSecret::expose_secret)).map_err(failure)?;
        Ok(Self {
            client,
            place: wire::place(loaded),
            here: Here::Harness(Box::new(harness)),
        })
    }

    /// Whether no other process serves the data directory, so that the run stops with this one.
    pub(crate) fn is_here(&self) -> bool {
        !matches!(self.here, Here::Nothing)
    }

    /// Whether no other process works on the database.
    pub(crate) fn is_alone(&self) -> bool {
        match &self.here {
            Here::Existing(existing) => existing.is_alone(),
            Here::Harness(_) | Here::Nothing => false,
        }
    }

    /// An error of the server. One about something missing names where it was looked for.
    pub(crate) fn failure(&self, error: ClientError) -> Failure {
        let failure = Failure::from(error);
        match failure.kind {
            Kind::NotFound => elsewhere(failure, &self.place),
            Kind::Usage | Kind::Configuration | Kind::Conflict | Kind::Environment | Kind::Internal => failure,
        }
    }

    /// Closes what was opened here, and returns the answer or the error.
    pub(crate) async fn close_with<T>(self, answer: Result<T, ClientError>) -> Result<T, Failure> {
        let answer = answer.map_err(|error| self.failure(error));
        self.close().await;
        answer
    }

    /// Closes what was opened here. Work in progress is kept.
    pub(crate) async fn close(self) {
        match self.here {
            Here::Harness(harness) => harness.close().await,
            Here::Existing(existing) => existing.close().await,
            Here::Nothing => {}
        }
    }
}

/// Names where something was looked for, and how to look elsewhere.
fn elsewhere(mut failure: Failure, place: &str) -> Failure {
    failure.details.clear();
    failure.with("looked in", place).hint(
        "`orchestrator runs` lists the runs there; look elsewhere with --data-dir DIR or ORCHESTRATOR_DATA_DIR, or with \
         DATABASE_URL for your own database",
    )
}

/// What a server answered instead of what was requested.
pub(crate) fn failure(error: ClientError) -> Failure {
    Failure::from(error)
}

/// The exit code for the state of a run.
pub(crate) fn exit(state: domain::run::RunState) -> Exit {
    use domain::run::RunState;
    match state {
        RunState::Failed => Exit::RunFailed,
        RunState::Cancelled => Exit::Cancelled,
        RunState::Complete | RunState::Planning | RunState::Running | RunState::Delivering => Exit::Complete,
    }
}
