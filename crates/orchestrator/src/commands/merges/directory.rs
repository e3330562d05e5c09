//! Conflicting files in a directory, for an editor, and back.

use crate::failure::Failure;
use api::{MergeDetail, PathAnswer};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// Beside the files: what they are about.
const NOTE: &str = ".orchestrator-merge.json";

#[derive(Serialize, Deserialize)]
struct Note {
    merge: i64,
    tip: Option<String>,
    paths: Vec<String>,
}

/// Writes the conflicting texts with their markers into a directory, and returns which. What is there is not overwritten.
pub(super) fn write(detail: &MergeDetail, directory: &Path) -> Result<Vec<String>, Failure> {
    let problem = |path: &Path, error: std::io::Error| {
        Failure::environment("the file can't be written")
            .with("file", path.display())
            .with("found", error)
    };
    let texts: Vec<(PathBuf, &str, &str)> = detail
        .files
        .iter()
        .filter_map(|file| {
            Some((
                place(directory, &file.path)?,
                file.path.as_str(),
                file.marked.as_deref()?,
            ))
        })
        .collect();
    if texts.is_empty() {
        return Err(Failure::usage("nothing of this conflict can be decided in an editor")
            .with("merge", detail.merge.id)
            .hint("take a side of each path with --ours or --theirs, or send the work back with a note"));
    }
    let there = texts
        .iter()
        .map(|(file, ..)| file.clone())
        .chain([directory.join(NOTE)]);
    if let Some(file) = there.into_iter().find(|file| fs::symlink_metadata(file).is_ok()) {
        return Err(
            Failure::usage("the directory holds such a file already; nothing is overwritten")
                .with("file", file.display())
                .hint("name a new directory"),
        );
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

/// The texts of a directory that `write` made, but for paths that are decided otherwise; and the tip they were made for.
pub(super) fn read(
    merge: i64,
    directory: &Path,
    decided: &[PathAnswer],
) -> Result<(Option<String>, Vec<PathAnswer>), Failure> {
    let file = directory.join(NOTE);
    let unusable = |found: String| {
        Failure::usage("the directory was not made by `orchestrator merges checkout`")
            .with("directory", directory.display())
            .with("found", found)
            .hint(format!("make one: orchestrator merges checkout {merge} DIR"))
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

/// A path that is to hold the text of a file.
pub(super) fn content(path: &str, file: &Path) -> Result<PathAnswer, Failure> {
    let text = fs::read(file).map_err(|error| {
        Failure::usage("the file can't be read")
            .with("file", file.display())
            .with("found", error)
            .hint(format!("to delete the path: --delete {path}"))
    })?;
    let text = String::from_utf8(text).map_err(|_| {
        Failure::usage("the file is not UTF-8 text")
            .with("file", file.display())
            .hint("of other files a side is taken: --ours or --theirs")
    })?;
    Ok(PathAnswer {
        path: path.to_owned(),
        decision: "content".to_owned(),
        content: Some(text),
    })
}

/// Where a path of the repository goes below a directory; `None` if it would go elsewhere.
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
    fn no_path_leads_out_of_the_directory() {
        let directory = Path::new("/f");
        assert_eq!(place(directory, "a/b"), Some(PathBuf::from("/f/a/b")));
        for path in ["../a", "/a", "a/../../b", ""] {
            assert_eq!(place(directory, path), None, "{path}");
        }
    }
}
