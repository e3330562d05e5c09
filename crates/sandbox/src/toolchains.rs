//! Finds toolchains that live in home directories, and grants them without the secrets that lie beside them.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
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

/// What every job sees of the system.
const SYSTEM_DIRECTORIES: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// What an installation keeps for its programs beside their directory; nothing else of it is granted, since
/// configuration with secrets lies there, too.
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

/// So many entries of one directory of `PATH` are looked at for links.
const MAX_PROGRAMS: usize = 10_000;

/// A configuration file with one of these words in it may hold a secret and stays outside.
const SECRET_WORDS: [&str; 4] = ["token", "secret", "password", "credential"];

/// A version manager whose whole directory is granted.
struct Manager {
    name: &'static str,
    /// The variable that says where it is, set inside as well.
    variable: &'static str,
    /// Where it is under the home directory otherwise.
    default: &'static str,
    /// Its directories of programs.
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
    /// Looks where the host's environment says, then at the usual places under its home directory.
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

    /// What the host's `PATH` finds, a job finds: its directories that no other grant covers, what belongs to the
    /// programs in them, and the places their links lead to.
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

    /// Grants a directory of programs, and beside it what an installation keeps for them.
    fn add_programs(&mut self, settings: &Settings, directory: &Path) {
        self.mounts.push(Mount::ReadOnly(directory.to_owned()));
        let named_for_programs = directory.ends_with("bin") || directory.ends_with("sbin");
        let Some(prefix) = directory.parent().filter(|_| named_for_programs) else {
            return;
        };
        // A person's own data lies in `~/.local/share`, and whole systems in `/` and `/usr`.
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

    /// Cargo writes locks and its cache tracker into its home and keeps credentials there, so the home is an
    /// empty writable directory into which only the programs and the downloaded sources are bound.
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

/// The directory a variable names, else the default under the home directory; only if it is there.
fn located(host: &HostEnvironment, variable: &str, default: &str) -> Option<PathBuf> {
    let path = match host.variable(variable) {
        Some(path) => PathBuf::from(path),
        None => host.home.as_ref()?.join(default),
    };
    // A file system root as a toolchain directory would grant everything.
    (path.is_absolute() && path.parent().is_some() && path.is_dir()).then_some(path)
}

/// Whether a directory of `PATH` may be granted: one that is there, and is neither a whole file system, nor a home
/// directory or what holds one, nor a place where everybody writes.
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

/// Where the links of a directory end, if that is elsewhere.
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
    fn what_the_hosts_path_finds_is_granted_with_what_belongs_to_it() {
        let other = tempfile::tempdir().unwrap();
        let (cargo, node) = (other.path().join("account/.cargo"), other.path().join("opt/node"));
        for directory in [
            cargo.join("bin"),
            node.join("bin"),
            node.join("lib/node_modules/npm/bin"),
        ] {
            fs::create_dir_all(directory).unwrap();
        }
        fs::write(cargo.join("credentials.toml"), "x").unwrap();
        // A home whose cargo has no programs hides nothing that PATH finds.
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join(".cargo/registry")).unwrap();
        let path = format!("{}:{}", cargo.join("bin").display(), node.join("bin").display());
        let toolchains = Toolchains::detect(&settings(home.path(), &path));
        assert_eq!(
            grants(&toolchains),
            [cargo.join("bin"), node.join("bin"), node.join("lib")]
        );
        assert_eq!(toolchains.search_path[..2], [cargo.join("bin"), node.join("bin")]);
    }

    #[test]
    fn a_link_on_the_path_brings_its_installation_along() {
        let elsewhere = tempfile::tempdir().unwrap();
        let home = tempfile::tempdir().unwrap();
        let programs = home.path().join(".local/bin");
        let installation = elsewhere.path().join("tool-1.2");
        for directory in [&programs, &installation.join("bin"), &installation.join("libexec")] {
            fs::create_dir_all(directory).unwrap();
        }
        fs::create_dir_all(home.path().join(".local/share/keyrings")).unwrap();
        fs::write(installation.join("bin/tool"), "").unwrap();
        std::os::unix::fs::symlink(installation.join("bin/tool"), programs.join("tool")).unwrap();
        let toolchains = Toolchains::detect(&settings(home.path(), programs.to_str().unwrap()));
        assert_eq!(
            grants(&toolchains),
            [programs, installation.join("bin"), installation.join("libexec")]
        );
    }

    #[test]
    fn a_path_entry_that_is_a_home_or_holds_one_or_is_everybodys_is_not_granted() {
        let outer = tempfile::tempdir().unwrap();
        let home = outer.path().join("me");
        let open = outer.path().join("open");
        for directory in [&home, &open] {
            fs::create_dir_all(directory).unwrap();
        }
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let path = format!("{}:{}:{}:/", home.display(), outer.path().display(), open.display());
        let toolchains = Toolchains::detect(&settings(&home, &path));
        assert_eq!(grants(&toolchains), Vec::<&Path>::new());
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
