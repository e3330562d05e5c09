//! What git and libgit2 say when they fail, classified in one place. Git processes run with `LC_ALL=C`.
//!
//! Only texts that have no exit code, file or type to go by are read here.

/// A file system or a quota is full. libgit2 passes on the system's text and no error number.
pub(crate) fn disk_is_full(said: &str) -> bool {
    said.contains("No space left on device") || said.contains("Disk quota exceeded")
}

/// git refuses a repository because of its owner.
pub(crate) fn ownership_is_dubious(said: &str) -> bool {
    said.contains("dubious ownership")
}

/// git does not know `merge-tree --write-tree`, and prints its usage.
pub(crate) fn merge_tree_is_too_old(said: &str) -> bool {
    said.contains("usage: git merge-tree") || said.contains("write-tree")
}

/// git refuses to merge two commits without a common ancestor.
pub(crate) fn histories_are_unrelated(said: &str) -> bool {
    said.contains("unrelated histories")
}

/// git complains of a lock file, in whatever language a remote speaks: the name is in quotes.
pub(crate) fn names_lock_file(said: &str) -> bool {
    said.contains(".lock'")
}

/// The summary of a push says that the reference was not where it was expected.
pub(crate) fn push_is_stale(summary: &str) -> bool {
    summary.contains("stale info") || summary.contains("fetch first")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{isolated, run};
    use std::{path::Path, time::Duration};

    fn said(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let mut command = isolated("git");
        command
            .current_dir(directory)
            .args(["-c", "user.name=u", "-c", "user.email=u@localhost"])
            .args(arguments)
            .envs(variables.iter().copied());
        let output = run(command, "git", Duration::from_secs(60)).unwrap();
        String::from_utf8(output.stderr).unwrap()
    }

    #[test]
    fn texts_of_the_installed_git_are_recognised() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        said(path, &["init", "-q", "-b", "main"], &[]);
        said(path, &["commit", "-q", "--allow-empty", "-m", "one"], &[]);
        said(path, &["checkout", "-q", "--orphan", "other"], &[]);
        said(path, &["commit", "-q", "--allow-empty", "-m", "two"], &[]);
        assert!(histories_are_unrelated(&said(
            path,
            &["merge-tree", "--write-tree", "main", "other"],
            &[]
        )));
        assert!(merge_tree_is_too_old(&said(
            path,
            &["merge-tree", "--no-such-option"],
            &[]
        )));
        std::fs::write(path.join(".git/refs/heads/main.lock"), "").unwrap();
        let locked = said(path, &["update-ref", "refs/heads/main", "other"], &[]);
        assert!(names_lock_file(&locked), "{locked}");
        let another = [("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")];
        assert!(ownership_is_dubious(&said(path, &["status"], &another)));
        for other in [&["status"][..], &["log"], &["no-such-command"]] {
            let said = said(path, other, &[]);
            assert!(
                !disk_is_full(&said) && !names_lock_file(&said) && !histories_are_unrelated(&said),
                "{said}"
            );
        }
    }

    #[test]
    fn full_disk_is_recognised_by_the_text_of_the_system() {
        use rustix::io::Errno;
        for error in [Errno::NOSPC, Errno::DQUOT] {
            assert!(disk_is_full(&std::io::Error::from(error).to_string()));
        }
    }
}
