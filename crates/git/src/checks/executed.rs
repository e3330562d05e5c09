//! Files that a user's git, shell, editor, package manager, coding agent or forge runs, or takes commands from, without
//! being asked. They are no mistake by themselves: one that was added or changed is flagged, and a person reviews it first.
//!
//! A tree is compared with another, object by object. Names are compared as the most forgiving file system would.

mod attributes;
mod configured;
mod links;
mod list;
mod scripts;

pub use configured::UserCommands;

use crate::{
    error::{Doing, GitResult},
    hub::{Hub, tree_of},
    ids::{RepoPath, commit_oid},
    tree::{
        self, EXECUTABLE, Entry, FILE, LINK, SUBMODULE,
        reserved::{control_file, is_ignored},
    },
};
use domain::{
    CommitId,
    integrity::{
        IntegrityFlag,
        IntegrityFlagKind::{self, ExecutableByGit, GitAttributesFilter, LinkOutside, PackageScript},
    },
};
use git2::{DiffFile, Oid, Repository, Tree};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use links::{Leads, follow};
use list::{HOOKS, RULES, Rule};
use std::{collections::HashMap, sync::OnceLock};

/// How many are listed one by one; the others are counted.
const MOST_FLAGS: usize = 100;

impl Hub {
    /// What `commit` adds or changes of such files beside `base`, where the user's own git runs what `user` says.
    pub fn executed(&self, base: &CommitId, commit: &CommitId, user: &UserCommands) -> GitResult<Vec<IntegrityFlag>> {
        self.with(|handle| {
            let repository = &handle.objects;
            let before = tree_of(repository, commit_oid(base)?)?;
            let after = tree_of(repository, commit_oid(commit)?)?;
            let mut found = Vec::new();
            let look = Look {
                repository,
                before: before.id(),
                after: after.id(),
                places: places(repository, &after, user)?,
                user,
            };
            let doing = || format!("can't compare {base} and {commit}");
            let diff = repository
                .diff_tree_to_tree(Some(&before), Some(&after), None)
                .doing(doing)?;
            for delta in diff.deltas() {
                look.at(version(&delta.old_file()), version(&delta.new_file()), &mut found)?;
            }
            Ok(bounded(found))
        })
    }
}

/// A side of a change; `None`: there is nothing at the path.
fn version(file: &DiffFile<'_>) -> Option<(RepoPath, Entry)> {
    let (path, mode) = (RepoPath::new(file.path_bytes()?), i32::from(file.mode()));
    (file.exists() && mode != 0).then(|| (path, Entry { mode, oid: file.id() }))
}

/// The first, and how many more there are.
fn bounded(mut found: Vec<IntegrityFlag>) -> Vec<IntegrityFlag> {
    found.sort();
    found.dedup_by(|one, other| one.kind == other.kind && one.path == other.path);
    let more = found.split_off(found.len().min(MOST_FLAGS));
    if let Some(first) = more.first() {
        let detail = format!("{} more findings, of this kind and others, are not listed", more.len());
        found.push(IntegrityFlag::of_merge(first.kind, detail));
    }
    found
}

/// A directory, or a file, that is run wherever in the tree it is.
struct Place {
    path: String,
    kind: IntegrityFlagKind,
    reason: String,
}

/// Where links of the tree lead that stand for directories in the list, and for directories of hooks.
fn places(repository: &Repository, tree: &Tree<'_>, user: &UserCommands) -> GitResult<Vec<Place>> {
    let mut places = Vec::new();
    for (hooks, key) in &user.hooks {
        let reason = format!("{key} of your git configuration makes git run it as a hook");
        let mut paths = vec![hooks.clone()];
        if let Leads::To(target) = follow(repository, tree.id(), hooks)? {
            paths.push(target);
        }
        places.extend(paths.iter().map(|path| Place {
            path: fold(path.as_bytes()),
            kind: ExecutableByGit,
            reason: reason.clone(),
        }));
    }
    for link in tree.iter().filter(|entry| entry.filemode_raw() == LINK) {
        let path = RepoPath::new(link.name_bytes());
        if let (Some(rule), Leads::To(target)) =
            (rule_for(&fold(path.as_bytes())), follow(repository, tree.id(), &path)?)
            && !target.as_bytes().is_empty()
        {
            places.push(Place {
                path: fold(target.as_bytes()),
                kind: rule.kind,
                reason: format!("'{path}' is a link to it: {}", rule.reason),
            });
        }
    }
    Ok(places)
}

struct Look<'a> {
    repository: &'a Repository,
    before: Oid,
    after: Oid,
    places: Vec<Place>,
    user: &'a UserCommands,
}

impl Look<'_> {
    /// Looks at one path that differs.
    fn at(
        &self,
        old: Option<(RepoPath, Entry)>,
        new: Option<(RepoPath, Entry)>,
        found: &mut Vec<IntegrityFlag>,
    ) -> GitResult<()> {
        let Some((path, _)) = new.as_ref().or(old.as_ref()) else {
            return Ok(());
        };
        let name = path.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let mut flag = |kind, detail: String| found.push(IntegrityFlag::in_file(kind, path.to_string(), detail));
        if control_file(name) == Some(".gitattributes") {
            let (before, after) = (self.text(self.before, path)?, self.text(self.after, path)?);
            if let Some(said) = attributes::changed(&before, &after) {
                flag(GitAttributesFilter, said);
            }
        }
        let Some((path, entry)) = &new else {
            return Ok(());
        };
        let how = if old.is_some() { "changed" } else { "added" };
        let folded = fold(path.as_bytes());
        if let Some(rule) = rule_for(&folded) {
            flag(rule.kind, format!("{how}: {}", rule.reason));
        }
        if control_file(name) == Some(".gitmodules") || entry.mode == SUBMODULE {
            flag(
                ExecutableByGit,
                format!("{how}: git fetches a submodule as it says, and may run its commands"),
            );
        }
        for place in self.places.iter().filter(|place| holds(&place.path, &folded)) {
            flag(place.kind, format!("{how}: {}", place.reason));
        }
        for (_, why) in self
            .user
            .files
            .iter()
            .filter(|(file, _)| fold(file.as_bytes()) == folded)
        {
            flag(ExecutableByGit, format!("{how}: in your git configuration {why}"));
        }
        if entry.mode == LINK {
            if let Leads::Out(why) = follow(self.repository, self.after, path)? {
                flag(LinkOutside, format!("{how}: a link, and {why}"));
            }
            let last = folded.rsplit('/').next().unwrap_or_default();
            if let Some(rule) = holder(last) {
                let said = format!("{how}: a link in the place of a directory, in which: {}", rule.reason);
                flag(rule.kind, said);
            }
        }
        let script = folded.rsplit('/').next().unwrap_or_default();
        if matches!(script, "package.json" | "composer.json") && matches!(entry.mode, FILE | EXECUTABLE) {
            let (before, after) = (self.text(self.before, path)?, self.text(self.after, path)?);
            if let Some(said) = scripts::changed(script.as_bytes(), &before, &after) {
                flag(PackageScript, said);
            }
        }
        Ok(())
    }

    fn text(&self, tree: Oid, path: &RepoPath) -> GitResult<Vec<u8>> {
        Ok(tree::read_regular(self.repository, tree, path)?.unwrap_or_default())
    }
}

/// Whether a path is the place or below it. Of the root only what is named as a hook is meant.
fn holds(place: &str, path: &str) -> bool {
    match place {
        "" => HOOKS.contains(&path),
        place => path
            .strip_prefix(place)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    }
}

/// A path as the file systems see it that distinguish least: no case, no code points that HFS+ ignores, no stream, no
/// dots and blanks at the end of a name.
fn fold(path: &[u8]) -> String {
    let path = String::from_utf8_lossy(path);
    let names = path.split(['/', '\\']).map(|name| {
        let shown: String = name.chars().filter(|char| !is_ignored(*char)).collect();
        let stored = shown.split(':').next().unwrap_or_default().trim_end_matches([' ', '.']);
        // By way of upper case, as some letters have two small forms.
        stored
            .chars()
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase)
            .collect::<String>()
    });
    names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join("/")
}

/// The list, ready to be matched.
struct Matcher {
    globs: Gitignore,
    rules: HashMap<String, &'static Rule>,
    /// First names of patterns that say what is in a directory.
    holders: HashMap<&'static str, &'static Rule>,
}

fn matcher() -> &'static Matcher {
    static MATCHER: OnceLock<Matcher> = OnceLock::new();
    MATCHER.get_or_init(|| {
        let mut builder = GitignoreBuilder::new("");
        let (mut rules, mut holders) = (HashMap::new(), HashMap::new());
        for rule in RULES {
            for pattern in rule.patterns {
                let glob = match pattern.starts_with('/') {
                    true => (*pattern).to_owned(),
                    false => format!("**/{pattern}"),
                };
                // That every pattern can be read is a test of this file.
                builder.add_line(None, &glob).ok();
                rules.insert(glob, rule);
                if let Some((holder, _)) = pattern.trim_start_matches('/').split_once('/') {
                    holders.insert(holder, rule);
                }
            }
        }
        Matcher {
            globs: builder.build().unwrap_or_else(|_| Gitignore::empty()),
            rules,
            holders,
        }
    })
}

/// What the list says of a folded path.
fn rule_for(folded: &str) -> Option<&'static Rule> {
    let matcher = matcher();
    if folded.is_empty() {
        return None;
    }
    match matcher.globs.matched_path_or_any_parents(folded, false) {
        ignore::Match::Ignore(glob) => matcher.rules.get(glob.original()).copied(),
        ignore::Match::None | ignore::Match::Whitelist(_) => None,
    }
}

/// What is looked for in a directory of that folded name.
fn holder(folded: &str) -> Option<&'static Rule> {
    matcher().holders.get(folded).copied()
}

#[cfg(test)]
mod tests {
    use super::{RULES, fold, matcher, rule_for};
    use domain::integrity::IntegrityFlagKind::{self, Direnv, EditorTask, ExecutableByGit, PackageScript, Workflow};

    #[test]
    fn every_pattern_is_one_and_in_lower_case() {
        let patterns: usize = RULES.iter().map(|rule| rule.patterns.len()).sum();
        assert_eq!(matcher().globs.len(), patterns);
        assert_eq!(matcher().rules.len(), patterns, "a pattern stands there twice");
        for pattern in RULES.iter().flat_map(|rule| rule.patterns) {
            assert_eq!(*pattern, pattern.to_lowercase());
        }
    }

    #[test]
    fn paths_are_found_whatever_their_case_and_depth() {
        let kind = |path: &str| rule_for(&fold(path.as_bytes())).map(|rule| rule.kind);
        let expected: [(&str, IntegrityFlagKind); 24] = [
            (".githooks/pre-commit", ExecutableByGit),
            ("a/.husky/_/husky.sh", ExecutableByGit),
            ("lefthook-local.yml", ExecutableByGit),
            (".pre-commit-config.yaml", ExecutableByGit),
            (".envrc", Direnv),
            ("sub/.ENVRC", Direnv),
            (".env\u{200d}rc", Direnv),
            (".envrc. .", Direnv),
            (".mise/tasks/x", Direnv),
            ("x/.config/mise/config.toml", Direnv),
            (".vscode/tasks.json", EditorTask),
            ("pkg/.VSCode/Settings.json", EditorTask),
            (".v\u{17f}code/tasks.json", EditorTask),
            (".vscode\\tasks.json", EditorTask),
            (".vscode/tasks.json::$DATA", EditorTask),
            ("x.code-workspace", EditorTask),
            (".idea/runConfigurations/x.xml", EditorTask),
            (".claude/settings.json", EditorTask),
            (".github/workflows/ci.yml", Workflow),
            (".GitHub/Workflows/deep/ci.yml", Workflow),
            (".gitlab-ci.yml", Workflow),
            ("ci/Jenkinsfile.release", Workflow),
            ("crates/a/.cargo/config.toml", PackageScript),
            (".yarnrc.yml", PackageScript),
        ];
        for (path, wanted) in expected {
            assert_eq!(kind(path), Some(wanted), "{path:?}");
        }
        for path in [
            "",
            "README.md",
            "src/main.rs",
            ".github/ISSUE_TEMPLATE.md",
            "templates/.github/workflows/ci.yml",
            "env",
            ".env.example",
            "vscode/tasks.json",
            "src/hooks/useState.ts",
            "package.json",
            "Cargo.toml",
            "docs/envrc.md",
            "Makefile",
            "build.rs",
        ] {
            assert_eq!(kind(path), None, "{path:?}");
        }
    }
}
