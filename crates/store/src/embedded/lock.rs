//! One orchestrator to a data directory.

use super::{
    data_dir,
    error::{EmbeddedError, LockError},
};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long a process that was just killed may still hold the lock.
const TIMEOUT: Duration = Duration::from_secs(3);
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(25);

/// The proof that no other process works in a data directory.
///
/// The kernel lets go of it when the process ends, however it ends. So whoever gets it knows that its predecessor
/// is dead, and may void its leases at once.
#[derive(Debug)]
pub struct DataDirLock {
    data_dir: PathBuf,
    _file: File,
}

impl DataDirLock {
    /// Takes the directory, making it where it is missing.
    pub fn take(data_dir: &Path) -> Result<Self, LockError> {
        data_dir::create(data_dir)?;
        let path = data_dir.join("lock");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|source| EmbeddedError::directory("write", &path, source))?;
        let deadline = Instant::now() + TIMEOUT;
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::WouldBlock if Instant::now() < deadline => sleep(TRY_AGAIN_AFTER),
                TryLockError::WouldBlock => {
                    return Err(LockError::Held {
                        data_dir: data_dir.to_owned(),
                        holder: holder(&mut file),
                    });
                }
                TryLockError::Error(source) => {
                    return Err(EmbeddedError::directory("lock", &path, source).into());
                }
            }
        }
        write_holder(&mut file).map_err(|source| EmbeddedError::directory("write", &path, source))?;
        let data_dir = data_dir
            .canonicalize()
            .map_err(|source| EmbeddedError::directory("read", data_dir, source))?;
        Ok(Self { data_dir, _file: file })
    }

    /// The directory, in its canonical form.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }
}

/// The holder's own word for itself, for the message only.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!(" (process {})", text.trim()),
        Ok(_) | Err(_) => String::new(),
    }
}

fn write_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_names_the_directory_and_the_holder() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("data");
        let first = DataDirLock::take(&data_dir).unwrap();
        let error = DataDirLock::take(&data_dir).unwrap_err().to_string();
        assert!(error.contains(&data_dir.display().to_string()), "{error}");
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        drop(first);
        DataDirLock::take(&data_dir).unwrap();
    }

    #[test]
    fn a_data_directory_below_a_file_is_a_clear_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = DataDirLock::take(&file.join("data")).unwrap_err().to_string();
        assert!(error.contains("--data-dir"), "{error}");
        assert!(error.contains(&file.display().to_string()), "{error}");
    }
}
