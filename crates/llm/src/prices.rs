//! Prices and limits of models: a dated table that comes with the product, and the user's entries.

use crate::{error::Error, types::Usage};
use domain::NanoDollars;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Prices and limits of models by name.
#[derive(Clone, Debug)]
pub struct Prices {
    as_of: String,
    models: BTreeMap<String, ModelFacts>,
}

/// How to request an answer that follows a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StructuredBy {
    /// The protocol's JSON schema for answers.
    JsonSchema,
    /// A tool with that schema, which the model must call.
    Tool,
}

/// What is known about a model. Prices are dollars per million tokens.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelFacts {
    /// Price of the prompt. Without it and `output` the model has no price.
    pub input: Option<f64>,
    /// Price of the answer.
    pub output: Option<f64>,
    /// Price of the part of the prompt read from the cache; `input` if absent.
    pub cached: Option<f64>,
    /// Price of the part of the prompt written to the cache; `input` if absent.
    pub cache_write: Option<f64>,
    /// Length of the prompt in tokens above which the `long_*` prices apply.
    pub long_above: Option<u64>,
    /// `input` of long prompts.
    pub long_input: Option<f64>,
    /// `output` of long prompts.
    pub long_output: Option<f64>,
    /// `cached` of long prompts.
    pub long_cached: Option<f64>,
    /// The context window: tokens of prompt and answer together.
    pub window: Option<u64>,
    /// Tokens of the prompt, if it has its own limit.
    pub max_input: Option<u64>,
    /// Tokens of the answer.
    pub max_output: Option<u64>,
    /// How to request an answer that follows a schema; by JSON schema if absent.
    pub structured: Option<StructuredBy>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    as_of: String,
    models: BTreeMap<String, ModelFacts>,
}

impl Prices {
    /// The table that comes with the product.
    pub fn vendored() -> Result<Self, Error> {
        let table: Table =
            toml::from_str(include_str!("../prices.toml")).map_err(|error| Error::Prices(error.to_string()))?;
        Self {
            as_of: table.as_of,
            models: BTreeMap::new(),
        }
        .with(table.models)
    }

    /// This table with the user's entries on top, under `model` or `provider/model`.
    pub fn with(mut self, entries: BTreeMap<String, ModelFacts>) -> Result<Self, Error> {
        for (name, facts) in entries {
            facts.check(&name)?;
            self.models.insert(name, facts);
        }
        Ok(self)
    }

    /// The day the vendored prices were collected.
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// Every name in the table: the allowed label values of metrics.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// The entry for a model of a provider, and its name in the table.
    ///
    /// An entry for this provider comes first, then the exact name, then the name without a vendor's prefix
    /// (`openai/gpt-4o`), variant (`:free`) or date (`gpt-4o-2024-11-20`).
    pub fn find(&self, provider: &str, model: &str) -> Option<(&str, &ModelFacts)> {
        let short = model.rsplit('/').next().unwrap_or(model);
        let plain = short.split(':').next().unwrap_or(short);
        [
            format!("{provider}/{model}").as_str(),
            model,
            short,
            plain,
            undated(plain),
        ]
        .into_iter()
        .find_map(|name| self.models.get_key_value(name))
        .map(|(name, facts)| (name.as_str(), facts))
    }

    /// The cost of an answered call; `None` if the model has no price.
    ///
    /// The price is that of the model that answered, or else of the requested one.
    pub fn cost(&self, provider: &str, asked: &str, answered: &str, usage: &Usage) -> Option<NanoDollars> {
        [answered, asked]
            .into_iter()
            .find_map(|model| self.find(provider, model)?.1.cost(usage))
    }
}

impl ModelFacts {
    /// Whether calls of this model have a price.
    pub fn is_priced(&self) -> bool {
        self.input.is_some() && self.output.is_some()
    }

    /// The cost of these tokens, rounded up to a nano-dollar. Reasoning is part of the output.
    pub fn cost(&self, usage: &Usage) -> Option<NanoDollars> {
        let long = self.long_above.is_some_and(|limit| usage.input > limit);
        let input = pick(long, self.long_input, self.input)?;
        let output = pick(long, self.long_output, self.output)?;
        let cached = pick(long, self.long_cached, self.cached).unwrap_or(input);
        let write = self.cache_write.map_or(input, |price| price.max(input));
        let plain = usage
            .input
            .saturating_sub(usage.cached)
            .saturating_sub(usage.cache_write);
        let sum = [
            (plain, input),
            (usage.cached, cached),
            (usage.cache_write, write),
            (usage.output, output),
        ]
        .into_iter()
        .map(|(tokens, dollars)| i128::from(tokens) * per_million(dollars))
        .sum::<i128>();
        let nanodollars = (sum + 999_999) / 1_000_000;
        Some(NanoDollars(i64::try_from(nanodollars).unwrap_or(i64::MAX)))
    }

    /// The most a call can cost whose prompt and answer have at most these lengths.
    pub fn upper_bound(&self, input: u64, output: u64) -> Option<NanoDollars> {
        let read = Usage {
            input,
            output,
            ..Usage::default()
        };
        let written = Usage {
            cache_write: input,
            ..read
        };
        Some(self.cost(&read)?.max(self.cost(&written)?))
    }

    fn check(&self, name: &str) -> Result<(), Error> {
        let prices = [
            self.input,
            self.output,
            self.cached,
            self.cache_write,
            self.long_input,
            self.long_output,
            self.long_cached,
        ];
        if prices
            .into_iter()
            .flatten()
            .any(|price| NanoDollars::from_dollars(price).is_none())
        {
            return Err(Error::Prices(format!(
                "{name}: a price is a number of dollars per million tokens, zero or more"
            )));
        }
        if self.input.is_some() != self.output.is_some() {
            return Err(Error::Prices(format!(
                "{name}: `input` and `output` are given together or not at all"
            )));
        }
        Ok(())
    }
}

fn pick(long: bool, of_long: Option<f64>, of_short: Option<f64>) -> Option<f64> {
    if long { of_long.or(of_short) } else { of_short }
}

/// Nano-dollars per million tokens. `check` has validated the price; one out of range counts as the highest.
fn per_million(dollars: f64) -> i128 {
    NanoDollars::from_dollars(dollars).map_or(i128::from(i64::MAX), |price| i128::from(price.0))
}

/// The name without a trailing `-2024-11-20`, `-20241120`, `-0613` or `-latest`.
fn undated(name: &str) -> &str {
    if let Some(stem) = name.strip_suffix("-latest") {
        return stem;
    }
    let is_number = |part: &str, digits: usize| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = name.split('-').collect();
    let cut = match parts.as_slice() {
        [.., year, month, day] if is_number(year, 4) && is_number(month, 2) && is_number(day, 2) => 3,
        [.., day] if is_number(day, 8) || is_number(day, 4) => 1,
        _ => return name,
    };
    let length: usize = parts[parts.len() - cut..].iter().map(|part| part.len() + 1).sum();
    name.get(..name.len().saturating_sub(length)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: u64, output: u64, cached: u64) -> Usage {
        Usage {
            input,
            output,
            cached,
            ..Usage::default()
        }
    }

    #[test]
    fn vendored_table_parses_and_prices_every_model() {
        let prices = Prices::vendored().unwrap();
        assert!(prices.names().count() >= 30);
        for (name, facts) in &prices.models {
            assert!(facts.is_priced(), "{name}");
            assert!(facts.window.is_some() && facts.max_output.is_some(), "{name}");
            assert!(
                facts.cost(&usage(1, 1, 0)).unwrap() > NanoDollars::ZERO,
                "{name} is free"
            );
        }
        assert_eq!(prices.find("openai", "gpt-4").unwrap().1.window, Some(8_192));
    }

    #[test]
    fn cached_tokens_have_their_own_price_and_reasoning_counts_once() {
        let prices = Prices::vendored().unwrap();
        let (_, facts) = prices.find("openai", "gpt-4o").unwrap();
        let mut used = usage(1_000, 100, 400);
        used.reasoning = 60;
        // 600 at 2.50, 400 at 1.25, 100 at 10.00 dollars per million.
        assert_eq!(facts.cost(&used), Some(NanoDollars(1_500_000 + 500_000 + 1_000_000)));
    }

    #[test]
    fn fractions_of_a_nano_dollar_round_up() {
        let prices = Prices::vendored().unwrap();
        let (_, facts) = prices.find("openai", "gpt-4.1-nano").unwrap();
        assert_eq!(facts.cost(&usage(0, 0, 0)), Some(NanoDollars(0)));
        let cheap = ModelFacts {
            input: Some(0.000_5),
            output: Some(0.0),
            ..ModelFacts::default()
        };
        assert_eq!(cheap.cost(&usage(1, 0, 0)), Some(NanoDollars(1)));
    }

    #[test]
    fn long_prompts_have_their_own_price() {
        let prices = Prices::vendored().unwrap();
        let (_, facts) = prices.find("google", "gemini-2.5-pro").unwrap();
        assert_eq!(facts.cost(&usage(200_000, 0, 0)), Some(NanoDollars(250_000_000)));
        assert_eq!(facts.cost(&usage(200_001, 0, 0)), Some(NanoDollars(500_002_500)));
    }

    #[test]
    fn dated_prefixed_and_variant_names_find_their_model() {
        let prices = Prices::vendored().unwrap();
        for (asked, found) in [
            ("gpt-4o-2024-11-20", "gpt-4o"),
            ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
            ("gpt-4-0613", "gpt-4"),
            ("openai/gpt-4o-mini", "gpt-4o-mini"),
            ("anthropic/claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
            ("claude-3-7-sonnet-latest", "claude-3-7-sonnet"),
            ("deepseek/deepseek-chat:free", "deepseek-chat"),
        ] {
            assert_eq!(prices.find("p", asked).map(|(name, _)| name), Some(found), "{asked}");
        }
        for unknown in ["gpt-4-32k", "gpt-4-1106-preview", "llama3", "", "-", "2024-01-01"] {
            assert!(prices.find("p", unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn user_entry_overrides_and_may_name_the_provider() {
        let own = |dollars| ModelFacts {
            input: Some(dollars),
            output: Some(dollars),
            ..ModelFacts::default()
        };
        let entries = BTreeMap::from([("gpt-4".into(), own(1.0)), ("cheap/gpt-4".into(), own(0.5))]);
        let prices = Prices::vendored().unwrap().with(entries).unwrap();
        let cost = |provider| prices.cost(provider, "gpt-4", "gpt-4", &usage(1_000_000, 0, 0));
        assert_eq!(cost("openai"), Some(NanoDollars(1_000_000_000)));
        assert_eq!(cost("cheap"), Some(NanoDollars(500_000_000)));
    }

    #[test]
    fn unknown_model_has_no_price_and_negative_price_is_rejected() {
        let prices = Prices::vendored().unwrap();
        assert_eq!(prices.cost("p", "mystery", "mystery", &usage(1, 1, 0)), None);
        let negative = ModelFacts {
            input: Some(-1.0),
            output: Some(1.0),
            ..ModelFacts::default()
        };
        assert!(prices.with(BTreeMap::from([("x".into(), negative)])).is_err());
    }

    #[test]
    fn upper_bound_is_never_below_the_cost() {
        let prices = Prices::vendored().unwrap();
        for (name, facts) in &prices.models {
            let bound = facts.upper_bound(300_000, 5_000).unwrap();
            for (cached, cache_write) in [(0, 0), (300_000, 0), (0, 300_000), (100_000, 100_000)] {
                let used = Usage {
                    input: 300_000,
                    output: 5_000,
                    cached,
                    cache_write,
                    reasoning: 0,
                };
                assert!(facts.cost(&used).unwrap() <= bound, "{name}");
            }
        }
    }
}
