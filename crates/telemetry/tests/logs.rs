//! The format of log lines, read from the standard error of a real process: this test starts itself again.
#![allow(clippy::unwrap_used, reason = "a test stops where it breaks")]

#[path = "common/settings.rs"]
mod settings;

use settings::settings;
use std::process::Command;
use telemetry::{LogFormat, Settings, TraceContext, log};

const FORMAT: &str = "TELEMETRY_TEST_LOG_FORMAT";

fn logged(format: &str) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "lines_have_their_scope_and_no_secret", "--nocapture"])
        .env(FORMAT, format);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn speak(log_format: LogFormat) {
    let telemetry = telemetry::init(Settings {
        log_format,
        ..settings()
    })
    .unwrap();
    let context = TraceContext {
        trace_id: 0xabc,
        span_id: 0x12,
    };
    let scope = log::scope(&context, None, Some(domain::TaskId(5)), Some("coder"));
    scope.in_scope(|| {
        tracing::warn!(attempt = 2, error.type = "timeout", "no \"answer\" with planted-secret-value");
    });
    tracing::debug!("not asked for");
    tracing::error!(target: "async_openai::error", "failed deserialization of: a whole body");
    tracing::info!("the end");
    telemetry.shutdown();
}

#[test]
fn lines_have_their_scope_and_no_secret() {
    match std::env::var(FORMAT).as_deref() {
        Ok("json") => return speak(LogFormat::Json),
        Ok(_) => return speak(LogFormat::Human),
        Err(_) => (),
    }
    let lines: Vec<serde_json::Value> = logged("json")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [warning, end] = &lines[..] else {
        panic!("{lines:#?}")
    };
    assert_eq!(end["message"], "the end");
    assert_eq!(warning["level"], "WARN");
    assert_eq!(warning["target"], "logs");
    assert_eq!(warning["message"], "no \"answer\" with [redacted]");
    assert_eq!(warning["trace_id"], "00000000000000000000000000000abc");
    assert_eq!(warning["span_id"], "0000000000000012");
    assert_eq!(warning["task_id"], 5);
    assert_eq!(warning["worker_profile"], "coder");
    assert_eq!(warning["attempt"], 2);
    assert_eq!(warning["error.type"], "timeout");
    assert!(warning.get("run_id").is_none());

    let text = logged("human");
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.contains("no \"answer\" with [redacted]") && text.contains("worker_profile"),
        "{text}"
    );
    assert!(!text.contains("planted") && !text.contains('\u{1b}'), "{text}");
}
