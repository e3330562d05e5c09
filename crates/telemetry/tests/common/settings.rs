//! The base settings of the tests.

use std::path::PathBuf;
use telemetry::{LogFormat, Settings};

pub(crate) fn settings() -> Settings {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Settings {
        profiles: names(&["coder", "tester"]),
        models: names(&["gpt-4"]),
        tools: names(&["read_file", "shell"]),
        compatibility_names: true,
        metrics_enabled: true,
        environment: "test".to_owned(),
        version: "1.2.3".to_owned(),
        otlp_endpoint: None,
        log_format: LogFormat::Json,
        log_filter: Some("info".to_owned()),
        data_dir_for_disk: PathBuf::from("/"),
        secrets: vec!["planted-secret-value".to_owned()],
    }
}
