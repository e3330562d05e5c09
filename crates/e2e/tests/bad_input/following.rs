//! Event streams resume exactly where they ended, even after a restart; a cancelled run leaves no process behind.

use crate::support::{Answer, Untouched, ask, body, get, goes_on, post};
use e2e::{Product, TIMEOUT, done, eventually, plan};
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use sim_llm::{Rule, Scenario};

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    id: Option<i64>,
    event: String,
    data: Value,
}

/// The messages of one connection: at most this many, or until its end.
async fn stream(product: &Product, run: &str, after: Option<i64>, most: usize) -> Vec<Message> {
    let request = reqwest::Client::new().get(format!("{}/runs/{run}/events", product.address));
    let request = match after {
        Some(after) => request.header("Last-Event-ID", after.to_string()),
        None => request,
    };
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut bytes = response.bytes_stream();
    let (mut text, mut messages) = (String::new(), Vec::new());
    let reading = async {
        // A killed server cuts its streams; complete messages count.
        while let Some(Ok(piece)) = bytes.next().await {
            text.push_str(std::str::from_utf8(&piece).unwrap());
            while let Some((message, rest)) = text.split_once("\n\n") {
                messages.extend(parsed(message));
                text = rest.to_owned();
                if messages.len() == most {
                    return;
                }
            }
        }
    };
    tokio::time::timeout(TIMEOUT, reading)
        .await
        .expect("the stream goes on or ends");
    messages
}

fn parsed(message: &str) -> Option<Message> {
    let field = |name: &str| {
        message
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    Some(Message {
        id: field("id").map(|id| id.parse().unwrap()),
        event: field("event")?.to_owned(),
        data: serde_json::from_str(field("data")?).unwrap(),
    })
}

fn ids(messages: &[Message]) -> Vec<i64> {
    messages.iter().filter_map(|message| message.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_resumes_without_gap_or_repeat_after_a_kill() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("first", &[]), ("second", &["first"])])),
        Rule::worker("first")
            .call("write_file", json!({"path": "first", "content": "1\n"}))
            .call("finish", done()),
        Rule::worker("second")
            .turn(1)
            .call("shell", json!({"command": "echo 2 > second; sleep 1"})),
        Rule::worker("second").turn(2).call("finish", done()),
    ]);
    let mut product = Product::start(scenario).await;
    let workspace = product.repository("repository", &[("a", "1\n")]);
    let run = post(&product, &body(&workspace, "scripted")).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();

    let mut heard = stream(&product, &run, None, 3).await;
    assert_eq!(ids(&heard), [1, 2, 3]);
    // The kill cuts the next connection, in the middle of a tool call.
    let killed = {
        let following = stream(&product, &run, Some(3), usize::MAX);
        tokio::pin!(following);
        let in_tool = eventually("the second task's tool runs", || async {
            let tasks = get(&product, &format!("/runs/{run}/tasks/second")).await;
            (tasks.status == 200 && tasks.text.contains("sleep 1")).then_some(())
        });
        let early = tokio::select! {
            early = &mut following => Some(early),
            () = in_tool => None,
        };
        assert!(early.is_none(), "the stream ended before the run: {early:?}");
        let pid = std::fs::read_to_string(product.data_dir().join("server.json")).unwrap();
        let pid = serde_json::from_str::<Value>(&pid).unwrap()["pid"].as_i64().unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        following.await
    };
    assert!(killed.iter().all(|message| message.event != "end"));
    heard.extend(killed);
    product.kill().await;
    product.start_again().await;

    let last = heard.last().unwrap().id;
    heard.extend(stream(&product, &run, last, usize::MAX).await);
    let end = heard.pop().unwrap();
    assert_eq!(
        (end.id, end.event.as_str()),
        (None, "end"),
        "the stream says that nothing more will come"
    );
    let count = i64::try_from(heard.len()).unwrap();
    assert_eq!(ids(&heard), (1..=count).collect::<Vec<_>>());

    let state = get(&product, &format!("/runs/{run}")).await.json();
    assert_eq!(
        (&state["state"], &state["last_event"]),
        (&json!("complete"), &json!(count))
    );
    let mut whole = stream(&product, &run, None, usize::MAX).await;
    whole.pop();
    assert_eq!(whole, heard, "what was heard in pieces is the log");
    assert_eq!(
        get(&product, &format!("/runs/{run}/events?after={count}")).await.status,
        204
    );
    let tail = get(&product, &format!("/runs/{run}/events?after={}", count - 2)).await;
    assert_eq!(
        tail.text.matches("\nid: ").count() + usize::from(tail.text.starts_with("id: ")),
        2,
        "{}",
        tail.text
    );
    goes_on(&product).await;
}

/// Whether a process of the machine has this text in its command line.
fn runs(text: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|line| String::from_utf8_lossy(&line).replace('\0', " ").contains(text))
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_run_leaves_no_process_and_an_unchanged_workspace() {
    // A unique sleep duration, to find the process.
    let sleep = format!("sleep 98765.{}", std::process::id());
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("long", &[]), ("after", &["long"])])),
        // In its own session, ignoring SIGTERM and SIGHUP.
        Rule::worker("long").call(
            "shell",
            json!({"command": format!("trap '' TERM INT HUP; setsid {sleep} & {sleep}")}),
        ),
    ]);
    let product = Product::start(scenario).await;
    let workspace = product.repository("repository", &[("a", "1\n")]);
    let before = Untouched::now(&workspace);
    let run = post(&product, &body(&workspace, "scripted")).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    eventually("the command runs", || async { runs(&sleep).then_some(()) }).await;

    let answer = ask(&product, Method::POST, &format!("/runs/{run}/cancel")).await;
    assert_eq!((answer.status, &answer.json()["state"]), (202, &json!("cancelled")));
    eventually("the command is dead", || async { (!runs(&sleep)).then_some(()) }).await;
    let ended = product.end(run.parse().unwrap()).await;
    assert_eq!(
        (&ended["state"], &ended["reason"]["code"]),
        (&json!("cancelled"), &json!("requested"))
    );
    let tasks = get(&product, &format!("/runs/{run}/tasks")).await.json();
    for task in tasks["tasks"].as_array().unwrap() {
        assert_eq!(task["state"], "cancelled", "{task:#}");
    }
    assert_eq!(Untouched::now(&workspace), before);
    assert_eq!(product.calls_for("long"), 1);

    // Cancelling again reports the run's state and changes nothing.
    let again = ask(&product, Method::POST, &format!("/runs/{run}/cancel")).await;
    match again.status {
        202 => assert_eq!(again.json()["state"], "cancelled"),
        _ => drop(again.problem(409, "not-cancellable")),
    }
    let events = Answer::to(reqwest::Client::new().get(format!("{}/runs/{run}/events", product.address))).await;
    assert_eq!(
        events.text.matches("event: run_cancelled").count(),
        1,
        "{}",
        events.text
    );
    goes_on(&product).await;
}
