//! The kind of file system of a path, for messages.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The kernel's name of the file system, such as `overlay` or `zfs`.
pub(crate) fn name(path: &Path) -> String {
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    kind_of(&String::from_utf8_lossy(&mounts), &path).unwrap_or_else(|| "unknown file system".to_owned())
}

/// The kind of the nearest mount above a path; of several at one mount point, the last.
fn kind_of(mounts: &str, path: &Path) -> Option<String> {
    let kinds = mounts.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let point = unescape(mount.split(' ').nth(4)?);
        let above = path.starts_with(OsStr::from_bytes(&point));
        above.then(|| {
            (
                point.len(),
                file_system.split(' ').next().unwrap_or_default().to_owned(),
            )
        })
    });
    kinds.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

/// Decodes characters written as a backslash and three octal digits.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let code = others.get(..3).filter(|_| *first == b'\\');
        let code = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &others[3..] } else { others };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_mount_above_path_decides() {
        let mounts = "1 0 254:0 / / rw - overlay overlay rw\n2 1 0:5 / /data\\040dir rw shared:1 - zfs pool rw\n\
                      3 1 0:6 / /data\\040dir rw - ext4 /dev/x rw\n";
        let kind = |path: &str| kind_of(mounts, Path::new(path)).unwrap();
        assert_eq!(kind("/data dir/a"), "ext4");
        assert_eq!(kind("/data dirs"), "overlay");
    }
}
