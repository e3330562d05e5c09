//! Whole calls, with a real sandbox and a real worktree.

use std::fs;
use std::path::Path;

use sandbox::{Settings, Tier};
use serde_json::json;
use tempfile::TempDir;

use super::*;

struct Fixture {
    outer: TempDir,
    tool_box: ToolBox,
}

async fn fixture_with(change: impl FnOnce(&mut ToolSettings)) -> Fixture {
    let outer = tempfile::tempdir().unwrap();
    for directory in ["wt/src", "out"] {
        fs::create_dir_all(outer.path().join(directory)).unwrap();
    }
    let mut settings = ToolSettings {
        worktree: outer.path().join("wt"),
        hub: None,
        outputs: outer.path().join("out"),
        allowed: Tool::ALL.into(),
        write_policy: WritePolicy::All,
        limits: ToolLimits::default(),
        shell_env: vec![("ATTEMPT".to_owned(), "7".to_owned())],
        build_caches: Vec::new(),
    };
    change(&mut settings);
    let sandbox = Sandbox::probe(Tier::Bubblewrap, Settings::default()).await.unwrap();
    Fixture {
        outer,
        tool_box: ToolBox::new(settings, Arc::new(sandbox)).unwrap(),
    }
}

async fn fixture() -> Fixture {
    fixture_with(|_| {}).await
}

impl Fixture {
    async fn call(&self, name: &str, arguments: serde_json::Value) -> ToolResult {
        self.tool_box
            .call(name, &arguments.to_string(), &CancellationToken::new(), None)
            .await
    }

    fn put(&self, path: &str, content: &str) {
        let path = self.outer.path().join("wt").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

#[tokio::test]
async fn file_is_written_read_edited_and_run() {
    let fixture = fixture().await;
    let written = fixture
        .call(
            "write_file",
            json!({"path": "bin/hi.sh", "content": "echo one\necho $ATTEMPT\n"}),
        )
        .await;
    assert_eq!(written.content, "Created `bin/hi.sh`: 2 lines, 23 bytes.");
    let edited = fixture
        .call("edit_file", json!({"path": "bin/hi.sh", "old": "one", "new": "two"}))
        .await;
    assert_eq!(edited.content, "Edited `bin/hi.sh` at line 1: now 1 line.");
    let read = fixture.call("read_file", json!({"path": "bin/hi.sh"})).await;
    assert_eq!(read.content, "     1\techo two\n     2\techo $ATTEMPT\n");
    let run = fixture.call("shell", json!({"command": "sh bin/hi.sh"})).await;
    assert!(
        run.ok && run.content.starts_with("two\n7\n[exit code 0; "),
        "{}",
        run.content
    );
    assert_eq!(fs::read_dir(fixture.outer.path().join("out")).unwrap().count(), 0);
}

#[tokio::test]
async fn failing_command_is_reported_with_its_exit_code() {
    let fixture = fixture().await;
    let run = fixture
        .call("shell", json!({"command": "printf 'no newline'; exit 3"}))
        .await;
    assert!(
        !run.ok && run.content.starts_with("no newline\n[exit code 3; "),
        "{}",
        run.content
    );
    let killed = fixture.call("shell", json!({"command": "kill -SEGV $$"})).await;
    assert!(killed.content.contains("usually means signal 11"), "{}", killed.content);
}

#[tokio::test]
async fn command_that_times_out_says_how_to_request_more_time() {
    let fixture = fixture().await;
    let run = fixture
        .call("shell", json!({"command": "echo before; sleep 987301", "timeout_s": 1}))
        .await;
    assert!(
        !run.ok && run.content.starts_with("before\n[killed: it ran longer than 1 s"),
        "{}",
        run.content
    );
    assert!(run.content.contains("at most 900"), "{}", run.content);
}

#[tokio::test]
async fn long_output_goes_to_a_file_that_tools_and_commands_can_read() {
    let fixture = fixture().await;
    let run = fixture.call("shell", json!({"command": "seq 1 20000"})).await;
    let file = fixture.outer.path().join("out/shell-0001.txt");
    let file = file.to_str().unwrap();
    assert!(
        run.ok && run.content.len() < 10_500 && run.content.contains(file),
        "{}",
        run.content
    );
    assert!(run.content.contains("20000\n[exit code 0; "), "{}", run.content);
    let read = fixture
        .call("read_file", json!({"path": file, "offset": 10_000, "limit": 1}))
        .await;
    assert!(read.content.starts_with(" 10000\t10000\n"), "{}", read.content);
    let inside = fixture
        .call("shell", json!({"command": format!("tail -n1 {file}; echo x > {file}")}))
        .await;
    assert!(
        !inside.ok && inside.content.starts_with("20000\n"),
        "{}",
        inside.content
    );
    let found = fixture.call("search", json!({"path": file, "pattern": "^1234$"})).await;
    assert!(found.content.ends_with(":1234:1234\n"), "{}", found.content);
}

#[tokio::test]
async fn unknown_tool_lists_the_tools() {
    let fixture = fixture_with(|settings| settings.allowed = [Tool::ReadFile, Tool::Finish].into()).await;
    let result = fixture.call("rm_rf", json!({})).await;
    assert_eq!(
        result.content,
        "The tool `rm_rf` does not exist. The tools are: finish, read_file."
    );
    let result = fixture.call("shell", json!({"command": "true"})).await;
    assert!(
        !result.ok && result.content.contains("is not available to this worker"),
        "{}",
        result.content
    );
}

#[tokio::test]
async fn unreadable_arguments_get_an_answer() {
    let fixture = fixture().await;
    for arguments in [
        "",
        "null",
        "[]",
        "{",
        "\"path\"",
        "{\"path\": 1}",
        "\u{0}",
        "{\"path\":\"a\",\"x\":1}",
    ] {
        for tool in Tool::ALL {
            let result = fixture
                .tool_box
                .call(tool.name(), arguments, &CancellationToken::new(), None)
                .await;
            assert!(
                !result.ok && result.content.contains("arguments"),
                "{arguments}: {}",
                result.content
            );
        }
    }
}

#[tokio::test]
async fn descriptions_are_sorted_and_closed() {
    let specs = fixture().await.tool_box.specs();
    let names: Vec<&str> = specs.iter().map(|spec| spec.name).collect();
    assert_eq!(
        names,
        [
            "edit_file",
            "finish",
            "list_dir",
            "read_file",
            "search",
            "shell",
            "write_file"
        ]
    );
    for spec in specs {
        assert_eq!(spec.parameters["type"], "object", "{}", spec.name);
        assert_eq!(spec.parameters["additionalProperties"], false, "{}", spec.name);
        let text = spec.parameters.to_string();
        assert!(
            !text.contains("$ref") && !text.contains("null") && !text.contains("oneOf"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn directory_is_listed_without_git() {
    let fixture = fixture().await;
    fixture.put("src/a.rs", "fn a() {}");
    fixture.put(".git", "gitdir: x");
    fixture.put("README", "hello");
    std::os::unix::fs::symlink("README", fixture.outer.path().join("wt/link")).unwrap();
    let listed = fixture.call("list_dir", json!({"path": "."})).await;
    assert_eq!(listed.content, "README  5 bytes\nlink -> README\nsrc/\n");
    let refused = fixture.call("list_dir", json!({"path": ".."})).await;
    assert!(
        !refused.ok && refused.content.contains("outside the worktree"),
        "{}",
        refused.content
    );
    assert!(
        fixture
            .call("list_dir", json!({"path": "README"}))
            .await
            .content
            .contains("is not a directory")
    );
}

#[tokio::test]
async fn search_skips_ignored_and_foreign_files() {
    let fixture = fixture().await;
    fixture.put("src/a.rs", "one\nfn needle() {}\n");
    fixture.put("src/b.bin", "\0needle");
    fixture.put("target/c.rs", "needle");
    fixture.put(".gitignore", "target/\n");
    fixture.put(".github/x.yml", "a: needle");
    fixture.put(".git/config", "needle");
    fs::write(fixture.outer.path().join("secret"), "needle").unwrap();
    std::os::unix::fs::symlink("../secret", fixture.outer.path().join("wt/link")).unwrap();
    let found = fixture.call("search", json!({"pattern": "needle"})).await;
    assert_eq!(found.content, ".github/x.yml:1:a: needle\nsrc/a.rs:2:fn needle() {}\n");
    let found = fixture
        .call("search", json!({"pattern": "(?i)NEEDLE", "path": "src"}))
        .await;
    assert_eq!(found.content, "src/a.rs:2:fn needle() {}\n");
    assert_eq!(
        fixture.call("search", json!({"pattern": "haystack"})).await.content,
        "[nothing matches `haystack`]"
    );
    let refused = fixture.call("search", json!({"pattern": "x", "path": "link"})).await;
    assert!(
        !refused.ok && refused.content.contains("outside the worktree"),
        "{}",
        refused.content
    );
    let refused = fixture.call("search", json!({"pattern": "fn ("})).await;
    assert!(
        !refused.ok && refused.content.contains("not a regular expression"),
        "{}",
        refused.content
    );
}

#[tokio::test]
async fn search_shows_a_limited_number_of_matches() {
    let fixture = fixture_with(|settings| settings.limits.search_matches = 3).await;
    fixture.put("a", &"match\n".repeat(100));
    let found = fixture.call("search", json!({"pattern": "match"})).await;
    assert_eq!(found.content.matches("match\n").count(), 3, "{}", found.content);
    assert!(found.content.contains("only the first 3 matches"), "{}", found.content);
}

#[tokio::test]
async fn read_only_worker_cannot_write_by_tool_or_command() {
    let fixture = fixture_with(|settings| settings.write_policy = WritePolicy::ReadOnly).await;
    let refused = fixture.call("write_file", json!({"path": "a", "content": "x"})).await;
    assert!(
        !refused.ok && refused.content.contains("may not be written"),
        "{}",
        refused.content
    );
    assert!(!fixture.call("shell", json!({"command": "echo x > a"})).await.ok);
    assert!(!fixture.outer.path().join("wt/a").exists());
}

#[tokio::test]
async fn cancelled_command_is_reported() {
    let fixture = fixture().await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    let result = fixture
        .tool_box
        .call("shell", r#"{"command": "sleep 987302"}"#, &cancel, None)
        .await;
    assert!(!result.ok && result.content.contains("cancelled"), "{}", result.content);
}

#[tokio::test]
async fn finish_is_only_parsed() {
    let fixture = fixture().await;
    let result = fixture
        .call("finish", json!({"outcome": "blocked", "summary": "No network."}))
        .await;
    assert!(result.ok);
    assert_eq!(result.finish.unwrap().summary, "No network.");
}

#[tokio::test]
async fn missing_worktree_is_named() {
    let sandbox = Sandbox::probe(Tier::None, Settings::default()).await.unwrap();
    let settings = ToolSettings {
        worktree: Path::new("/nowhere/wt").to_owned(),
        hub: None,
        outputs: Path::new("/tmp").to_owned(),
        allowed: Tool::ALL.into(),
        write_policy: WritePolicy::All,
        limits: ToolLimits::default(),
        shell_env: Vec::new(),
        build_caches: Vec::new(),
    };
    let error = ToolBox::new(settings, Arc::new(sandbox)).unwrap_err();
    assert!(error.to_string().contains("/nowhere/wt"), "{error}");
}
