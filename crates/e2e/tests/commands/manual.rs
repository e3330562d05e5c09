//! Completions and manual pages work in real programs, and without a configuration.

use crate::said;
use e2e::{binary, directory, orchestrator};
use std::{path::Path, process::Command};

/// Neither a home nor a configuration that can be read.
fn without_configuration(arguments: &[&str], place: &Path) -> std::process::Output {
    std::fs::write(place.join(".env"), [0xff, 0xfe]).unwrap();
    let environment = [("HOME", ""), ("ORCHESTRATOR_CONFIG", "/nowhere/own.toml")];
    let output = orchestrator(arguments, &environment, place);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    output
}

#[test]
fn bash_completes_commands_and_flags() {
    let place = directory();
    let script = place.path().join("script");
    let printed = without_configuration(&["completions", "bash"], place.path()).stdout;
    std::fs::write(&script, printed).unwrap();
    let complete = |words: &[&str]| {
        let last = words.len() - 1;
        let program = format!(
            "source {}; COMP_WORDS=({}); COMP_CWORD={last}; _orchestrator orchestrator '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.join(" "),
            words[last],
            words[last - 1]
        );
        let output = Command::new("bash").args(["-c", &program]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete(&["orchestrator", "merge"]), "merges merge-audit");
    assert_eq!(complete(&["orchestrator", "run", "--det"]), "--detach");
    assert_eq!(complete(&["orchestrator", "follow", "--sandbox", "b"]), "bubblewrap");
}

#[test]
fn every_shell_has_a_script() {
    let place = directory();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = without_configuration(&["completions", shell], place.path()).stdout;
        assert!(String::from_utf8(script).unwrap().contains("merge-audit"), "{shell}");
    }
}

#[test]
fn manual_page_is_rendered() {
    let place = directory();
    without_configuration(&["man", "--directory", "pages"], place.path());
    let pages: Vec<_> = std::fs::read_dir(place.path().join("pages")).unwrap().collect();
    assert!(pages.len() > 20, "{}", pages.len());
    let page = without_configuration(&["man"], place.path()).stdout;
    assert!(String::from_utf8(page).unwrap().contains(".SH SYNOPSIS"));
    let run = place.path().join("pages/orchestrator-run.1");
    let rendered = Command::new("man").arg("-l").arg(&run).env("MANWIDTH", "90").output();
    let text = match rendered {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(_) | Err(_) => {
            eprintln!("skipped: there is no man that renders pages");
            return;
        }
    };
    for words in ["SYNOPSIS", "--max-cost", "GLOBAL OPTIONS", "orchestrator-run"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn exit_codes_are_in_the_manual_and_in_help() {
    let help = Command::new(binary()).arg("--help").output().unwrap();
    let page = Command::new(binary()).arg("man").output().unwrap();
    for text in [said(&help), said(&page)] {
        for words in ["Exit codes", "130", "a fault in orchestrator"] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}
