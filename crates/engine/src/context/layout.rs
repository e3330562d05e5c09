//! The paths under the data directory. Those of an attempt or a gate contain its fence, so that a process whose lease
//! expired can't write into its successor's tree.

use domain::{Fence, MergeId, RunId, TaskKey};
use sha2::{Digest, Sha256};
use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The directories with copies of repositories, build output, and the output of commands.
const DIRECTORIES: [&str; 5] = ["hubs", "worktrees", "outputs", "cache", "preparing"];

/// The layout of the data directory.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Makes the directories. Each of them is closed to other accounts, because the data directory itself may have to be
    /// open for the database's account.
    pub(crate) fn make(&self) -> Result<(), (PathBuf, io::Error)> {
        for name in DIRECTORIES {
            let directory = self.root.join(name);
            let made = fs::create_dir_all(&directory)
                .and_then(|()| fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)));
            made.map_err(|error| (directory, error))?;
        }
        Ok(())
    }

    /// Closes the data directory to other accounts, except for the traversal that the database's account needs where this
    /// process is root. A directory of the system or of all accounts is left unchanged.
    pub(crate) fn close(&self) -> io::Result<()> {
        let metadata = fs::metadata(&self.root)?;
        let me = rustix::process::geteuid();
        let kept = if me.is_root() { 0o711 } else { 0o700 };
        let mode = metadata.mode() & 0o7777;
        if metadata.uid() != me.as_raw() || mode & !kept == 0 || git::Places::of_this_machine().holds(&self.root) {
            return Ok(());
        }
        fs::set_permissions(&self.root, fs::Permissions::from_mode(mode & kept))
    }

    /// The directory itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The name of the hub of a workspace: its directory's name for people, a hash of its path for uniqueness.
    pub(crate) fn hub_name(workspace: &Path) -> String {
        let directory = workspace
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let readable: String = directory
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
            .take(40)
            .collect();
        let digest = Sha256::digest(workspace.as_os_str().as_encoded_bytes());
        let hash: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{hash}.git", readable.trim_start_matches('.'))
    }

    /// The bare repository of a workspace.
    pub(crate) fn hub(&self, name: &str) -> PathBuf {
        self.hubs().join(name)
    }

    /// The directory of the bare repositories.
    pub(crate) fn hubs(&self) -> PathBuf {
        self.root.join("hubs")
    }

    /// The directory of the worktrees of all runs. There are no directories within it: one that is empty would have to be
    /// removed while another makes its worktree there.
    pub(crate) fn worktrees(&self) -> PathBuf {
        self.root.join("worktrees")
    }

    /// The worktree of an attempt.
    pub(crate) fn worktree(&self, run: RunId, task: &TaskKey, fence: Fence) -> PathBuf {
        self.worktrees().join(format!("{}.{task}.{fence}", run.0.simple()))
    }

    /// The throwaway checkout of a gate.
    pub(crate) fn gate(&self, run: RunId, merge: MergeId, fence: Fence) -> PathBuf {
        self.worktrees()
            .join(format!("{}.gate-{merge}.{fence}", run.0.simple()))
    }

    /// The throwaway checkout of the base, for a gate whose result is compared with it.
    pub(crate) fn gate_base(&self, run: RunId, merge: MergeId, fence: Fence) -> PathBuf {
        self.worktrees()
            .join(format!("{}.gate-{merge}-base.{fence}", run.0.simple()))
    }

    /// The throwaway checkout in which generated files are regenerated.
    pub(crate) fn regeneration(&self, run: RunId, merge: MergeId, fence: Fence) -> PathBuf {
        self.worktrees()
            .join(format!("{}.regenerate-{merge}.{fence}", run.0.simple()))
    }

    /// The directory with the three versions of one file, for a driver.
    pub(crate) fn driver(&self, run: RunId, merge: MergeId, fence: Fence) -> PathBuf {
        self.worktrees()
            .join(format!("{}.driver-{merge}.{fence}", run.0.simple()))
    }

    /// The working directory of the command that makes a run's pull request.
    pub(crate) fn delivery(&self, run: RunId, fence: Fence) -> PathBuf {
        self.worktrees().join(format!("{}.deliver.{fence}", run.0.simple()))
    }

    /// The empty directory in which it is probed whether a run's check command can start.
    pub(crate) fn probe(&self, run: RunId, fence: Fence) -> PathBuf {
        self.worktrees().join(format!("{}.probe.{fence}", run.0.simple()))
    }

    /// The directory for the complete outputs of an attempt's tools.
    pub(crate) fn outputs(&self, run: RunId, task: &TaskKey, attempt: u32) -> PathBuf {
        self.root
            .join("outputs")
            .join(run.0.simple().to_string())
            .join(format!("{task}.{attempt}"))
    }

    /// The directory of the outputs of all runs: one directory for each, by its id.
    pub(crate) fn all_outputs(&self) -> PathBuf {
        self.root.join("outputs")
    }

    /// The complete output of a gate.
    pub(crate) fn gate_output(&self, run: RunId, merge: MergeId) -> PathBuf {
        self.root
            .join("outputs")
            .join(run.0.simple().to_string())
            .join(format!("gate-{merge}.log"))
    }

    /// The directory with a note about each run whose workspace is being prepared.
    pub(crate) fn all_preparing(&self) -> PathBuf {
        self.root.join("preparing")
    }

    /// The note about what preparing a run makes.
    pub(crate) fn preparing(&self, run: RunId) -> PathBuf {
        self.all_preparing().join(format!("{run}.json"))
    }

    /// The directory of the build caches of all workspaces.
    pub(crate) fn caches(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// The build output that the gates of one workspace share.
    pub(crate) fn build_cache(&self, hub: &str) -> PathBuf {
        self.caches().join(hub.trim_end_matches(".git"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_directory_is_closed_to_other_accounts() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("hubs")).unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o775)).unwrap();
        let layout = Layout::new(root.path().to_owned());
        layout.make().unwrap();
        layout.close().unwrap();
        let mode = fs::metadata(root.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o066, 0, "{mode:o}");
        for name in DIRECTORIES {
            let mode = fs::metadata(root.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{name}");
        }
    }
}
