//! Requests byte by byte, as no client library would send them.

use crate::harness::Harness;
use serde_json::Value;
use server::Settings;
use sim_llm::Scenario;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Everything the server says to these bytes until it closes, which the requests ask it to.
async fn send_raw(harness: &Harness, bytes: &[u8]) -> String {
    let peer = harness.address.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(peer).await.unwrap();
    // What is refused early is not read to its end.
    stream.write_all(bytes).await.unwrap_or_default();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(std::time::Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
    read.expect("the server closes the connection").unwrap_or_default();
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    let line = answer
        .strip_prefix("HTTP/1.1 ")
        .unwrap_or_else(|| panic!("no answer: {answer:?}"));
    line[..3].parse().unwrap()
}

fn problem(answer: &str) -> Value {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("application/problem+json"), "{answer}");
    serde_json::from_str(body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_own_authority_is_accepted_in_any_form() {
    let harness = Harness::open(Scenario::trivial(1, 1)).await;
    let own = harness.address.strip_prefix("http://").unwrap();
    let ask = async |line: &str, headers: &str| {
        send_raw(
            &harness,
            format!("{line} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").as_bytes(),
        )
        .await
    };
    let host = format!("Host: {own}\r\n");
    assert_eq!(status(&ask("GET /healthz", &host).await), 200);
    assert_eq!(status(&ask(&format!("GET http://{own}/healthz"), &host).await), 200);
    // Nobody speaks for the client.
    let forwarded = format!("{host}X-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\n");
    assert_eq!(status(&ask("GET /healthz", &forwarded).await), 200);

    for (line, headers, expected, kind) in [
        ("GET http://evil.example/runs", host.clone(), 403, "foreign-host"),
        ("GET http://evil.example/healthz", host.clone(), 403, "foreign-host"),
        ("GET https://127.0.0.1/runs", host.clone(), 403, "foreign-host"),
        (
            "GET http://user@127.0.0.1/runs",
            "Host: 127.0.0.1\r\n".to_owned(),
            403,
            "foreign-host",
        ),
        (
            "GET http://127.0.0.1/runs",
            "Host: evil.example\r\n".to_owned(),
            403,
            "foreign-host",
        ),
        ("CONNECT evil.example:80", host.clone(), 403, "foreign-host"),
        ("GET /runs", format!("{host}{host}"), 400, "invalid-host"),
        (
            "GET /runs",
            format!("{host}Host: evil.example\r\n"),
            400,
            "invalid-host",
        ),
        (
            "GET /runs",
            format!("Host: evil.example\r\n{host}"),
            400,
            "invalid-host",
        ),
        ("GET /runs", String::new(), 400, "invalid-host"),
        ("GET /runs", "Host:\r\n".to_owned(), 400, "invalid-host"),
        ("GET /runs", "Host: evil.example\r\n".to_owned(), 403, "foreign-host"),
        (
            "GET /runs",
            "Host: rebound.evil.example:8000\r\n".to_owned(),
            403,
            "foreign-host",
        ),
        ("GET /runs", "Host: user@127.0.0.1\r\n".to_owned(), 400, "invalid-host"),
        ("GET /runs", "Host: 127.0.0.1:port\r\n".to_owned(), 400, "invalid-host"),
        (
            "GET /runs",
            "Host: 127.0.0.1, evil.example\r\n".to_owned(),
            400,
            "invalid-host",
        ),
        ("GET /runs", format!("{host}Origin: null\r\n"), 403, "foreign-origin"),
        (
            "GET /runs",
            format!("{host}Origin: http://evil.example\r\n"),
            403,
            "foreign-origin",
        ),
        (
            "GET /runs",
            format!("{host}Origin: http://{own}\r\nOrigin: null\r\n"),
            403,
            "foreign-origin",
        ),
    ] {
        let answer = ask(line, &headers).await;
        assert_eq!(status(&answer), expected, "{line} {headers:?}: {answer}");
        let problem = problem(&answer);
        assert_eq!(
            problem["type"],
            format!("urn:agent-orchestrator:problem:{kind}"),
            "{problem}"
        );
    }
    let old = send_raw(&harness, b"GET /runs HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 400"), "{old}");
}

/// What hyper refuses by itself has no body; it never reaches a handler.
#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_requests_are_refused_or_read_one_way() {
    let harness = Harness::open(Scenario::trivial(1, 1)).await;
    let refused = [
        // A folded header, a space before the colon, NUL, two lengths, a length that is none.
        "GET /runs HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: 1\r\n folded\r\n\r\n",
        "GET /runs HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
        "GET /runs HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: \0\r\n\r\n",
        "GET /ru\0ns HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "POST /clean HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "POST /clean HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: +2\r\n\r\n{}",
        "POST /clean HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n{}",
        "POST /clean HTTP/1.0\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        // Another protocol.
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /runs HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        "hello\r\n\r\n",
    ];
    for request in refused {
        let answer = send_raw(&harness, request.as_bytes()).await;
        // A second request is nowhere found in the first.
        assert!(answer.matches("HTTP/1.").count() <= 1, "{request:?}: {answer}");
        assert!(
            answer.is_empty() || answer[9..].starts_with('4'),
            "{request:?}: {answer}"
        );
    }
    // Chunks go before a length: what follows them is the next request, and what lies in them is none.
    let smuggled = "POST /clean HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\
         Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nGET /docs HTTP/1.1\r\nHost: a\r\n\r\n.\r\n0\r\n\r\n";
    let answer = send_raw(&harness, smuggled.as_bytes()).await;
    assert!(
        answer.matches("HTTP/1.").count() <= 1 && answer[9..].starts_with('4'),
        "{answer}"
    );
    let many = format!(
        "GET /runs HTTP/1.1\r\nHost: 127.0.0.1\r\n{}\r\n",
        "X-A: 1\r\n".repeat(200)
    );
    assert_eq!(status(&send_raw(&harness, many.as_bytes()).await), 431);
    let long = format!(
        "GET /runs HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: {}\r\n\r\n",
        "a".repeat(200_000)
    );
    assert_eq!(status(&send_raw(&harness, long.as_bytes()).await), 431);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_values_of_any_shape_get_a_problem() {
    let harness = Harness::open(Scenario::trivial(1, 1)).await;
    let ask = async |line: &str, more: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        send_raw(&harness, request.as_bytes()).await
    };
    let json = "Content-Type: application/json\r\n";
    let deep = format!("{}{}", "{\"a\":".repeat(50_000), "1");
    let wide = format!("{{\"{}\": 1}}", "a".repeat(500_000));
    for (line, more, body, expected) in [
        ("POST /clean", json, "[]", 422),
        ("POST /clean", json, "[true]", 422),
        ("POST /clean", json, "null", 422),
        ("POST /clean", json, "\"{}\"", 422),
        ("POST /clean", json, "", 400),
        ("POST /clean", json, "{}{}", 400),
        ("POST /clean", json, "{\"dry_run\": 1}", 422),
        ("POST /clean", json, "{\"dry_run\": true, \"dry_run\": false}", 400),
        ("POST /clean", json, "{\"older_than_days\": 4294967295}", 422),
        ("POST /clean", json, "{\"older_than_days\": 36501}", 422),
        (
            "POST /clean",
            json,
            "{\"older_than_days\": 99999999999999999999999}",
            422,
        ),
        ("POST /clean", json, "{\"older_than_days\": 1e400}", 400),
        ("POST /clean", json, "{\"older_than_days\": -1}", 422),
        ("POST /clean", json, "{\"older_than_days\": 1.5}", 422),
        ("POST /clean", "", "{}", 415),
        ("POST /clean", "Content-Type: text/plain\r\n", "{}", 415),
        (
            "POST /clean",
            "Content-Type: application/x-www-form-urlencoded\r\n",
            "dry_run=false",
            415,
        ),
        ("POST /runs", json, deep.as_str(), 400),
        ("POST /runs", json, wide.as_str(), 422),
        (
            "POST /runs",
            json,
            "{\"objective\": \"\\ud800\", \"workspace_path\": \"/x\"}",
            400,
        ),
        ("PUT /runs", json, "{}", 405),
        ("DELETE /healthz", "", "", 405),
        ("GET /runs/%00", "", "", 400),
        ("GET /runs/%ff", "", "", 400),
        ("GET /runs/..%2f..%2fetc", "", "", 400),
        ("GET /runs?limit=0", "", "", 400),
        ("GET /runs?limit=201", "", "", 400),
        ("GET /runs?limit=99999999999999999999", "", "", 400),
        ("GET /runs?limit=1&limit=2", "", "", 400),
        ("GET /runs?before=%00", "", "", 400),
        ("GET /runs?before=garbage", "", "", 400),
        ("GET /runs?before=ffffffff", "", "", 404),
        ("GET /runs?state=", "", "", 400),
        ("GET /runs?stat=failed", "", "", 400),
        ("GET /runs/ffffffff/tasks?x=1", "", "", 400),
        ("GET /runs/ffffffff/events?after=x", "", "", 400),
        ("GET /merges/0x10", "", "", 404),
        ("GET /merges/99999999999999999999", "", "", 404),
        ("GET /merges?limit=1000", "", "", 400),
        ("OPTIONS *", "", "", 404),
    ] {
        let answer = ask(line, more, body).await;
        assert_eq!(status(&answer), expected, "{line} {body:.60}: {answer:.600}");
        let problem = problem(&answer);
        assert!(problem.to_string().len() < 4_000, "{line}: {problem:.300}");
        if expected == 405 {
            assert!(answer.to_ascii_lowercase().contains("\r\nallow: "), "{answer}");
        }
    }
    for key in ["", "a\tb", "ä", &"k".repeat(256)] {
        let body = serde_json::to_string(&harness.new_run()).unwrap();
        let answer = ask("POST /runs", &format!("{json}Idempotency-Key: {key}\r\n"), &body).await;
        assert_eq!(status(&answer), 422, "{key:.20}: {answer}");
    }
    assert!(harness.client.runs(None, None, 10).await.unwrap().runs.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn event_streams_have_their_own_limit() {
    let settings = Settings {
        streams: 1,
        ..Settings::default()
    };
    let harness = Harness::open_with(
        Scenario::from_rules(vec![sim_llm::Rule::any().latency_ms(600_000).say("x")]),
        settings,
    )
    .await;
    let run = harness.client.submit(&harness.new_run(), None).await.unwrap().id;
    let follow = || harness.ask(reqwest::Method::GET, &format!("/runs/{run}/events")).send();
    let first = follow().await.unwrap();
    assert_eq!(first.status(), 200);
    let refused = follow().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let text = refused.text().await.unwrap();
    assert!(
        text.contains("too-many-streams") && text.contains("server.streams"),
        "{text}"
    );
    assert_eq!(harness.get("/healthz").await.status, 200);
    drop(first);
    let again = async {
        while follow().await.unwrap().status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), again)
        .await
        .expect("the place is free again");
}
