//! Where the PostgreSQL programs are.

use super::error::EmbeddedError;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_ctl"];

/// Directories of the packagers: `<root>/<prefix><major version>/bin`.
const LAYOUTS: [(&str, &str); 6] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
    ("/Library/PostgreSQL", ""),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

/// The directory of the programs to use: the named one, else the one of the wanted major version, else the newest.
///
/// `wanted` is the major version of an existing cluster, which no other version can run.
pub(super) fn find(named: Option<&Path>, wanted: Option<&str>, cluster: &Path) -> Result<PathBuf, EmbeddedError> {
    let candidates = match named {
        Some(directory) => match missing_program(directory) {
            Some(missing) => {
                return Err(EmbeddedError::BadBinaries {
                    directory: directory.to_owned(),
                    missing,
                });
            }
            None => vec![directory.to_owned()],
        },
        None => installed(),
    };
    let Some(newest) = candidates.first() else {
        return Err(EmbeddedError::NoBinaries);
    };
    let Some(wanted) = wanted else {
        return Ok(newest.clone());
    };
    let versions: Vec<String> = candidates.iter().map(|directory| major(directory)).collect();
    match versions.iter().position(|version| version == wanted) {
        Some(index) => Ok(candidates[index].clone()),
        None => Err(EmbeddedError::OtherVersion {
            directory: cluster.to_owned(),
            wanted: wanted.to_owned(),
            found: versions.join(", "),
        }),
    }
}

/// Every directory that holds the programs, the newest version of a packager first.
fn installed() -> Vec<PathBuf> {
    let mut packaged: Vec<(u32, PathBuf)> = LAYOUTS
        .iter()
        .flat_map(|(root, prefix)| {
            fs::read_dir(root)
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(move |entry| {
                    let name = entry.file_name();
                    let major = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
                    Some((major, entry.path().join("bin")))
                })
        })
        .collect();
    packaged.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    let on_path = env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = packaged
        .into_iter()
        .map(|(_, directory)| directory)
        .chain(env::split_paths(&on_path))
        .chain(directory_by_pg_config())
        .filter(|directory| missing_program(directory).is_none())
        .filter_map(|directory| directory.canonicalize().ok())
        .collect();
    let mut seen = std::collections::HashSet::new();
    directories.retain(|directory| seen.insert(directory.clone()));
    directories
}

fn directory_by_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let directory = String::from_utf8(output.stdout).ok()?;
    (!directory.trim().is_empty()).then(|| PathBuf::from(directory.trim()))
}

fn missing_program(directory: &Path) -> Option<&'static str> {
    PROGRAMS.into_iter().find(|program| !directory.join(program).is_file())
}

/// The major version of a directory's programs, or `unknown`.
fn major(directory: &Path) -> String {
    let output = Command::new(directory.join("postgres")).arg("--version").output();
    output
        .ok()
        .and_then(|output| {
            let text = String::from_utf8(output.stdout).ok()?;
            let version = text
                .split_whitespace()
                .find(|word| word.starts_with(|character: char| character.is_ascii_digit()))?;
            let digits = version.split(|character: char| !character.is_ascii_digit());
            digits.into_iter().next().map(str::to_owned)
        })
        .unwrap_or_else(|| "unknown".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_directory_without_the_programs_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let error = find(Some(directory.path()), None, Path::new("/nowhere")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("lacks initdb"), "{text}");
        assert!(text.contains(&directory.path().display().to_string()), "{text}");
    }

    #[test]
    fn a_cluster_of_an_absent_version_names_that_version() {
        let error = find(None, Some("7"), Path::new("/data/postgres")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("PostgreSQL 7"), "{text}");
        assert!(text.contains("/data/postgres"), "{text}");
    }
}
