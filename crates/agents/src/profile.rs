//! Profiles: the kinds of workers, each with its tools, its write policy and its prompt.
//!
//! Three are built in, as the files under `profiles/`; users add their own in files of the same form.

use crate::tools::{PathGlobs, Tool, WritePolicy};
use domain::profile::Change;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

const BUILT_IN: [&str; 3] = [
    include_str!("../profiles/planner.toml"),
    include_str!("../profiles/coder.toml"),
    include_str!("../profiles/tester.toml"),
];

/// The longest prompt of a profile, in bytes: about as long as the common prompt of all workers.
const PROMPT_BYTES: usize = 8 << 10;
/// The most profiles a directory may add.
const PROFILES: usize = 64;

/// A kind of worker.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name in plans.
    pub name: String,
    /// When to choose it: one line for the director.
    pub description: String,
    /// Its tools, always with [`Tool::Finish`].
    pub tools: BTreeSet<Tool>,
    /// What it may write.
    pub write: WritePolicy,
    /// Whether it must change the tree.
    pub change: Change,
    /// Its prompt, in addition to the common one.
    pub prompt: String,
    /// The turn limit of an attempt, if lower than the run's.
    pub turns: Option<u32>,
}

/// Every known profile, by name.
#[derive(Clone, Debug)]
pub struct Profiles {
    by_name: BTreeMap<String, Profile>,
}

/// A profile that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("profile `{origin}`: {problem}")]
pub struct ProfileError {
    /// The file or directory, or `built-in`.
    pub origin: String,
    /// What is wrong and what to do.
    pub problem: String,
}

impl Profiles {
    /// The built-in profiles.
    ///
    /// # Errors
    /// When a built-in file is invalid, which a test excludes.
    pub fn built_in() -> Result<Self, ProfileError> {
        let mut profiles = Self {
            by_name: BTreeMap::new(),
        };
        for text in BUILT_IN {
            profiles.add(parse(text, "built-in")?, "built-in")?;
        }
        Ok(profiles)
    }

    /// The built-in profiles, and one for each `*.toml` file of a directory.
    ///
    /// # Errors
    /// Names the first file that can't be read or used.
    pub fn with_directory(directory: &Path) -> Result<Self, ProfileError> {
        let mut profiles = Self::built_in()?;
        let files = toml_files(directory).map_err(|error| ProfileError {
            origin: directory.display().to_string(),
            problem: format!("the directory can't be read: {error}"),
        })?;
        if files.len() > PROFILES {
            return Err(ProfileError {
                origin: directory.display().to_string(),
                problem: format!("{} files are too many (limit {PROFILES})", files.len()),
            });
        }
        for file in files {
            let origin = file.display().to_string();
            let text = std::fs::read_to_string(&file).map_err(|error| ProfileError {
                origin: origin.clone(),
                problem: format!("the file can't be read: {error}"),
            })?;
            profiles.add(parse(&text, &origin)?, &origin)?;
        }
        Ok(profiles)
    }

    /// The profile of that name.
    pub fn get(&self, name: &str) -> Option<&Profile> {
        self.by_name.get(name)
    }

    /// Their names, sorted.
    pub fn names(&self) -> Vec<String> {
        self.by_name.keys().cloned().collect()
    }

    /// All of them, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Profile> {
        self.by_name.values()
    }

    fn add(&mut self, profile: Profile, origin: &str) -> Result<(), ProfileError> {
        if self.by_name.contains_key(&profile.name) {
            return Err(ProfileError {
                origin: origin.to_owned(),
                problem: format!("there is a profile {:?} already; choose another name", profile.name),
            });
        }
        self.by_name.insert(profile.name.clone(), profile);
        Ok(())
    }
}

/// The file of a profile.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileFile {
    name: String,
    description: String,
    tools: BTreeSet<Tool>,
    write: WriteName,
    #[serde(default)]
    paths: Vec<String>,
    change: Change,
    #[serde(default)]
    turns: Option<u32>,
    prompt: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WriteName {
    All,
    None,
    Paths,
}

fn parse(text: &str, origin: &str) -> Result<Profile, ProfileError> {
    let error = |problem: String| ProfileError {
        origin: origin.to_owned(),
        problem,
    };
    let file: ProfileFile = toml::from_str(text).map_err(|broken| error(broken.to_string().trim().to_owned()))?;
    if let Some(problem) = problem_of(&file) {
        return Err(error(problem));
    }
    let write = match file.write {
        WriteName::All => WritePolicy::All,
        WriteName::None => WritePolicy::ReadOnly,
        WriteName::Paths => {
            WritePolicy::Only(PathGlobs::new(&file.paths).map_err(|broken| error(format!("paths: {broken}")))?)
        }
    };
    let mut tools = file.tools;
    tools.insert(Tool::Finish);
    Ok(Profile {
        name: file.name,
        description: file.description,
        tools,
        write,
        change: file.change,
        prompt: file.prompt.trim().to_owned(),
        turns: file.turns,
    })
}

fn problem_of(file: &ProfileFile) -> Option<String> {
    let writes = [Tool::EditFile, Tool::WriteFile]
        .into_iter()
        .find(|tool| file.tools.contains(tool));
    if !domain::TaskKey::is_valid(&file.name) {
        Some(format!(
            "name = {:?} can't be a name; use at most 40 lower-case letters, digits and hyphens",
            file.name
        ))
    } else if file.description.trim().is_empty() || file.description.contains('\n') {
        Some("description must be one line: the director chooses by it".into())
    } else if file.prompt.len() > PROMPT_BYTES {
        let length = file.prompt.len();
        Some(format!(
            "prompt has {length} bytes, the limit is {PROMPT_BYTES}; long prompts make workers worse"
        ))
    } else if file.turns == Some(0) {
        Some("turns = 0 leaves nothing to do; leave it out for the run's own limit".into())
    } else if (file.write == WriteName::Paths) == file.paths.is_empty() {
        Some("paths goes with write = \"paths\", and only with it".into())
    } else if file.write == WriteName::None && file.change != Change::None {
        Some("write = \"none\" needs change = \"none\": what may not write can't change".into())
    } else if file.write != WriteName::None && file.change == Change::None {
        Some("change = \"none\" needs write = \"none\": its changes would be dropped".into())
    } else if file.write == WriteName::None {
        let of_no_use = |tool: Tool| format!("the tool {:?} is of no use with write = \"none\"", tool.name());
        writes.map(of_no_use)
    } else {
        None
    }
}

fn toml_files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCS: &str = r#"
name = "docs"
description = "Writes documentation."
tools = ["read_file", "write_file"]
write = "paths"
paths = ["docs/", "*.md"]
change = "required"
turns = 20
prompt = "Write plainly."
"#;

    fn refused(text: &str) -> String {
        parse(text, "x.toml").unwrap_err().to_string()
    }

    #[test]
    fn built_in_profiles_match_those_of_the_domain() {
        let profiles = Profiles::built_in().unwrap();
        assert_eq!(profiles.names(), ["coder", "planner", "tester"]);
        for profile in profiles.iter() {
            let known = domain::profile::built_in_change(&profile.name);
            assert_eq!(known, Some(profile.change), "{}", profile.name);
            assert!(profile.tools.contains(&Tool::Finish));
        }
    }

    #[test]
    fn tester_writes_only_test_paths() {
        let profiles = Profiles::built_in().unwrap();
        let tester = &profiles.get("tester").unwrap().write;
        for path in [
            "tests/a.sh",
            "crates/x/tests/deep/a.rs",
            "src/parser/tests.rs",
            "pkg/a_test.go",
            "web/a.spec.ts",
            "src/test/java/AIT.java",
            "test_words.py",
            "test.sh",
        ] {
            assert!(tester.permits(Path::new(path)), "{path}");
        }
        for path in ["src/lib.rs", "words.sh", "latest/x.rs", "src/contest.rs", "Makefile"] {
            assert!(!tester.permits(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn directory_adds_profiles() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("docs.toml"), DOCS).unwrap();
        std::fs::write(directory.path().join("README"), "not a profile").unwrap();
        let profiles = Profiles::with_directory(directory.path()).unwrap();
        let docs = profiles.get("docs").unwrap();
        assert_eq!((docs.turns, docs.tools.len()), (Some(20), 3));
        assert!(docs.write.permits(Path::new("docs/a")));

        let twice = DOCS.replace("\"docs\"", "\"coder\"");
        std::fs::write(directory.path().join("other.toml"), twice).unwrap();
        let error = Profiles::with_directory(directory.path()).unwrap_err().to_string();
        assert!(error.contains("other.toml") && error.contains("already"), "{error}");
    }

    #[test]
    fn contradictory_and_unknown_settings_are_refused() {
        assert!(refused(&DOCS.replace("turns", "tunrs")).contains("tunrs"));
        assert!(refused(&DOCS.replace("read_file", "teleport")).contains("teleport"));
        assert!(refused(&DOCS.replace("turns = 20", "turns = 0")).contains("turns"));
        assert!(refused(&DOCS.replace("\"paths\"", "\"all\"")).contains("paths"));
        assert!(refused(&DOCS.replace("required", "none")).contains("change"));
        assert!(refused(&DOCS.replace("\"docs\"", "\"Docs!\"")).contains("Docs!"));
    }
}
