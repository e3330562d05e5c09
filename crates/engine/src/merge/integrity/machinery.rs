//! What decides the check besides the code it is about: the files its command names, and what a runner reads or loads
//! by itself.

use super::{documents, test_files};
use std::collections::{BTreeSet, VecDeque};

/// Scripts that are followed from one to the next.
const SCRIPTS: usize = 64;

/// What a path is to the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Its command runs it, directly or by a script.
    Check,
    /// A runner reads or loads it by itself.
    Runner,
}

/// The worlds whose runners are known, each with the words that show that a check is of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Python,
    JavaScript,
    Rust,
    Other,
}

const WORDS: [(Family, &[&str]); 4] = [
    (
        Family::Python,
        &[
            "python", "python3", "pytest", "py.test", "tox", "nox", "unittest", "coverage", "poetry", "uv", "hatch",
            "pdm",
        ],
    ),
    (
        Family::JavaScript,
        &[
            "node", "npm", "npx", "yarn", "pnpm", "bun", "deno", "jest", "mocha", "vitest", "ava", "karma", "tap",
        ],
    ),
    (Family::Rust, &["cargo", "rustc", "nextest"]),
    (
        Family::Other,
        &[
            "rspec", "bundle", "rake", "phpunit", "composer", "gradle", "gradlew", "mvn", "bazel",
        ],
    ),
];

/// Names of files that a runner finds by itself, in any directory.
const RUNNER_FILES: [(Family, &[&str]); 4] = [
    (
        Family::Python,
        &[
            "conftest.py",
            "pytest.ini",
            ".pytest.ini",
            "tox.ini",
            "noxfile.py",
            "sitecustomize.py",
            "usercustomize.py",
            ".coveragerc",
            "pytest.toml",
            ".pytest.toml",
        ],
    ),
    (
        Family::JavaScript,
        &[
            ".npmrc",
            ".yarnrc",
            ".yarnrc.yml",
            ".pnp.cjs",
            ".taprc",
            "bunfig.toml",
            ".env.test",
        ],
    ),
    (
        Family::Rust,
        &["build.rs", "rust-toolchain", "rust-toolchain.toml", "nextest.toml"],
    ),
    (
        Family::Other,
        &[
            ".rspec",
            "phpunit.xml",
            "phpunit.xml.dist",
            ".bazelrc",
            "gradle.properties",
            "init.gradle",
        ],
    ),
];

/// Beginnings of such names.
const RUNNER_PREFIXES: [(Family, &[&str]); 1] = [(
    Family::JavaScript,
    &[
        "jest.config.",
        "jest.setup.",
        "setupTests.",
        ".mocharc",
        "vitest.config.",
        "vitest.workspace.",
        "vite.config.",
        "karma.conf.",
        "playwright.config.",
        "cypress.config.",
        ".babelrc",
        "babel.config.",
        ".nycrc",
        "ava.config.",
    ],
)];

/// Modules that a file of the same name in the repository would be taken for.
const SHADOWED: [&str; 12] = [
    "pytest",
    "_pytest",
    "unittest",
    "doctest",
    "coverage",
    "tox",
    "nox",
    "nose",
    "pluggy",
    "runpy",
    "site",
    "traceback",
];

/// Programs that read a file of their own without being told its name.
const READ_BY_PROGRAMS: [(&str, &[&str]); 6] = [
    ("make", &["GNUmakefile", "makefile", "Makefile"]),
    ("gmake", &["GNUmakefile", "makefile", "Makefile"]),
    ("just", &["justfile", "Justfile", ".justfile"]),
    ("rake", &["Rakefile", "rakefile"]),
    ("task", &["Taskfile.yml", "Taskfile.yaml"]),
    ("npm", &[]),
];

/// What decides a check.
pub(super) struct Machinery {
    named: BTreeSet<String>,
    families: BTreeSet<Family>,
    /// Everything that the check's command and its scripts say.
    text: String,
}

impl Machinery {
    /// Of a check command. `exists` knows the files of both trees, `read` those of the earlier one.
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
                    // Without it the check could not pass before: it is what the work is to bring.
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

    /// What a path is to the check, if it is anything.
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

    /// Whether what holds settings of a runner among others is of this check's world.
    pub(super) fn reads(&self, path: &str) -> bool {
        let family = match path.rsplit('/').next().unwrap_or(path) {
            "Cargo.toml" => Family::Rust,
            "package.json" => Family::JavaScript,
            "pyproject.toml" | "setup.cfg" => Family::Python,
            _ => return false,
        };
        self.families.contains(&family)
    }

    /// Everything that the check's command and its scripts say.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether a runner would load the path in place of its own code, or of an installed package.
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

/// The files that a text names: from the root, from the directory it lies in, or from a directory that it names.
fn named_in(
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
            // Where there was none, it is what the work is to bring.
            if files.iter().any(|file| read(&below(file)).is_some()) {
                named.extend(files.iter().map(|file| below(file)).filter(|path| exists(path)));
            }
        }
    }
    named
}

/// The files that a command starts: its programs, and what it gives to an interpreter first.
fn run_by(command: &str) -> BTreeSet<String> {
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

/// Whether a file that a check runs is more likely what the check is about.
fn is_program(path: &str) -> bool {
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

const fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | '/' | '+' | '@')
}

/// Whether a file that a script of the check names belongs to the check, and not to the code that it is about.
fn is_script(path: &str) -> bool {
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
    fn what_a_check_names_is_followed_and_the_code_it_is_about_is_not() {
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
        // Another world's runner has no say here.
        assert_eq!(found.part("jest.config.js"), None);
    }

    #[test]
    fn a_runner_is_not_replaced_by_a_module_of_its_name() {
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
    fn what_a_command_looks_at_is_not_what_it_is_decided_by() {
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
    fn a_make_file_that_is_read_before_the_other_belongs_to_the_check() {
        let found = machinery("make test", &[("Makefile", "test:\n\t./run"), ("GNUmakefile", "")]);
        assert_eq!(found.part("GNUmakefile"), Some(Part::Check));
    }
}
