//! Combines file, environment and flags, in that order.

use super::{
    Config, Environment,
    environment::{Kind, VARIABLES},
    file,
};
use crate::{failure::Failure, invocation::Invocation, opens::Opens};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

/// Values from the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// The configuration file to read.
    file: Option<PathBuf>,
    values: Vec<(String, &'static str, Value)>,
}

impl Overrides {
    /// Only the configuration file, if one is named.
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self {
            file,
            values: Vec::new(),
        }
    }

    /// Sets a key by a flag, if the flag was given.
    pub(crate) fn set(&mut self, flag: &'static str, key: &str, value: Option<impl Into<Value>>) {
        self.values
            .extend(value.map(|value| (key.to_owned(), flag, value.into())));
    }
}

/// The effective configuration and its origin.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// The configuration file that was read.
    pub(crate) file: Option<PathBuf>,
    /// Files, variables and flags that set values, in the order they were read.
    pub(crate) sources: Vec<String>,
    pub(crate) environment: Environment,
    /// The workspace that the command line names. If everything runs in this process, it may be created wherever the user
    /// may write.
    pub(crate) named_workspace: Option<PathBuf>,
    /// What the command may open.
    pub(crate) opens: Opens,
    /// How the next command is written.
    pub(crate) invocation: Invocation,
}

/// Reads everything.
pub(crate) fn load(overrides: &Overrides, environment: Environment) -> Result<Loaded, Failure> {
    let mut layers = Layers::default();
    let data_dir = data_dir(overrides, &environment)?;
    let file = configuration_file(overrides, &environment, &data_dir);
    if let Some(path) = &file {
        layers.table = file::read(path)?;
        resolve_paths(&mut layers.table, path.parent().unwrap_or(Path::new(".")));
        layers.sources.push(path.display().to_string());
    }
    layers.add_environment(&environment)?;
    for (key, flag, value) in &overrides.values {
        layers.set(key, value.clone(), (*flag).to_owned());
    }
    if !layers.table.contains_key("data_dir") {
        layers.table.insert("data_dir".to_owned(), path_value(&data_dir));
    }
    let mut config = file::typed(&layers.table).map_err(|mistake| layers.failure(&mistake))?;
    config.data_dir = absolute(&config.data_dir)?;
    super::rules::check(&config)?;
    Ok(Loaded {
        config,
        file,
        sources: layers.sources,
        environment,
        named_workspace: None,
        opens: Opens::Nothing,
        invocation: Invocation::default(),
    })
}

/// The values so far, and what set each key.
#[derive(Default)]
struct Layers {
    table: Table,
    setters: BTreeMap<String, String>,
    sources: Vec<String>,
}

impl Layers {
    fn add_environment(&mut self, environment: &Environment) -> Result<(), Failure> {
        if let Some(port) = environment.get("API_PORT") {
            let listen = Value::String(format!("127.0.0.1:{port}"));
            self.set("server.listen", listen, environment.source("API_PORT"));
        }
        for variable in &VARIABLES {
            let Some(text) = environment.get(variable.name) else {
                continue;
            };
            let source = environment.source(variable.name);
            let value = parse(text, variable.kind).ok_or_else(|| {
                Failure::configuration(format!("the variable {} must be a number", variable.name)).with("found", text)
            })?;
            self.set(variable.key, value, source);
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: Value, source: String) {
        let mut parts: Vec<&str> = key.split('.').collect();
        let Some(last) = parts.pop() else { return };
        let mut table = &mut self.table;
        for part in parts {
            let entry = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(inner) = entry else { return };
            table = inner;
        }
        table.insert(last.to_owned(), value);
        self.setters.insert(key.to_owned(), source.clone());
        self.sources.push(source);
    }

    fn failure(&self, mistake: &file::Mistake) -> Failure {
        let setter = self.setters.get(&mistake.key);
        mistake.failure(setter.map_or("the configuration", String::as_str))
    }
}

fn parse(text: &str, kind: Kind) -> Option<Value> {
    match kind {
        Kind::Text => Some(Value::String(text.to_owned())),
        Kind::List => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Some(parts.map(Value::from).collect::<Vec<_>>().into())
        }
        Kind::Number => text.parse::<i64>().ok().map(Value::Integer),
        Kind::Decimal => text.parse::<f64>().ok().map(Value::Float),
    }
}

/// The data directory, before the configuration file is read, which may lie in it.
fn data_dir(overrides: &Overrides, environment: &Environment) -> Result<PathBuf, Failure> {
    let flag = overrides.values.iter().find(|(key, ..)| key == "data_dir");
    if let Some(path) = flag.and_then(|(_, _, value)| value.as_str()) {
        return Ok(PathBuf::from(path));
    }
    if let Some(path) = environment.get("ORCHESTRATOR_DATA_DIR") {
        return Ok(PathBuf::from(path));
    }
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/agent-orchestrator"));
    }
    let share = environment
        .get("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let share = share.or_else(|| environment.get("HOME").map(|home| Path::new(home).join(".local/share")));
    share.map(|share| share.join("agent-orchestrator")).ok_or_else(|| {
        Failure::configuration("there is no home directory to keep data in")
            .hint("choose a data directory with --data-dir DIR or ORCHESTRATOR_DATA_DIR")
    })
}

fn configuration_file(overrides: &Overrides, environment: &Environment, data_dir: &Path) -> Option<PathBuf> {
    let named = environment.get("ORCHESTRATOR_CONFIG").map(PathBuf::from);
    if let Some(path) = overrides.file.clone().or(named) {
        return Some(path);
    }
    // The .env of a cloned directory must not lead to a configuration file of that directory.
    let flag = overrides.values.iter().any(|(key, ..)| key == "data_dir");
    let here = std::env::current_dir().unwrap_or_default();
    if !flag && environment.is_from_dot_env("ORCHESTRATOR_DATA_DIR") && leads_into(data_dir, &here) {
        return None;
    }
    Some(data_dir.join("orchestrator.toml")).filter(|path| path.is_file())
}

/// Whether a path leads into a directory: relative, by links, or by `/proc/self/cwd`.
fn leads_into(path: &Path, directory: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.is_relative() || path.starts_with("/proc") || real(path).starts_with(real(directory))
}

/// Paths in a file are relative to the file's directory.
fn resolve_paths(table: &mut Table, directory: &Path) {
    const PATHS: [(&str, &str); 3] = [("server", "token_file"), ("models", "prices"), ("engine", "profiles")];
    for (section, key) in PATHS {
        let value = table.get_mut(section).and_then(|section| section.get_mut(key));
        if let Some(Value::String(path)) = value {
            *path = directory.join(&*path).display().to_string();
        }
    }
    if let Some(Value::String(path)) = table.get_mut("data_dir") {
        *path = directory.join(&*path).display().to_string();
    }
    let roots = table.get_mut("server").and_then(|server| server.get_mut("workspaces"));
    for root in roots.and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::String(path) = root {
            *path = directory.join(&*path).display().to_string();
        }
    }
    let workspaces = table.get_mut("workspaces").and_then(Value::as_table_mut);
    for (_, workspace) in workspaces.into_iter().flatten() {
        if let Some(Value::String(path)) = workspace.get_mut("path") {
            *path = directory.join(&*path).display().to_string();
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| {
        Failure::configuration("the data directory can't be used")
            .with("path", path.display())
            .caused_by(error)
    })
}

fn path_value(path: &Path) -> Value {
    Value::String(path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(directory: &Path, text: &str) -> Overrides {
        let path = directory.join("orchestrator.toml");
        std::fs::write(&path, text).unwrap();
        let mut overrides = Overrides::new(Some(path));
        overrides.set("--data-dir", "data_dir", directory.to_str());
        overrides
    }

    #[test]
    fn flags_override_the_environment_and_that_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let text = "[server]\nlisten = \"127.0.0.1:1\"\n[engine]\nworkers = 1\n[sandbox]\ntier = \"none\"\n";
        let mut overrides = file(directory.path(), text);
        overrides.set("--listen", "server.listen", Some("127.0.0.1:3"));
        let environment = Environment::of(
            &[("ORCHESTRATOR_LISTEN", "127.0.0.1:2"), ("ORCHESTRATOR_WORKERS", "2")],
            &[],
        );
        let config = load(&overrides, environment).unwrap().config;
        assert_eq!(config.server.listen.port(), 3);
        assert_eq!(config.engine.workers, 2);
        assert_eq!(config.sandbox.tier, sandbox::Tier::None);
    }

    #[test]
    fn invalid_value_names_the_variable_that_set_it() {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment::of(&[("ORCHESTRATOR_LISTEN", "here")], &[]);
        let failure = load(&file(directory.path(), ""), environment).err().unwrap();
        assert_eq!(failure.details.last().unwrap().1, "ORCHESTRATOR_LISTEN");
    }

    #[test]
    fn limit_that_rejects_every_request_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        for (text, key) in [
            ("[server]\nconnections = 0\n", "server.connections"),
            ("[server]\nidle_timeout_s = 0\n", "server.idle_timeout_s"),
            ("[limits]\nopen_runs = 0\n", "limits.open_runs"),
        ] {
            let failure = load(&file(directory.path(), text), Environment::default())
                .err()
                .unwrap();
            assert!(failure.problem.starts_with(key), "{failure}");
        }
    }

    #[test]
    fn variable_must_be_a_number_where_one_is_expected() {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment::of(&[("ORCHESTRATOR_WORKERS", "all")], &[]);
        assert!(load(&file(directory.path(), ""), environment).is_err());
    }

    #[test]
    fn paths_in_a_file_are_relative_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let overrides = file(
            directory.path(),
            "[workspaces.api]\npath = \"api\"\ncheck = \"./test\"\n",
        );
        let config = load(&overrides, Environment::default()).unwrap().config;
        assert_eq!(config.workspaces["api"].path, directory.path().join("api"));
    }

    #[test]
    fn link_into_a_directory_is_resolved() {
        let place = tempfile::tempdir().unwrap();
        let (here, link) = (place.path().join("here"), place.path().join("link"));
        std::fs::create_dir_all(here.join("data")).unwrap();
        std::os::unix::fs::symlink(&here, &link).unwrap();
        for path in [
            Path::new("data"),
            Path::new("/proc/self/cwd/data"),
            &here.join("data"),
            &link.join("data"),
        ] {
            assert!(leads_into(path, &here), "{}", path.display());
        }
        assert!(!leads_into(place.path(), &here));
    }

    #[test]
    fn file_in_the_data_directory_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let mut overrides = file(directory.path(), "[engine]\nworkers = 9\n");
        overrides.file = None;
        assert_eq!(
            load(&overrides, Environment::default()).unwrap().config.engine.workers,
            9
        );
    }

    #[test]
    fn dollar_budget_caps_every_run() {
        let directory = tempfile::tempdir().unwrap();
        let config = load(
            &file(directory.path(), "[budget]\nrun_dollars = 2.5\n"),
            Environment::default(),
        )
        .unwrap()
        .config;
        assert_eq!(
            config.run_limits().cost_nanodollars,
            domain::NanoDollars::from_dollars(2.5)
        );
    }
}
