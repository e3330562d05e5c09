//! Many series are all exported, with every record counted. `orchestrator bench` measures how long a scrape takes.

#![allow(clippy::unwrap_used, reason = "a test stops where it breaks")]

#[path = "common/scrape.rs"]
mod scrape;
#[path = "common/settings.rs"]
mod settings;

use scrape::Scrape;
use settings::settings;
use telemetry::{Settings, llm};

#[test]
fn ten_thousand_series_are_exported_with_every_record() {
    let models: Vec<String> = (0..500).map(|number| format!("model-{number}")).collect();
    let telemetry = telemetry::init(Settings {
        models: models.clone(),
        ..settings()
    })
    .unwrap();
    let rounds = 200;
    for _ in 0..rounds {
        models.iter().for_each(|model| llm::rate_limited(model));
    }
    let scrape = Scrape::now();
    assert!(scrape.samples.len() > 10_000, "{}", scrape.samples.len());
    assert!(
        !scrape
            .samples
            .keys()
            .any(|series| series.contains("otel_metric_overflow")),
        "configured names never overflow"
    );
    for model in &models {
        let counted = scrape.value(&format!("llm_rate_limit_events_total{{model=\"{model}\"}}"));
        assert_eq!(counted, f64::from(rounds), "{model}");
    }
    telemetry.shutdown();
}
