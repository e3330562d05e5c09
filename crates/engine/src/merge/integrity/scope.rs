//! The paths that a plan gives to a task.

use domain::plan::PlannedTask;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Whose a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ownership {
    /// The plan gives it to this task.
    Own,
    /// The plan gives other paths to this task.
    Others,
    /// The plan gives no paths to this task.
    Unspecified,
}

/// The paths that a plan names for a task.
pub(super) struct Scope {
    named: Option<GlobSet>,
}

impl Scope {
    /// The scope of a task, with the paths that all tasks share. A path without a wildcard includes everything below it.
    pub(super) fn of(task: &PlannedTask, shared: &[String]) -> Self {
        let paths = &task.paths;
        let own: Vec<&String> = [&paths.owns, &paths.shared, &paths.creates]
            .into_iter()
            .flatten()
            .collect();
        if own.is_empty() {
            return Self { named: None };
        }
        let mut globs = GlobSetBuilder::new();
        for path in own.into_iter().chain(shared) {
            let path = path.trim_start_matches("./").trim_end_matches('/');
            for pattern in [path.to_owned(), format!("{path}/**")] {
                // An invalid pattern matches nothing; the check of the plan has reported it.
                if let Ok(glob) = GlobBuilder::new(&pattern).literal_separator(true).build() {
                    globs.add(glob);
                }
            }
        }
        Self {
            named: globs.build().ok(),
        }
    }

    /// Whose the path is, for this task.
    pub(super) fn ownership(&self, path: &str) -> Ownership {
        match &self.named {
            None => Ownership::Unspecified,
            Some(named) if named.is_match(path) => Ownership::Own,
            Some(_) => Ownership::Others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::plan::PlanDocument;

    fn scope(owns: &[&str]) -> Scope {
        let mut task = PlanDocument::single("x", "coder", "y").tasks.remove(0);
        task.paths.owns = owns.iter().map(|path| (*path).to_owned()).collect();
        Scope::of(&task, &["Cargo.lock".to_owned()])
    }

    #[test]
    fn scope_matches_paths_directories_and_patterns() {
        let scope_of_task = scope(&["src", "tests/*.py", "./docs/a.md"]);
        for named in ["src/a/b.rs", "tests/a.py", "docs/a.md", "Cargo.lock"] {
            assert_eq!(scope_of_task.ownership(named), Ownership::Own, "{named}");
        }
        for outside in ["test.sh", "tests/deep/a.py", "srcs/a"] {
            assert_eq!(scope_of_task.ownership(outside), Ownership::Others, "{outside}");
        }
        assert_eq!(scope(&[]).ownership("src/a"), Ownership::Unspecified);
    }
}
