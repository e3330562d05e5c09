//! Files that hold settings of a runner among other things: only those settings decide a check.

use serde_json::Value;
use std::collections::BTreeSet;
use toml::{Table, Value as Toml};

/// Settings of runners in a `package.json`, beside its scripts.
const PACKAGE: [&str; 8] = ["jest", "mocha", "vitest", "ava", "nyc", "c8", "tap", "babel"];
/// Tables of a `pyproject.toml`.
const PYPROJECT: [&str; 6] = [
    "tool.pytest",
    "tool.coverage",
    "tool.tox",
    "tool.nox",
    "tool.hatch.envs",
    "tool.poe",
];
/// Settings of a `Cargo.toml`.
const CARGO: [&str; 9] = [
    "lib.test",
    "lib.doctest",
    "lib.harness",
    "lib.path",
    "package.autotests",
    "package.build",
    "profile.test",
    "workspace.default-members",
    "workspace.exclude",
];
/// Sections of a `setup.cfg`.
const SETUP_CFG: [&str; 4] = ["tool:pytest", "coverage:run", "coverage:report", "aliases"];

/// What a later version of such a file changes of what decides the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Settings {
    /// Nothing.
    Same,
    /// These settings; the file with them as they were, or nothing where it can't be made.
    Changed {
        keys: Vec<String>,
        restored: Option<String>,
    },
}

/// Compares two versions of a file; `None` where the file holds nothing but settings or none at all.
pub(super) fn compare(path: &str, before: Option<&str>, after: Option<&str>, check: &str) -> Option<Settings> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let settings = match name {
        "package.json" => json(before, after, check),
        "pyproject.toml" => toml(before, after, &PYPROJECT, false),
        "Cargo.toml" => toml(before, after, &CARGO, true),
        "setup.cfg" => sections(before.unwrap_or_default(), after.unwrap_or_default()),
        _ => return None,
    };
    // What can't be read any more is taken for changed as a whole.
    Some(settings.unwrap_or_else(|| Settings::Changed {
        keys: vec!["the whole file".to_owned()],
        restored: None,
    }))
}

fn changed(keys: Vec<String>, restored: impl FnOnce() -> Option<String>) -> Settings {
    match keys.is_empty() {
        true => Settings::Same,
        false => Settings::Changed {
            keys,
            restored: restored(),
        },
    }
}

/// The scripts of a `package.json` that a check runs, each as it stands there.
pub(super) fn npm_scripts(package: &str, check: &str) -> Vec<String> {
    let Ok(package) = serde_json::from_str::<Value>(package) else {
        return Vec::new();
    };
    let names = reached(&package, check);
    let script = |name: &String| package["scripts"][name].as_str().map(str::to_owned);
    names.iter().filter_map(script).collect()
}

/// The names of the scripts that a check reaches: those it names, `test`, what these name, and what npm runs before
/// and after each.
fn reached(package: &Value, check: &str) -> BTreeSet<String> {
    let words = |text: &str| -> Vec<String> {
        let context =
            text.split(|letter: char| letter.is_whitespace() || matches!(letter, ';' | '&' | '|' | '"' | '\''));
        context.map(str::to_owned).collect()
    };
    let (mut names, mut open) = (BTreeSet::new(), words(check));
    open.push("test".to_owned());
    while let Some(name) = open.pop() {
        for name in [format!("pre{name}"), format!("post{name}"), name] {
            let script = package["scripts"].get(&name).and_then(Value::as_str);
            if let Some(script) = script
                && names.insert(name)
            {
                open.extend(words(script));
            }
        }
    }
    names
}

fn json(before: Option<&str>, after: Option<&str>, check: &str) -> Option<Settings> {
    let read = |text: Option<&str>| text.map_or(Some(Value::Null), |text| serde_json::from_str::<Value>(text).ok());
    let (before, mut after) = (read(before)?, read(after)?);
    let scripts = reached(&before, check).into_iter().chain(reached(&after, check));
    let mut pointers: BTreeSet<String> = scripts.map(|name| format!("/scripts/{}", escaped(&name))).collect();
    pointers.extend(PACKAGE.iter().map(|name| format!("/{name}")));
    let keys: Vec<String> = pointers
        .into_iter()
        .filter(|pointer| before.pointer(pointer) != after.pointer(pointer))
        .collect();
    let words = keys.iter().map(|pointer| pointer[1..].replace('/', ".")).collect();
    Some(changed(words, || {
        for pointer in &keys {
            let (directory, name) = pointer.rsplit_once('/')?;
            let name = name.replace("~1", "/").replace("~0", "~");
            let holder = after.pointer_mut(directory)?.as_object_mut()?;
            match before.pointer(pointer) {
                Some(value) => holder.insert(name, value.clone()),
                None => holder.remove(&name),
            };
        }
        serde_json::to_string_pretty(&after).ok()
    }))
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn toml(before: Option<&str>, after: Option<&str>, paths: &[&str], is_cargo: bool) -> Option<Settings> {
    let read = |text: Option<&str>| text.unwrap_or_default().parse::<Table>().ok();
    let (before, mut after) = (read(before)?, read(after)?);
    let mut keys: Vec<String> = paths
        .iter()
        .filter(|path| get(&before, path) != get(&after, path))
        .map(|path| (*path).to_owned())
        .collect();
    for path in &keys {
        set(&mut after, path, get(&before, path).cloned());
    }
    if is_cargo {
        // A new package brings its own; what counts is that nothing is lost, or kept from running as a test.
        for path in ["test", "bin", "workspace.members"] {
            let own: &[Toml] = get(&before, path).and_then(Toml::as_array).map_or(&[], Vec::as_slice);
            let new: Vec<Toml> = get(&after, path).and_then(Toml::as_array).cloned().unwrap_or_default();
            let muted: Vec<&Toml> = new
                .iter()
                .filter(|entry| is_muted(entry) && !own.contains(entry))
                .collect();
            let lost = path != "bin" && own.iter().any(|entry| !new.contains(entry));
            if lost || !muted.is_empty() {
                keys.push(path.to_owned());
                let added = new.iter().filter(|entry| !own.contains(entry) && !is_muted(entry));
                let all: Vec<Toml> = own.iter().chain(added).cloned().collect();
                set(&mut after, path, (!all.is_empty()).then_some(Toml::Array(all)));
            }
        }
    }
    Some(changed(keys, || toml::to_string(&after).ok()))
}

/// Whether a target is kept from being tested.
fn is_muted(target: &Toml) -> bool {
    let is_off = |key: &str| target.get(key).and_then(Toml::as_bool) == Some(false);
    is_off("test") || is_off("harness")
}

fn get<'a>(table: &'a Table, path: &str) -> Option<&'a Toml> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let value = table.get(first)?;
    match rest.is_empty() {
        true => Some(value),
        false => get(value.as_table()?, rest),
    }
}

fn set(table: &mut Table, path: &str, value: Option<Toml>) {
    match (path.split_once('.'), value) {
        (None, Some(value)) => drop(table.insert(path.to_owned(), value)),
        (None, None) => drop(table.remove(path)),
        (Some((first, rest)), value) => {
            let holder = table.entry(first).or_insert_with(|| Toml::Table(Table::new()));
            if let Some(holder) = holder.as_table_mut() {
                set(holder, rest, value);
            }
        }
    }
}

/// An INI file as its sections, the first without a name.
fn sections(before: &str, after: &str) -> Option<Settings> {
    let (before, after) = (split(before), split(after));
    let body = |sections: &[(String, String)], name: &str| -> String {
        let own = sections
            .iter()
            .filter(|(section, _)| section == name)
            .map(|(_, body)| body.as_str());
        own.collect()
    };
    let settings = |text: String| -> Vec<String> {
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
        lines.map(str::to_owned).collect()
    };
    let differs = |name: &&str| settings(body(&before, name)) != settings(body(&after, name));
    let keys: Vec<String> = SETUP_CFG.into_iter().filter(differs).map(str::to_owned).collect();
    Some(changed(keys.clone(), || {
        let kept = after.iter().filter(|(name, _)| !keys.contains(name));
        let earlier = before.iter().filter(|(name, _)| keys.contains(name));
        let text = kept.chain(earlier).map(|(name, body)| match name.is_empty() {
            true => body.clone(),
            false => format!("[{name}]\n{body}"),
        });
        Some(text.collect())
    }))
}

fn split(text: &str) -> Vec<(String, String)> {
    let mut sections = vec![(String::new(), String::new())];
    for line in text.lines() {
        let name = line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match (name, sections.last_mut()) {
            (Some(name), _) => sections.push((name.trim().to_owned(), String::new())),
            (None, Some((_, body))) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(path: &str, before: &str, after: &str) -> Vec<String> {
        match compare(path, Some(before), Some(after), "npm run unit") {
            Some(Settings::Changed { keys, .. }) => keys,
            Some(Settings::Same) => Vec::new(),
            None => vec!["not a document".to_owned()],
        }
    }

    fn restored(path: &str, before: &str, after: &str) -> String {
        match compare(path, Some(before), Some(after), "npm test") {
            Some(Settings::Changed { restored, .. }) => restored.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_package_may_gain_dependencies_and_scripts_and_may_not_change_those_that_the_check_runs() {
        let before = r#"{"scripts": {"test": "npm run all", "all": "node --test", "unit": "x"}}"#;
        let honest = r#"{"scripts": {"test": "npm run all", "all": "node --test", "unit": "x", "lint": "eslint"},
            "dependencies": {"left-pad": "1"}}"#;
        assert!(keys("package.json", before, honest).is_empty());
        for (change, key) in [
            (
                r#"{"scripts": {"test": "echo ok", "all": "node --test", "unit": "x"}}"#,
                "scripts.test",
            ),
            (
                r#"{"scripts": {"test": "npm run all", "all": "true", "unit": "x"}}"#,
                "scripts.all",
            ),
            (
                r#"{"scripts": {"test": "npm run all", "all": "node --test"}}"#,
                "scripts.unit",
            ),
            (
                r#"{"scripts": {"test": "npm run all", "all": "node --test", "unit": "x", "pretest": "exit 0"}}"#,
                "scripts.pretest",
            ),
            (
                r#"{"scripts": {"test": "npm run all", "all": "node --test", "unit": "x"}, "jest": {"roots": []}}"#,
                "jest",
            ),
        ] {
            assert_eq!(keys("package.json", before, change), [key], "{change}");
        }
        let text = restored(
            "package.json",
            before,
            r#"{"name": "n", "scripts": {"test": "echo ok"}, "dependencies": {}}"#,
        );
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&value["scripts"]["test"], &value["name"]),
            (&Value::from("npm run all"), &Value::from("n"))
        );
        assert_eq!(keys("package.json", before, "{"), ["the whole file"]);
    }

    #[test]
    fn a_manifest_may_gain_members_tests_and_dependencies() {
        let before = "[workspace]\nmembers = [\"a\"]\n[[test]]\nname = \"it\"\n[dependencies]\nx = \"1\"\n";
        let honest = "[workspace]\nmembers = [\"a\", \"b\"]\n[[test]]\nname = \"it\"\n[[test]]\nname = \"more\"\n\
                      [dependencies]\nx = \"2\"\ny = \"1\"\n";
        assert!(keys("Cargo.toml", before, honest).is_empty());
        for (change, key) in [
            (
                "[workspace]\nmembers = []\n[[test]]\nname = \"it\"\n",
                "workspace.members",
            ),
            ("[workspace]\nmembers = [\"a\"]\n", "test"),
            (
                "[workspace]\nmembers = [\"a\"]\n[[test]]\nname = \"it\"\nharness = false\n",
                "test",
            ),
            (
                "[workspace]\nmembers = [\"a\"]\n[[test]]\nname = \"it\"\n[lib]\ntest = false\n",
                "lib.test",
            ),
            (
                "[workspace]\nmembers = [\"a\"]\nexclude = [\"a\"]\n[[test]]\nname = \"it\"\n",
                "workspace.exclude",
            ),
        ] {
            assert_eq!(keys("Cargo.toml", before, change), [key], "{change}");
        }
        let text = restored("Cargo.toml", before, "[lib]\ntest = false\n[dependencies]\nz = \"1\"\n");
        let table: Table = text.parse().unwrap();
        assert!(get(&table, "lib.test").is_none() && get(&table, "dependencies.z").is_some());
        assert_eq!(
            get(&table, "workspace.members"),
            get(&before.parse().unwrap(), "workspace.members")
        );
    }

    #[test]
    fn python_settings_are_those_of_the_runner() {
        let before = "[project]\nname = \"a\"\n[tool.pytest.ini_options]\naddopts = \"-q\"\n";
        assert!(keys("pyproject.toml", before, &before.replace("\"a\"", "\"b\"")).is_empty());
        let change = before.replace("-q", "--collect-only");
        assert_eq!(keys("pyproject.toml", before, &change), ["tool.pytest"]);
        assert!(restored("pyproject.toml", before, &change).contains("\"-q\""));
        let before = "[metadata]\nname = a\n[tool:pytest]\naddopts = -q\n";
        assert!(
            keys(
                "setup.cfg",
                before,
                "[metadata]\nname = b\n# c\n[tool:pytest]\n# d\naddopts = -q\n"
            )
            .is_empty()
        );
        let change = "[metadata]\nname = b\n[tool:pytest]\naddopts = -k nothing\n";
        assert_eq!(keys("setup.cfg", before, change), ["tool:pytest"]);
        let text = restored("setup.cfg", before, change);
        assert!(text.contains("name = b") && text.contains("addopts = -q"), "{text}");
        assert_eq!(compare("src/a.py", None, None, ""), None);
    }
}
