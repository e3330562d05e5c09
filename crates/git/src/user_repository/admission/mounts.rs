//! What is mounted where: a directory may be the root of a file system, or a place of the system under another name.

use super::refused::NotAdmitted;
use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// The mounts that this thread sees: another thread may be in a mount namespace of its own.
const TABLES: [&str; 2] = ["/proc/thread-self/mountinfo", "/proc/self/mountinfo"];

/// One line of the table.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    /// The number of the device.
    device: String,
    /// What is mounted, from the root of its file system.
    root: PathBuf,
    /// Where.
    at: PathBuf,
}

/// All of them, later ones over earlier ones.
pub(super) struct Mounts(Vec<Mount>);

impl Mounts {
    /// None where there is no such table.
    pub(super) fn read() -> Self {
        let table = TABLES.iter().find_map(|table| fs::read(table).ok());
        Self::parse(&table.unwrap_or_default())
    }

    fn parse(table: &[u8]) -> Self {
        Self(table.split(|byte| *byte == b'\n').filter_map(mount).collect())
    }

    /// Refuses the root of a file system, and a mounted directory that is no repository.
    pub(super) fn check(&self, path: &Path, is_repository: bool) -> Result<(), NotAdmitted> {
        let mounted = self.0.iter().rev().find(|mount| mount.at == path);
        match mounted {
            Some(mount) if !is_repository || mount.root.parent().is_none() => {
                Err(NotAdmitted::MountPoint { path: path.to_owned() })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The other paths by which the directory can be reached, and its path from the root of its file system.
    pub(super) fn other_names(&self, path: &Path) -> Vec<PathBuf> {
        let holding = self.0.iter().rev().filter(|mount| path.starts_with(&mount.at));
        let Some(own) = holding.max_by_key(|mount| mount.at.components().count()) else {
            return Vec::new();
        };
        let Ok(below) = path.strip_prefix(&own.at) else {
            return Vec::new();
        };
        let in_file_system = joined(&own.root, below);
        let others = self
            .0
            .iter()
            .filter(|mount| mount.device == own.device && *mount != own);
        let mut names: Vec<PathBuf> = others
            .filter_map(|mount| Some(joined(&mount.at, in_file_system.strip_prefix(&mount.root).ok()?)))
            .collect();
        if own.root.parent().is_some() {
            names.push(in_file_system);
        }
        names
    }
}

/// Joining nothing would add a slash.
fn joined(path: &Path, below: &Path) -> PathBuf {
    match below.as_os_str().is_empty() {
        true => path.to_owned(),
        false => path.join(below),
    }
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ').skip(2);
    Some(Mount {
        device: String::from_utf8(fields.next()?.to_owned()).ok()?,
        root: unescaped(fields.next()?),
        at: unescaped(fields.next()?),
    })
}

/// Blanks and the like are written as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
        2 1 8:1 /etc/app\\040one /work/b rw - ext4 /dev/sda1 rw\n\
        3 1 8:2 / /disk rw - ext4 /dev/sdb1 rw\n\
        4 1 9:9 /srv/hidden/repo /given rw - ext4 /dev/sdz rw\n";

    #[test]
    fn a_bind_mount_is_known_by_its_other_name() {
        let mounts = Mounts::parse(TABLE.as_bytes());
        let names = mounts.other_names(Path::new("/work/b/sub"));
        assert!(names.contains(&PathBuf::from("/etc/app one/sub")), "{names:?}");
        assert_eq!(
            mounts.other_names(Path::new("/work/b")).first(),
            Some(&PathBuf::from("/etc/app one"))
        );
        assert_eq!(
            mounts.other_names(Path::new("/given/x")),
            [PathBuf::from("/srv/hidden/repo/x")],
            "where the rest of its file system is not mounted, its path there is known"
        );
        assert_eq!(mounts.other_names(Path::new("/home/me")), Vec::<PathBuf>::new());
    }

    #[test]
    fn the_root_of_a_file_system_is_no_workspace_but_a_mounted_repository_is() {
        let mounts = Mounts::parse(TABLE.as_bytes());
        for (path, is_repository, taken) in [
            ("/", true, false),
            ("/disk", true, false),
            ("/disk/project", false, true),
            ("/given", true, true),
            ("/given", false, false),
        ] {
            let checked = mounts.check(Path::new(path), is_repository);
            assert_eq!(checked.is_ok(), taken, "{path} {is_repository}");
        }
    }
}
