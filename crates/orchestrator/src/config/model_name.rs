//! Model names of the form `provider/model`.

use crate::failure::Failure;
use llm::ModelRef;

/// Splits at the first slash; the model's own name may contain more.
pub(crate) fn parse_model(text: &str) -> Result<ModelRef, Failure> {
    match text.split_once('/') {
        Some((provider, model)) if !provider.is_empty() && !model.is_empty() => Ok(ModelRef {
            provider: provider.to_owned(),
            model: model.to_owned(),
        }),
        _ => Err(Failure::configuration("a model needs a provider and a name")
            .with("found", format!("{text:?}"))
            .hint("write provider/model, for example openai/gpt-4.1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_name_may_contain_slashes() {
        let model = parse_model("openrouter/meta/llama-4").unwrap();
        assert_eq!(
            (model.provider.as_str(), model.model.as_str()),
            ("openrouter", "meta/llama-4")
        );
    }

    #[test]
    fn name_without_provider_is_refused() {
        for text in ["gpt-4", "/gpt-4", "openai/", ""] {
            assert!(parse_model(text).is_err(), "{text}");
        }
    }
}
