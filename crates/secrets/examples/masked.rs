//! Shows what would be masked in the text on standard input, and how long the search takes:
//!
//! ```sh
//! git log -p --no-color | cargo run --release -p secrets --example masked
//! ```

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    time::Instant,
};

fn main() -> io::Result<()> {
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    secrets::places(b"warm");
    let started = Instant::now();
    let places = secrets::places(&text);
    let seconds = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let mut masker = secrets::Masker::default();
    let written: usize = text.chunks(64 * 1024).map(|piece| masker.push(piece).len()).sum();
    let written = written + masker.finish().len();
    let streamed = started.elapsed().as_secs_f64();

    let mut out = io::stdout().lock();
    let mut seen = BTreeSet::new();
    for place in &places {
        let start = text[..place.start]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let end = place.end
            + text[place.end..]
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or(text.len() - place.end);
        let before =
            String::from_utf8_lossy(&text[start.max(place.start.saturating_sub(60))..place.start]).into_owned();
        let secret = String::from_utf8_lossy(&text[place.start..place.end.min(place.start + 80)]).replace('\n', "⏎");
        let after = String::from_utf8_lossy(&text[place.end..end.min(place.end + 30)]).into_owned();
        let before = before.trim_start_matches(['+', '-', ' ']).to_owned();
        if seen.insert((before.clone(), secret.clone())) {
            writeln!(out, "{before}⟦{secret}⟧{after}")?;
        }
    }
    let megabytes = text.len() as f64 / 1e6;
    writeln!(
        out,
        "{} places, {} different, in {megabytes:.1} MB; {:.0} MB/s, as a stream {:.0} MB/s ({written} bytes written)",
        places.len(),
        seen.len(),
        megabytes / seconds,
        megabytes / streamed
    )
}
