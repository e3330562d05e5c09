//! Text shaped like source code: few words, and lines that repeat.

use fastrand::Rng;

const BODIES: [&str; 10] = [
    "    let value = compute(input);\n",
    "    let value = compute(input, LIMIT);\n",
    "    if value > LIMIT {\n        return None;\n    }\n",
    "    for item in items {\n        total += item.cost();\n    }\n",
    "    match state {\n        State::Ready => start(),\n        State::Done => {}\n    }\n",
    "    // The caller has checked this.\n",
    "    log(\"done\");\n",
    "    total\n",
    "\n",
    "    self.queue.push(value);\n",
];

/// A file of some functions.
pub(crate) fn file(random: &mut Rng, functions: usize) -> String {
    let mut text = "//! A module.\n\nuse crate::{a, b};\nuse std::fs;\n\n".to_owned();
    for _ in 0..functions {
        text.push_str(&function(random));
    }
    text
}

fn function(random: &mut Rng) -> String {
    let mut text = format!("pub fn step_{}(input: u32) -> u32 {{\n", random.u16(..2_000));
    for _ in 0..random.usize(1..7) {
        text.push_str(BODIES[random.usize(..BODIES.len())]);
    }
    text.push_str("}\n\n");
    text
}

/// The text with one to three places changed, as a person would.
pub(crate) fn edited(random: &mut Rng, text: &str) -> String {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    for _ in 0..random.usize(1..4) {
        change(random, &mut lines);
    }
    lines.concat()
}

/// The text with one line rewritten near the given share of its length, in thousandths.
pub(crate) fn rewritten_near(random: &mut Rng, text: &str, thousandth: usize) -> String {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let at = lines.len() * thousandth / 1000;
    if let Some(line) = lines.get_mut(at) {
        *line = format!("    rewritten({});\n", random.u32(..));
    }
    lines.concat()
}

fn change(random: &mut Rng, lines: &mut Vec<String>) {
    let at = random.usize(..=lines.len());
    match random.u8(..100) {
        0..45 => {
            if let Some(line) = lines.get_mut(at) {
                *line = format!("    let value = compute({});\n", random.u8(..40));
            }
        }
        45..65 => {
            let body = BODIES[random.usize(..BODIES.len())];
            lines.splice(at..at, body.split_inclusive('\n').map(str::to_owned));
        }
        65..82 => {
            let at = function_end(lines, at);
            let added = function(random);
            lines.splice(at..at, added.split_inclusive('\n').map(str::to_owned));
        }
        82..93 => {
            let end = (at + random.usize(1..4)).min(lines.len());
            lines.drain(at..end);
        }
        93..97 => {
            // A function is copied: anchors stand twice.
            let (start, end) = (function_end(lines, at), function_end(lines, at + 8));
            let copied = lines[start.min(end)..end].to_vec();
            let to = function_end(lines, random.usize(..=lines.len()));
            lines.splice(to..to, copied);
        }
        _ => {
            // A function is moved.
            let (start, end) = (function_end(lines, at), function_end(lines, at + 8));
            let moved: Vec<String> = lines.drain(start.min(end)..end).collect();
            let to = function_end(lines, random.usize(..=lines.len()));
            lines.splice(to..to, moved);
        }
    }
}

/// Behind the next blank line after a closing brace at or after `at`.
fn function_end(lines: &[String], at: usize) -> usize {
    let closing = lines
        .iter()
        .skip(at)
        .position(|line| line == "}\n")
        .map_or(lines.len(), |found| at + found + 2);
    closing.min(lines.len())
}
