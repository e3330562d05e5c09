//! Where on this host groups can be created: the available controllers, their version and their directories.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::controller::{Controller, Version};

/// A directory in which to try creating groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) version: Version,
    pub(crate) path: PathBuf,
    /// Whether it is this process's own group; in version 2 a group has either processes or limited groups.
    pub(crate) own: bool,
}

/// What the kernel reports about this process's control groups.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// `/proc/self/mountinfo`
    pub(crate) mounts: String,
    /// `/proc/self/cgroup`
    pub(crate) groups: String,
}

impl Host {
    pub(crate) fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            mounts: read("/proc/self/mountinfo"),
            groups: read("/proc/self/cgroup"),
        }
    }

    /// The directories to try for a controller, the best first; empty if no hierarchy has it.
    pub(crate) fn candidates(&self, controller: Controller) -> Vec<Candidate> {
        let two =
            self.mounts.lines().filter_map(Mount::parse).find(|mount| {
                mount.kind == "cgroup2" && lists(&mount.path.join("cgroup.controllers"), controller.name())
            });
        if let Some(mount) = two {
            return places(Version::Two, &mount, self.own_path(|id, _| id == "0"));
        }
        let one =
            self.mounts.lines().filter_map(Mount::parse).find(|mount| {
                mount.kind == "cgroup" && mount.options.split(',').any(|option| option == controller.name())
            });
        let own = self.own_path(|_, controllers| controllers.split(',').any(|name| name == controller.name()));
        one.map(|mount| places(Version::One, &mount, own)).unwrap_or_default()
    }

    /// The path of this process's group in the matching hierarchy.
    fn own_path(&self, is_it: impl Fn(&str, &str) -> bool) -> Option<&Path> {
        let mut lines = self.groups.lines().filter_map(|line| {
            let (id, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            Some((id, controllers, path))
        });
        lines
            .find(|(id, controllers, _)| is_it(id, controllers))
            .map(|(_, _, path)| Path::new(path))
    }
}

/// The process's own group, its parent (for a process in a leaf of what it may use), and the root.
fn places(version: Version, mount: &Mount, own: Option<&Path>) -> Vec<Candidate> {
    let own = own
        .and_then(|own| own.strip_prefix(&mount.root).ok())
        .filter(|own| own.components().all(|part| matches!(part, Component::Normal(_))))
        .map_or_else(|| mount.path.clone(), |own| mount.path.join(own));
    // Removes a trailing separator, so that paths compare equal.
    let own: PathBuf = own.components().collect();
    let mut places = vec![Candidate {
        version,
        path: own.clone(),
        own: true,
    }];
    let above = own.parent().filter(|above| above.starts_with(&mount.path));
    for path in above.into_iter().chain([mount.path.as_path()]) {
        if places.iter().all(|place| place.path != path) {
            places.push(Candidate {
                version,
                path: path.to_owned(),
                own: false,
            });
        }
    }
    places
}

/// Whether a file contains this word.
pub(crate) fn lists(path: &Path, word: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.split_whitespace().any(|found| found == word))
}

/// One line of `mountinfo`.
struct Mount {
    /// Which directory of the file system is mounted.
    root: PathBuf,
    path: PathBuf,
    kind: String,
    options: String,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, path) = (unescaped(mount.next()?), unescaped(mount.next()?));
        let mut file_system = file_system.split(' ');
        Some(Self {
            root,
            path,
            kind: file_system.next()?.to_owned(),
            options: file_system.nth(1)?.to_owned(),
        })
    }
}

/// Decodes blanks, which the kernel writes as octal numbers.
fn unescaped(path: &str) -> PathBuf {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (code, character)| path.replace(code, character))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(mounts: &str, groups: &str) -> Host {
        Host {
            mounts: mounts.to_owned(),
            groups: groups.to_owned(),
        }
    }

    fn paths(candidates: &[Candidate]) -> Vec<&str> {
        candidates.iter().filter_map(|place| place.path.to_str()).collect()
    }

    #[test]
    fn version_one_is_used_where_controller_is_mounted() {
        let host = host(
            "30 25 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
             31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
            "4:memory:/user/me\n3:cpu,cpuacct:/\n",
        );
        let memory = host.candidates(Controller::Memory);
        assert_eq!(
            paths(&memory),
            [
                "/sys/fs/cgroup/memory/user/me",
                "/sys/fs/cgroup/memory/user",
                "/sys/fs/cgroup/memory"
            ]
        );
        assert!(memory.iter().all(|place| place.version == Version::One));
        assert_eq!(paths(&host.candidates(Controller::Cpu)), ["/sys/fs/cgroup/cpu,cpuacct"]);
        assert_eq!(host.candidates(Controller::Processes), []);
    }

    #[test]
    fn partial_hierarchy_mount_is_resolved() {
        let host = host(
            "30 25 0:26 /docker/ab /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
            "4:memory:/docker/ab/in\n",
        );
        assert_eq!(
            paths(&host.candidates(Controller::Memory))[0],
            "/sys/fs/cgroup/memory/in"
        );
    }

    #[test]
    fn group_outside_mount_falls_back_to_mount() {
        let host = host(
            "30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
            "4:memory:/../elsewhere\n",
        );
        assert_eq!(paths(&host.candidates(Controller::Memory)), ["/sys/fs/cgroup/memory"]);
    }

    #[test]
    fn escaped_blanks_in_path_are_decoded() {
        assert_eq!(unescaped("/a\\040b\\134c"), Path::new("/a b\\c"));
    }
}
