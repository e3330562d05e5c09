//! Paths whose content git passes through a program before it is stored: `filter=` in `.gitattributes`, as git-crypt and
//! git-lfs have it. No filter runs here, so what is written to such a path would be stored as it stands: a secret in clear
//! text, a large file in place of its pointer.
//!
//! Which attributes apply is left to git itself: `check-attr` on an empty repository in a directory of its own, with
//! nothing in it but the attributes. So macros, precedence, quoting and `-filter` are git's own.

use crate::{
    error::{At, Doing, GitError, GitResult},
    hub::{Hub, tree_of},
    ids::{RepoPath, commit_oid},
    process::{self, isolated, join},
    tree::{self, EXECUTABLE, FILE},
};
use domain::CommitId;
use git2::{Delta, ObjectType, Oid, Repository, Tree};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::{self, File},
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Asking git takes milliseconds.
const TIME_LIMIT: Duration = Duration::from_secs(60);
const COMMAND: &str = "git check-attr";
/// git reads no attributes from larger files.
const ATTRIBUTES_MAX_BYTES: u64 = 100 << 20;

/// Attributes that a user's git applies beside those of the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserAttributes {
    /// `.git/info/attributes`.
    own: Vec<u8>,
    /// `core.attributesFile`.
    everywhere: Vec<u8>,
    /// `core.ignoreCase`.
    ignore_case: bool,
}

/// A path with a filter that was written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filtered {
    pub(crate) path: RepoPath,
    pub(crate) filter: String,
}

impl UserAttributes {
    /// Reads those of a user's repository. Nothing there is changed or run.
    pub fn of(user_repository: &Path) -> GitResult<Self> {
        let doing = || format!("can't read the attributes of {}", user_repository.display());
        let repository = Repository::open(user_repository).doing(doing)?;
        let config = repository
            .config()
            .and_then(|mut config| config.snapshot())
            .doing(doing)?;
        let everywhere = config.get_path("core.attributesFile").ok().or_else(default_file);
        Ok(Self {
            own: read(&repository.commondir().join("info/attributes")),
            everywhere: everywhere.map(|path| read(&path)).unwrap_or_default(),
            ignore_case: config.get_bool("core.ignoreCase").unwrap_or(false),
        })
    }
}

/// Where git looks if `core.attributesFile` is not set.
fn default_file() -> Option<PathBuf> {
    let home = || Some(Path::new(&std::env::var_os("HOME")?).join(".config"));
    let configured = std::env::var_os("XDG_CONFIG_HOME").filter(|path| !path.is_empty());
    let directory = configured.map(PathBuf::from).or_else(home)?;
    Some(directory.join("git/attributes"))
}

/// A file that is missing says nothing, as to git.
fn read(path: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    if fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
        && let Ok(file) = File::open(path)
    {
        file.take(ATTRIBUTES_MAX_BYTES).read_to_end(&mut content).ok();
    }
    content
}

impl Hub {
    /// A path with a filter, by the attributes before or after, whose content `commit` has and `base` has not. Moving a
    /// file unchanged from a path with the same filter is no writing.
    pub(crate) fn filtered(
        &self,
        base: &CommitId,
        commit: &CommitId,
        user: &UserAttributes,
    ) -> GitResult<Option<Filtered>> {
        self.with(|handle| {
            let repository = &handle.objects;
            let before = tree_of(repository, commit_oid(base)?)?;
            let after = tree_of(repository, commit_oid(commit)?)?;
            let changes = Changes::between(repository, &before, &after)?;
            if changes.written.is_empty() {
                return Ok(None);
            }
            let paths: BTreeSet<&RepoPath> = changes.written.keys().chain(changes.gone.keys()).collect();
            let then = filters(repository, &before, &paths, user)?;
            let now = filters(repository, &after, &paths, user)?;
            let found = changes.written.iter().find_map(|(path, content)| {
                let filter = then.get(path).or_else(|| now.get(path))?;
                let moved = |(old, oid): (&RepoPath, &Oid)| oid == content && then.get(old) == Some(filter);
                (!changes.gone.iter().any(moved)).then(|| Filtered {
                    path: path.clone(),
                    filter: filter.clone(),
                })
            });
            Ok(found)
        })
    }
}

/// What differs between two trees.
struct Changes {
    /// Contents that are new at their path, empty ones left out: no filter makes anything of them.
    written: BTreeMap<RepoPath, Oid>,
    /// Contents that are no longer at their path.
    gone: BTreeMap<RepoPath, Oid>,
}

impl Changes {
    fn between(repository: &Repository, before: &Tree<'_>, after: &Tree<'_>) -> GitResult<Self> {
        let doing = || format!("can't compare the trees {} and {}", before.id(), after.id());
        let diff = repository
            .diff_tree_to_tree(Some(before), Some(after), None)
            .doing(doing)?;
        let empty = Oid::hash_object(ObjectType::Blob, b"").doing(doing)?;
        let (mut written, mut gone) = (BTreeMap::new(), BTreeMap::new());
        for delta in diff.deltas() {
            let is_file = |file: &git2::DiffFile<'_>| matches!(i32::from(file.mode()), FILE | EXECUTABLE);
            let (old, new) = (delta.old_file(), delta.new_file());
            let same = delta.status() != Delta::Added && old.id() == new.id();
            if same {
                continue;
            }
            if let Some(path) = new.path_bytes().filter(|_| is_file(&new) && new.id() != empty) {
                written.insert(RepoPath::new(path), new.id());
            }
            if let Some(path) = old.path_bytes().filter(|_| is_file(&old)) {
                gone.insert(RepoPath::new(path), old.id());
            }
        }
        Ok(Self { written, gone })
    }
}

/// The paths that have a filter by the attributes of a tree and the user's, each with its name.
fn filters(
    repository: &Repository,
    tree: &Tree<'_>,
    paths: &BTreeSet<&RepoPath>,
    user: &UserAttributes,
) -> GitResult<BTreeMap<RepoPath, String>> {
    let files = attribute_files(repository, tree, paths)?;
    let speaks = |text: &[u8]| text.windows(6).any(|word| word == b"filter");
    let texts = files.iter().map(|(_, text)| text).chain([&user.own, &user.everywhere]);
    if !texts.into_iter().any(|text| speaks(text)) {
        return Ok(BTreeMap::new());
    }
    let directory = tempfile::tempdir().at("can't make a directory for attributes in", &std::env::temp_dir())?;
    let (own, checkout) = (directory.path().join("git"), directory.path().join("checkout"));
    let (everywhere, asked) = (directory.path().join("everywhere"), directory.path().join("asked"));
    let list: Vec<u8> = paths
        .iter()
        .flat_map(|path| [path.as_bytes(), b"\0"].concat())
        .collect();
    for directory in ["objects", "refs", "info"]
        .map(|name| own.join(name))
        .iter()
        .chain([&checkout])
    {
        fs::create_dir_all(directory).at("can't make the directory", directory)?;
    }
    for (path, content) in [
        (own.join("HEAD"), &b"ref: refs/heads/none\n"[..]),
        (own.join("info/attributes"), &user.own),
        (everywhere.clone(), &user.everywhere),
        (asked.clone(), &list),
    ] {
        fs::write(&path, content).at("can't write", &path)?;
    }
    for (path, text) in files {
        let path = checkout.join(OsStr::from_bytes(path.as_bytes()));
        let parent = path.parent().unwrap_or(&checkout);
        fs::create_dir_all(parent).at("can't make the directory", parent)?;
        fs::write(&path, text).at("can't write", &path)?;
    }
    let mut command = isolated("git");
    command
        .current_dir(&checkout)
        .arg(join("--git-dir=", &own))
        .arg(join("--work-tree=", &checkout))
        .arg("-c")
        .arg(join("core.attributesFile=", &everywhere))
        .args([
            "-c",
            if user.ignore_case {
                "core.ignoreCase=true"
            } else {
                "core.ignoreCase=false"
            },
        ])
        .args(["check-attr", "-z", "--stdin", "filter"])
        .stdin(File::open(&asked).at("can't read", &asked)?);
    let output = process::run(command, COMMAND, TIME_LIMIT)?;
    match output.status {
        Some(0) => Ok(parse(&output.stdout)),
        _ => Err(GitError::Program {
            command: COMMAND.to_owned(),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
    }
}

/// Path, attribute, value, each with a zero behind it. A filter has a name: `filter` alone is none to git.
fn parse(answer: &[u8]) -> BTreeMap<RepoPath, String> {
    let fields: Vec<&[u8]> = answer.split(|byte| *byte == 0).collect();
    let named = fields.chunks_exact(3).filter_map(|answer| match *answer {
        [_, _, b"unspecified" | b"unset" | b"set"] => None,
        [path, _, value] => Some((RepoPath::new(path), String::from_utf8_lossy(value).into_owned())),
        _ => None,
    });
    named.collect()
}

/// The `.gitattributes` of the directories of the paths. As to git, a link is none.
fn attribute_files(
    repository: &Repository,
    tree: &Tree<'_>,
    paths: &BTreeSet<&RepoPath>,
) -> GitResult<Vec<(RepoPath, Vec<u8>)>> {
    let mut directories: BTreeSet<&[u8]> = BTreeSet::from([&b""[..]]);
    for path in paths {
        let bytes = path.as_bytes();
        let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        directories.extend(slashes.map(|(at, _)| &bytes[..=at]));
    }
    let mut files = Vec::new();
    for directory in directories {
        let path = RepoPath::new([directory, b".gitattributes"].concat());
        if let Some(text) = tree::read_regular(repository, tree.id(), &path)? {
            files.push((path, text));
        }
    }
    Ok(files)
}
