//! The flags that set keys of the configuration.

use super::Overrides;
use crate::cli::{Cli, Command, DemoArguments, ServeArguments};

impl Cli {
    /// The flags that set keys of the configuration.
    pub(crate) fn overrides(&self) -> Overrides {
        let mut overrides = Overrides::new(self.common.config.clone());
        let data_dir = self.common.data_dir.as_ref().map(|path| path.display().to_string());
        overrides.set("--data-dir", "data_dir", data_dir);
        if let Command::Serve(ServeArguments { listen, .. })
        | Command::Worker(ServeArguments { listen, .. })
        | Command::Demo(DemoArguments { listen, .. }) = &self.command
        {
            overrides.set("--listen", "server.listen", listen.map(|address| address.to_string()));
        }
        overrides.set("--sandbox", "sandbox.tier", self.sandbox().map(str::to_owned));
        overrides
    }
}
