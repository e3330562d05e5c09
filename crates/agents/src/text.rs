//! Helpers for prompts.

/// The beginning and the end of a text that is too long, with the number of bytes left out.
pub(crate) fn head_and_tail(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let head = floor(text, limit / 2);
    let tail = ceil(text, text.len() - limit / 2);
    format!(
        "{}\n[… {} bytes left out …]\n{}",
        &text[..head],
        tail - head,
        &text[tail..]
    )
}

/// A quotation, marked line by line, so that nothing in it looks like the prompt itself.
pub(crate) fn quoted(text: &str) -> String {
    let line = |line: &str| match line {
        "" => ">".to_owned(),
        line => format!("> {line}"),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A list on one line, with the number of items left out.
pub(crate) fn listed(items: &[String], limit: usize) -> String {
    let shown = items.iter().take(limit).map(String::as_str);
    let shown = shown.collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(limit) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Tokens of a text, by the rule of thumb for unknown models.
pub(crate) const fn tokens(bytes: usize) -> usize {
    bytes.div_ceil(4)
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceil(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_keeps_head_and_tail() {
        assert_eq!(head_and_tail("short", 10), "short");
        let cut = head_and_tail(&"é".repeat(100), 11);
        assert!(cut.starts_with("éé\n[…") && cut.ends_with("…]\néé"), "{cut}");
        assert!(cut.contains("192 bytes"));
    }

    #[test]
    fn every_line_of_a_quotation_is_marked() {
        assert_eq!(quoted("task: x\n\n# role\n"), "> task: x\n>\n> # role");
        assert_eq!(listed(&["a".into(), "b".into(), "c".into()], 2), "a, b and 1 more");
    }
}
