//! What a task may touch, as its plan says.

use domain::plan::PlannedTask;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// How a path stands to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The plan names it as this task's.
    Named,
    /// The plan names others.
    Outside,
    /// The plan names no path for the task.
    Unsaid,
}

/// The paths that a plan names for a task.
pub(super) struct Scope {
    named: Option<GlobSet>,
}

impl Scope {
    /// Of a task, with the paths that all tasks share. A path without a wildcard names what is below it, too.
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
                // What is no pattern names nothing; the plan's own check has said so.
                if let Ok(glob) = GlobBuilder::new(&pattern).literal_separator(true).build() {
                    globs.add(glob);
                }
            }
        }
        Self {
            named: globs.build().ok(),
        }
    }

    /// How a path stands to the task.
    pub(super) fn standing(&self, path: &str) -> Standing {
        match &self.named {
            None => Standing::Unsaid,
            Some(named) if named.is_match(path) => Standing::Named,
            Some(_) => Standing::Outside,
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
    fn a_path_is_named_by_itself_by_its_directory_or_by_a_pattern() {
        let scope_of_task = scope(&["src", "tests/*.py", "./docs/a.md"]);
        for named in ["src/a/b.rs", "tests/a.py", "docs/a.md", "Cargo.lock"] {
            assert_eq!(scope_of_task.standing(named), Standing::Named, "{named}");
        }
        for outside in ["test.sh", "tests/deep/a.py", "srcs/a"] {
            assert_eq!(scope_of_task.standing(outside), Standing::Outside, "{outside}");
        }
        assert_eq!(scope(&[]).standing("src/a"), Standing::Unsaid);
    }
}
