//! Hubs as this process has them: its own, or copies of what machines share.

use crate::{
    context::{Context, blocking},
    settings::GivesUp,
};
use domain::RunId;
use git::Hub;
use std::{path::PathBuf, sync::Arc};

impl Context {
    /// The hub of a run's workspace, made by its `prepare`, with the run's branch and base in it.
    pub(crate) async fn hub(&self, name: &str, run: RunId) -> Result<Arc<Hub>, git::GitError> {
        let (path, shared) = (self.layout.hub(name), self.shared_hub(name)?);
        let hub = move || match shared {
            Some(upstream) => {
                let hub = Hub::open_copy(&path, upstream)?;
                hub.follow(&[&git::refs::integration(&run), &git::refs::base(&run)])?;
                Ok(hub)
            }
            None => Hub::open(&path),
        };
        blocking(hub).await.map(Arc::new)
    }

    /// Where the machines that share a hub have it.
    pub(crate) fn shared_hub(&self, name: &str) -> Result<Option<git::Remote>, git::GitError> {
        self.settings.hubs.as_ref().map(|hubs| hubs.of(name)).transpose()
    }

    /// A hub in the data directory, by its directory, to give up what runs left in it.
    pub(crate) async fn hub_at(&self, path: PathBuf) -> Result<Arc<Hub>, git::GitError> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let shared = match self.settings.gives_up {
            GivesUp::OwnCopies => None,
            GivesUp::Runs => self.shared_hub(&name.unwrap_or_default())?,
        };
        let hub = blocking(move || Hub::open(&path)).await?;
        Ok(Arc::new(match shared {
            Some(upstream) => hub.with_upstream(upstream),
            None => hub,
        }))
    }
}
