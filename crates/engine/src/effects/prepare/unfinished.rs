//! What preparing a run makes outside the database. It is noted before it is made, so that it can be removed when the run
//! ends unprepared, also by the next start after a crash.

use crate::context::{Context, Layout};
use domain::RunId;
use git::Hub;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Held while a workspace is prepared or its leftovers are removed: one at a time.
const LOCK: &str = "lock";

/// What did not exist before.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Unfinished {
    workspace: PathBuf,
    /// Directories, the outermost first.
    directories: Vec<PathBuf>,
    /// The name of the hub, if it was made.
    hub: Option<String>,
}

impl Unfinished {
    /// Notes what is about to be made for a run. The note of an earlier try stays.
    pub(super) fn note(layout: &Layout, run: RunId, workspace: &Path, hub: &str) -> io::Result<()> {
        let file = layout.preparing(run);
        if file.exists() {
            return Ok(());
        }
        let unfinished = Self {
            workspace: workspace.to_owned(),
            directories: git::missing_directories(workspace),
            hub: (!layout.hub(hub).exists()).then(|| hub.to_owned()),
        };
        let partial = file.with_added_extension("partial");
        let mut note = File::create(&partial)?;
        note.write_all(&serde_json::to_vec(&unfinished)?)?;
        note.sync_all()?;
        fs::rename(partial, file)
    }

    fn read(file: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }

    fn undo(&self, layout: &Layout, run: RunId) -> Result<(), git::GitError> {
        git::undo_initialise(&self.workspace, &self.directories)?;
        match &self.hub {
            Some(hub) => Hub::remove_unused(&layout.hub(hub), run),
            None => Ok(()),
        }
    }
}

/// Takes the lock of preparations.
pub(super) fn lock(layout: &Layout) -> io::Result<File> {
    let file = File::create(layout.all_preparing().join(LOCK))?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

/// Keeps what was made for a run that is prepared, and removes it if the run has ended before. Does nothing while it is
/// still being prepared.
pub(super) async fn settle(context: &Context, run: RunId) {
    let (layout, file) = (context.layout.clone(), context.layout.preparing(run));
    if !file.exists() {
        return;
    }
    let prepared = match context.store.run_details(run).await {
        Ok(Some(details)) if details.base.is_some() => true,
        Ok(Some(details)) if !details.state.is_final() => return,
        Ok(_) => false,
        Err(error) => {
            tracing::debug!(%run, %error, "Could not settle an unfinished preparation; retried later");
            return;
        }
    };
    let settled = crate::context::blocking(move || -> Result<(), String> {
        let _lock = lock(&layout).map_err(|error| error.to_string())?;
        if !file.exists() {
            // Another call has settled it meanwhile.
            return Ok(());
        }
        let unfinished = Unfinished::read(&file).unwrap_or_default();
        match prepared {
            true => git::settle_initialised(&unfinished.workspace),
            false => unfinished.undo(&layout, run),
        }
        .map_err(|error| error.to_string())?;
        fs::remove_file(&file).map_err(|error| error.to_string())
    })
    .await;
    if let Err(error) = settled {
        tracing::warn!(%run, error, "Could not remove what preparing a run made; the next start retries");
    }
}

/// The runs for which something is unfinished.
pub(super) fn runs(layout: &Layout) -> Vec<RunId> {
    let entries = fs::read_dir(layout.all_preparing()).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Path::new(&entry.file_name()).file_stem()?.to_str()?.parse().ok())
        .collect()
}
