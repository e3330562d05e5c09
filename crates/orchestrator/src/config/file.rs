//! Turns a table of values into the typed configuration. Errors name the key and the nearest known one.

use super::Config;
use crate::failure::Failure;
use std::path::Path;

/// Reads a configuration file. It must be valid by itself, so that errors name its lines.
pub(super) fn read(path: &Path) -> Result<toml::Table, Failure> {
    let problem = |problem: &str| Failure::configuration(problem).with("file", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| {
        problem("the configuration file can't be read")
            .caused_by(error)
            .hint("check --config and ORCHESTRATOR_CONFIG, or make the file readable")
    })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
        Failure::configuration("the configuration file is not valid TOML")
            .with("in", format!("{}:{line}", path.display()))
            .with("found", error.message())
    })?;
    typed(&table).map_err(|mistake| {
        let line = mistake.line_in(&text).map_or(String::new(), |line| format!(":{line}"));
        mistake.failure(&format!("{}{line}", path.display()))
    })?;
    Ok(table)
}

/// The table as the configuration.
pub(super) fn typed(table: &toml::Table) -> Result<Config, Mistake> {
    serde_path_to_error::deserialize(toml::Value::Table(table.clone())).map_err(|error| {
        let key = error.path().to_string();
        Mistake {
            value: shown(table, &key),
            message: error.inner().message().to_owned(),
            key,
        }
    })
}

/// The value of a key, unless it may be a secret or is too long.
fn shown(table: &toml::Table, key: &str) -> Option<String> {
    const LONGEST: usize = 80;
    const SECRET: [&str; 5] = ["url", "endpoint", "extra_headers", "address", "credential_helper"];
    if SECRET.iter().any(|word| key.contains(word)) {
        return None;
    }
    let mut parts = key.split('.');
    let first = table.get(parts.next()?)?;
    let value = parts.try_fold(first, |value, part| value.get(part))?;
    Some(value.to_string()).filter(|text| text.chars().count() <= LONGEST)
}

/// A key that can't be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Its path, as `server.listen`.
    pub(super) key: String,
    /// Its value, if it may be shown.
    value: Option<String>,
    /// The message of serde.
    message: String,
}

impl Mistake {
    /// The error to show; `source` is the file, variable or flag that set the key.
    pub(super) fn failure(&self, source: &str) -> Failure {
        let Some((unknown, known)) = self.unknown_field() else {
            let found = match &self.value {
                Some(value) if !self.message.contains(value.trim_matches('"')) => {
                    format!("{value}: {}", self.message)
                }
                Some(_) | None => self.message.clone(),
            };
            return Failure::configuration(format!("the setting {} can't be used", self.key))
                .with("found", found)
                .with("in", source)
                .hint("docs/configuration.md lists every setting with its default");
        };
        let key = self.path_to(unknown);
        let failure = Failure::configuration(format!("there is no setting {key}")).with("in", source);
        match nearest(unknown, known.iter().copied()) {
            Some(near) => failure.hint(format!("did you mean {}?", self.path_to(near))),
            None => failure.hint(format!("expected one of: {}", known.join(", "))),
        }
    }

    /// The line of the key, as far as a plain search finds it.
    fn line_in(&self, text: &str) -> Option<usize> {
        let unknown = self.unknown_field().map(|(unknown, _)| unknown);
        let last = unknown.unwrap_or_else(|| self.key.rsplit('.').next().unwrap_or(&self.key));
        let names_it = |line: &str| {
            let line = line.trim_start().trim_start_matches('[');
            let end = line.find(['=', ']', ' ']).unwrap_or(line.len());
            line[..end].rsplit('.').next() == Some(last)
        };
        text.lines().position(names_it).map(|index| index + 1)
    }

    /// The unknown key and the known ones, from the message of serde.
    fn unknown_field(&self) -> Option<(&str, Vec<&str>)> {
        let mut quoted = self
            .message
            .strip_prefix("unknown field ")?
            .split('`')
            .skip(1)
            .step_by(2);
        Some((quoted.next()?, quoted.collect()))
    }

    /// The path of a sibling key; the reported path ends in the unknown key or just before it.
    fn path_to(&self, name: &str) -> String {
        let unknown = self.unknown_field().map_or("", |(unknown, _)| unknown);
        let section = match self.key.rsplit_once('.') {
            _ if self.key == unknown || self.key == "." => "",
            Some((section, last)) if last == unknown => section,
            _ => &self.key,
        };
        if section.is_empty() {
            name.to_owned()
        } else {
            format!("{section}.{name}")
        }
    }
}

/// The known name that is most similar to a mistyped one.
pub(super) fn nearest<'known>(unknown: &str, known: impl Iterator<Item = &'known str>) -> Option<&'known str> {
    known
        .map(|name| (strsim::jaro_winkler(unknown, name), name))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(text: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("orchestrator.toml");
        std::fs::write(&path, text).unwrap();
        let failure = read(&path).unwrap_err().to_string();
        failure.replace(&directory.path().display().to_string(), "/directory")
    }

    #[test]
    fn unknown_key_is_reported_with_the_nearest_one() {
        insta::assert_snapshot!(failure("[server]\nlisen = \"127.0.0.1:80\"\n"), @"
        error: there is no setting server.lisen
          in: /directory/orchestrator.toml:2
          did you mean server.listen?
        ");
    }

    #[test]
    fn invalid_value_is_shown_unless_it_may_be_a_secret() {
        insta::assert_snapshot!(failure("[server]\nlisten = \"here\"\n"), @r#"
        error: the setting server.listen can't be used
          found: "here": invalid socket address syntax
          in: /directory/orchestrator.toml:2
          docs/configuration.md lists every setting with its default
        "#);
        let headers = "[providers.mine]\nextra_headers = [\"hidden\"]\n";
        assert!(!failure(headers).contains("hidden"), "{}", failure(headers));
    }

    #[test]
    fn unknown_section_is_reported_with_the_nearest_one() {
        insta::assert_snapshot!(failure("[databse]\nurl = \"x\"\n"), @"
        error: there is no setting databse
          in: /directory/orchestrator.toml:1
          did you mean database?
        ");
    }

    #[test]
    fn value_of_the_wrong_type_is_reported_with_its_line() {
        insta::assert_snapshot!(failure("# mine\n[engine]\nworkers = \"many\"\n"), @r#"
        error: the setting engine.workers can't be used
          found: invalid type: string "many", expected u32
          in: /directory/orchestrator.toml:3
          docs/configuration.md lists every setting with its default
        "#);
    }

    #[test]
    fn invalid_toml_is_reported_with_its_line() {
        insta::assert_snapshot!(failure("[server\nlisten = 1\n"), @"
        error: the configuration file is not valid TOML
          in: /directory/orchestrator.toml:1
          found: unclosed table, expected `]`
        ");
    }
}
