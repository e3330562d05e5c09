//! An external program that merges by syntax, where one is installed. It runs in the sandbox on the three versions of one
//! file and nothing else.
//!
//! A clean result is not always right, so it is asked only where a check command judges the merged tree.

use super::{ConflictResolver, OpenFile, OpenText, output_file};
use crate::{context::blocking, merge::Failure, settings::MergeSettings};
use domain::merge::{Decision, Layer};
use git::Version;
use sandbox::{Exit, Job};
use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Bytes of a failed driver's output that are recorded.
const KEPT_OUTPUT_BYTES: usize = 500;
const OUTPUT_BYTES: usize = 16 << 10;
/// The longest file extension that the driver's files keep.
const ENDING_BYTES: usize = 16;

impl ConflictResolver<'_> {
    /// The whole file as the driver merges it, if one is installed and resolves every hunk.
    pub(super) async fn driven(&self, file: &OpenFile, text: &OpenText) -> Result<Option<Vec<u8>>, Failure> {
        let Some(name) = self
            .settings
            .driver
            .first()
            .filter(|_| self.settings.asks(Layer::Driver))
        else {
            return Ok(None);
        };
        let Some(program) = installed(name) else {
            // The default driver is missing on most machines; that is not worth a record.
            if self.settings.driver != MergeSettings::default().driver {
                let reason = format!("the program {name} of merge.driver is missing or not executable");
                self.record_file(&file.path, Layer::Driver, Decision::Failed, reason)
                    .await?;
            }
            return Ok(None);
        };
        if !self.active.entry.branch.is_gated() {
            let reason = format!("{name} was not asked: the run has no check command to judge its result");
            self.record_file(&file.path, Layer::Driver, Decision::Declined, reason)
                .await?;
            return Ok(None);
        }
        let made = match self.drive(&program, file).await? {
            Ok(content) => self.accept(file, text, content).await?,
            Err(why) => Err(why),
        };
        let hunks = text.hunks.hunks().count();
        match made {
            Ok(content) => {
                let reason = format!("{name} merged the file by its syntax, with {hunks} conflicting hunks");
                self.record_file(&file.path, Layer::Driver, Decision::Resolved, reason)
                    .await?;
                Ok(Some(content))
            }
            Err(why) => {
                self.record_file(&file.path, Layer::Driver, Decision::Failed, format!("{name}: {why}"))
                    .await?;
                Ok(None)
            }
        }
    }

    /// Runs it; the error says why there is no result.
    async fn drive(&self, program: &Path, file: &OpenFile) -> Result<Result<Vec<u8>, String>, Failure> {
        let active = self.active;
        let directory = active.entry.branch.context.layout.driver(
            active.entry.branch.details.id,
            active.entry.merge.id,
            active.entry.branch.lock.fence(),
        );
        let names = Names::of(&file.path, &directory);
        let (hub, conflicting, written) = (active.entry.branch.hub.clone(), file.file.clone(), names.clone());
        let sides = blocking(move || -> Result<[Vec<u8>; 2], Failure> {
            let read =
                |version: &Option<Version>| version.as_ref().map_or(Ok(Vec::new()), |own| hub.read_blob(&own.blob));
            let (base, ours, theirs) = (
                read(&conflicting.base)?,
                read(&conflicting.ours)?,
                read(&conflicting.theirs)?,
            );
            written.write([&base, &ours, &theirs]).map_err(Failure::transient)?;
            Ok([ours, theirs])
        })
        .await?;
        let result = self.drive_in(program, file, &names).await;
        let removed = blocking(move || remove(&directory)).await;
        if let Err(error) = removed {
            tracing::warn!(%error, "could not remove a driver's directory");
        }
        Ok(match result? {
            Ok(content) if sides.contains(&content) => Err("it kept one side and dropped the other".to_owned()),
            other => other,
        })
    }

    async fn drive_in(
        &self,
        program: &Path,
        file: &OpenFile,
        names: &Names,
    ) -> Result<Result<Vec<u8>, String>, Failure> {
        let context = &self.active.entry.branch.context;
        let arguments = self
            .settings
            .driver
            .iter()
            .skip(1)
            .map(|part| names.filled(part, &file.path));
        let argv = std::iter::once(program.display().to_string())
            .chain(arguments)
            .collect();
        let mut job = Job::new(argv, names.directory.clone());
        job.time_limit = self.settings.driver_limit;
        job.output_limit_bytes = OUTPUT_BYTES;
        // Every sandbox sees /usr; a program elsewhere is granted separately.
        if !program.canonicalize().is_ok_and(|real| real.starts_with("/usr")) {
            job.extra_read_only.push(program.to_path_buf());
        }
        job.cancel = self.over.clone();
        let finished = match context.sandbox.run(job).await {
            Ok(finished) => finished,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let how = match finished.exit {
            Exit::Code(0) => {
                let (directory, most) = (names.directory.clone(), self.settings.file_bytes);
                let result = match self.settings.driver.iter().any(|part| part.contains("{output}")) {
                    true => names.output.clone(),
                    false => names.ours.clone(),
                };
                let content = blocking(move || output_file::read_file(&directory, result.as_bytes(), most)).await;
                return Ok(content.map_err(|error| format!("its result can't be read: {error}")));
            }
            Exit::Cancelled => return Err(self.interrupted()),
            Exit::Code(code) => format!("it left the conflict open, with exit code {code}"),
            Exit::Signal(signal) => format!("signal {signal} ended it"),
            Exit::OverLimit(limit) => format!("it was killed: {limit}"),
            Exit::TimedOut => {
                let limit_s = self.settings.driver_limit.as_secs();
                format!("it was ended after {limit_s} s (limit merge.driver_s)")
            }
        };
        let output = output_file::end_of(&finished.output_head_tail, KEPT_OUTPUT_BYTES);
        Ok(Err(match output.trim().is_empty() {
            true => how,
            false => format!("{how}; its output ends with: {}", output.trim()),
        }))
    }
}

/// Names of the files in the driver's directory: their role, with the extension of the language.
#[derive(Clone)]
struct Names {
    directory: PathBuf,
    base: String,
    ours: String,
    theirs: String,
    output: String,
}

impl Names {
    fn of(path: &str, directory: &Path) -> Self {
        let plain = |ending: &&str| {
            (1..=ENDING_BYTES).contains(&ending.len()) && ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        let ending = path.rsplit_once('.').map(|(_, ending)| ending).filter(plain);
        let name = |role: &str| ending.map_or(role.to_owned(), |ending| format!("{role}.{ending}"));
        Self {
            directory: directory.to_path_buf(),
            base: name("base"),
            ours: name("ours"),
            theirs: name("theirs"),
            output: name("output"),
        }
    }

    /// Writes the three versions into a directory of their own.
    fn write(&self, [base, ours, theirs]: [&[u8]; 3]) -> io::Result<()> {
        remove(&self.directory)?;
        fs::create_dir(&self.directory)?;
        fs::write(self.directory.join(&self.base), base)?;
        fs::write(self.directory.join(&self.ours), ours)?;
        fs::write(self.directory.join(&self.theirs), theirs)
    }

    /// An argument with its placeholders filled. The path comes last: it may contain another placeholder.
    fn filled(&self, argument: &str, path: &str) -> String {
        argument
            .replace("{base}", &self.base)
            .replace("{ours}", &self.ours)
            .replace("{theirs}", &self.theirs)
            .replace("{output}", &self.output)
            .replace("{path}", path)
    }
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The path of a program: its own absolute path, or one in an absolute directory of this process's `PATH`.
fn installed(name: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        path.metadata()
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| path.is_absolute() && is_program(path));
    }
    let directories = std::env::var_os("PATH").unwrap_or_else(|| OsStr::new("/usr/bin:/bin").to_owned());
    std::env::split_paths(&directories)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(is_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_keep_the_extension_of_the_language() {
        let directory = Path::new("/x");
        assert_eq!(Names::of("src/a.rs", directory).theirs, "theirs.rs");
        assert_eq!(Names::of("Makefile", directory).base, "base");
        assert_eq!(Names::of("a.b/c", directory).base, "base");
        let filled = Names::of("a.rs", directory).filled("-p={path} {output}", "{base}.rs");
        assert_eq!(filled, "-p={base}.rs output.rs");
    }

    #[test]
    fn programs_are_found_by_name_or_absolute_path() {
        assert!(installed("sh").is_some_and(|path| path.is_absolute()));
        assert!(installed("/bin/sh").is_some());
        assert_eq!(installed("./sh"), None);
        assert_eq!(installed("/etc/passwd"), None);
        assert_eq!(installed("no-such-program-anywhere"), None);
    }
}
