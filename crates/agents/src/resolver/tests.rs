//! Conflicts, decided by a scripted model over HTTP.

use super::*;
use crate::testing::{Book, Script, sim, within};
use domain::run::ReasonCode;
use serde_json::{Value, json};
use sim_llm::{Fault, Rule};

fn order() -> ConflictOrder {
    ConflictOrder {
        task: "top-words".into(),
        file: "lib/commands.sh".into(),
        hunk: 1,
        hunks: 2,
        base: String::new(),
        ours: "longest  the longest line\n".into(),
        theirs: "top      the top words\n".into(),
        before: "lines    how many lines\n".into(),
        after: "end\n".into(),
        ours_intent: "Add the command longest.".into(),
        theirs_intent: "Add the command top.".into(),
        ours_diff: "+longest  the longest line\n".into(),
        theirs_diff: "+top      the top words\n".into(),
        earlier: None,
        past: vec![],
        language: Some("sh".into()),
        model: sim(),
        deadline: None,
    }
}

fn replace(text: &str, dropped: &[(&str, &str)]) -> Value {
    let dropped: Vec<Value> = dropped
        .iter()
        .map(|(line, why)| json!({"line": line, "why": why}))
        .collect();
    json!({"decision": "replace", "text": text, "reason": "both", "dropped_lines": dropped})
}

async fn resolved(rules: Vec<Rule>) -> (Result<Resolution, Reason>, Script) {
    let script = Script::play(rules).await;
    let result = resolve(&order(), &|_| Ok(()), &script.models, &Book::default(), None).await;
    (result, script)
}

fn judged(answer: &Value, order: &ConflictOrder) -> Result<Resolution, String> {
    decide(answer, order, &|_| Ok(())).map_err(|problems| problems.join("; "))
}

const BOTH: &str = "longest  the longest line\ntop      the top words\n";

#[tokio::test]
async fn lines_of_both_sides_are_kept() {
    let rule = Rule::resolver("top-words")
        .file("lib/commands.sh")
        .json(&replace(BOTH, &[]));
    let (result, script) = resolved(vec![rule]).await;
    let Resolution::Replace { text, reason, dropped } = result.unwrap() else {
        panic!("it was declined");
    };
    assert_eq!((text.as_str(), reason.as_str(), dropped.len()), (BOTH, "both", 0));
    let asked = script.asked();
    assert_eq!((asked[0].role.as_str(), asked[0].hunk), ("resolver", Some(1)));
}

#[tokio::test]
async fn decline_is_an_answer() {
    let decline = json!({"decision": "decline", "text": "", "reason": "no", "dropped_lines": []});
    let (result, script) = resolved(vec![Rule::any().json(&decline)]).await;
    assert_eq!(result.unwrap(), declined("no"));
    assert_eq!(script.asked().len(), 1);
}

#[tokio::test]
async fn invalid_answer_goes_back_once() {
    let one_side = replace("longest  the longest line\n", &[]);
    let (result, script) = resolved(vec![
        Rule::any().turn(1).json(&one_side),
        Rule::any()
            .turn(2)
            .contains("only theirs added")
            .json(&replace(BOTH, &[])),
    ])
    .await;
    assert!(matches!(result.unwrap(), Resolution::Replace { .. }));
    assert_eq!(script.asked().len(), 2);

    let (result, script) = resolved(vec![Rule::any().json(&one_side)]).await;
    let Resolution::Decline { reason } = result.unwrap() else {
        panic!("a side was dropped");
    };
    assert!(reason.contains("does not hold"), "{reason}");
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test]
async fn unusable_answer_declines_and_provider_failure_is_an_error() {
    let (result, _) = resolved(vec![Rule::any().say("keep both, I think")]).await;
    assert!(matches!(result.unwrap(), Resolution::Decline { .. }));
    let (result, _) = resolved(vec![Rule::any().fault(Fault::status(500))]).await;
    assert_eq!(result.unwrap_err().code, ReasonCode::Model);
}

#[tokio::test]
async fn answer_that_the_caller_refuses_goes_back_with_the_reason() {
    let script = Script::play(vec![
        Rule::any().turn(1).json(&replace(&format!("{BOTH}extra\n"), &[])),
        Rule::any().turn(2).contains("too many lines").json(&replace(BOTH, &[])),
    ])
    .await;
    let short = |text: &str| {
        (text.lines().count() == 2)
            .then_some(())
            .ok_or("too many lines".to_owned())
    };
    let result = resolve(&order(), &short, &script.models, &Book::default(), None).await;
    assert!(matches!(result.unwrap(), Resolution::Replace { text, .. } if text == BOTH));
    assert_eq!(script.asked().len(), 2);
}

#[test]
fn side_is_never_dropped_whole() {
    let dropped = [("top      the top words", "not needed")];
    let answer = replace("longest  the longest line\n", &dropped);
    let problem = judged(&answer, &order()).unwrap_err();
    assert!(problem.contains("other side as it is"), "{problem}");
}

#[test]
fn rewritten_line_must_be_explained() {
    let joined = "longest, top  lines and words\n";
    let problem = judged(&replace(joined, &[]), &order()).unwrap_err();
    assert!(problem.contains("only ours added") && problem.contains("only theirs added"));
    let explained = [
        ("longest  the longest line", "joined"),
        ("top      the top words", "joined"),
    ];
    assert!(judged(&replace(joined, &explained), &order()).is_ok());
    let unexplained = [("longest  the longest line", " "), ("top      the top words", "")];
    assert!(judged(&replace(joined, &unexplained), &order()).is_err());
}

#[test]
fn markers_and_whole_files_are_refused() {
    let marked = format!("<<<<<<< ours\n{BOTH}>>>>>>> theirs\n");
    assert!(judged(&replace(&marked, &[]), &order()).unwrap_err().contains("marker"));
    let long = format!("{BOTH}{}", "x\n".repeat(10_000));
    assert!(judged(&replace(&long, &[]), &order()).unwrap_err().contains("bytes"));

    let mut rst = order();
    rst.ours = "Title\n=======\n".into();
    let text = format!("{}{}", rst.ours, rst.theirs);
    assert!(
        judged(&replace(&text, &[]), &rst).is_ok(),
        "its own underline is no marker"
    );
}

#[test]
fn line_endings_match_the_file() {
    let mut windows = order();
    windows.ours = "a\r\n".into();
    windows.theirs = "b\r\n".into();
    let Ok(Resolution::Replace { text, .. }) = judged(&replace("a\nb", &[]), &windows) else {
        panic!("it holds");
    };
    assert_eq!(text, "a\r\nb\r\n");
}

#[test]
fn prompt_shows_the_conflict_first_and_then_what_fits() {
    within(prompt::SYSTEM, 700);
    assert!(prompt::SYSTEM.starts_with("# role: resolver\n"));
    insta::assert_snapshot!("resolver", prompt::user(&order()).unwrap());

    let mut large = order();
    large.theirs_diff = "+x\n".repeat(20_000);
    let text = prompt::user(&large).unwrap();
    assert!(text.contains("> lines    how many lines") && text.contains("Add the command top."));
    assert!(!text.contains("What each side changed"));
    within(&text, 6_000);

    let past = |text: String| PastDecision {
        file: "lib/other.sh".into(),
        base: String::new(),
        ours: "ours".into(),
        theirs: "theirs".into(),
        text,
    };
    let mut second = order();
    second.earlier = Some("I can't tell".into());
    second.past = vec![past("z\n".repeat(20_000)), past("both of them".into())];
    let text = prompt::user(&second).unwrap();
    assert!(
        text.contains("> I can't tell") && text.contains("> both of them") && !text.contains("> z"),
        "{text}"
    );

    large.ours = "y\n".repeat(20_000);
    assert_eq!(prompt::user(&large), None);
}

#[tokio::test]
async fn conflict_that_is_too_large_is_declined_without_a_call() {
    let script = Script::play(vec![]).await;
    let mut large = order();
    large.ours = "y\n".repeat(20_000);
    let result = resolve(&large, &|_| Ok(()), &script.models, &Book::default(), None).await;
    assert!(matches!(result.unwrap(), Resolution::Decline { .. }));
    assert!(script.asked().is_empty());
}
