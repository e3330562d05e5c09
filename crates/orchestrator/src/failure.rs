//! How the program ends: exit codes that mean something, and errors that say what to do.

use std::fmt;

/// What the process tells the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Complete = 0,
    /// The run ended without its objective.
    RunFailed = 1,
    /// The command line, the configuration or the request can't be used.
    Usage = 2,
    /// The machine lacks something: database, sandbox, port, disk, server.
    Environment = 3,
    /// The run was cancelled.
    Cancelled = 4,
    /// The person left; the run goes on elsewhere.
    Detached = 130,
}

impl Exit {
    /// The number for the shell.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }
}

/// Printed below `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    complete: what was asked for is done
  1    the run failed; the reason is printed
  2    bad input: command line, configuration or request
  3    the machine lacks something: database, sandbox, port, disk, server
  4    the run was cancelled
  130  detached by ctrl-c or q; the run goes on if a server holds it";

/// Why a command could not do its work: what failed, with which values, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Failure {
    #[serde(skip)]
    pub(crate) exit: Exit,
    /// One sentence.
    pub(crate) problem: String,
    /// Values that were found, by name.
    #[serde(serialize_with = "as_object")]
    pub(crate) details: Vec<(String, String)>,
    /// What to do.
    pub(crate) hint: Option<String>,
}

fn as_object<S: serde::Serializer>(details: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(details.iter().map(|(name, value)| (name, value)))
}

impl Failure {
    /// Bad input.
    pub(crate) fn usage(problem: impl Into<String>) -> Self {
        Self::new(Exit::Usage, problem)
    }

    /// Something the machine lacks.
    pub(crate) fn environment(problem: impl Into<String>) -> Self {
        Self::new(Exit::Environment, problem)
    }

    /// Something the machine lacks, told by a lower part: its first line is the problem, the others the way out.
    pub(crate) fn from_text_environment(text: &str) -> Self {
        let (problem, hint) = text.split_once('\n').unwrap_or((text, ""));
        let hint: Vec<&str> = hint.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let failure = Self::environment(problem.trim());
        if hint.is_empty() {
            failure
        } else {
            failure.hint(hint.join("\n"))
        }
    }

    fn new(exit: Exit, problem: impl Into<String>) -> Self {
        Self {
            exit,
            problem: problem.into(),
            details: Vec::new(),
            hint: None,
        }
    }

    /// Names a value that was found.
    pub(crate) fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.details.push((name.to_owned(), value.to_string()));
        self
    }

    /// Says what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
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
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_failed_which_value_and_what_to_do() {
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
}
