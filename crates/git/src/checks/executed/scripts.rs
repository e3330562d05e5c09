//! Scripts that a package manager runs at an install.

use super::list::{HOOK_KEYS, INSTALL_SCRIPTS};
use serde_json::Value;

/// What changed of such scripts in a file of that name, in a sentence; `None`: nothing did, or it has none.
pub(super) fn changed(name: &[u8], before: &[u8], after: &[u8]) -> Option<String> {
    let read = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap_or_default();
    let (before, after) = (read(before), read(after));
    let differs = |key: &&str| !after[*key].is_null() && after[*key] != before[*key];
    let scripts = after["scripts"].as_object().into_iter().flatten();
    let differing = scripts.filter(|(key, script)| before["scripts"].get(key.as_str()) != Some(script));
    let mut keys = differing.map(|(key, _)| key.as_str());
    let (script, runs) = match name {
        b"package.json" => {
            let script = keys.find(|key| INSTALL_SCRIPTS.contains(key));
            let hooks = || HOOK_KEYS.iter().copied().find(differs);
            (
                script.or_else(hooks)?,
                "npm and its kin run it at an install or a commit",
            )
        }
        b"composer.json" => {
            let script = keys.find(|key| key.starts_with("pre-") || key.starts_with("post-"))?;
            (script, "composer runs it at an install or update")
        }
        _ => return None,
    };
    Some(format!("the script `{script}` is new or changed: {runs}"))
}

#[cfg(test)]
mod tests {
    use super::changed;

    #[test]
    fn only_scripts_that_run_by_themselves_count() {
        let before = r#"{"scripts": {"test": "x", "prepare": "husky"}}"#;
        let said = |after: &str| changed(b"package.json", before.as_bytes(), after.as_bytes());
        for quiet in [
            before,
            r#"{"scripts": {"test": "y", "build": "z", "prepare": "husky"}, "version": "2"}"#,
            "{}",
            "no json",
            "[]",
            r#"{"scripts": 3}"#,
        ] {
            assert_eq!(said(quiet), None, "{quiet}");
        }
        for loud in [
            r#"{"scripts": {"prepare": "evil"}}"#,
            r#"{"scripts": {"postinstall": "evil"}}"#,
            r#"{"simple-git-hooks": {"pre-commit": "evil"}}"#,
        ] {
            assert!(said(loud).is_some(), "{loud}");
        }
        let composer = br#"{"scripts": {"post-install-cmd": "evil", "test": "x"}}"#;
        assert!(changed(b"composer.json", b"", composer).is_some());
        assert!(changed(b"other.json", b"", composer).is_none());
    }
}
