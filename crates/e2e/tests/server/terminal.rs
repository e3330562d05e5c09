//! Texts of models and repositories, printed to a terminal and to a file.

use e2e::{Product, binary, done, git, plan};
use serde_json::json;
use sim_llm::{Rule, Scenario};
use std::process::{Command, Stdio};

/// Control codes that set a title, clear the screen, write to the clipboard (in 7 and 8 bits) and reverse text.
const HOSTILE: &str =
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}]52;c;b3duZWQ=\u{1b}\\\u{9b}31m\u{9d}0;owned\u{9c}\r\u{8}\u{202e}";

/// The output of a command on a terminal, which `script` provides.
fn on_a_terminal(product: &Product, arguments: &str) -> Vec<u8> {
    let command = format!(
        "{} --data-dir {} {arguments}",
        binary().display(),
        product.data_dir().display()
    );
    let output = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(product.directory.path())
        .env("TERM", "xterm")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    output.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn terminal_control_codes_are_removed_and_patches_stay_exact() {
    let content = format!("a line{HOSTILE}\nended by both\r\n\n");
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("only", &[])])),
        Rule::worker("only")
            .turn(1)
            .call(
                "write_file",
                json!({"path": format!("file{HOSTILE}"), "content": content}),
            )
            .call(
                "shell",
                json!({"command": format!("printf '\\377\\n' > bytes; : {HOSTILE}")}),
            ),
        Rule::worker("only").turn(2).call(
            "finish",
            json!({"outcome": "done", "summary": format!("done {HOSTILE}")}),
        ),
        Rule::any().call("finish", done()),
    ]);
    let product = Product::start(scenario).await;
    let workspace = product.repository("repository", &[("a", "1\n")]);
    let run = product.submit(&workspace, None).await;
    let ended = product.end(run).await;
    assert_eq!(ended["state"], "complete", "{ended:#}");

    for arguments in [
        format!("diff {run}"),
        format!("diff {run} --json"),
        format!("show {run}"),
        format!("logs {run}"),
        format!("logs {run} --json"),
        "runs".to_owned(),
        "merges --all".to_owned(),
        "show nobody".to_owned(),
        "show \"$(printf '\\033[2Jx')\"".to_owned(),
    ] {
        let shown = on_a_terminal(&product, &arguments);
        let text = String::from_utf8_lossy(&shown).into_owned();
        assert!(!text.is_empty(), "{arguments}");
        // The terminal converts line ends to CR LF.
        let text = text.replace("\r\n", "\n");
        let steering = |letter: char| (letter.is_control() && letter != '\n' && letter != '\t') || letter == '\u{202e}';
        assert!(!text.contains(steering), "{arguments}: {text:?}");
    }

    let arguments = [
        "--data-dir",
        &product.data_dir().display().to_string(),
        "diff",
        &run.to_string(),
    ];
    let piped = Command::new(binary())
        .args(arguments)
        .current_dir(product.directory.path())
        .output()
        .unwrap();
    let base = ended["base_commit"].as_str().unwrap();
    let commit = ended["delivered_commit"].as_str().unwrap();
    let exact = Command::new("git")
        .current_dir(&workspace)
        .args(["diff", "--no-color", base, commit])
        .output()
        .unwrap();
    assert!(
        piped.stdout == exact.stdout,
        "{}",
        String::from_utf8_lossy(&piped.stdout)
    );
    let patch = product.directory.path().join("patch");
    std::fs::write(&patch, &piped.stdout).unwrap();
    let copy = product.directory.path().join("copy");
    git(
        product.directory.path(),
        &["clone", "-q", workspace.to_str().unwrap(), copy.to_str().unwrap()],
    );
    git(&copy, &["checkout", "-q", base]);
    git(&copy, &["apply", "--index", patch.to_str().unwrap()]);
    assert_eq!(
        git(&copy, &["write-tree"]),
        git(&workspace, &["rev-parse", &format!("{commit}^{{tree}}")])
    );
}
