//! The upper bounds of a call, computed before it is made.

use crate::{
    error::Error,
    prices::{ModelFacts, Prices},
    tokens::{self, Estimate},
    types::Request,
};
use domain::NanoDollars;

/// Tokens that must remain for an answer, unless fewer are requested.
const MIN_ANSWER: u64 = 256;

/// The bounds of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Tokens of the prompt.
    pub(crate) input: Estimate,
    /// The most tokens the answer may have.
    pub(crate) max_output: u64,
    /// The most it can cost; `None` if the model has no price.
    pub(crate) cost: Option<NanoDollars>,
}

/// Fits a call into its model's window. A prompt that is too long is rejected here, before it costs anything.
pub(crate) fn bounds(request: &Request, prices: &Prices) -> Result<Bounds, Error> {
    let input = tokens::of_request(request);
    let asked = u64::from(request.max_output_tokens).max(1);
    let Some((_, facts)) = prices.find(&request.model.provider, &request.model.model) else {
        return Ok(Bounds {
            input,
            max_output: asked,
            cost: None,
        });
    };
    let max_output = asked.min(facts.max_output.unwrap_or(u64::MAX));
    let max_output = fit(input, max_output, facts).map_err(|detail| Error::ContextLength {
        on: request.model.clone(),
        detail,
    })?;
    Ok(Bounds {
        input,
        max_output,
        cost: facts.upper_bound(input.high, max_output),
    })
}

/// Lowers the answer's limit to what the window leaves. The likely length decides whether the prompt fits: rejecting one
/// that fits would be worse than letting the provider reject one that does not.
fn fit(input: Estimate, max_output: u64, facts: &ModelFacts) -> Result<u64, String> {
    let least = MIN_ANSWER.min(max_output);
    if let Some(limit) = facts.max_input.filter(|limit| input.likely > *limit) {
        return Err(format!("about {} tokens, and it takes {limit}", input.likely));
    }
    let Some(window) = facts.window else {
        return Ok(max_output);
    };
    if input.likely + least > window {
        return Err(format!(
            "about {} tokens, and the window of {window} must hold the answer too",
            input.likely
        ));
    }
    Ok(max_output.min(window.saturating_sub(input.high).max(least)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CostRole, Message, ModelRef};

    fn request(model: &str, bytes: usize, max_output_tokens: u32) -> Request {
        let messages = vec![Message::user("x".repeat(bytes))];
        Request {
            max_output_tokens,
            ..Request::new(ModelRef::new("openai", model), CostRole::Worker, messages)
        }
    }

    #[test]
    fn answer_limit_is_lowered_to_the_window() {
        let prices = Prices::vendored().unwrap();
        let bounds = bounds(&request("gpt-4", 15_000, 8_192), &prices).unwrap();
        assert_eq!(bounds.max_output, 8_192 - bounds.input.high);
        // About five thousand tokens in at 30 dollars and three thousand out at 60 dollars a million.
        let cost = bounds.cost.unwrap().dollars();
        assert!((0.30..0.36).contains(&cost), "{cost}");
    }

    #[test]
    fn prompt_beyond_the_window_is_rejected_with_numbers() {
        let prices = Prices::vendored().unwrap();
        let error = bounds(&request("gpt-4", 40_000, 100), &prices).unwrap_err();
        assert!(
            matches!(&error, Error::ContextLength { detail, .. } if detail.contains("8192")),
            "{error}"
        );
    }

    #[test]
    fn prompt_that_likely_fits_leaves_a_short_answer() {
        let prices = Prices::vendored().unwrap();
        assert_eq!(
            bounds(&request("gpt-4", 31_000, 4_000), &prices).unwrap().max_output,
            MIN_ANSWER
        );
    }

    #[test]
    fn unknown_model_is_neither_limited_nor_priced() {
        let prices = Prices::vendored().unwrap();
        let bounds = bounds(&request("mystery", 1_000_000, 9_000), &prices).unwrap();
        assert_eq!((bounds.max_output, bounds.cost), (9_000, None));
    }
}
