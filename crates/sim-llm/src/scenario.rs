//! A scenario: ordered rules, of which the first that matches answers.

use std::collections::HashSet;

use crate::conversation::Conversation;
use crate::rule::Rule;

/// Rules in the order in which they are tried, from a file, from text, or built in Rust.
#[derive(Debug, Clone, Default)]
pub struct Scenario {
    rules: Vec<Labelled>,
}

/// A rule and its name in the journal, unique within its scenario.
#[derive(Debug, Clone)]
pub(crate) struct Labelled {
    pub(crate) label: String,
    pub(crate) rule: Rule,
}

impl Scenario {
    /// A scenario of these rules in this order.
    pub fn from_rules(rules: Vec<Rule>) -> Self {
        let mut taken = HashSet::new();
        let mut labelled = Vec::with_capacity(rules.len());
        for (at, rule) in rules.into_iter().enumerate() {
            let label = rule.name.clone().unwrap_or_else(|| format!("rule {}", at + 1));
            let label = if taken.contains(&label) {
                format!("{label} (rule {})", at + 1)
            } else {
                label
            };
            taken.insert(label.clone());
            labelled.push(Labelled { label, rule });
        }
        Self { rules: labelled }
    }

    /// This scenario with the rules of `first` before its own, to override parts of a script.
    pub fn merge(self, first: Scenario) -> Self {
        Self::from_rules(
            first
                .rules
                .into_iter()
                .chain(self.rules)
                .map(|labelled| labelled.rule)
                .collect(),
        )
    }

    /// The number of rules.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The first matching rule that is not used up; `used` returns how often a rule has answered.
    pub(crate) fn find(&self, conversation: &Conversation, used: impl Fn(&str) -> u32) -> Option<&Labelled> {
        self.rules.iter().find(|labelled| {
            let times = labelled.rule.fits.times;
            labelled.rule.fits(conversation) && times.is_none_or(|times| used(&labelled.label) < times)
        })
    }

    /// Whether a rule makes the model call this tool.
    pub(crate) fn calls_tool(&self, name: &str) -> bool {
        self.scripted_calls().any(|call| call.name == name)
    }

    /// Whether a rule makes the model send exactly these arguments.
    pub(crate) fn sends_arguments(&self, arguments: &str) -> bool {
        self.scripted_calls().any(|call| call.arguments == arguments)
    }

    /// One line per rule, for clients whose request matches no rule.
    pub(crate) fn summary(&self) -> String {
        let lines = self
            .rules
            .iter()
            .map(|labelled| format!("{}: {}", labelled.label, labelled.rule.fits));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn scripted_calls(&self) -> impl Iterator<Item = &crate::rule::ToolCall> {
        self.rules.iter().flat_map(|labelled| &labelled.rule.tool_calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(task: &str, attempt: u32, turn: u32) -> Conversation {
        Conversation {
            model: "sim".to_owned(),
            role: "worker".to_owned(),
            profile: Some("coder".to_owned()),
            task: Some(task.to_owned()),
            attempt,
            file: None,
            hunk: None,
            turn,
            news: "gate failed: 1 of 3".to_owned(),
        }
    }

    fn label(scenario: &Scenario, conversation: &Conversation) -> Option<String> {
        scenario
            .find(conversation, |_| 0)
            .map(|labelled| labelled.label.clone())
    }

    #[test]
    fn first_matching_rule_answers() {
        let scenario = Scenario::from_rules(vec![
            Rule::director().named("plan"),
            Rule::worker("a").turn(1).named("a first"),
            Rule::worker("a").from_turn(2).attempt(1).named("a later"),
            Rule::worker("b-*").contains("gate failed").named("b sent back"),
            Rule::any().model("gpt-*").named("gpt"),
        ]);
        assert_eq!(label(&scenario, &at("a", 1, 1)).as_deref(), Some("a first"));
        assert_eq!(label(&scenario, &at("a", 1, 7)).as_deref(), Some("a later"));
        assert_eq!(label(&scenario, &at("a", 2, 7)), None);
        assert_eq!(label(&scenario, &at("b-1", 3, 3)).as_deref(), Some("b sent back"));
        assert_eq!(label(&scenario, &at("xb-1", 3, 3)), None);
    }

    #[test]
    fn next_rule_answers_after_a_used_up_one() {
        let scenario = Scenario::from_rules(vec![
            Rule::worker("a").times(1).named("once"),
            Rule::worker("a").named("then"),
        ]);
        assert_eq!(label(&scenario, &at("a", 1, 1)).as_deref(), Some("once"));
        let then = scenario.find(&at("a", 1, 1), |label| u32::from(label == "once"));
        assert_eq!(then.map(|labelled| labelled.label.as_str()), Some("then"));
    }

    #[test]
    fn merged_rules_come_first_and_labels_are_unique() {
        let base = Scenario::from_rules(vec![Rule::worker("a").named("same").say("base")]);
        let merged = base.merge(Scenario::from_rules(vec![
            Rule::worker("a").named("same").say("override"),
        ]));
        let found = merged
            .find(&at("a", 1, 1), |_| 0)
            .map(|labelled| labelled.rule.say.clone());
        assert_eq!(found, Some(Some("override".to_owned())));
        let labels: HashSet<_> = merged.rules.iter().map(|labelled| labelled.label.clone()).collect();
        assert_eq!(labels.len(), 2);
    }
}
