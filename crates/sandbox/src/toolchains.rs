//! Finds toolchains that live in home folders, and grants them without the secrets that lie beside them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::bubblewrap::Mount;
use crate::settings::{HostEnvironment, Settings};

/// What every room has on its search path, after the toolchains.
const SYSTEM_PATH: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// A configuration file with one of these words in it may hold a secret and stays outside.
const SECRET_WORDS: [&str; 4] = ["token", "secret", "password", "credential"];

/// A version manager whose whole folder is granted.
struct Manager {
    name: &'static str,
    /// The variable that says where it is, set inside as well.
    variable: &'static str,
    /// Where it is under the home folder otherwise.
    default: &'static str,
    /// Its folders of programs.
    programs: &'static [&'static str],
}

const MANAGERS: [Manager; 6] = [
    Manager {
        name: "rustup",
        variable: "RUSTUP_HOME",
        default: ".rustup",
        programs: &[],
    },
    Manager {
        name: "pyenv",
        variable: "PYENV_ROOT",
        default: ".pyenv",
        programs: &["shims", "bin"],
    },
    Manager {
        name: "nvm",
        variable: "NVM_DIR",
        default: ".nvm",
        programs: &[],
    },
    Manager {
        name: "volta",
        variable: "VOLTA_HOME",
        default: ".volta",
        programs: &["bin"],
    },
    Manager {
        name: "asdf",
        variable: "ASDF_DATA_DIR",
        default: ".asdf",
        programs: &["shims", "bin"],
    },
    Manager {
        name: "mise",
        variable: "MISE_DATA_DIR",
        default: ".local/share/mise",
        programs: &["shims"],
    },
];

/// The toolchains of this machine as a room sees them.
#[derive(Debug, Default)]
pub(crate) struct Toolchains {
    pub(crate) mounts: Vec<Mount>,
    pub(crate) variables: Vec<(String, OsString)>,
    pub(crate) search_path: Vec<PathBuf>,
    found: Vec<String>,
    withheld: Vec<String>,
}

impl Toolchains {
    /// Looks where the host's environment says, then at the usual places under its home folder.
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
        toolchains.set_search_path(settings, programs);
        toolchains
    }

    fn add_manager(&mut self, manager: &Manager, host: &HostEnvironment, programs: &mut Vec<PathBuf>) {
        let Some(root) = located(host, manager.variable, manager.default) else {
            return;
        };
        self.variables
            .push((manager.variable.to_owned(), root.clone().into_os_string()));
        programs.extend(manager.programs.iter().map(|folder| root.join(folder)));
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

    /// Cargo writes locks and its cache tracker into its home and keeps credentials there, so the home is an
    /// empty writable folder into which only the programs and the downloaded sources are bound.
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

    /// The host's own order first, as far as its entries can be seen inside; then what is not on it.
    fn set_search_path(&mut self, settings: &Settings, programs: Vec<PathBuf>) {
        let granted: Vec<&Path> = self
            .mounts
            .iter()
            .map(Mount::path)
            .chain(settings.extra_read_only.iter().map(PathBuf::as_path))
            .collect();
        let visible = |entry: &PathBuf| {
            SYSTEM_PATH.iter().any(|system| entry == Path::new(system))
                || entry.starts_with("/usr")
                || granted.iter().any(|granted| entry.starts_with(granted))
        };
        let host = settings.host.search_path().into_iter().filter(visible);
        let found = programs.into_iter().filter(|folder| folder.is_dir());
        let mut search_path = Vec::new();
        let missing: Vec<PathBuf> = found
            .filter(|folder| !settings.host.search_path().contains(folder))
            .collect();
        for entry in missing
            .into_iter()
            .chain(host)
            .chain(SYSTEM_PATH.iter().map(PathBuf::from))
        {
            // An entry with a colon would be read as two.
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

/// The folder a variable names, else the default under the home folder; only if it is there.
fn located(host: &HostEnvironment, variable: &str, default: &str) -> Option<PathBuf> {
    let path = match host.variable(variable) {
        Some(path) => PathBuf::from(path),
        None => host.home.as_ref()?.join(default),
    };
    // A file system root as a toolchain folder would grant everything.
    (path.is_absolute() && path.parent().is_some() && path.is_dir()).then_some(path)
}

fn holds_a_secret(text: &str) -> bool {
    let text = text.to_lowercase();
    SECRET_WORDS.iter().any(|word| text.contains(word))
}

/// nvm puts a version on the search path in interactive shells only, which a server is not.
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
mod tests {
    use super::*;

    fn settings(home: &Path, path: &str) -> Settings {
        let variables = [("PATH".to_owned(), path.to_owned())].into();
        let host = HostEnvironment {
            home: Some(home.to_owned()),
            variables,
        };
        Settings {
            host,
            ..Settings::default()
        }
    }

    fn grants(toolchains: &Toolchains) -> Vec<&Path> {
        toolchains
            .mounts
            .iter()
            .filter(|mount| matches!(mount, Mount::ReadOnly(_)))
            .map(Mount::path)
            .collect()
    }

    #[test]
    fn cargo_credentials_are_never_granted() {
        let home = tempfile::tempdir().unwrap();
        let cargo = home.path().join(".cargo");
        fs::create_dir_all(cargo.join("bin")).unwrap();
        fs::write(cargo.join("credentials.toml"), "x").unwrap();
        fs::write(cargo.join("config.toml"), "[registries.x]\ntoken = \"t\"").unwrap();
        let toolchains = Toolchains::detect(&settings(home.path(), ""));
        assert_eq!(grants(&toolchains), [cargo.join("bin")]);
        assert!(
            toolchains.describe().contains("config.toml"),
            "{}",
            toolchains.describe()
        );
    }

    #[test]
    fn a_cargo_configuration_without_secrets_is_granted() {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join(".cargo/config.toml");
        fs::create_dir_all(home.path().join(".cargo")).unwrap();
        fs::write(&config, "[build]\njobs = 2").unwrap();
        assert_eq!(grants(&Toolchains::detect(&settings(home.path(), ""))), [config]);
    }

    #[test]
    fn the_search_path_keeps_the_hosts_order_and_drops_what_cannot_be_seen() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join(".pyenv/shims")).unwrap();
        let shims = home.path().join(".pyenv/shims");
        let path = format!("/usr/games:{}:{}/bin:relative", shims.display(), home.path().display());
        let toolchains = Toolchains::detect(&settings(home.path(), &path));
        assert_eq!(toolchains.search_path[..2], [PathBuf::from("/usr/games"), shims]);
        assert!(!toolchains.search_path.contains(&home.path().join("bin")));
        assert!(toolchains.search_path.contains(&PathBuf::from("/usr/bin")));
    }

    #[test]
    fn the_newest_node_is_the_highest_version_not_the_last_name() {
        let nvm = tempfile::tempdir().unwrap();
        for version in ["v9.1.0", "v22.2.0", "v22.11.0"] {
            fs::create_dir_all(nvm.path().join("versions/node").join(version).join("bin")).unwrap();
        }
        assert_eq!(
            newest_node(nvm.path()),
            Some(nvm.path().join("versions/node/v22.11.0/bin"))
        );
    }
}
