//! The delivery settings of a workspace, checked at the start.

use domain::RunId;
pub use git::PushAccess;

use git::Remote;
use std::{fmt, path::Path, time::Duration};

/// The placeholder for the run's short id in the name of a branch.
const RUN: &str = "{run}";
/// The placeholders in the words of a forge command.
const PLACEHOLDERS: [&str; 6] = ["{branch}", "{base}", "{title}", "{body_file}", "{commit}", "{remote}"];

/// Delivery steps beyond the user's repository.
#[derive(Clone, Debug, Default)]
pub struct DeliverySettings {
    /// Where the branch is pushed.
    pub push: Option<PushTo>,
    /// The command that makes a pull request.
    pub pull_request: Option<ForgeCommand>,
}

/// Why a delivery can't be configured.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The address or the branch can't be used.
    #[error(transparent)]
    Push(#[from] git::PushError),
    /// A command has no words.
    #[error("pull_request.{name} is empty: give the program and its arguments, each a string of its own")]
    NoProgram {
        /// `create` or `find`.
        name: &'static str,
    },
    /// The program can't be found from an empty directory.
    #[error("'{program}' is not a program: give a name that is looked up in PATH, or an absolute path")]
    Program {
        /// The first word.
        program: String,
    },
    /// A word has an unknown placeholder.
    #[error("'{word}' has an unknown placeholder: expected one of {}", PLACEHOLDERS.join(", "))]
    Placeholder {
        /// The word.
        word: String,
    },
    /// A word needs the remote, and there is none.
    #[error("'{word}' needs the remote, and the workspace has no delivery.push")]
    NoRemote {
        /// The word.
        word: String,
    },
    /// A named variable is not set.
    #[error("pull_request.pass_env names {name}, which is not set: set it, or remove it from the list")]
    NotSet {
        /// The variable.
        name: String,
    },
}

/// A remote and its branch.
#[derive(Clone, Debug)]
pub struct PushTo {
    pub(crate) remote: Remote,
    branch: Option<String>,
}

impl PushTo {
    /// A remote by its address, and the name of the branch there, in which `{run}` stands for the run's short id. Without a
    /// name it is the run's own branch.
    ///
    /// # Errors
    /// When the address holds a password or runs a program, or the name is not valid for a branch.
    pub fn new(address: &str, branch: Option<String>, access: PushAccess) -> Result<Self, DeliveryError> {
        let remote = Remote::new(address, access)?;
        if let Some(name) = &branch {
            git::check_branch(&name.replace(RUN, "0a1b2c3d"))?;
        }
        Ok(Self { remote, branch })
    }

    /// The branch of a run there.
    pub(crate) fn branch(&self, run: &RunId, own: &str) -> String {
        match &self.branch {
            Some(name) => name.replace(RUN, &run.short()),
            None => own.to_owned(),
        }
    }
}

/// The operator's commands that create and find pull requests. They run without a shell.
#[derive(Clone)]
pub struct ForgeCommand {
    pub(crate) create: Vec<String>,
    pub(crate) find: Vec<String>,
    pub(crate) base: Option<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) limit: Duration,
    pub(crate) output_bytes: usize,
}

/// The configuration of a forge command.
#[derive(Clone, Debug)]
pub struct ForgeWords {
    /// The command that creates a pull request and prints its address.
    pub create: Vec<String>,
    /// The command that prints the address of an existing pull request, or nothing.
    pub find: Vec<String>,
    /// The branch to merge into; by default the run's base branch.
    pub base: Option<String>,
    /// The time limit of either command.
    pub limit: Duration,
    /// Bytes of their output that are read.
    pub output_bytes: usize,
}

impl fmt::Debug for ForgeCommand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.environment.iter().map(|(name, _)| name).collect();
        let mut shown = formatter.debug_struct("ForgeCommand");
        shown.field("create", &self.create).field("find", &self.find);
        shown.field("environment", &names).finish_non_exhaustive()
    }
}

impl ForgeCommand {
    /// A command with its environment variables; a variable without a value is not set.
    ///
    /// # Errors
    /// When a word, a program or a variable can't be used.
    pub fn new(
        words: ForgeWords,
        environment: Vec<(String, Option<String>)>,
        has_remote: bool,
    ) -> Result<Self, DeliveryError> {
        for (name, argv) in [("create", &words.create), ("find", &words.find)] {
            check_words(name, argv, has_remote)?;
        }
        let environment = environment.into_iter().map(|(name, value)| match value {
            Some(value) => Ok((name, value)),
            None => Err(DeliveryError::NotSet { name }),
        });
        Ok(Self {
            create: words.create,
            find: words.find,
            base: words.base,
            environment: environment.collect::<Result<_, _>>()?,
            limit: words.limit,
            output_bytes: words.output_bytes,
        })
    }
}

fn check_words(name: &'static str, argv: &[String], has_remote: bool) -> Result<(), DeliveryError> {
    let program = argv.first().filter(|program| !program.is_empty());
    let program = program.ok_or(DeliveryError::NoProgram { name })?;
    if program.contains('{') || (program.contains('/') && !Path::new(program).is_absolute()) {
        return Err(DeliveryError::Program {
            program: program.clone(),
        });
    }
    for word in argv {
        let rest = PLACEHOLDERS
            .iter()
            .fold(word.clone(), |word, placeholder| word.replace(placeholder, ""));
        // Other braces, such as in a template of the forge's own program, are left alone.
        if names_something(&rest) {
            return Err(DeliveryError::Placeholder { word: word.clone() });
        }
        if word.contains("{remote}") && !has_remote {
            return Err(DeliveryError::NoRemote { word: word.clone() });
        }
    }
    Ok(())
}

/// Whether there is a word of lower-case letters in single braces: `{titel}`, but not `{{.url}}`.
fn names_something(text: &str) -> bool {
    text.match_indices('{').any(|(open, _)| {
        let inner = &text[open + 1..];
        inner.find('}').is_some_and(|close| {
            close > 0
                && inner[..close]
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forge(create: &[&str], has_remote: bool) -> Result<ForgeCommand, DeliveryError> {
        let words = ForgeWords {
            create: create.iter().map(|word| (*word).to_owned()).collect(),
            find: vec!["gh".into(), "--template={{.url}}".into(), "{branch}".into()],
            base: None,
            limit: Duration::from_secs(1),
            output_bytes: 100,
        };
        ForgeCommand::new(words, Vec::new(), has_remote)
    }

    #[test]
    fn invalid_command_is_refused_with_its_word() {
        assert!(forge(&["gh", "--title", "{title}", "--head={branch}"], false).is_ok());
        assert!(forge(&["/opt/forge"], false).is_ok());
        for (words, named) in [
            (vec![], "create"),
            (vec!["./forge"], "./forge"),
            (vec!["gh", "{titel}"], "{titel}"),
            (vec!["gh", "{remote}"], "{remote}"),
        ] {
            let error = forge(&words, false).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        assert!(forge(&["gh", "{remote}"], true).is_ok());
    }

    #[test]
    fn values_of_variables_are_not_shown() {
        let words = ForgeWords {
            create: vec!["gh".into()],
            find: vec!["gh".into()],
            base: None,
            limit: Duration::from_secs(1),
            output_bytes: 100,
        };
        let set = vec![("GH_TOKEN".to_owned(), Some("a-secret-value".to_owned()))];
        let command = ForgeCommand::new(words.clone(), set, false).unwrap();
        assert!(!format!("{command:?}").contains("a-secret-value"));
        let missing = ForgeCommand::new(words, vec![("GH_TOKEN".into(), None)], false).unwrap_err();
        assert!(missing.to_string().contains("GH_TOKEN"));
    }

    #[test]
    fn branch_name_contains_the_run_and_an_address_with_a_password_is_refused() {
        let run = RunId::new();
        let push = |branch: &str| PushTo::new("/srv/a.git", Some(branch.to_owned()), PushAccess::default());
        assert_eq!(
            push("agents/{run}").unwrap().branch(&run, "x"),
            format!("agents/{}", run.short())
        );
        assert!(push("a b").is_err());
        let error = PushTo::new("https://me:hunter22@example.org/x", None, PushAccess::default()).unwrap_err();
        assert!(!error.to_string().contains("hunter22"), "{error}");
    }
}
