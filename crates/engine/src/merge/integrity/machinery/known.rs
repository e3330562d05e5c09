//! Tables of known test runners: their words, their files, their modules.

/// The ecosystems whose runners are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Python,
    JavaScript,
    Rust,
    Other,
}

/// Words that show which ecosystem a check belongs to.
pub(super) const WORDS: [(Family, &[&str]); 4] = [
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

/// Files that a runner reads by itself, in any directory.
pub(super) const RUNNER_FILES: [(Family, &[&str]); 4] = [
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

/// Prefixes of such names.
pub(super) const RUNNER_PREFIXES: [(Family, &[&str]); 1] = [(
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

/// Modules that a file of the same name in the repository would shadow.
pub(super) const SHADOWED: [&str; 12] = [
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

/// Programs that read a file by a fixed name.
pub(super) const READ_BY_PROGRAMS: [(&str, &[&str]); 6] = [
    ("make", &["GNUmakefile", "makefile", "Makefile"]),
    ("gmake", &["GNUmakefile", "makefile", "Makefile"]),
    ("just", &["justfile", "Justfile", ".justfile"]),
    ("rake", &["Rakefile", "rakefile"]),
    ("task", &["Taskfile.yml", "Taskfile.yaml"]),
    ("npm", &[]),
];
