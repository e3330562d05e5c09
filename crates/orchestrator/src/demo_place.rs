//! Directories of the demo: its repository, which is kept, and its data, which may be temporary.

use crate::{config::Loaded, failure::Failure};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};
use store::embedded::DataDirLock;

/// Files of the sample repository: path, content, whether it is executable.
const FILES: [(&str, &str, bool); 10] = [
    ("README.md", include_str!("../demo/repo/README.md"), false),
    ("bin/report", include_str!("../demo/repo/bin/report"), true),
    ("lib/commands.sh", include_str!("../demo/repo/lib/commands.sh"), false),
    ("lib/count.sh", include_str!("../demo/repo/lib/count.sh"), false),
    ("lib/table.sh", include_str!("../demo/repo/lib/table.sh"), false),
    ("test.sh", include_str!("../demo/repo/test.sh"), true),
    ("tests/helper.sh", include_str!("../demo/repo/tests/helper.sh"), false),
    ("tests/poem.txt", include_str!("../demo/repo/tests/poem.txt"), false),
    ("tests/report.t", include_str!("../demo/repo/tests/report.t"), false),
    ("tests/table.t", include_str!("../demo/repo/tests/table.t"), false),
];

/// The two directories.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) data_dir: PathBuf,
    /// Beside the data directory: a workspace may not be within it.
    pub(crate) repository: PathBuf,
    /// Whether the data is deleted at the end.
    pub(crate) is_temporary: bool,
}

impl Place {
    /// The data directory that was named; else one of the demo's own if the server keeps running, or a temporary one.
    pub(crate) fn choose(loaded: &Loaded, stays: bool) -> Result<Self, Failure> {
        let is_named = loaded
            .sources
            .iter()
            .any(|source| source == "--data-dir" || source.starts_with("ORCHESTRATOR_DATA_DIR"));
        let place = match (is_named, stays) {
            (true, _) => Self::beside(loaded.config.data_dir.clone()),
            (false, true) => Self::beside(with_suffix(&loaded.config.data_dir, "-demo")),
            (false, false) => Self::temporary()?,
        };
        // Creates the directory with its permissions; opening the harness takes the lock again.
        let made = DataDirLock::take(&place.data_dir);
        drop(made.map_err(Failure::from)?);
        Ok(place)
    }

    fn beside(data_dir: PathBuf) -> Self {
        let repository = with_suffix(&data_dir, "-repository");
        // The server uses the real path, too.
        let parent = repository.parent().and_then(|parent| parent.canonicalize().ok());
        let repository = match (parent, repository.file_name()) {
            (Some(parent), Some(name)) => parent.join(name),
            _ => repository,
        };
        Self {
            data_dir,
            repository,
            is_temporary: false,
        }
    }

    fn temporary() -> Result<Self, Failure> {
        let made = tempfile::Builder::new()
            .prefix("orchestrator-demo-")
            .tempdir()
            .and_then(|directory| {
                // The account of the database server must be able to enter.
                fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
                directory.keep().canonicalize()
            });
        let directory = made.map_err(|error| failure(&std::env::temp_dir(), error))?;
        Ok(Self {
            data_dir: directory.join("data"),
            repository: directory.join("repository"),
            is_temporary: true,
        })
    }

    /// Removes temporary data.
    pub(crate) fn clean(&self) {
        if self.is_temporary
            && let Err(error) = fs::remove_dir_all(&self.data_dir)
        {
            tracing::debug!(%error, path = %self.data_dir.display(), "the demo's data could not be removed");
        }
    }
}

/// Creates the sample repository with one commit, unless it exists.
pub(crate) fn unpack(repository: &Path) -> Result<(), Failure> {
    if repository.join(".git").exists() {
        return Ok(());
    }
    write_files(repository).map_err(|error| failure(repository, error))?;
    let steps: [&[&str]; 3] = [
        &["init", "--quiet", "--initial-branch=main"],
        &["add", "--all"],
        &["commit", "--quiet", "--message=A small report"],
    ];
    for step in steps {
        git(repository, step)?;
    }
    Ok(())
}

fn write_files(repository: &Path) -> io::Result<()> {
    for (path, text, is_program) in FILES {
        let path = repository.join(path);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(&path, text)?;
        if is_program {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// Runs git with a fixed identity: the sample repository must not depend on the user's settings.
fn git(repository: &Path, arguments: &[&str]) -> Result<(), Failure> {
    let output = Command::new("git")
        .arg("-C")
        .arg(repository)
        .args([
            "-c",
            "user.name=Demo",
            "-c",
            "user.email=demo@localhost",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(["-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false"])
        .args(arguments)
        .output()
        .map_err(|error| failure(repository, error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::environment("the sample repository can't be created")
        .with("command", format!("git {}", arguments.join(" ")))
        .with("found", String::from_utf8_lossy(&output.stderr).trim()))
}

fn failure(path: &Path, error: io::Error) -> Failure {
    Failure::environment("the demo's directories can't be created")
        .with("path", path.display())
        .caused_by(error)
        .hint("choose another directory with --data-dir")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_repository_is_complete_and_its_tests_pass() {
        let directory = tempfile::tempdir().unwrap();
        let repository = directory.path().join("repository");
        unpack(&repository).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/repo");
        let listed = |root: &Path| {
            let output = Command::new("find")
                .args([".", "-path", "./.git", "-prune", "-o", "-type", "f", "-print"])
                .current_dir(root)
                .output();
            let mut files: Vec<String> = String::from_utf8(output.unwrap().stdout)
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect();
            files.sort();
            files
        };
        assert_eq!(listed(&repository), listed(&source));
        let tests = Command::new("sh")
            .arg("test.sh")
            .current_dir(&repository)
            .output()
            .unwrap();
        assert!(tests.status.success(), "{}", String::from_utf8_lossy(&tests.stdout));
    }

    #[test]
    fn repository_lies_beside_the_data_directory() {
        let place = Place::beside(PathBuf::from("/data/demo"));
        assert_eq!(place.repository, Path::new("/data/demo-repository"));
    }
}
