//! Regular answers, complete and streamed, over real HTTP.

mod support;

use serde_json::{Value, json};
use sim_llm::{Options, Rule, Scenario, Server, Status, Usage};
use support::{client, drain, events, post, server, streamed, worker};

#[tokio::test]
async fn complete_answer_has_calls_usage_and_reason() {
    let rule = Rule::worker("greet")
        .say("Looking.")
        .call("shell", json!({"command": "ls"}));
    let server = server(vec![rule]).await;
    let response = post(&server, &worker("greet", 1, &[])).await;
    assert_eq!(response.status(), 200);
    let answer: Value = response.json().await.unwrap();
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], "Looking.");
    assert_eq!(choice["message"]["tool_calls"][0]["function"]["name"], "shell");
    assert_eq!(
        choice["message"]["tool_calls"][0]["function"]["arguments"],
        r#"{"command":"ls"}"#
    );
    assert_eq!(answer["object"], "chat.completion");

    let entry = &server.journal()[0];
    assert_eq!(entry.tools, ["shell"]);
    assert_eq!(
        (entry.role.as_str(), entry.task.as_deref(), entry.turn),
        ("worker", Some("greet"), 1)
    );
    assert_eq!(answer["usage"]["prompt_tokens"], entry.prompt_tokens);
    assert_eq!(answer["usage"]["completion_tokens"], entry.completion_tokens);
    assert_eq!(
        entry.completion_tokens,
        ("Looking.".len() + "shell".len() + r#"{"command":"ls"}"#.len()).div_ceil(4) as u64
    );
    server.stop().await;
}

#[tokio::test]
async fn stream_has_the_same_answer_in_fragments_and_usage_last() {
    let arguments = json!({"command": "printf 'größe über alles, %s' x | tee out/of/the/ordinary/path.txt"});
    let text = "First I look at what is there, then I change it.";
    let rule = || {
        Rule::worker("greet")
            .say(text)
            .call("shell", arguments.clone())
            .call("finish", json!({"a": 1}))
    };
    let server = server(vec![rule()]).await;
    let whole: Value = post(&server, &worker("greet", 1, &[])).await.json().await.unwrap();
    let response = post(&server, &streamed(worker("greet", 1, &[]))).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (body, ended) = drain(response).await;
    assert!(ended);
    let mut data = events(&body);
    assert_eq!(data.pop(), Some("[DONE]"));
    let chunks: Vec<Value> = data.iter().map(|data| serde_json::from_str(data).unwrap()).collect();

    let (last, rest) = chunks.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"], whole["usage"]);
    assert!(
        rest.iter()
            .all(|chunk| chunk["usage"].is_null() && chunk["object"] == "chat.completion.chunk")
    );
    assert_eq!(rest.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");

    let mut content = String::new();
    let mut calls = vec![(String::new(), String::new(), 0); 2];
    for delta in rest.iter().map(|chunk| &chunk["choices"][0]["delta"]) {
        content.push_str(delta["content"].as_str().unwrap_or_default());
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let collected = &mut calls[call["index"].as_u64().unwrap() as usize];
            collected
                .0
                .push_str(call["function"]["name"].as_str().unwrap_or_default());
            collected.1.push_str(call["function"]["arguments"].as_str().unwrap());
            collected.2 += 1;
        }
    }
    assert_eq!(content, text);
    assert_eq!((calls[0].0.as_str(), calls[1].0.as_str()), ("shell", "finish"));
    assert_eq!(serde_json::from_str::<Value>(&calls[0].1).unwrap(), arguments);
    assert!(
        calls[0].2 > 3,
        "arguments must come in several fragments, not {}",
        calls[0].2
    );
    server.stop().await;
}

#[tokio::test]
async fn usage_is_streamed_only_on_request() {
    let server = server(vec![Rule::any().say("hello")]).await;
    let mut request = worker("a", 1, &[]);
    request["stream"] = json!(true);
    let (body, _) = drain(post(&server, &request).await).await;
    assert!(!body.contains("usage"));
    assert!(body.ends_with("data: [DONE]\n\n"));
    server.stop().await;
}

#[tokio::test]
async fn structured_output_is_the_content() {
    let document = json!({"mode": "single", "tasks": []});
    let server = server(vec![Rule::director().json(&document)]).await;
    let request = json!({"model": "sim", "messages": [
        {"role": "system", "content": "# role: director"}, {"role": "user", "content": "objective"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "plan", "strict": true, "schema": {
            "type": "object", "additionalProperties": false, "required": ["mode"],
            "properties": {"mode": {"type": "string"}}}}}});
    let answer: Value = post(&server, &request).await.json().await.unwrap();
    let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(content).unwrap(), document);
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    server.stop().await;
}

#[tokio::test]
async fn conversation_advances_turn_by_turn() {
    let rules = vec![
        Rule::worker("a").turn(1).call("shell", json!({})),
        Rule::worker("a").from_turn(2).contains("exit 1").say("mended"),
        Rule::worker("a").from_turn(2).call("finish", json!({})),
    ];
    let server = server(rules).await;
    let first: Value = post(&server, &worker("a", 1, &[])).await.json().await.unwrap();
    let spoken = first["choices"][0]["message"].clone();
    let id = &spoken["tool_calls"][0]["id"];
    let good = json!({"role": "tool", "tool_call_id": id, "content": "ok"});
    let second: Value = post(&server, &worker("a", 1, &[spoken.clone(), good]))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        second["choices"][0]["message"]["tool_calls"][0]["function"]["name"],
        "finish"
    );
    let bad = json!({"role": "tool", "tool_call_id": id, "content": "exit 1"});
    let second: Value = post(&server, &worker("a", 1, &[spoken, bad]))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(second["choices"][0]["message"]["content"], "mended");
    assert_eq!(
        server.journal().iter().map(|entry| entry.turn).collect::<Vec<_>>(),
        [1, 2, 2]
    );
    server.stop().await;
}

#[tokio::test]
async fn previous_prompt_counts_as_cached() {
    let server = server(vec![Rule::any().say("go on")]).await;
    let long = json!({"role": "user", "content": "x".repeat(10_000)});
    let first: Value = post(&server, &worker("a", 1, std::slice::from_ref(&long)))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    let spoken = json!({"role": "assistant", "content": "go on"});
    let more = json!({"role": "user", "content": "and?"});
    let second: Value = post(&server, &worker("a", 1, &[long, spoken, more]))
        .await
        .json()
        .await
        .unwrap();
    let cached = second["usage"]["prompt_tokens_details"]["cached_tokens"]
        .as_u64()
        .unwrap();
    let first_prompt = first["usage"]["prompt_tokens"].as_u64().unwrap();
    assert!(cached.is_multiple_of(128) && cached > first_prompt - 128 && cached <= first_prompt);
    server.stop().await;
}

#[tokio::test]
async fn usage_and_reason_can_be_scripted() {
    let usage = Usage {
        prompt_tokens: 1_000_000,
        cached_tokens: 10,
        completion_tokens: 7,
    };
    let server = server(vec![Rule::any().say("cut off").usage(usage).finish_reason("length")]).await;
    let answer: Value = post(&server, &worker("a", 1, &[])).await.json().await.unwrap();
    assert_eq!(answer["usage"]["total_tokens"], 1_000_007);
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(server.journal()[0].prompt_tokens, 1_000_000);
    server.stop().await;
}

#[tokio::test]
async fn unscripted_request_error_names_context_and_rules() {
    let server = server(vec![Rule::worker("other").named("the other task").say("x")]).await;
    let response = post(&server, &worker("greet", 2, &[])).await;
    assert_eq!(response.status(), 500);
    let text = response.text().await.unwrap();
    assert!(
        text.contains("role=worker profile=coder task=greet attempt=2 turn=1"),
        "{text}"
    );
    assert!(text.contains("the other task: role=worker task=other"), "{text}");
    let entry = &server.journal()[0];
    assert_eq!(entry.status, Status::Http(500));
    assert_eq!(entry.violations[0].kind, sim_llm::ViolationKind::Unscripted);
    server.stop().await;
}

#[tokio::test]
async fn models_health_and_unknown_paths_are_answered() {
    let server = server(vec![]).await;
    let get = async |path: String| client().get(path).send().await.unwrap();
    let models: Value = get(format!("{}/models", server.base_url())).await.json().await.unwrap();
    assert_eq!(models["data"][0]["object"], "model");
    let root = server.base_url().replace("/v1", "");
    assert_eq!(get(format!("{root}/healthz")).await.status(), 200);
    assert_eq!(get(format!("{root}/nothing")).await.status(), 404);
    server.stop().await;
}

#[tokio::test]
async fn configured_key_is_required() {
    let options = Options {
        api_key: Some("right".to_owned()),
        ..Options::default()
    };
    let server = Server::start(Scenario::from_rules(vec![Rule::any().say("in")]), options)
        .await
        .unwrap();
    assert_eq!(post(&server, &worker("a", 1, &[])).await.status(), 401);
    let url = format!("{}/chat/completions", server.base_url());
    let with = |key: &str| client().post(&url).bearer_auth(key).json(&worker("a", 1, &[])).send();
    assert_eq!(with("wrong").await.unwrap().status(), 401);
    assert_eq!(with("right").await.unwrap().status(), 200);
    server.stop().await;
}
