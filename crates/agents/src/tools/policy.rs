//! Which files a worker may write.

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::fmt;
use std::path::Path;

/// What a worker may write in its worktree.
#[derive(Clone, Debug)]
pub enum WritePolicy {
    /// Nothing; its commands see the worktree read-only, too.
    ReadOnly,
    /// Everything.
    All,
    /// Matching paths. Its commands can write elsewhere, as builds must; the change is checked afterwards with
    /// [`WritePolicy::permits`].
    Only(PathGlobs),
}

impl WritePolicy {
    /// Whether a path relative to the worktree may be created, changed or removed.
    #[must_use]
    pub fn permits(&self, path: &Path) -> bool {
        match self {
            WritePolicy::ReadOnly => false,
            WritePolicy::All => true,
            WritePolicy::Only(globs) => globs.matches(path),
        }
    }
}

impl fmt::Display for WritePolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WritePolicy::ReadOnly => formatter.write_str("nothing: it only reads"),
            WritePolicy::All => formatter.write_str("everything"),
            WritePolicy::Only(globs) => formatter.write_str(&globs.patterns.join(", ")),
        }
    }
}

/// Patterns of paths as in a `.gitignore`: `tests/` matches the directory with its content.
#[derive(Clone, Debug)]
pub struct PathGlobs {
    patterns: Vec<String>,
    matcher: Gitignore,
}

/// An invalid pattern.
#[derive(Debug, thiserror::Error)]
#[error("`{pattern}` is not a path pattern: {reason}; patterns are written as in .gitignore, such as `tests/**`")]
pub struct BadGlob {
    pattern: String,
    reason: String,
}

impl PathGlobs {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// Names the first invalid pattern.
    pub fn new(patterns: &[String]) -> Result<Self, BadGlob> {
        let mut builder = GitignoreBuilder::new("");
        let bad = |pattern: &str, error: ignore::Error| BadGlob {
            pattern: pattern.to_owned(),
            reason: error.to_string(),
        };
        for pattern in patterns {
            builder.add_line(None, pattern).map_err(|error| bad(pattern, error))?;
        }
        let matcher = builder.build().map_err(|error| bad(&patterns.join(" "), error))?;
        Ok(Self {
            patterns: patterns.to_vec(),
            matcher,
        })
    }

    fn matches(&self, path: &Path) -> bool {
        path.is_relative() && self.matcher.matched_path_or_any_parents(path, false).is_ignore()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(patterns: &[&str]) -> WritePolicy {
        let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        WritePolicy::Only(PathGlobs::new(&patterns).unwrap())
    }

    #[test]
    fn a_directory_pattern_covers_all_in_it() {
        let policy = only(&["tests/", "*_test.go"]);
        for path in ["tests/a.rs", "crates/x/tests/deep/a.rs", "pkg/a_test.go"] {
            assert!(policy.permits(Path::new(path)), "{path}");
        }
        for path in ["src/lib.rs", "tests.rs", "a_test.go.bak"] {
            assert!(!policy.permits(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn a_broken_pattern_is_named() {
        let error = PathGlobs::new(&["a/{b".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("a/{b"), "{error}");
    }
}
