//! How the program ends: exit codes, and errors that show what failed, with which value, and what to do.

mod lower;

use crate::invocation::Invocation;
use serde::{Serialize, Serializer, ser::SerializeStruct};
use std::{error::Error, fmt, sync::Arc};

/// What the process reports to the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was requested is done.
    Complete = 0,
    /// The run ended without its objective.
    RunFailed = 1,
    /// The command line, the configuration or the request can't be used.
    Usage = 2,
    /// The machine lacks something: database, sandbox, port, disk, server.
    Environment = 3,
    /// The run was cancelled.
    Cancelled = 4,
    /// A fault in the program or its server.
    Internal = 5,
    /// The person left; the run continues if a server has it.
    Detached = 130,
}

impl Exit {
    /// The number for the shell.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }
}

/// The kind of a failure. It decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The command line or the request can't be used.
    Usage,
    /// A setting can't be used: in a file, a variable or a flag.
    Configuration,
    /// There is no such run or merge.
    NotFound,
    /// What is requested does not fit the state of the run or merge.
    Conflict,
    /// The machine lacks something: database, sandbox, port, disk, server.
    Environment,
    /// A fault in the program or its server.
    Internal,
}

impl Kind {
    /// How the process ends.
    pub(crate) const fn exit(self) -> Exit {
        match self {
            Self::Usage | Self::Configuration | Self::NotFound | Self::Conflict => Exit::Usage,
            Self::Environment => Exit::Environment,
            Self::Internal => Exit::Internal,
        }
    }
}

/// Why a command could not do its work: what failed, with which values, and what to do next.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// One sentence.
    pub(crate) problem: String,
    /// Values that were found, by name.
    pub(crate) details: Vec<(String, String)>,
    /// What to do.
    pub(crate) hint: Option<String>,
    /// The error of a lower part.
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Failure {
    /// Bad input.
    pub(crate) fn usage(problem: impl Into<String>) -> Self {
        Self::new(Kind::Usage, problem)
    }

    /// A setting that can't be used.
    pub(crate) fn configuration(problem: impl Into<String>) -> Self {
        Self::new(Kind::Configuration, problem)
    }

    /// Something the machine lacks.
    pub(crate) fn environment(problem: impl Into<String>) -> Self {
        Self::new(Kind::Environment, problem)
    }

    /// A fault in the program.
    pub(crate) fn internal(problem: impl Into<String>) -> Self {
        Self::new(Kind::Internal, problem)
    }

    /// Any kind.
    pub(crate) fn new(kind: Kind, problem: impl Into<String>) -> Self {
        Self {
            kind,
            problem: problem.into(),
            details: Vec::new(),
            hint: None,
            source: None,
        }
    }

    /// The error of a lower part, whose text has the way out on lines of its own behind the first.
    pub(crate) fn of(kind: Kind, error: impl Error + Send + Sync + 'static) -> Self {
        let text = error.to_string();
        let (problem, hint) = text.split_once('\n').unwrap_or((&text, ""));
        let hint: Vec<&str> = hint.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        Self {
            hint: (!hint.is_empty()).then(|| hint.join("\n")),
            ..Self::new(kind, problem.trim())
        }
        .keep(error)
    }

    /// Names a value that was found.
    pub(crate) fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.details.push((name.to_owned(), value.to_string()));
        self
    }

    /// Shows the error of a lower part, with what caused it.
    pub(crate) fn caused_by(self, error: impl Error + Send + Sync + 'static) -> Self {
        let chain = chain(&error);
        self.with("found", chain).keep(error)
    }

    fn keep(mut self, error: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(error));
        self
    }

    /// Shows what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, with every command in it as it can be typed.
    pub(crate) fn with_commands(mut self, invocation: &Invocation) -> Self {
        self.problem = invocation.in_text(&self.problem);
        for (_, value) in &mut self.details {
            *value = invocation.in_text(value);
        }
        self.hint = self.hint.map(|hint| invocation.in_text(&hint));
        self
    }
}

/// An error and its causes, each unless the text before it says it already.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "error: {}", self.problem)?;
        for (name, value) in &self.details {
            write!(formatter, "\n  {name}: {value}")?;
        }
        for line in self.hint.iter().flat_map(|hint| hint.lines()) {
            write!(formatter, "\n  {line}")?;
        }
        if self.kind == Kind::Internal {
            write!(formatter, "\n  this may be a bug; please report it with these lines")?;
        }
        Ok(())
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let details: serde_json::Map<String, serde_json::Value> = self
            .details
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        let mut document = serializer.serialize_struct("Failure", 4)?;
        document.serialize_field("kind", &self.kind)?;
        document.serialize_field("problem", &self.problem)?;
        document.serialize_field("details", &details)?;
        document.serialize_field("hint", &self.hint)?;
        document.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl fmt::Display for Outer {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(formatter, "no number\n  give one\n\n  or none")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    fn outer() -> Outer {
        Outer("x".parse::<u8>().unwrap_err())
    }

    #[test]
    fn error_shows_what_failed_which_value_and_what_to_do() {
        let failure = Failure::usage("the workspace has an unfinished merge")
            .with("path", "./api")
            .with("found", "MERGE_HEAD")
            .hint("finish the merge (git commit) or abort it (git merge --abort), then run again");
        insta::assert_snapshot!(failure.to_string(), @"
        error: the workspace has an unfinished merge
          path: ./api
          found: MERGE_HEAD
          finish the merge (git commit) or abort it (git merge --abort), then run again
        ");
    }

    #[test]
    fn text_of_a_lower_error_becomes_problem_and_hint_and_its_causes_stay() {
        let failure = Failure::of(Kind::Environment, outer());
        assert_eq!(failure.problem, "no number");
        assert_eq!(failure.hint.as_deref(), Some("give one\nor none"));
        let root = failure.source().and_then(Error::source).unwrap();
        assert_eq!(root.to_string(), "invalid digit found in string");
    }

    #[test]
    fn cause_of_a_cause_is_shown_once() {
        let failure = Failure::environment("it failed").caused_by(outer());
        let (_, found) = &failure.details[0];
        assert!(found.ends_with("or none: invalid digit found in string"), "{found}");
    }

    #[test]
    fn kind_decides_the_exit_code_and_is_in_the_document() {
        let failure = Failure::new(Kind::NotFound, "there is no run 1").with("looked in", "here");
        assert_eq!(failure.kind.exit().code(), 2);
        assert_eq!(Kind::Internal.exit().code(), 5);
        assert_eq!(
            serde_json::to_value(&failure).unwrap(),
            serde_json::json!({
                "kind": "not_found", "problem": "there is no run 1", "details": {"looked in": "here"}, "hint": null,
            })
        );
    }
}
