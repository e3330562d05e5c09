//! Detects the host's toolchains and grants them without the secrets beside them.

mod managers;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::bubblewrap::Mount;
use crate::settings::{HostEnvironment, Settings};
use managers::{MANAGERS, Manager};

/// The end of every sandbox's `PATH`, after the toolchains.
const SYSTEM_PATH: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// System directories that every job sees.
const SYSTEM_DIRECTORIES: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// The parts of an installation that its programs need. Nothing else of it is granted, because it may hold configuration
/// with secrets.
const INSTALLATION_PARTS: [&str; 13] = [
    "lib",
    "lib32",
    "lib64",
    "libexec",
    "share",
    "include",
    "src",
    "pkg",
    "conf",
    "jmods",
    "go.env",
    "VERSION",
    "pyvenv.cfg",
];

/// How many entries of one `PATH` directory are searched for links.
const MAX_PROGRAMS: usize = 10_000;

/// A configuration file with one of these words may hold a secret and is not granted.
const SECRET_WORDS: [&str; 4] = ["token", "secret", "password", "credential"];

/// The toolchains of this machine, as a sandbox sees them.
#[derive(Debug, Default)]
pub(crate) struct Toolchains {
    pub(crate) mounts: Vec<Mount>,
    pub(crate) variables: Vec<(String, OsString)>,
    pub(crate) search_path: Vec<PathBuf>,
    found: Vec<String>,
    withheld: Vec<String>,
}

impl Toolchains {
    /// Detects toolchains by the host's environment, then by their default locations in the home directory.
    pub(crate) fn detect(settings: &Settings) -> Self {
        let host = &settings.host;
        let mut toolchains = Self::default();
        let mut programs = Vec::new();
        for manager in &MANAGERS {
            toolchains.add_manager(manager, host, &mut programs);
        }
        toolchains.add_cargo(host, &mut programs);
        if Path::new("/nix/store").is_dir() {
            toolchains.grant("nix store", PathBuf::from("/nix/store"));
        }
        toolchains.add_search_path(settings);
        toolchains.set_search_path(settings, programs);
        toolchains
    }

    /// Grants what the host's `PATH` finds: directories that no other grant covers, the installations of the programs in
    /// them, and the targets of their links.
    fn add_search_path(&mut self, settings: &Settings) {
        for directory in settings.host.search_path() {
            if self.covers(settings, &directory) || !is_of_programs(&directory, settings.host.home.as_deref()) {
                continue;
            }
            self.found.push(format!("PATH ({})", directory.display()));
            self.add_programs(settings, &directory);
            for target in links_out_of(&directory) {
                if let Some(directory) = target.parent()
                    && !self.covers(settings, &target)
                    && is_of_programs(directory, settings.host.home.as_deref())
                {
                    self.add_programs(settings, directory);
                }
            }
        }
    }

    /// Grants a directory of programs and the parts of their installation.
    fn add_programs(&mut self, settings: &Settings, directory: &Path) {
        self.mounts.push(Mount::ReadOnly(directory.to_owned()));
        let named_for_programs = directory.ends_with("bin") || directory.ends_with("sbin");
        let Some(prefix) = directory.parent().filter(|_| named_for_programs) else {
            return;
        };
        // `~/.local/share` holds personal data, and `/` and `/usr` hold whole systems.
        let shared = prefix.ends_with(".local") || prefix.parent().is_none();
        if shared || settings.host.home.as_deref() == Some(prefix) {
            return;
        }
        for part in INSTALLATION_PARTS {
            let path = prefix.join(part);
            if path.exists() && !self.covers(settings, &path) {
                self.mounts.push(Mount::ReadOnly(path));
            }
        }
    }

    /// Whether a job sees this path without a grant of its own.
    fn covers(&self, settings: &Settings, path: &Path) -> bool {
        let grants = self
            .mounts
            .iter()
            .filter(|mount| !matches!(mount, Mount::Temporary(_)))
            .map(Mount::path)
            .chain(settings.extra_read_only.iter().map(PathBuf::as_path));
        SYSTEM_DIRECTORIES
            .iter()
            .map(Path::new)
            .chain(grants)
            .any(|seen| path.starts_with(seen))
    }

    fn add_manager(&mut self, manager: &Manager, host: &HostEnvironment, programs: &mut Vec<PathBuf>) {
        let Some(root) = located(host, manager.variable, manager.default) else {
            return;
        };
        self.variables
            .push((manager.variable.to_owned(), root.clone().into_os_string()));
        programs.extend(manager.programs.iter().map(|directory| root.join(directory)));
        if manager.name == "nvm" {
            programs.extend(newest_node(&root));
        }
        if manager.name == "rustup"
            && let Some(toolchain) = host.variable("RUSTUP_TOOLCHAIN")
        {
            self.variables.push(("RUSTUP_TOOLCHAIN".to_owned(), toolchain.into()));
        }
        self.grant(manager.name, root);
    }

    /// Grants cargo. Its home holds credentials, and cargo writes locks and a cache tracker there, so the home is an empty
    /// writable directory with only the programs and downloaded sources bound into it.
    fn add_cargo(&mut self, host: &HostEnvironment, programs: &mut Vec<PathBuf>) {
        let Some(home) = located(host, "CARGO_HOME", ".cargo") else {
            return;
        };
        self.mounts.push(Mount::Temporary(home.clone()));
        for part in [
            "bin",
            "registry/index",
            "registry/cache",
            "registry/src",
            "git/db",
            "git/checkouts",
        ] {
            let path = home.join(part);
            if path.is_dir() {
                self.mounts.push(Mount::ReadOnly(path));
            }
        }
        for name in ["config.toml", "config"] {
            let path = home.join(name);
            match fs::read_to_string(&path) {
                Ok(text) if holds_a_secret(&text) => self.withheld.push(path.display().to_string()),
                Ok(_) => self.mounts.push(Mount::ReadOnly(path)),
                Err(_) => {}
            }
        }
        programs.push(home.join("bin"));
        self.found.push(format!("cargo ({})", home.display()));
        self.variables.push(("CARGO_HOME".to_owned(), home.into_os_string()));
        self.variables.push(("CARGO_NET_OFFLINE".to_owned(), "true".into()));
    }

    fn grant(&mut self, name: &str, path: PathBuf) {
        self.found.push(format!("{name} ({})", path.display()));
        self.mounts.push(Mount::ReadOnly(path));
    }

    /// Sets `PATH`: detected programs that the host's `PATH` lacks, then its visible entries in order, then the system's.
    fn set_search_path(&mut self, settings: &Settings, programs: Vec<PathBuf>) {
        let host = settings.host.search_path();
        let host = host.into_iter().filter(|entry| self.covers(settings, entry));
        let found = programs.into_iter().filter(|directory| directory.is_dir());
        let mut search_path = Vec::new();
        let missing: Vec<PathBuf> = found
            .filter(|directory| !settings.host.search_path().contains(directory))
            .collect();
        for entry in missing
            .into_iter()
            .chain(host)
            .chain(SYSTEM_PATH.iter().map(PathBuf::from))
        {
            // `PATH` would split an entry at its colon.
            if !search_path.contains(&entry) && !entry.as_os_str().as_encoded_bytes().contains(&b':') {
                search_path.push(entry);
            }
        }
        self.search_path = search_path;
    }

    pub(crate) fn describe(&self) -> String {
        let found = if self.found.is_empty() {
            "none outside /usr".to_owned()
        } else {
            self.found.join(", ")
        };
        if self.withheld.is_empty() {
            format!("toolchains: {found}")
        } else {
            format!(
                "toolchains: {found}; withheld, as they may hold secrets: {}",
                self.withheld.join(", ")
            )
        }
    }
}

/// The directory named by a variable, else its default location, if it exists.
fn located(host: &HostEnvironment, variable: &str, default: &str) -> Option<PathBuf> {
    let path = match host.variable(variable) {
        Some(path) => PathBuf::from(path),
        None => host.home.as_ref()?.join(default),
    };
    // A file system root as a toolchain directory would grant everything.
    (path.is_absolute() && path.parent().is_some() && path.is_dir()).then_some(path)
}

/// Whether a directory of `PATH` may be granted: it exists, is not the root, contains no home directory, and is not
/// world-writable.
fn is_of_programs(directory: &Path, home: Option<&Path>) -> bool {
    let Ok(true_path) = directory.canonicalize() else {
        return false;
    };
    let holds_home = home.is_some_and(|home| {
        home.starts_with(directory) || home.canonicalize().is_ok_and(|home| home.starts_with(&true_path))
    });
    let open_to_all = fs::metadata(&true_path).is_ok_and(|metadata| metadata.permissions().mode() & 0o002 != 0);
    true_path.is_dir() && true_path.parent().is_some() && !holds_home && !open_to_all
}

/// Targets of a directory's links that are outside it.
fn links_out_of(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .take(MAX_PROGRAMS)
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
        .filter_map(|entry| entry.path().canonicalize().ok())
        .filter(|target| target.is_file() && !target.starts_with(directory))
        .collect()
}

fn holds_a_secret(text: &str) -> bool {
    let text = text.to_lowercase();
    SECRET_WORDS.iter().any(|word| text.contains(word))
}

/// The newest node of nvm, which adds one to `PATH` only in interactive shells.
fn newest_node(nvm: &Path) -> Option<PathBuf> {
    let version = |name: &str| -> Option<Vec<u64>> {
        name.strip_prefix('v')?
            .split('.')
            .map(|number| number.parse().ok())
            .collect()
    };
    fs::read_dir(nvm.join("versions/node"))
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|entry| Some((version(entry.file_name().to_str()?)?, entry.path().join("bin"))))
        .max()
        .map(|(_, programs)| programs)
}

#[cfg(test)]
mod tests;
