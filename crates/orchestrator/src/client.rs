//! The way to a server: one that holds the data directory, or everything in this process.

use crate::{
    config::Loaded,
    failure::{Exit, Failure},
    opens::Opens,
    presence::Presence,
    token::token,
    wire::{self, Existing, Harness, OpenError, Plan, Purpose, QUIET_LOG, Scripted},
};
use api::{Client, ClientError};
use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};
use store::connect::Access;

/// How long a server may take to say that it is there.
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
    let client = Client::new(&presence.address, token(loaded).ok()?.as_deref()).ok()?;
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

/// A server to talk to, here or elsewhere.
pub(crate) struct Attached {
    pub(crate) client: Client,
    /// Where answers come from, for people.
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
    /// Uses the server that holds the data directory, or opens what is there already, as far as the command may
    /// ([`Opens`]). `None` where nothing is there; nothing is made then.
    pub(crate) async fn existing(loaded: &Loaded) -> Result<Option<Self>, Failure> {
        let access = match loaded.opens {
            // What goes on to open everything looks first.
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
            client: Client::new(&address, Some(&existing.token)).map_err(failure)?,
            place: wire::place(loaded),
            here: Here::Existing(Box::new(existing)),
        }))
    }

    /// The same for a command that names a run or a merge: where nothing is there, that isn't either.
    pub(crate) async fn to(loaded: &Loaded, what: &str) -> Result<Self, Failure> {
        match Self::existing(loaded).await? {
            Some(attached) => Ok(attached),
            None => {
                let place = format!("{}, which is not there", wire::place(loaded));
                Err(elsewhere(Failure::usage(format!("there is no {what}")), &place))
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
                // Somebody has the directory: perhaps it is still on its way up, or down.
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

    /// Everything here, with a model that plays a script.
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

    /// A server that was left alone for a moment: perhaps it is restarted, perhaps its process has ended.
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
        let client = Client::new(&address, token(loaded)?.as_deref()).map_err(failure)?;
        Ok(Self {
            client,
            place: wire::place(loaded),
            here: Here::Harness(Box::new(harness)),
        })
    }

    /// Whether the run ends with this process, or rests after it: no other process answers for the data directory.
    pub(crate) fn is_here(&self) -> bool {
        !matches!(self.here, Here::Nothing)
    }

    /// Whether nobody works on the database while this command looks at it.
    pub(crate) fn is_alone(&self) -> bool {
        match &self.here {
            Here::Existing(existing) => existing.is_alone(),
            Here::Harness(_) | Here::Nothing => false,
        }
    }

    /// What was answered instead of what was asked for. What isn't there is said together with where it was looked for.
    pub(crate) fn failure(&self, error: ClientError) -> Failure {
        let is_missing = error.problem().is_some_and(|problem| problem.status == 404);
        let failure = failure(error);
        match is_missing {
            true => elsewhere(failure, &self.place),
            false => failure,
        }
    }

    /// Closes what was opened here; the answer, or what came instead of it.
    pub(crate) async fn close_with<T>(self, answer: Result<T, ClientError>) -> Result<T, Failure> {
        let answer = answer.map_err(|error| self.failure(error));
        self.close().await;
        answer
    }

    /// Puts down what was opened here. What is under way is kept.
    pub(crate) async fn close(self) {
        match self.here {
            Here::Harness(harness) => harness.close().await,
            Here::Existing(existing) => existing.close().await,
            Here::Nothing => {}
        }
    }
}

/// Names where something was looked for, and how to look elsewhere.
fn elsewhere(failure: Failure, place: &str) -> Failure {
    let shown = Failure {
        details: Vec::new(),
        ..failure
    };
    shown.with("looked in", place).hint(
        "`orchestrator runs` lists what is there; look elsewhere with --data-dir DIR or ORCHESTRATOR_DATA_DIR, or with \
         DATABASE_URL for a database of your own",
    )
}

/// What a server answered instead of what was asked for.
pub(crate) fn failure(error: ClientError) -> Failure {
    let Some(problem) = error.problem() else {
        return Failure::from_text_environment(&error.to_string());
    };
    let mut failure = if problem.status < 500 {
        Failure::usage(&problem.detail)
    } else {
        Failure::environment(&problem.detail)
    };
    if let Some(field) = &problem.field {
        failure = failure.with("field", field);
    }
    if let Some(value) = &problem.value {
        failure = failure.with("found", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    match &problem.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// What a run's state means to the shell.
pub(crate) fn exit(state: domain::run::RunState) -> Exit {
    use domain::run::RunState;
    match state {
        RunState::Failed => Exit::RunFailed,
        RunState::Cancelled => Exit::Cancelled,
        RunState::Complete | RunState::Planning | RunState::Running | RunState::Delivering => Exit::Complete,
    }
}
