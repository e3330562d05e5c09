//! Invalid command lines and configurations: a documented exit code and a clear message.

use crate::support::{Refused, all_refused, mistakes};
use e2e::{Product, directory, orchestrator, repository};
use serde_json::Value;
use sim_llm::Scenario;
use std::{net::TcpListener, path::Path};

/// Arguments and variables of a start, and the expected error text.
type BadLine<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a [&'a str]);

const MODELS: [&str; 4] = [
    "--director-model",
    "openai/scripted",
    "--worker-model",
    "openai/scripted",
];

#[test]
fn invalid_configuration_names_setting_and_fix() {
    let place = directory();
    let files: [(&str, &[&str]); 16] = [
        (
            "[server]\nlisen = \"127.0.0.1:80\"\n",
            &["no setting server.lisen", "0.toml:2", "did you mean server.listen?"],
        ),
        (
            "[databse]\nurl = \"x\"\n",
            &["databse", "1.toml:1", "did you mean database?"],
        ),
        ("wokers = 3\n", &["wokers", "expected one of"]),
        ("[server\n", &["not valid TOML", ":1"]),
        ("[server]\nlisten = \"here\"\n", &["server.listen", "here", "4.toml:2"]),
        ("[server]\nlisten = 80\n", &["server.listen", "80"]),
        ("[engine]\nworkers = 0\n", &["engine.workers", "at least 1"]),
        ("[engine]\nworkers = -1\n", &["engine.workers", "-1"]),
        (
            "[sandbox]\ntier = \"docker\"\n",
            &["sandbox.tier", "docker", "bubblewrap"],
        ),
        ("[budget]\nrun_dollars = -2.0\n", &["budget.run_dollars", "-2"]),
        (
            "[models]\ndirector = \"gpt-4\"\n",
            &["models.director", "gpt-4", "provider/model"],
        ),
        ("[limits]\nturn = 3\n", &["limits.turn", "did you mean limits.turns?"]),
        ("[limits]\nrun_s = \"long\"\n", &["limits.run_s", "long"]),
        (
            "[providers.mine]\nbase_ulr = \"http://x/v1\"\n",
            &["base_ulr", "did you mean providers.mine.base_url?"],
        ),
        ("[telemetry]\nlog_format = \"xml\"\n", &["telemetry.log_format", "xml"]),
        (
            "[workspaces.a]\npth = \"/x\"\n",
            &["workspaces.a.pth", "did you mean workspaces.a.path?"],
        ),
    ];
    let data_dir = place.path().join("data");
    let data_dir = data_dir.to_str().unwrap();
    let mut wrong = Vec::new();
    for (number, (text, words)) in files.iter().enumerate() {
        let file = place.path().join(format!("{number}.toml"));
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        for command in ["config", "serve"] {
            let arguments = &[command, "--config", file, "--data-dir", data_dir];
            wrong.extend(
                Refused {
                    arguments,
                    environment: &[],
                    code: 2,
                    says: words,
                }
                .mistake(place.path()),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    used_only_when_served(place.path(), data_dir);
    variables(place.path(), data_dir);
    assert!(
        !Path::new(data_dir).join("postgres").exists(),
        "a server was started for nothing"
    );
}

/// Values that parse, but are rejected at start.
fn used_only_when_served(directory: &Path, data_dir: &str) {
    let files: [(&str, i32, &[&str]); 6] = [
        (
            "[providers.mine]\nstream = true\n",
            2,
            &["mine", "no address", "providers.mine.base_url"],
        ),
        (
            "[providers.mine]\nbase_url = \"not an address\"\n",
            2,
            &["mine", "base_url is not a URL", "https://host/v1"],
        ),
        ("[models]\nprices = \"nowhere.toml\"\n", 2, &["nowhere.toml", "prices"]),
        ("[engine]\nprofiles = \"nowhere\"\n", 2, &["nowhere", "profiles"]),
        ("[server]\ntoken_file = \"nowhere\"\n", 2, &["nowhere", "token"]),
        ("[telemetry]\nlog = \"a=b=c\"\n", 2, &["a=b=c"]),
    ];
    let mut wrong = Vec::new();
    for (text, code, words) in files {
        let file = directory.join("late.toml");
        std::fs::write(&file, text).unwrap();
        let arguments = &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--config",
            file.to_str().unwrap(),
            "--data-dir",
            data_dir,
        ];
        wrong.extend(
            Refused {
                arguments,
                environment: &[],
                code,
                says: words,
            }
            .mistake(directory),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn variables(directory: &Path, data_dir: &str) {
    let variables: [(&str, &str, &[&str]); 7] = [
        (
            "ORCHESTRATOR_WORKERS",
            "many",
            &["ORCHESTRATOR_WORKERS", "many", "number"],
        ),
        (
            "ORCHESTRATOR_LISTEN",
            "everywhere",
            &["ORCHESTRATOR_LISTEN", "everywhere"],
        ),
        ("ORCHESTRATOR_SANDBOX", "docker", &["ORCHESTRATOR_SANDBOX", "docker"]),
        ("ORCHESTRATOR_RUN_DOLLARS", "-1", &["budget.run_dollars", "-1"]),
        ("ORCHESTRATOR_DIRECTOR_MODEL", "gpt-4", &["gpt-4", "provider/model"]),
        (
            "ORCHESTRATOR_CONFIG",
            "/nowhere/at.toml",
            &["/nowhere/at.toml", "can't be read"],
        ),
        ("API_PORT", "http", &["API_PORT", "http"]),
    ];
    let mut wrong = Vec::new();
    for (name, value, words) in variables {
        let arguments = &["serve", "--data-dir", data_dir];
        wrong.extend(
            Refused {
                arguments,
                environment: &[(name, value)],
                code: 2,
                says: words,
            }
            .mistake(directory),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn invalid_command_line_is_rejected() {
    let place = directory();
    let data_dir = place.path().join("data");
    let data_dir = data_dir.to_str().unwrap();
    let lines: [(&[&str], &[&str]); 8] = [
        (&["fly"], &["fly", "--help"]),
        (&["run"], &["OBJECTIVE"]),
        (&["serve", "--listn", "x"], &["--listn", "--listen"]),
        (&["serve", "--listen", "here"], &["here", "--listen"]),
        (&["run", "x", "--max-cost", "much"], &["much", "--max-cost"]),
        (&["run", "x", "--director-model", "gpt-4"], &["gpt-4", "provider/model"]),
        (
            &["run", "x", "--sandbox", "docker"],
            &["docker", "--sandbox", "bubblewrap"],
        ),
        (&["demo", "--resolver-scenario", "/nowhere.toml"], &["/nowhere.toml"]),
    ];
    let lines = lines.map(|(arguments, words)| ([arguments, &["--data-dir", data_dir]].concat(), words));
    let refused = lines.iter().map(|(arguments, says)| Refused {
        arguments,
        environment: &[],
        code: 2,
        says,
    });
    all_refused(refused, place.path());
}

#[test]
fn unusable_data_directory_or_address_names_the_fix() {
    let place = directory();
    let file = place.path().join("file");
    std::fs::write(&file, "text").unwrap();
    let (file, below) = (file.to_str().unwrap(), file.join("below"));
    let data_dir = place.path().join("data");
    let data_dir = data_dir.to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let lines: [BadLine<'_>; 7] = [
        (&["--listen", &address], &[], &[&address, "in use", "--listen"]),
        (
            &["--listen", "0.0.0.0:0"],
            &[],
            &["0.0.0.0:0", "ORCHESTRATOR_TOKEN", "127.0.0.1"],
        ),
        (
            &["--listen", "203.0.113.1:80"],
            &[("ORCHESTRATOR_TOKEN", "t")],
            &["203.0.113.1:80", "--listen"],
        ),
        (&["--data-dir", file], &[], &[file, "--data-dir"]),
        (&["--data-dir", below.to_str().unwrap()], &[], &[file, "--data-dir"]),
        (&["--data-dir", "/proc/nowhere"], &[], &["/proc/nowhere", "--data-dir"]),
        (
            &[],
            &[("ORCHESTRATOR_BUBBLEWRAP", "/nowhere/bwrap")],
            &["/nowhere/bwrap", "--sandbox none"],
        ),
    ];
    let lines = lines.map(|(arguments, environment, words)| {
        let arguments = [
            &["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir][..],
            arguments,
        ]
        .concat();
        (without_repeated_flags(&arguments), environment, words)
    });
    let refused = lines.iter().map(|(arguments, environment, says)| Refused {
        arguments,
        environment,
        code: 3,
        says,
    });
    all_refused(refused, place.path());
}

/// Later values override earlier ones.
fn without_repeated_flags<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let (command, flags) = arguments.split_first().unwrap();
    let mut kept: Vec<&str> = vec![command];
    for (at, pair) in flags.chunks(2).enumerate() {
        if !flags.chunks(2).skip(at + 1).any(|later| later[0] == pair[0]) {
            kept.extend(pair);
        }
    }
    kept
}

/// Commands that use a running server.
#[tokio::test(flavor = "multi_thread")]
async fn server_errors_are_shown_in_terms_of_flags() {
    let product = Product::start(Scenario::from_rules(vec![])).await;
    let place = product.directory.path().to_owned();
    let data_dir = product.data_dir();
    let data_dir = data_dir.to_str().unwrap();
    let workspace = repository(&place.join("repository"), &[("a", "1\n")]);
    let workspace = workspace.to_str().unwrap();
    let notes = place.join("notes");
    std::fs::create_dir(&notes).unwrap();
    std::fs::write(notes.join("a"), "1\n").unwrap();
    let notes = notes.to_str().unwrap();
    let file = place.join("server.log");
    let file = file.to_str().unwrap();

    let run = |more: &[&'static str]| [&["run", "x", "--workspace", workspace], more].concat();
    let lines: Vec<(Vec<&str>, &[&str])> = vec![
        (
            [&["run", "", "--workspace", workspace][..], &MODELS].concat(),
            &["objective is empty"],
        ),
        (
            [&["run", "x", "--workspace", file][..], &MODELS].concat(),
            &["--workspace", "server.log", "is a file"],
        ),
        (
            [&["run", "x", "--workspace", data_dir][..], &MODELS].concat(),
            &["--workspace", "data directory"],
        ),
        (
            [&["run", "x", "--workspace", notes][..], &MODELS].concat(),
            &["--initialise", "is no git repository"],
        ),
        (
            [&["run", "x", "--workspace", "/etc"][..], &MODELS].concat(),
            &["--workspace", "belongs to the system"],
        ),
        (run(&[]), &["--director-model", "no model is named"]),
        (
            run(&["--director-model", "opnai/x", "--worker-model", "openai/scripted"]),
            &["--director-model", "opnai"],
        ),
        ([run(&MODELS), vec!["--max-cost=-1"]].concat(), &["--max-cost", "-1"]),
        ([run(&MODELS), vec!["--check", " "]].concat(), &["--check"]),
        (
            vec!["show", "0193b3c4-0000-7000-8000-000000000000"],
            &["0193b3c4-0000-7000-8000-000000000000"],
        ),
        (vec!["show", "deadbeef"], &["deadbeef"]),
        (vec!["show", "not an id"], &["not an id"]),
        (vec!["follow", "deadbeef"], &["deadbeef"]),
        (vec!["logs", "deadbeef"], &["deadbeef"]),
        (vec!["diff", "deadbeef"], &["deadbeef"]),
        (vec!["cancel", "deadbeef"], &["deadbeef"]),
    ];
    let lines: Vec<_> = lines
        .into_iter()
        .map(|(line, words)| ([&line[..], &["--data-dir", data_dir]].concat(), words))
        .collect();
    let refused = lines.iter().map(|(arguments, says)| Refused {
        arguments,
        environment: &[],
        code: 2,
        says,
    });
    all_refused(refused, &place);
    // The same with `--json`: only JSON on standard output.
    let (arguments, words) = &lines[1];
    let json = orchestrator(&[arguments, &["--json"][..]].concat(), &[], &place);
    assert_eq!(mistakes(&json, 2, words), Vec::<String>::new());
    let document: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(document["error"]["problem"].is_string(), "{document:#}");
    assert!(product.journal().is_empty());

    let second = orchestrator(
        &["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir],
        &[],
        &place,
    );
    assert_eq!(mistakes(&second, 3, &[data_dir, "another"]), Vec::<String>::new());
    let presence: Value =
        serde_json::from_str(&std::fs::read_to_string(product.data_dir().join("server.json")).unwrap()).unwrap();
    assert_eq!(
        presence["address"], product.address,
        "the refused server took the other's address away"
    );
}

#[test]
fn missing_key_is_named_before_any_call() {
    let place = directory();
    let workspace = repository(&place.path().join("repository"), &[("a", "1\n")]);
    let data_dir = place.path().join("data");
    let arguments = [
        "run",
        "x",
        "--workspace",
        workspace.to_str().unwrap(),
        "--data-dir",
        data_dir.to_str().unwrap(),
    ];
    let arguments = [&arguments[..], &MODELS].concat();
    let says = &["openai", "OPENAI_API_KEY"];
    all_refused(
        [Refused {
            arguments: &arguments,
            environment: &[],
            code: 2,
            says,
        }],
        place.path(),
    );
}
