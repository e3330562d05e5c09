//! The way to a server: one that holds the data directory, or everything in this process.

use crate::{
    config::Loaded,
    failure::{Exit, Failure},
    presence::Presence,
    token::token,
    wire::{House, OpenError, Plan, Purpose, Scripted},
};
use api::{Client, ClientError};
use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

/// How long a server may take to say that it is there.
const PROBE: Duration = Duration::from_secs(3);
/// How long a process that holds the data directory may take to publish its address.
const PATIENCE: Duration = Duration::from_secs(20);
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
    house: Option<Box<House>>,
}

impl Attached {
    /// Uses the server that holds the data directory, or opens everything here.
    pub(crate) async fn open(loaded: &Loaded, purpose: Purpose) -> Result<Self, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = find(loaded).await {
                return Ok(Self {
                    client: found.client,
                    house: None,
                });
            }
            let plan = Plan {
                listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                log: QUIET_LOG,
                scripted: None,
                purpose,
            };
            match House::open(loaded, plan).await {
                Ok(house) => return Self::in_process(loaded, house),
                // Somebody has the directory: perhaps it is still on its way up, or down.
                Err(OpenError::Held(_)) if Instant::now() < deadline => tokio::time::sleep(LOOK_AGAIN).await,
                Err(error) => return Err(error.failure()),
            }
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
        let house = House::open(loaded, plan).await.map_err(OpenError::failure)?;
        Self::in_process(loaded, house)
    }

    /// A server that was left alone for a moment: perhaps it is restarted, perhaps its process has ended.
    pub(crate) async fn again(self, loaded: &Loaded) -> Result<Self, Failure> {
        let deadline = Instant::now() + PATIENCE / 2;
        while Instant::now() < deadline {
            if let Some(found) = find(loaded).await {
                return Ok(Self {
                    client: found.client,
                    house: self.house,
                });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.close().await;
        Self::open(loaded, Purpose::Work).await
    }

    fn in_process(loaded: &Loaded, house: House) -> Result<Self, Failure> {
        let address = format!("http://{}", house.address);
        let client = Client::new(&address, token(loaded)?.as_deref()).map_err(failure)?;
        Ok(Self {
            client,
            house: Some(Box::new(house)),
        })
    }

    /// Whether everything runs in this process, and ends with it.
    pub(crate) fn is_here(&self) -> bool {
        self.house.is_some()
    }

    /// Puts down what was opened here. What is under way is kept.
    pub(crate) async fn close(self) {
        if let Some(house) = self.house {
            house.close().await;
        }
    }
}

/// Facts are shown anyway; a log beside them would be drawn over.
const QUIET_LOG: &str = "off";

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
