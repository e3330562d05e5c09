//! Reads what a command in the sandbox wrote, without trusting it.

use rustix::{
    fs::{FileType, Mode, OFlags, fstat, open, openat},
    io::Errno,
};
use std::{ffi::OsStr, fs::File, io::Read, os::unix::ffi::OsStrExt, path::Path};

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("there is no such file")]
    Missing,
    #[error("it is a link, or behind one")]
    Link,
    #[error("it is not a plain file")]
    NotAFile,
    #[error("it has more than {0} bytes (limit merge.file_bytes)")]
    TooLarge(usize),
    #[error("{0}")]
    System(std::io::Error),
}

impl From<Errno> for ReadError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::Missing,
            Errno::LOOP | Errno::NOTDIR => Self::Link,
            other => Self::System(other.into()),
        }
    }
}

/// Reads a plain file below a directory. No link is followed: it could lead anywhere.
pub(super) fn read_file(directory: &Path, path: &[u8], most: usize) -> Result<Vec<u8>, ReadError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = open(directory, flags | OFlags::DIRECTORY, Mode::empty())?;
    let mut parts = path.split(|byte| *byte == b'/').map(OsStr::from_bytes).peekable();
    while let Some(part) = parts.next() {
        if matches!(part.as_bytes(), b"" | b"." | b"..") {
            return Err(ReadError::Missing);
        }
        // Without O_NONBLOCK, opening a pipe would wait for a writer.
        let wanted = match parts.peek() {
            Some(_) => OFlags::DIRECTORY,
            None => OFlags::NONBLOCK | OFlags::NOCTTY,
        };
        at = openat(&at, part, flags | wanted, Mode::empty())?;
    }
    if FileType::from_raw_mode(fstat(&at)?.st_mode) != FileType::RegularFile {
        return Err(ReadError::NotAFile);
    }
    let mut content = Vec::new();
    let read = File::from(at).take(most as u64 + 1).read_to_end(&mut content);
    read.map_err(ReadError::System)?;
    match content.len() > most {
        true => Err(ReadError::TooLarge(most)),
        false => Ok(content),
    }
}

/// The last bytes of a text, whole characters.
pub(super) fn end_of(text: &str, bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_plain_files_below_the_directory_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir_all(root.join("in/side")).unwrap();
        std::fs::write(root.join("in/side/file"), "12345").unwrap();
        std::fs::write(directory.path().join("secret"), "s").unwrap();
        symlink("../secret", root.join("link")).unwrap();
        symlink("in", root.join("directory")).unwrap();
        let read = |path: &str, most| read_file(&root, path.as_bytes(), most);
        assert_eq!(read("in/side/file", 5).unwrap(), b"12345");
        assert!(matches!(read("in/side/file", 4), Err(ReadError::TooLarge(4))));
        assert!(matches!(read("link", 9), Err(ReadError::Link)));
        assert!(matches!(read("directory/side/file", 9), Err(ReadError::Link)));
        assert!(matches!(read("../secret", 9), Err(ReadError::Missing)));
        assert!(matches!(read("none", 9), Err(ReadError::Missing)));
        assert!(matches!(read("in", 9), Err(ReadError::NotAFile)));
    }

    #[test]
    fn text_end_is_cut_at_characters() {
        assert_eq!((end_of("abc", 9), end_of("aéé", 3)), ("abc", "é"));
    }
}
