//! Durations for people.

use std::time::Duration;

/// A duration in at most two units: `0.4s`, `48s`, `1m04s`, `2h05m`, `4d02h`.
pub fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1}s", duration.as_secs_f64().min(9.9)),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_at_most_two_units() {
        let shown = [
            (400, "0.4s"),
            (9_990, "9.9s"),
            (48_000, "48s"),
            (64_000, "1m04s"),
            (7_500_000, "2h05m"),
            (90_000_000, "1d01h"),
        ];
        for (milliseconds, expected) in shown {
            assert_eq!(duration_text(Duration::from_millis(milliseconds)), expected);
        }
    }
}
