//! Writes conflicting files into a directory for an editor, and reads them back.

use crate::failure::Failure;
use api::{MergeDetail, PathDecision};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// File with the merge that the texts belong to.
const NOTE: &str = ".orchestrator-merge.json";

#[derive(Serialize, Deserialize)]
struct Note {
    merge: i64,
    tip: Option<String>,
    paths: Vec<String>,
}

/// Writes the conflicting texts with their markers into a directory and returns their paths. No file is overwritten.
pub(super) fn write(detail: &MergeDetail, directory: &Path) -> Result<Vec<String>, Failure> {
    let problem = |path: &Path, error: std::io::Error| {
        Failure::environment("the file can't be written")
            .with("file", path.display())
            .caused_by(error)
    };
    let texts: Vec<(PathBuf, &str, &str)> = detail
        .files
        .iter()
        .filter_map(|file| {
            Some((
                place(directory, &file.path)?,
                file.path.as_str(),
                file.text_with_markers.as_deref()?,
            ))
        })
        .collect();
    if texts.is_empty() {
        return Err(Failure::usage("no path of this conflict can be decided in an editor")
            .with("merge", detail.merge.id)
            .hint("take a side of each path with --ours or --theirs, or send the work back with a note"));
    }
    let there = texts
        .iter()
        .map(|(file, ..)| file.clone())
        .chain([directory.join(NOTE)]);
    if let Some(file) = there.into_iter().find(|file| fs::symlink_metadata(file).is_ok()) {
        return Err(Failure::usage("the file exists already and is not overwritten")
            .with("file", file.display())
            .hint("name a new directory"));
    }
    for (file, _, text) in &texts {
        if let Some(above) = file.parent() {
            fs::create_dir_all(above).map_err(|error| problem(above, error))?;
        }
        fs::write(file, text).map_err(|error| problem(file, error))?;
    }
    let paths: Vec<String> = texts.iter().map(|(_, path, _)| (*path).to_owned()).collect();
    let note = Note {
        merge: detail.merge.id,
        tip: detail.merge.tip.clone(),
        paths: paths.clone(),
    };
    let file = directory.join(NOTE);
    let text = serde_json::to_vec(&note).map_err(std::io::Error::other);
    let written = text.and_then(|text| fs::write(&file, text));
    written.map_err(|error| problem(&file, error))?;
    Ok(paths)
}

/// Reads the texts of a directory that `write` made, except those of decided paths, and the tip they belong to.
pub(super) fn read(
    merge: i64,
    directory: &Path,
    decided: &[PathDecision],
) -> Result<(Option<String>, Vec<PathDecision>), Failure> {
    let file = directory.join(NOTE);
    let unusable = |found: String| {
        Failure::usage("the directory holds no files of this merge")
            .with("directory", directory.display())
            .with("found", found)
            .hint(format!(
                "write them: `orchestrator merges checkout {merge} merge-{merge}`"
            ))
    };
    let text = fs::read(&file).map_err(|error| unusable(error.to_string()))?;
    let note: Note = serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
    if note.merge != merge {
        return Err(unusable(format!("files of merge {}", note.merge)));
    }
    let left = note
        .paths
        .iter()
        .filter(|path| !decided.iter().any(|own| own.path == **path));
    let texts = left.map(|path| {
        let file = place(directory, path).ok_or_else(|| unusable(format!("the path {path}")))?;
        content(path, &file)
    });
    Ok((note.tip.clone(), texts.collect::<Result<_, _>>()?))
}

/// An answer that takes the text of a file for a path.
pub(super) fn content(path: &str, file: &Path) -> Result<PathDecision, Failure> {
    let text = fs::read(file).map_err(|error| {
        Failure::usage("the file can't be read")
            .with("file", file.display())
            .caused_by(error)
            .hint(format!("to delete the path: --delete {path}"))
    })?;
    let text = String::from_utf8(text).map_err(|_| {
        Failure::usage("the file is not UTF-8 text")
            .with("file", file.display())
            .hint("for other files, take a side: --ours or --theirs")
    })?;
    Ok(PathDecision {
        path: path.to_owned(),
        decision: "content".to_owned(),
        content: Some(text),
    })
}

/// The location of a repository path below a directory; `None` if it leads elsewhere.
fn place(directory: &Path, path: &str) -> Option<PathBuf> {
    let inside = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    (inside && !path.is_empty()).then(|| directory.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_that_leads_out_of_the_directory_is_refused() {
        let directory = Path::new("/f");
        assert_eq!(place(directory, "a/b"), Some(PathBuf::from("/f/a/b")));
        for path in ["../a", "/a", "a/../../b", ""] {
            assert_eq!(place(directory, path), None, "{path}");
        }
    }
}
