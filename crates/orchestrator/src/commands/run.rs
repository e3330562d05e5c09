//! `orchestrator run`: run an objective and follow it to its end.

use super::end;
use crate::{
    cli::RunArguments,
    client::{self, Attached, failure},
    config::{Loaded, parse_model},
    failure::{Exit, Failure},
    following::{self, Since},
    output,
    wire::Purpose,
};
use api::{ModelChoice, NewRun, OrchConfig, RunLimits};
use std::{
    io::Read,
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use store::embedded::DataDirLock;

/// How long a server that starts in the background may take to answer.
const START: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// More than an objective may have, so that the server reports it.
const STANDARD_INPUT_BYTES: u64 = 1 << 20;

/// Submits an objective and follows the run.
pub(crate) async fn run(loaded: &Loaded, arguments: RunArguments, json: bool) -> Result<Exit, Failure> {
    let request = request(&arguments)?;
    if arguments.detach {
        return detach(loaded, &arguments, &request, json).await;
    }
    // If everything runs in this process, its user has named the workspace.
    let named = Loaded {
        named_workspace: Some(request.workspace_path.clone().into()),
        ..loaded.clone()
    };
    let loaded = &named;
    let attached = Attached::open(loaded, Purpose::Work).await?;
    let accepted = match attached.client.submit(&request, None).await {
        Ok(accepted) => accepted,
        Err(error) => {
            attached.close().await;
            return Err(in_flags(failure(error)));
        }
    };
    let id = accepted.id.to_string();
    let (attached, ending) = following::follow(
        attached,
        loaded,
        &id,
        Since::Beginning,
        end::mode(json, arguments.quiet),
    )
    .await?;
    end::end(attached, loaded, &accepted.short, ending, json).await
}

/// Replaces names of request fields by those of flags.
fn in_flags(mut failure: Failure) -> Failure {
    const FLAGS: [(&str, &str); 6] = [
        ("initialise", "--initialise"),
        ("workspace_path", "--workspace"),
        ("orch_config.director_model", "--director-model"),
        ("orch_config.worker_model", "--worker-model"),
        ("orch_config.check", "--check"),
        ("orch_config.max_cost_dollars", "--max-cost"),
    ];
    for (field, flag) in FLAGS {
        for (name, value) in &mut failure.details {
            if name == "field" && value == field {
                *value = flag.to_owned();
            }
        }
        failure.hint = failure.hint.map(|hint| hint.replace(field, flag));
    }
    failure
}

fn request(arguments: &RunArguments) -> Result<NewRun, Failure> {
    let model = |name: &Option<String>| -> Result<Option<ModelChoice>, Failure> {
        let Some(name) = name else { return Ok(None) };
        let model = parse_model(name)?;
        Ok(Some(ModelChoice {
            provider: model.provider,
            model_name: model.model,
        }))
    };
    Ok(NewRun {
        objective: objective(&arguments.objective)?,
        workspace_path: workspace(&arguments.workspace)?,
        initialise: arguments.initialise,
        orch_config: OrchConfig {
            director_model: model(&arguments.director_model)?,
            worker_model: model(&arguments.worker_model)?,
            check: arguments.check.clone(),
            max_cost_dollars: arguments.max_cost,
            limits: RunLimits {
                active_tasks: arguments.max_active,
                ..RunLimits::default()
            },
            allow_integrity_flags: arguments.allow_integrity_flags.then_some(true),
        },
    })
}

fn objective(text: &str) -> Result<String, Failure> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut objective = String::new();
    std::io::stdin()
        .take(STANDARD_INPUT_BYTES)
        .read_to_string(&mut objective)
        .map_err(|error| Failure::usage("the objective can't be read from standard input").caused_by(error))?;
    Ok(objective)
}

/// The absolute path: the server may have another working directory.
fn workspace(path: &Path) -> Result<String, Failure> {
    let absolute = path.canonicalize().or_else(|_| std::path::absolute(path));
    let problem = |found: String| {
        Failure::usage("the workspace can't be used")
            .with("path", path.display())
            .with("found", found)
    };
    let absolute = absolute.map_err(|error| problem(error.to_string()))?;
    absolute
        .into_os_string()
        .into_string()
        .map_err(|_| problem("a path that is not UTF-8".to_owned()))
}

/// Leaves the run to a server, and starts one in the background if there is none.
async fn detach(loaded: &Loaded, arguments: &RunArguments, request: &NewRun, json: bool) -> Result<Exit, Failure> {
    let found = match client::find(loaded).await {
        Some(found) => found,
        None => start_server(loaded, arguments).await?,
    };
    let accepted = found
        .client
        .submit(request, None)
        .await
        .map_err(|error| in_flags(failure(error)))?;
    if json {
        output::document(&accepted)?;
    } else {
        let follow = loaded.invocation.command(&["follow", &accepted.short]);
        output::line(&format!(
            "run {} continues at {}\ncome back with: {follow}",
            accepted.short, found.address
        ))?;
    }
    Ok(Exit::Complete)
}

async fn start_server(loaded: &Loaded, arguments: &RunArguments) -> Result<client::Found, Failure> {
    let data_dir = &loaded.config.data_dir;
    // Creates the directory with its permissions; the server takes the lock itself.
    let made = DataDirLock::take(data_dir).map_err(Failure::from)?;
    drop(made);
    let log = data_dir.join("server.log");
    let problem = |error: std::io::Error| {
        Failure::environment("a server can't be started in the background")
            .with("log", log.display())
            .caused_by(error)
    };
    let output = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log)
        .map_err(problem)?;
    let mut command = Command::new(std::env::current_exe().map_err(problem)?);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data_dir);
    if let Some(tier) = &arguments.sandbox.sandbox {
        command.args(["--sandbox", tier]);
    }
    if let Some(file) = &loaded.file {
        command.arg("--config").arg(file);
    }
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(problem)?)
        .stderr(output);
    // In its own process group, so that ctrl-c in this terminal does not reach it.
    let mut server = command.process_group(0).spawn().map_err(problem)?;
    let deadline = Instant::now() + START;
    loop {
        if let Some(found) = client::find(loaded).await {
            return Ok(found);
        }
        let ended = server.try_wait().map_err(problem)?;
        if ended.is_some() || Instant::now() > deadline {
            let tail = std::fs::read_to_string(&log).unwrap_or_default();
            let tail: Vec<&str> = tail.lines().rev().take(6).collect();
            let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
            return Err(Failure::environment("the server in the background did not start")
                .with("log", log.display())
                .hint(tail));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
