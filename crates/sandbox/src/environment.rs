//! The environment variables of a job; none of this process's variables but those named here.

use std::ffi::OsString;
use std::path::Path;

use crate::{Job, Sandbox};

/// The home directory inside a bubblewrap sandbox.
pub(crate) const HOME: &str = "/home/w";

/// Keeps tools plain, quiet and away from terminals, pagers and prompts.
const PLAIN: [(&str, &str); 15] = [
    ("USER", "worker"),
    ("LOGNAME", "worker"),
    ("LANG", "C.UTF-8"),
    ("TERM", "dumb"),
    ("NO_COLOR", "1"),
    ("PAGER", "cat"),
    ("GIT_PAGER", "cat"),
    ("GIT_TERMINAL_PROMPT", "0"),
    // The hub is read-only: git must not try to refresh the index there.
    ("GIT_OPTIONAL_LOCKS", "0"),
    // Files of other owners belong to `nobody` inside, and git would refuse to read them.
    ("GIT_CONFIG_COUNT", "1"),
    ("GIT_CONFIG_KEY_0", "safe.directory"),
    ("GIT_CONFIG_VALUE_0", "*"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    // Byte code beside the sources would end up in the worker's change.
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("DEBIAN_FRONTEND", "noninteractive"),
];

impl Sandbox {
    /// All variables of a job; the job's own come last and take precedence.
    pub(crate) fn variables(&self, job: &Job, home: &Path) -> Vec<(String, OsString)> {
        let mut variables: Vec<(String, OsString)> = PLAIN
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect();
        variables.push(("HOME".to_owned(), home.into()));
        variables.push(("PATH".to_owned(), self.search_path()));
        variables.extend(self.toolchains.variables.iter().cloned());
        variables.extend(job.env.iter().map(|(name, value)| (name.clone(), value.into())));
        variables
    }

    fn search_path(&self) -> OsString {
        match self.isolation {
            crate::Isolation::Bubblewrap(..) => {
                // Entries with a colon were removed before, so joining cannot fail.
                std::env::join_paths(&self.toolchains.search_path).unwrap_or_default()
            }
            crate::Isolation::None { .. } => self.settings.host.variable("PATH").unwrap_or("/usr/bin:/bin").into(),
        }
    }
}
