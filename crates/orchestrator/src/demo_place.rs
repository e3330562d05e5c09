//! Where the demo plays: its repository, which stays, and its data, which may go.

use crate::{config::Loaded, failure::Failure};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};
use store::embedded::DataDirLock;

/// The sample repository: path, content, whether it is a program.
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

/// Two directories.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) data_dir: PathBuf,
    /// Beside the data directory: a workspace may not be within it.
    pub(crate) repository: PathBuf,
    /// Whether the data goes away at the end.
    pub(crate) is_temporary: bool,
}

impl Place {
    /// The named data directory; else, for a server that stays, one of the demo's own; else a temporary one.
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
        // Makes the directory with the rights it needs; who opens the harness takes the lock again.
        let made = DataDirLock::take(&place.data_dir);
        drop(made.map_err(|error| Failure::from_text_environment(&error.to_string()))?);
        Ok(place)
    }

    fn beside(data_dir: PathBuf) -> Self {
        let repository = with_suffix(&data_dir, "-repository");
        // As the server will name it: by its real path.
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
                // The account of the database server passes through.
                fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
                directory.keep().canonicalize()
            });
        let directory = made.map_err(|error| failure(&std::env::temp_dir(), &error))?;
        Ok(Self {
            data_dir: directory.join("data"),
            repository: directory.join("repository"),
            is_temporary: true,
        })
    }

    /// Removes what does not stay.
    pub(crate) fn clean(&self) {
        if self.is_temporary
            && let Err(error) = fs::remove_dir_all(&self.data_dir)
        {
            tracing::debug!(%error, path = %self.data_dir.display(), "the demo's data could not be removed");
        }
    }
}

/// Makes the sample repository with one commit, unless it is there.
pub(crate) fn unpack(repository: &Path) -> Result<(), Failure> {
    if repository.join(".git").exists() {
        return Ok(());
    }
    write_files(repository).map_err(|error| failure(repository, &error))?;
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

/// Runs git as nobody in particular: the sample repository is not to depend on whose machine this is.
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
        .map_err(|error| failure(repository, &error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::environment("the sample repository can't be made")
        .with("command", format!("git {}", arguments.join(" ")))
        .with("found", String::from_utf8_lossy(&output.stderr).trim()))
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    Failure::environment("the demo's directories can't be made")
        .with("path", path.display())
        .with("found", error)
        .hint("choose another place with --data-dir")
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
    fn every_file_of_the_sample_is_unpacked_and_its_tests_pass() {
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
    fn the_repository_is_not_within_the_data_directory() {
        let place = Place::beside(PathBuf::from("/data/demo"));
        assert_eq!(place.repository, Path::new("/data/demo-repository"));
    }
}
