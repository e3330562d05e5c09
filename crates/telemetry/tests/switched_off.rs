//! Disabled metrics are absent, and `init` can be called again after a settings error.
#![allow(clippy::unwrap_used, reason = "a test stops where it breaks")]

#[path = "common/all_events.rs"]
mod all_events;
#[path = "common/scrape.rs"]
mod scrape;
#[path = "common/settings.rs"]
mod settings;

use all_events::emit_all_events;
use scrape::Scrape;
use settings::settings;
use telemetry::{Error, Settings};

#[test]
fn compatibility_names_can_be_disabled_and_bad_settings_are_reported() {
    let endpoint = telemetry::init(Settings {
        otlp_endpoint: Some("collector".to_owned()),
        ..settings()
    });
    assert!(matches!(endpoint, Err(Error::Endpoint(_))), "{endpoint:?}");
    let filter = telemetry::init(Settings {
        log_filter: Some("a=b=c".to_owned()),
        ..settings()
    })
    .unwrap_err();
    assert!(filter.to_string().contains("`a=b=c`"), "{filter}");

    let telemetry = telemetry::init(Settings {
        compatibility_names: false,
        ..settings()
    })
    .unwrap();
    emit_all_events();
    let scrape = Scrape::now();
    for prefix in ["celery_", "automation_", "ai_", "database_connections"] {
        assert!(!scrape.types.keys().any(|name| name.starts_with(prefix)), "{prefix}");
    }
    let performed = scrape.value(r#"queue_tasks_total{status="success",task_name="work"}"#);
    assert_eq!(performed, 1.0);
    telemetry.shutdown();
}
