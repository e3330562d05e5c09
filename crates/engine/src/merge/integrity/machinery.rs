//! What decides a check besides the code under test: the files its command names, and what a runner reads or loads by
//! itself.

mod commands;
mod known;

use super::{documents, test_files};
use commands::{is_program, is_script, is_word, named_in, run_by};
use known::{Family, RUNNER_FILES, RUNNER_PREFIXES, SHADOWED, WORDS};
use std::collections::{BTreeSet, VecDeque};

/// Scripts that are followed from one to the next.
const SCRIPTS: usize = 64;

/// The part a path plays in the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The command runs it, directly or through a script.
    Check,
    /// A runner reads or loads it by itself.
    Runner,
}

/// What decides a check.
pub(super) struct Machinery {
    named: BTreeSet<String>,
    families: BTreeSet<Family>,
    /// The text of the check's command and its scripts.
    text: String,
}

impl Machinery {
    /// The machinery of a check command. `exists` knows the files of both trees, `read` those of the earlier one.
    pub(super) fn of(command: &str, exists: &dyn Fn(&str) -> bool, read: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut found = Self {
            named: BTreeSet::new(),
            families: BTreeSet::new(),
            text: String::new(),
        };
        let mut scripts = VecDeque::from([(command.to_owned(), String::new(), true)]);
        while let Some((text, directory, is_command)) = scripts.pop_front() {
            found.text.push_str(&text);
            found.text.push('\n');
            let run = match is_command {
                true => run_by(&text),
                false => BTreeSet::new(),
            };
            for path in named_in(&text, &directory, exists, read) {
                let is_run = run.contains(&path);
                if is_run && read(&path).is_none() {
                    // Without it the check could not pass before: the work is meant to add it.
                    continue;
                }
                let belongs = is_script(&path) || (is_run && !is_program(&path) && !test_files::is_test(&path));
                if belongs && found.named.len() < SCRIPTS && found.named.insert(path.clone()) {
                    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory).to_owned();
                    scripts.extend(read(&path).map(|text| (text, directory, false)));
                }
            }
            if is_command && let Some(package) = read("package.json") {
                let own = documents::npm_scripts(&package, &text);
                scripts.extend((!own.is_empty()).then(|| (own.join("\n"), String::new(), false)));
            }
        }
        let words: BTreeSet<&str> = found.text.split(|letter: char| !is_word(letter)).collect();
        let speaks_of = |known: &[&str]| known.iter().any(|word| words.contains(word));
        found.families = WORDS
            .iter()
            .filter(|(_, known)| speaks_of(known))
            .map(|(family, _)| *family)
            .collect();
        if found.families.is_empty() {
            found.families = WORDS.iter().map(|(family, _)| *family).collect();
        }
        found
    }

    /// The part a path plays in the check, if any.
    pub(super) fn part(&self, path: &str) -> Option<Part> {
        let name = path.rsplit('/').next().unwrap_or(path);
        if self.named.contains(path) {
            return Some(Part::Check);
        }
        let is_of = |family: &Family| self.families.contains(family);
        let named = RUNNER_FILES
            .iter()
            .any(|(family, names)| is_of(family) && names.contains(&name));
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        let prefixed = RUNNER_PREFIXES
            .iter()
            .any(|(family, names)| is_of(family) && begins(names));
        let cargo = is_of(&Family::Rust) && is_cargo_configuration(path);
        (named || prefixed || cargo || self.is_loaded(path)).then_some(Part::Runner)
    }

    /// Whether a file with settings of a runner, among others, belongs to this check's ecosystem.
    pub(super) fn reads(&self, path: &str) -> bool {
        let family = match path.rsplit('/').next().unwrap_or(path) {
            "Cargo.toml" => Family::Rust,
            "package.json" => Family::JavaScript,
            "pyproject.toml" | "setup.cfg" => Family::Python,
            _ => return false,
        };
        self.families.contains(&family)
    }

    /// The text of the check's command and its scripts.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether a runner would load the path instead of its own code or an installed package.
    fn is_loaded(&self, path: &str) -> bool {
        let mut parts = path.rsplit('/');
        let (name, directory) = (parts.next().unwrap_or(path), parts.next());
        let module = match name.strip_suffix(".py") {
            Some("__init__") => directory,
            Some(module) => Some(module),
            None => None,
        };
        let python = module.is_some_and(|module| SHADOWED.contains(&module)) || name.ends_with(".pth");
        let package = path.starts_with("node_modules/") || path.contains("/node_modules/");
        (self.families.contains(&Family::Python) && python) || (self.families.contains(&Family::JavaScript) && package)
    }
}

fn is_cargo_configuration(path: &str) -> bool {
    [".cargo/config", ".cargo/config.toml"]
        .iter()
        .any(|name| path == *name || path.ends_with(&format!("/{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn machinery(command: &str, files: &[(&str, &str)]) -> Machinery {
        let files: BTreeMap<String, String> = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        Machinery::of(command, &|path| files.contains_key(path), &|path| {
            files.get(path).cloned()
        })
    }

    #[test]
    fn scripts_of_a_check_are_followed_and_code_under_test_is_not() {
        let files = [
            (
                "test.sh",
                "cd sub\n. scripts/env.sh\npython3 src/app.py | ./check.py\nmake -C sub more\n",
            ),
            ("scripts/env.sh", "exec lib/run.bash"),
            ("lib/run.bash", ""),
            ("src/app.py", ""),
            ("sub/check.py", ""),
            ("sub/Makefile", "include rules.mk"),
            ("sub/rules.mk", ""),
            ("unrelated.sh", ""),
        ];
        let found = machinery("sh ./test.sh --fast", &files);
        let named: Vec<&str> = found.named.iter().map(String::as_str).collect();
        let expected = [
            "lib/run.bash",
            "scripts/env.sh",
            "sub/Makefile",
            "sub/check.py",
            "sub/rules.mk",
            "test.sh",
        ];
        assert_eq!(named, expected);
        assert_eq!(found.part("test.sh"), Some(Part::Check));
        assert_eq!(found.part("src/app.py"), None);
        assert_eq!(found.part("deep/conftest.py"), Some(Part::Runner));
        // A runner of another ecosystem does not count.
        assert_eq!(found.part("jest.config.js"), None);
    }

    #[test]
    fn modules_that_shadow_a_runner_belong_to_it() {
        let found = machinery("python3 -m unittest", &[]);
        for path in [
            "unittest.py",
            "unittest/__init__.py",
            "pytest/__init__.py",
            "evil.pth",
            "lib/sitecustomize.py",
        ] {
            assert_eq!(found.part(path), Some(Part::Runner), "{path}");
        }
        assert_eq!(found.part("app/__init__.py"), None);
        let cargo = machinery("cargo test", &[]);
        assert_eq!(cargo.part(".cargo/config.toml"), Some(Part::Runner));
        assert_eq!(cargo.part("conftest.py"), None);
        assert!(cargo.reads("crates/a/Cargo.toml") && !cargo.reads("package.json"));
    }

    #[test]
    fn files_that_a_command_only_reads_do_not_decide_it() {
        let named =
            |command: &str, files: &[(&str, &str)]| machinery(command, files).named.into_iter().collect::<Vec<_>>();
        let files = [
            ("both.txt", ""),
            ("hello.py", ""),
            ("suite.py", ""),
            ("expected.txt", ""),
            ("tests/test_a.py", ""),
        ];
        assert!(named("test -f both.txt && grep -q x both.txt", &files).is_empty());
        assert!(named("python3 hello.py", &files).is_empty());
        // Tests are compared as tests.
        assert!(named("python3 -m pytest tests/test_a.py", &files).is_empty());
        assert_eq!(named("python3 -B suite.py", &files), ["suite.py"]);
        assert_eq!(
            named("PYTHONPATH=. python3 hello.py | diff - expected.txt", &files),
            ["expected.txt"]
        );
    }

    #[test]
    fn a_make_file_that_takes_precedence_belongs_to_the_check() {
        let found = machinery("make test", &[("Makefile", "test:\n\t./run"), ("GNUmakefile", "")]);
        assert_eq!(found.part("GNUmakefile"), Some(Part::Check));
    }
}
