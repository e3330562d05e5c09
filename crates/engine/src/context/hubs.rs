//! The hubs in the data directory: this machine's own, or copies of hubs that machines share.

use crate::{
    context::{Context, blocking},
    settings::Retention,
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

    /// The address of a shared hub; `None` where hubs are not shared.
    pub(crate) fn shared_hub(&self, name: &str) -> Result<Option<git::Remote>, git::GitError> {
        self.settings.hubs.as_ref().map(|hubs| hubs.of(name)).transpose()
    }

    /// The hub in a directory, to remove what runs left in it.
    pub(crate) async fn hub_at(&self, path: PathBuf) -> Result<Arc<Hub>, git::GitError> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let shared = match self.settings.retention {
            Retention::OwnCopies => None,
            Retention::Runs => self.shared_hub(&name.unwrap_or_default())?,
        };
        let hub = blocking(move || Hub::open(&path)).await?;
        Ok(Arc::new(match shared {
            Some(upstream) => hub.with_upstream(upstream),
            None => hub,
        }))
    }
}
