//! Variables: those of the process, then those of a `.env` in the working directory.
//!
//! A `.env` may belong to a cloned project. So it can't weaken the sandbox, send a key of the user to its own address, or
//! name a database of that project. Its values are literal: `dotenvy` would insert variables of the process into them,
//! and so could send a secret to an address.

use crate::failure::Failure;
use std::{collections::BTreeMap, path::Path};

/// Type of a variable's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// Separated by commas.
    List,
    Number,
    Decimal,
}

/// A variable that sets a key of the configuration.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    /// Whether a `.env` may set it.
    in_dot_env: bool,
}

const fn variable(name: &'static str, key: &'static str, kind: Kind, in_dot_env: bool) -> Variable {
    Variable {
        name,
        key,
        kind,
        in_dot_env,
    }
}

/// Every variable that sets a key.
pub(super) const VARIABLES: [Variable; 19] = [
    variable("DATABASE_URL", "database.url", Kind::Text, true),
    variable("OPENAI_BASE_URL", "providers.openai.base_url", Kind::Text, true),
    variable("ORCHESTRATOR_DATA_DIR", "data_dir", Kind::Text, true),
    variable("ORCHESTRATOR_LISTEN", "server.listen", Kind::Text, true),
    variable("ORCHESTRATOR_ALLOWED_HOSTS", "server.allowed_hosts", Kind::List, true),
    variable("ORCHESTRATOR_WORKSPACES", "server.workspaces", Kind::List, false),
    variable("ORCHESTRATOR_TOKEN_FILE", "server.token_file", Kind::Text, false),
    variable("ORCHESTRATOR_DIRECTOR_MODEL", "models.director", Kind::Text, true),
    variable("ORCHESTRATOR_WORKER_MODEL", "models.worker", Kind::Text, true),
    variable("ORCHESTRATOR_PRICES", "models.prices", Kind::Text, true),
    variable("ORCHESTRATOR_RUN_DOLLARS", "budget.run_dollars", Kind::Decimal, true),
    variable("ORCHESTRATOR_WORKERS", "engine.workers", Kind::Number, true),
    variable("ORCHESTRATOR_PROFILES", "engine.profiles", Kind::Text, false),
    variable("ORCHESTRATOR_HUBS", "hubs.address", Kind::Text, false),
    variable("ORCHESTRATOR_SANDBOX", "sandbox.tier", Kind::Text, false),
    variable("ORCHESTRATOR_BUBBLEWRAP", "sandbox.bubblewrap", Kind::Text, false),
    variable("ORCHESTRATOR_LOG", "telemetry.log", Kind::Text, true),
    variable("ORCHESTRATOR_LOG_FORMAT", "telemetry.log_format", Kind::Text, true),
    variable(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "telemetry.otlp_endpoint",
        Kind::Text,
        false,
    ),
];

/// Known variables that set no key.
const OTHER_NAMES: [&str; 5] = [
    "ORCHESTRATOR_CONFIG",
    "ORCHESTRATOR_TOKEN",
    "ORCHESTRATOR_PROFILE",
    "ORCHESTRATOR_PG_BIN",
    "ORCHESTRATOR_PG_USER",
];

/// Variables by name and origin.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    process: BTreeMap<String, String>,
    dot_env: BTreeMap<String, String>,
}

impl Environment {
    /// The variables of this process, and those of a `.env` in the working directory.
    pub(crate) fn of_this_process() -> Result<Self, Failure> {
        let process = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Ok(Self {
            process,
            dot_env: read_dot_env(Path::new(".env"))?,
        })
    }

    /// An environment with only these variables.
    #[cfg(test)]
    pub(super) fn of(process: &[(&str, &str)], dot_env: &[(&str, &str)]) -> Self {
        let owned = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        Self {
            process: owned(process),
            dot_env: owned(dot_env),
        }
    }

    /// The value of a variable; an empty value counts as unset.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.process(name).or_else(|| {
            let value = self
                .dot_env
                .get(name)
                .map(String::as_str)
                .filter(|value| !value.is_empty())?;
            self.refusal(name).is_none().then_some(value)
        })
    }

    /// Where the value of a variable comes from, for messages.
    pub(super) fn source(&self, name: &str) -> String {
        if self.process(name).is_some() {
            name.to_owned()
        } else {
            format!("{name} in .env")
        }
    }

    /// Whether the value of a variable comes from a `.env`.
    pub(super) fn is_from_dot_env(&self, name: &str) -> bool {
        self.process(name).is_none() && self.get(name).is_some()
    }

    /// Variables that are set without effect, each with the reason.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let ignored = self
            .dot_env
            .keys()
            .filter(|name| self.process(name).is_none())
            .filter_map(|name| {
                self.refusal(name)
                    .map(|why| format!("{name} in .env is not used: {why}"))
            });
        let names = || VARIABLES.iter().map(|variable| variable.name).chain(OTHER_NAMES);
        let unknown = self
            .process
            .keys()
            .chain(self.dot_env.keys())
            .filter(|name| name.starts_with("ORCHESTRATOR_") && !names().any(|known| known == name.as_str()))
            .map(|name| match super::file::nearest(name, names()) {
                Some(near) => format!("{name} is set but unknown; did you mean {near}?"),
                None => format!("{name} is set but unknown"),
            });
        ignored.chain(unknown).collect()
    }

    fn process(&self, name: &str) -> Option<&str> {
        self.process
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Why a `.env` may not set this variable, if it may not.
    fn refusal(&self, name: &str) -> Option<&'static str> {
        if OTHER_NAMES.contains(&name)
            || VARIABLES
                .iter()
                .any(|variable| variable.name == name && !variable.in_dot_env)
        {
            return Some("only the real environment, a configuration file or a flag may set it");
        }
        if name == "OPENAI_BASE_URL" && self.process("OPENAI_API_KEY").is_some() {
            return Some(
                "it would send the OPENAI_API_KEY of your environment to an address that this directory chose",
            );
        }
        let ours = self.dot_env.keys().any(|name| name.starts_with("ORCHESTRATOR_"));
        if name == "DATABASE_URL" && !ours {
            return Some(
                "the file seems to belong to another project; set an ORCHESTRATOR_ variable in it, or export this one",
            );
        }
        None
    }
}

fn read_dot_env(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(parse_dot_env(&text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(Failure::configuration("the .env file in this directory can't be read")
            .caused_by(error)
            .hint("make it readable, or run from another directory")),
    }
}

/// Parses `NAME=value` lines with an optional `export`, quotes and comments; other lines are ignored.
fn parse_dot_env(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim();
            let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
            let name = name.trim();
            let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            is_name.then(|| (name.to_owned(), unquoted(value.trim()).to_owned()))
        })
        .collect()
}

fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inside) = value.strip_prefix(quote)
            && let Some(end) = inside.find(quote)
        {
            return &inside[..end];
        }
    }
    value.split(" #").next().unwrap_or(value).trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_env_has_names_values_quotes_and_comments() {
        let found = parse_dot_env("# x\nexport A=1\nB=\"two # words\" # c\nC='q'\nD=plain # c\nnot a line\nE-F=1\n");
        let expected = [("A", "1"), ("B", "two # words"), ("C", "q"), ("D", "plain")];
        assert_eq!(
            found,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
        );
    }

    #[test]
    fn dot_env_values_are_literal() {
        let found = parse_dot_env("A=http://elsewhere/$PATH\nB=\"${HOME}\"\nC=`id`\nD=$(id)\n");
        let expected = [
            ("A", "http://elsewhere/$PATH"),
            ("B", "${HOME}"),
            ("C", "`id`"),
            ("D", "$(id)"),
        ];
        assert_eq!(
            found,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
        );
    }

    #[test]
    fn process_environment_overrides_dot_env() {
        let environment = Environment::of(&[("API_PORT", "1")], &[("API_PORT", "2"), ("OPENAI_API_KEY", "k")]);
        assert_eq!(environment.get("API_PORT"), Some("1"));
        assert_eq!(environment.get("OPENAI_API_KEY"), Some("k"));
    }

    #[test]
    fn dot_env_can_not_weaken_the_sandbox() {
        let environment = Environment::of(&[], &[("ORCHESTRATOR_SANDBOX", "none"), ("ORCHESTRATOR_CONFIG", "x")]);
        assert_eq!(environment.get("ORCHESTRATOR_SANDBOX"), None);
        assert_eq!(environment.get("ORCHESTRATOR_CONFIG"), None);
        assert_eq!(environment.warnings().len(), 2);
    }

    #[test]
    fn dot_env_can_not_redirect_a_key_of_the_process() {
        let evil = [("OPENAI_BASE_URL", "http://elsewhere")];
        assert_eq!(
            Environment::of(&[("OPENAI_API_KEY", "k")], &evil).get("OPENAI_BASE_URL"),
            None
        );
        assert_eq!(
            Environment::of(&[], &evil).get("OPENAI_BASE_URL"),
            Some("http://elsewhere")
        );
    }

    #[test]
    fn database_of_another_project_is_ignored() {
        let database = ("DATABASE_URL", "postgres://theirs");
        assert_eq!(Environment::of(&[], &[database]).get("DATABASE_URL"), None);
        let ours = Environment::of(&[], &[database, ("ORCHESTRATOR_WORKERS", "3")]);
        assert_eq!(ours.get("DATABASE_URL"), Some("postgres://theirs"));
    }

    #[test]
    fn unknown_variable_is_reported_with_the_nearest_name() {
        let warnings = Environment::of(&[("ORCHESTRATOR_LISTN", "x")], &[]).warnings();
        assert_eq!(
            warnings,
            ["ORCHESTRATOR_LISTN is set but unknown; did you mean ORCHESTRATOR_LISTEN?"]
        );
    }
}
