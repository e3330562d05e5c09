//! `orchestrator demo`: the real product on a small repository, with a scripted model.

use super::{end, next, serve};
use crate::{
    cli::DemoArguments,
    client::{Attached, exit, failure},
    config::Loaded,
    demo_place::{self, Place},
    failure::{Exit, Failure},
    following::{self, Ending, Interrupts, Since},
    invocation::{Invocation, quoted},
    output,
    report::{self, Report, RunDocument},
    wire::Scripted,
};
use api::{ModelChoice, NewRun, OrchConfig};
use llm::ModelFacts;
use serde::Serialize;
use sim_llm::{Entry, Options, Scenario, Server};
use std::path::Path;

const SCENARIO: &str = include_str!("../../demo/scenario.toml");
const DECLINE: &str = include_str!("../../demo/scenario-decline.toml");
const PROVIDER: &str = "scripted";
const DIRECTOR: &str = "demo-director";
const WORKER: &str = "demo-worker";
const CHECK: &str = "sh test.sh";
const OBJECTIVE: &str = "Extend the command report: the length of the longest line, the three most frequent words, \
    and a summary of all facts with their values lined up; empty texts work, the README names every command.";
/// Most runs of a demo directory that are searched for one on its repository.
const RUNS: u32 = 50;

/// The document of a demo: that of a run, with the requests to the scripted model.
#[derive(Debug, Serialize)]
struct DemoDocument {
    #[serde(flatten)]
    document: RunDocument,
    /// Always true: no real model was called.
    scripted_model: bool,
    model_journal: ModelJournal,
    data_dir: Option<String>,
}

/// Totals of the model server's journal.
#[derive(Debug, Default, Serialize)]
struct ModelJournal {
    requests: usize,
    rate_limited: usize,
    violations: usize,
    prompt_tokens: u64,
    cached_tokens: u64,
    completion_tokens: u64,
}

/// Runs the demo. On the data directory of an earlier demo, it continues that one.
pub(crate) async fn demo(mut loaded: Loaded, arguments: DemoArguments, json: bool) -> Result<Exit, Failure> {
    let place = Place::choose(&loaded, arguments.serve)?;
    loaded.config.data_dir = place.data_dir.clone();
    // It lies beside the data directory, which for root is below /var.
    loaded.config.server.workspaces.push(place.repository.clone());
    loaded.invocation.use_data_dir(&place.data_dir);
    let scenario = scenario(arguments.resolver_scenario.as_deref())?;
    let server = start_model(&place, scenario).await?;
    if !arguments.quiet {
        introduce(&place, json)?;
    }
    let played = play(&loaded, &place, &arguments, &server, json).await;
    server.stop().await;
    place.clean();
    played
}

async fn play(
    loaded: &Loaded,
    place: &Place,
    arguments: &DemoArguments,
    server: &Server,
    json: bool,
) -> Result<Exit, Failure> {
    let listen = if arguments.serve {
        loaded.config.server.listen
    } else {
        ([127, 0, 0, 1], 0).into()
    };
    let attached = Attached::scripted(loaded, listen, scripted(server)).await?;
    let (run, from) = match run(&attached, place).await {
        Ok(run) => run,
        Err(failure) => {
            attached.close().await;
            return Err(failure);
        }
    };
    let mode = end::mode(json, arguments.quiet);
    let (attached, ending) = following::follow(attached, loaded, &run, from, mode).await?;
    let Ending::Over(state) = ending else {
        attached.close().await;
        if !place.is_temporary {
            output::note("stopped; on the same data directory, the demo continues");
        }
        return Ok(Exit::Detached);
    };
    let document = end::document(&attached, &run).await;
    let printed = match document {
        Ok(document) => print(loaded, place, document, &server.journal(), json),
        Err(failure) => Err(failure),
    };
    if arguments.serve && printed.is_ok() {
        let address = attached.client.address();
        output::note(&format!("\nserving at {address} (runs, /docs, /metrics); ctrl-c stops"));
        serve::until_signal(attached.close(), Interrupts::new()?).await?;
    } else {
        attached.close().await;
    }
    printed.map(|()| exit(state))
}

fn scenario(resolver: Option<&str>) -> Result<Scenario, Failure> {
    let problem = |error: sim_llm::ScenarioError| {
        Failure::usage("the model's script can't be used")
            .caused_by(error)
            .hint("see --resolver-scenario")
    };
    let parse = |text: &str| Scenario::parse(text, Path::new(".")).map_err(problem);
    let base = parse(SCENARIO)?;
    match resolver {
        None => Ok(base),
        Some("decline") => Ok(base.merge(parse(DECLINE)?)),
        Some(file) => Ok(base.merge(Scenario::load(Path::new(file)).map_err(problem)?)),
    }
}

async fn start_model(place: &Place, scenario: Scenario) -> Result<Server, Failure> {
    // The journal is kept with the data, so that counting continues after a restart.
    let journal = Some(place.data_dir.join("sim-llm.jsonl"));
    Server::start(
        scenario,
        Options {
            journal,
            ..Options::default()
        },
    )
    .await
    .map_err(|error| Failure::environment("the scripted model can't start").caused_by(error))
}

/// The prices are invented, so that there is something to count.
fn scripted(server: &Server) -> Scripted {
    let priced = |input: f64, output: f64| ModelFacts {
        input: Some(input),
        output: Some(output),
        window: Some(200_000),
        ..ModelFacts::default()
    };
    Scripted {
        provider: PROVIDER.to_owned(),
        base_url: server.base_url(),
        models: vec![
            (DIRECTOR.to_owned(), priced(2.0, 8.0)),
            (WORKER.to_owned(), priced(0.5, 2.0)),
        ],
    }
}

/// The run of this directory: an unfinished one, else a complete one, else a new one.
async fn run(attached: &Attached, place: &Place) -> Result<(String, Since), Failure> {
    let page = attached.client.runs(None, None, RUNS).await.map_err(failure)?;
    let repository = place.repository.display().to_string();
    let mut earlier = page.runs.into_iter().filter(|run| run.workspace_path == repository);
    let earlier = earlier.find(|run| !run.state.is_final() || run.state == domain::run::RunState::Complete);
    if let Some(run) = earlier {
        return Ok((run.id.to_string(), Since::Now));
    }
    demo_place::unpack(&place.repository)?;
    let model = |name: &str| {
        Some(ModelChoice {
            provider: PROVIDER.to_owned(),
            model_name: name.to_owned(),
        })
    };
    let request = NewRun {
        objective: OBJECTIVE.to_owned(),
        workspace_path: repository,
        initialise: false,
        orch_config: OrchConfig {
            director_model: model(DIRECTOR),
            worker_model: model(WORKER),
            check: Some(CHECK.to_owned()),
            ..OrchConfig::default()
        },
    };
    let accepted = attached.client.submit(&request, None).await.map_err(failure)?;
    Ok((accepted.id.to_string(), Since::Beginning))
}

fn introduce(place: &Place, json: bool) -> Result<(), Failure> {
    let text = format!(
        "This is the real product (database, sandbox, git, merge queue) on a small real repository:\n  {}\n\
         Only the model is not real: it is scripted, and its prices are invented.\n",
        place.repository.display()
    );
    if json {
        output::note(&text);
        return Ok(());
    }
    output::line(&text)
}

fn print(loaded: &Loaded, place: &Place, document: RunDocument, journal: &[Entry], json: bool) -> Result<(), Failure> {
    let journal = ModelJournal::of(journal);
    if json {
        let data_dir = (!place.is_temporary).then(|| place.data_dir.display().to_string());
        return output::document(&DemoDocument {
            document,
            scripted_model: true,
            model_journal: journal,
            data_dir,
        });
    }
    let report = document.report();
    let mut lines = report::lines(
        &report,
        &next_commands(loaded, place, &report),
        &loaded.invocation,
        end::columns(),
    );
    lines.push(String::new());
    lines.push(format!(
        "The scripted model answered {} requests ({} of them: rate limited).",
        journal.requests, journal.rate_limited
    ));
    let own = Invocation::of_program().command(&["run", "OBJECTIVE", "--workspace", "PATH"]);
    lines.push(format!("On a repository of your own: {own}"));
    output::line(&lines.join("\n"))
}

/// The data of a temporary demo is gone by now, its repository is not.
fn next_commands(loaded: &Loaded, place: &Place, report: &Report) -> Vec<String> {
    if !place.is_temporary {
        return next::next_commands(&loaded.invocation, report);
    }
    let (Some(base), Some(commit)) = (&report.base, &report.commit) else {
        return Vec::new();
    };
    let (base, commit) = (short(base), short(commit));
    let git = |words: &[&str]| quoted(&[&["git", "-C", &report.repository], words].concat());
    vec![
        git(&["log", "--graph", "--oneline", &format!("{base}..{commit}")]),
        git(&["diff", base, commit]),
    ]
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

impl ModelJournal {
    fn of(entries: &[Entry]) -> Self {
        entries.iter().fold(Self::default(), |sums, entry| Self {
            requests: sums.requests + 1,
            rate_limited: sums.rate_limited + usize::from(entry.status == sim_llm::Status::Http(429)),
            violations: sums.violations + entry.violations.len(),
            prompt_tokens: sums.prompt_tokens + entry.prompt_tokens,
            cached_tokens: sums.cached_tokens + entry.cached_tokens,
            completion_tokens: sums.completion_tokens + entry.completion_tokens,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_of_the_demo_are_valid() {
        let base = scenario(None).unwrap();
        assert!(scenario(Some("decline")).unwrap().len() > base.len());
    }

    #[test]
    fn missing_script_is_reported_by_name() {
        let failure = scenario(Some("/nowhere.toml")).unwrap_err().to_string();
        assert!(failure.contains("/nowhere.toml"), "{failure}");
    }
}
