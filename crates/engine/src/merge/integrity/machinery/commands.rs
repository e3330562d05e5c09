//! The files that commands and scripts name and run.

use super::{super::test_files, known::READ_BY_PROGRAMS};
use std::collections::BTreeSet;

/// The files that a text names: relative to the root, to its own directory, or to a directory that it names.
pub(super) fn named_in(
    text: &str,
    directory: &str,
    exists: &dyn Fn(&str) -> bool,
    read: &dyn Fn(&str) -> Option<String>,
) -> BTreeSet<String> {
    let tokens: BTreeSet<&str> = text
        .split(|letter: char| !is_word(letter))
        .map(|token| token.trim_start_matches("./").trim_end_matches(['/', '.']))
        .filter(|token| !token.is_empty() && !token.contains("..") && !token.starts_with('/'))
        .collect();
    let mut directories: BTreeSet<&str> = tokens.iter().copied().filter(|token| !token.contains('.')).collect();
    directories.extend(["", directory]);
    let mut named = BTreeSet::new();
    for directory in directories {
        let below = |name: &str| match directory.is_empty() {
            true => name.to_owned(),
            false => format!("{directory}/{name}"),
        };
        named.extend(tokens.iter().map(|token| below(token)).filter(|path| exists(path)));
        for (_, files) in READ_BY_PROGRAMS.iter().filter(|(program, _)| tokens.contains(program)) {
            // Where there was none, the work is meant to add it.
            if files.iter().any(|file| read(&below(file)).is_some()) {
                named.extend(files.iter().map(|file| below(file)).filter(|path| exists(path)));
            }
        }
    }
    named
}

/// The files that a command runs: its programs, and the first argument of an interpreter.
pub(super) fn run_by(command: &str) -> BTreeSet<String> {
    const INTERPRETERS: [&str; 16] = [
        "sh", "bash", "dash", "zsh", "ksh", "python", "python3", "node", "ruby", "perl", "php", "deno", "bun",
        "source", "env", ".",
    ];
    let mut run = BTreeSet::new();
    for command in command.split([';', '&', '|', '(', ')', '\n']) {
        let mut starts = true;
        for word in command.split_whitespace().filter(|word| !word.contains('=')) {
            if !starts || word.starts_with('-') {
                continue;
            }
            run.insert(word.trim_start_matches("./").to_owned());
            starts = INTERPRETERS.contains(&word.rsplit('/').next().unwrap_or(word));
        }
    }
    run
}

/// Whether a file that a check runs is more likely the code under test.
pub(super) fn is_program(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let stem = name.split('.').next().unwrap_or(name);
    let of_code = directory
        .split('/')
        .any(|part| ["src", "lib", "app", "cmd"].contains(&part));
    of_code
        || [
            "main", "app", "index", "server", "cli", "program", "hello", "manage", "game", "solution",
        ]
        .contains(&stem)
}

pub(super) const fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | '/' | '+' | '@')
}

/// Whether a file that a check's script names belongs to the check, not to the code under test.
pub(super) fn is_script(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let stem = name.split('.').next().unwrap_or(name);
    let is_shell = [".sh", ".bash", ".zsh", ".ksh", ".mk", ".bats", ".ps1"]
        .iter()
        .any(|end| name.ends_with(end));
    let is_built_in = ["makefile", "gnumakefile", "justfile", ".justfile", "rakefile"].contains(&name);
    let of_tools = directory
        .split('/')
        .any(|part| ["scripts", "script", "tools", "ci", ".ci", "bin", "hack"].contains(&part));
    let speaks = [
        "check",
        "verify",
        "runtest",
        "run_test",
        "run-test",
        "testrunner",
        "expected",
        "golden",
    ]
    .iter()
    .any(|word| stem.contains(word));
    is_shell || is_built_in || of_tools || speaks || (test_files::is_test(&path) && name.contains("run"))
}
