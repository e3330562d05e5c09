//! The next command, written so that it can be typed as it stands: every command that is printed comes from here.

use crate::cli::Cli;
use clap::CommandFactory;
use std::path::{Path, PathBuf};

/// What commands in texts begin with, whatever this program was called by.
const NAME: &str = "orchestrator";

/// How this program was called, and the flags that lead the next command to the same data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// Quoted for a shell.
    program: String,
    data_dir: Option<PathBuf>,
    config: Option<PathBuf>,
    /// Repeated to commands that may start a sandbox themselves.
    sandbox: Option<String>,
}

/// The program on the search path, without flags.
impl Default for Invocation {
    fn default() -> Self {
        Self {
            program: NAME.to_owned(),
            data_dir: None,
            config: None,
            sandbox: None,
        }
    }
}

impl Invocation {
    /// This process, with the flags and variables that a next command may lack.
    pub(crate) fn new(cli: &Cli, variable: impl Fn(&str) -> Option<String>) -> Self {
        let path = |flag: Option<&Path>, name: &str| {
            let path = flag.map(Path::to_owned).or_else(|| variable(name).map(PathBuf::from))?;
            Some(std::path::absolute(&path).unwrap_or(path))
        };
        Self {
            program: program(),
            data_dir: path(cli.common.data_dir.as_deref(), "ORCHESTRATOR_DATA_DIR"),
            config: path(cli.common.config.as_deref(), "ORCHESTRATOR_CONFIG"),
            sandbox: cli
                .sandbox()
                .map(str::to_owned)
                .or_else(|| variable("ORCHESTRATOR_SANDBOX")),
        }
    }

    /// This program without flags: for what has nothing to do with this command's data.
    pub(crate) fn of_program() -> Self {
        Self {
            program: program(),
            ..Self::default()
        }
    }

    /// Next commands are about another data directory.
    pub(crate) fn use_data_dir(&mut self, data_dir: &Path) {
        self.data_dir = Some(data_dir.to_owned());
    }

    /// A command of this program: `orchestrator show 7f3a12bc --data-dir /data`.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        self.line(&quoted(words))
    }

    /// A text in which each command in backticks, such as `orchestrator runs`, can be typed as it stands.
    pub(crate) fn in_text(&self, text: &str) -> String {
        let mut written = String::with_capacity(text.len());
        // What stands at an odd position is between two backticks.
        for (position, part) in text.split('`').enumerate() {
            if position > 0 {
                written.push('`');
            }
            match command_in(part) {
                Some((before, arguments)) if position % 2 == 1 => {
                    written.push_str(before);
                    written.push_str(&self.line(arguments));
                }
                Some(_) | None => written.push_str(part),
            }
        }
        written
    }

    /// The program, arguments that are quoted already, and the flags.
    fn line(&self, arguments: &str) -> String {
        let mut line = format!("{} {arguments}", self.program);
        let subcommand = arguments.split_whitespace().next().unwrap_or_default();
        let paths = [("--data-dir", &self.data_dir), ("--config", &self.config)];
        let paths = paths.map(|(flag, path)| (flag, path.as_ref().map(|path| path.display().to_string())));
        let sandbox = self.sandbox.clone().filter(|_| takes_sandbox(subcommand));
        for (flag, value) in paths.into_iter().chain([("--sandbox", sandbox)]) {
            if let Some(value) = value {
                line.push_str(&format!(" {}", quoted(&[flag, &value])));
            }
        }
        line
    }
}

/// What stands before this program in a command, such as a program that runs it, and the arguments behind it.
fn command_in(text: &str) -> Option<(&str, &str)> {
    let (before, arguments) = text.split_once("orchestrator ")?;
    (before.is_empty() || before.ends_with(' ')).then_some((before, arguments))
}

/// Words as a shell reads them back.
pub(crate) fn quoted(words: &[&str]) -> String {
    let quoter = shlex::Quoter::new().allow_nul(true);
    // A null can't be part of a command; where one is allowed, quoting has no way to fail.
    quoter.join(words.iter().copied()).unwrap_or_default()
}

/// By its path where it was called by one; else it is on the search path.
fn program() -> String {
    let called = std::env::args().next().unwrap_or_default();
    match called.contains('/') {
        true => quoted(&[&called]),
        false => NAME.to_owned(),
    }
}

fn takes_sandbox(subcommand: &str) -> bool {
    let cli = Cli::command();
    let found = cli.find_subcommand(subcommand);
    found.is_some_and(|command| command.get_arguments().any(|argument| argument.get_id() == "sandbox"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn invocation(words: &[&str]) -> Invocation {
        let cli = Cli::try_parse_from([&["orchestrator"], words].concat()).unwrap();
        Invocation {
            program: NAME.to_owned(),
            ..Invocation::new(&cli, |_| None)
        }
    }

    #[test]
    fn global_flags_are_repeated_and_quoted() {
        let plain = invocation(&["runs"]);
        assert_eq!(plain.command(&["show", "7f3a12bc"]), "orchestrator show 7f3a12bc");
        let flagged = invocation(&["runs", "--data-dir", "/it's here", "--config", "/own.toml"]);
        let command = flagged.command(&["merges", "resolve", "1", "--ours", "a b"]);
        assert_eq!(
            shlex::split(&command).unwrap(),
            [
                "orchestrator",
                "merges",
                "resolve",
                "1",
                "--ours",
                "a b",
                "--data-dir",
                "/it's here",
                "--config",
                "/own.toml"
            ]
        );
    }

    #[test]
    fn hostile_words_are_quoted() {
        for word in [
            "$(id)", "`id`", "a;b", "a\nb", "'", "\"", "!x", "*", "~", "", "#", "a\\b",
        ] {
            let command = Invocation::default().command(&["diff", word]);
            let words = shlex::split(&command).unwrap();
            assert_eq!(words, ["orchestrator", "diff", word], "{command}");
        }
    }

    #[test]
    fn relative_paths_become_absolute() {
        let here = std::env::current_dir().unwrap().join("data").display().to_string();
        let command = invocation(&["runs", "--data-dir", "data"]).command(&["runs"]);
        assert_eq!(command, format!("orchestrator runs --data-dir {here}"));
    }

    #[test]
    fn paths_of_variables_are_named_too() {
        let cli = Cli::try_parse_from(["orchestrator", "runs"]).unwrap();
        let variable = |name: &str| (name == "ORCHESTRATOR_DATA_DIR").then(|| "/data".to_owned());
        let command = Invocation::new(&cli, variable).command(&["runs"]);
        assert!(command.ends_with(" runs --data-dir /data"), "{command}");
    }

    #[test]
    fn sandbox_is_repeated_only_where_it_is_accepted() {
        let invocation = invocation(&["run", "do it", "--sandbox", "none"]);
        assert_eq!(
            invocation.command(&["follow", "1"]),
            "orchestrator follow 1 --sandbox none"
        );
        assert_eq!(invocation.command(&["show", "1"]), "orchestrator show 1");
    }

    #[test]
    fn commands_in_backticks_get_the_flags_and_other_text_stays() {
        let flagged = invocation(&["runs", "--data-dir", "/data"]);
        assert_eq!(
            flagged.in_text("`orchestrator runs` lists orchestrator runs; `git status` and `x"),
            "`orchestrator runs --data-dir /data` lists orchestrator runs; `git status` and `x"
        );
        assert_eq!(
            flagged.in_text("`systemd-run --user orchestrator serve`, `my-orchestrator serve`"),
            "`systemd-run --user orchestrator serve --data-dir /data`, `my-orchestrator serve`"
        );
    }
}
