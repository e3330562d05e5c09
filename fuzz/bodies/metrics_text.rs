//! The text format of a scrape: whatever a label and a help text hold, they are read back as they were, on one line each.

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (help, label) = text.split_at(
        text.char_indices()
            .nth(text.chars().count() / 2)
            .map_or(0, |(at, _)| at),
    );
    let value = label.len() as f64 / 3.0;
    let written = telemetry::counter_text(help, label, value);
    let lines: Vec<&str> = written.split('\n').collect();
    let [help_line, kind, sample, ""] = lines[..] else {
        panic!("{written:?}")
    };
    assert_eq!(read(help_line.strip_prefix("# HELP name_total ").unwrap()), help);
    assert_eq!(kind, "# TYPE name_total counter");
    let (quoted, number) = sample
        .strip_prefix("name_total{label=\"")
        .unwrap()
        .rsplit_once("\"} ")
        .unwrap();
    assert_eq!(read(quoted), label);
    assert_eq!(number.parse::<f64>().unwrap(), value);
}

fn read(escaped: &str) -> String {
    let mut text = String::new();
    let mut characters = escaped.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => text.push('\n'),
                Some(other) => text.push(other),
                None => panic!("{escaped:?}"),
            },
            other => text.push(other),
        }
    }
    text
}
