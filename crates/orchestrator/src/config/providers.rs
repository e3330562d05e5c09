//! Converts providers and prices for the model layer.

use super::{Loaded, ProviderSection};
use crate::failure::Failure;
use llm::{ModelFacts, ProviderConfig};
use std::{collections::BTreeMap, path::Path};

const OPENAI: &str = "openai";
const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";

/// Settings of the model layer, with keys from the environment.
pub(crate) fn model_settings(loaded: &Loaded) -> Result<llm::Settings, Failure> {
    let providers = loaded
        .config
        .providers
        .iter()
        .map(|(name, section)| Ok((name.clone(), provider(name, section)?)))
        .collect::<Result<BTreeMap<String, ProviderConfig>, Failure>>()?;
    let variable = |name: &str| loaded.environment.get(name).map(str::to_owned);
    let mut settings = llm::Settings::from_environment(&providers, variable).map_err(failure)?;
    settings.timeouts = loaded.config.calls.timeouts();
    settings.retries = loaded.config.calls.retries();
    settings.max_answer_bytes = loaded.config.calls.answer_bytes.get().into();
    settings.max_line_bytes = loaded.config.calls.line_bytes.get() as usize;
    if let Some(path) = &loaded.config.models.prices {
        settings.prices = settings.prices.with(prices(path)?).map_err(failure)?;
    }
    Ok(settings)
}

fn provider(name: &str, section: &ProviderSection) -> Result<ProviderConfig, Failure> {
    let mut section = section.clone();
    if section.base_url.is_none() && name == OPENAI {
        section.base_url = Some(OPENAI_BASE_URL.to_owned());
    }
    if section.base_url.is_none() {
        return Err(Failure::configuration(format!("the provider {name} has no address"))
            .with("setting", format!("providers.{name}.base_url"))
            .hint("set it to the address before /chat/completions, such as http://localhost:11434/v1"));
    }
    let value = toml::Value::try_from(section);
    value
        .map_err(|error| error.to_string())
        .and_then(|value| {
            value
                .try_into()
                .map_err(|error: toml::de::Error| error.message().to_owned())
        })
        .map_err(|error| {
            Failure::configuration(format!("the provider {name} can't be used"))
                .with("setting", format!("providers.{name}"))
                .with("found", error)
        })
}

/// Reads `[models."name"]` tables, as in the built-in prices.
fn prices(path: &Path) -> Result<BTreeMap<String, ModelFacts>, Failure> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        models: BTreeMap<String, ModelFacts>,
    }
    let problem = |found: String| {
        Failure::configuration("the price file of models.prices can't be used")
            .with("file", path.display())
            .with("found", found)
            .hint("it must hold tables such as [models.\"my-model\"] with input and output, in dollars per million tokens")
    };
    let text = std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
    let file: File = toml::from_str(&text).map_err(|error| problem(error.message().to_owned()))?;
    Ok(file.models)
}

fn failure(error: llm::Error) -> Failure {
    Failure::configuration("the models can't be used").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_other_than_openai_needs_an_address() {
        assert!(provider("mine", &ProviderSection::default()).is_err());
        assert_eq!(
            provider(OPENAI, &ProviderSection::default()).unwrap().base_url,
            OPENAI_BASE_URL
        );
    }

    #[test]
    fn invalid_value_names_the_setting() {
        let section = ProviderSection {
            base_url: Some("http://localhost:1/v1".to_owned()),
            structured: Some("magic".to_owned()),
            ..ProviderSection::default()
        };
        let failure = provider("mine", &section).unwrap_err().to_string();
        assert!(
            failure.contains("providers.mine") && failure.contains("magic"),
            "{failure}"
        );
    }
}
