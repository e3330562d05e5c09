//! What preparing a run has begun to make outside the database: noted before it is made, so that it can be taken away
//! again when nothing comes of the run, also by the next start after a crash.

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

/// Held while one workspace is prepared, or what was begun is taken away: never both, nor two at a time.
const LOCK: &str = "lock";

/// What was not there before.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Begun {
    workspace: PathBuf,
    /// Directories, the outermost first.
    directories: Vec<PathBuf>,
    /// The name of the hub, where it was made.
    hub: Option<String>,
}

impl Begun {
    /// Notes what is about to be made for a run. What an earlier try noted stays noted.
    pub(super) fn note(layout: &Layout, run: RunId, workspace: &Path, hub: &str) -> io::Result<()> {
        let file = layout.preparing(run);
        if file.exists() {
            return Ok(());
        }
        let begun = Self {
            workspace: workspace.to_owned(),
            directories: git::missing_directories(workspace),
            hub: (!layout.hub(hub).exists()).then(|| hub.to_owned()),
        };
        let partial = file.with_added_extension("partial");
        let mut note = File::create(&partial)?;
        note.write_all(&serde_json::to_vec(&begun)?)?;
        note.sync_all()?;
        fs::rename(partial, file)
    }

    fn read(file: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }

    fn take_away(&self, layout: &Layout, run: RunId) -> Result<(), git::GitError> {
        git::undo_initialise(&self.workspace, &self.directories)?;
        match &self.hub {
            Some(hub) => Hub::remove_unused(&layout.hub(hub), run),
            None => Ok(()),
        }
    }
}

/// One at a time.
pub(super) fn lock(layout: &Layout) -> io::Result<File> {
    let file = File::create(layout.all_preparing().join(LOCK))?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

/// Keeps what was made for a run that is prepared, and takes it away where the run has ended before. Of one that goes
/// on everything stays.
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
            tracing::debug!(%run, %error, "what was begun for a run is settled later");
            return;
        }
    };
    let settled = crate::context::blocking(move || -> Result<(), String> {
        let _lock = lock(&layout).map_err(|error| error.to_string())?;
        if !file.exists() {
            // Somebody else has settled it in the meantime.
            return Ok(());
        }
        let begun = Begun::read(&file).unwrap_or_default();
        match prepared {
            true => git::settle_initialised(&begun.workspace),
            false => begun.take_away(&layout, run),
        }
        .map_err(|error| error.to_string())?;
        fs::remove_file(&file).map_err(|error| error.to_string())
    })
    .await;
    if let Err(error) = settled {
        tracing::warn!(%run, error, "what preparing a run made could not be taken away; the next start tries again");
    }
}

/// The runs for which something was begun.
pub(super) fn runs(layout: &Layout) -> Vec<RunId> {
    let entries = fs::read_dir(layout.all_preparing()).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Path::new(&entry.file_name()).file_stem()?.to_str()?.parse().ok())
        .collect()
}
