//! Every command that is printed works as it is printed: in reports, lists, hints of errors, lines of a run.

use crate::{caller::Caller, said};
use domain::RunId;
use e2e::{done, eventually, plan};
use serde_json::json;
use sim_llm::{Rule, Scenario};
use std::process::Output;

/// Two tasks that write the same line, and a person who is asked.
async fn caller_with_conflicts() -> Caller {
    let write = |content: &str| json!({"path": "made", "content": content});
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("first", &[]), ("second", &[])])),
        Rule::worker("first")
            .call("write_file", write("1\n"))
            .call("finish", done()),
        Rule::worker("second")
            .call("write_file", write("2\n"))
            .call("finish", done()),
    ]);
    Caller::new(scenario, "[merge]\nlayers = [\"person\"]\n").await
}

/// A run with a merge that waits.
async fn waiting(caller: &Caller, name: &str) -> (RunId, i64) {
    let repository = caller.product.repository(name, &[("a", "1\n")]);
    let run = caller.product.submit(&repository, None).await;
    let merge = eventually("a merge waits", || async {
        let merges = caller.product.client.merges(&run.to_string()).await.ok()?.merges;
        merges
            .iter()
            .find(|merge| merge.state.as_str() == "waiting")
            .map(|merge| merge.id)
    })
    .await;
    (run, merge)
}

/// The commands of an output, of which at least one is there.
fn commands(caller: &Caller, output: &Output) -> Vec<String> {
    let text = said(output);
    caller.assert_no_bare_command(&text);
    let commands = caller.commands_in(&text);
    assert!(!commands.is_empty(), "{text}");
    commands
}

fn type_all(caller: &Caller, commands: &[String]) {
    for command in commands {
        let output = caller.type_in(command);
        assert!(output.status.success(), "{command}: {}", said(&output));
    }
}

fn one<'a>(commands: &'a [String], words: &str) -> &'a str {
    let found = commands.iter().find(|command| command.contains(words));
    found.unwrap_or_else(|| panic!("{words}: {commands:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_about_a_waiting_merge_work_from_the_list_to_the_answer() {
    let caller = caller_with_conflicts().await;
    for (number, answer) in [" --ours ", " --note ", " --reason "].into_iter().enumerate() {
        let (run, merge) = waiting(&caller, &format!("repository{number}")).await;
        // Where a run waits, `follow` has no end; everything else is typed.
        let of_run = commands(&caller, &caller.call(&["show", &run.to_string()]));
        let short = run.short();
        type_all(&caller, &[one(&of_run, &format!("merges show {merge}")).to_owned()]);
        one(&of_run, &format!("follow {short}"));
        let logged = caller.call(&["logs", &run.to_string()]);
        one(&commands(&caller, &logged), &format!("merges show {merge}"));
        let listed = commands(&caller, &caller.call(&["merges"]));
        type_all(&caller, &listed);
        let shown = commands(&caller, &caller.type_in(&listed[0]));
        let checked_out = caller.type_in(one(&shown, " checkout "));
        assert!(checked_out.status.success(), "{}", said(&checked_out));
        assert!(caller.here.join(format!("merge-{merge}/made")).is_file());
        one(&commands(&caller, &checked_out), "--from ");
        let answered = caller.type_in(one(&shown, answer));
        assert!(answered.status.success(), "{}", said(&answered));
        one(&commands(&caller, &answered), &format!("follow {short}"));
        // The last answer has ended the run.
        caller.product.client.cancel(&run.to_string()).await.ok();
        caller.product.end(run).await;
    }
    type_all(&caller, &commands(&caller, &caller.call(&["merges"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_a_checked_out_merge_is_sent_by_the_printed_command() {
    let caller = caller_with_conflicts().await;
    let (run, merge) = waiting(&caller, "repository").await;
    let merge = merge.to_string();
    let checked_out = caller.call(&["merges", "checkout", &merge, "it's mine"]);
    std::fs::write(caller.here.join("it's mine/made"), "both\n").unwrap();
    type_all(&caller, &commands(&caller, &checked_out));
    assert_eq!(caller.product.end(run).await["state"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_a_followed_run_name_a_command_that_works() {
    let caller = caller_with_conflicts().await;
    let repository = caller.product.repository("repository", &[("a", "1\n")]);
    let models = [
        "--director-model",
        "openai/scripted",
        "--worker-model",
        "openai/scripted",
    ];
    let arguments = ["run", "do it", "--detach", "-w", repository.to_str().unwrap()];
    let submitted = commands(&caller, &caller.call(&[&arguments[..], &models].concat()));
    let follow = one(&submitted, " follow ");
    let (follower, merge) = std::thread::scope(|scope| {
        let followed = scope.spawn(|| caller.type_in(follow));
        let show = loop {
            let listed = caller.commands_in(&said(&caller.call(&["merges"])));
            if let Some(show) = listed.into_iter().find(|command| command.contains(" show ")) {
                break show;
            }
        };
        let shown = commands(&caller, &caller.type_in(&show));
        let answered = caller.type_in(one(&shown, " --ours "));
        assert!(answered.status.success(), "{}", said(&answered));
        (followed.join().unwrap(), show)
    });
    let text = said(&follower);
    assert!(follower.status.success(), "{text}");
    assert!(commands(&caller, &follower).contains(&merge), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_in_hints_of_errors_work() {
    let caller = caller_with_conflicts().await;
    let empty = caller.here.join("empty");
    std::fs::create_dir(&empty).unwrap();
    let (run, merge) = waiting(&caller, "repository").await;
    let (run, merge) = (run.to_string(), merge.to_string());
    for arguments in [
        &["show", "00000000"][..],
        &["cancel", "00000000"],
        &["follow", "00000000"],
        &["deliver", "00000000"],
        &["merges", "show", "999"],
        &["merges", "resolve", &merge],
        &["merges", "resolve", &merge, "--from", "empty"],
    ] {
        let output = caller.call(arguments);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        type_all(&caller, &commands(&caller, &output));
        // A reader of the document gets the same hint.
        let json = caller.call(&[arguments, &["--json"]].concat());
        let document: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        let hint = document["error"]["hint"].as_str().unwrap();
        assert!(!caller.commands_in(hint).is_empty(), "{hint}");
        std::fs::remove_dir_all(caller.here.join(format!("merge-{merge}"))).unwrap_or_default();
    }
    caller.product.client.cancel(&run).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_a_machine_that_lacks_something_work() {
    let mut caller = caller_with_conflicts().await;
    assert_eq!(caller.product.stop().await, Some(0));
    let empty = commands(&caller, &caller.call(&["runs"]));
    assert!(empty[0].contains(" run OBJECTIVE"), "{empty:#?}");
    caller.assert_no_bare_command(&said(&caller.call(&["doctor"])));
    type_all(&caller, &commands(&caller, &caller.call(&["merges"])));
    caller.product.start_again().await;
}
