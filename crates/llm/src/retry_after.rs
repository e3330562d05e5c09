//! The wait that a provider requests, in every form that is in use.

use http::HeaderMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The wait that the provider requests by `retry-after-ms`, `retry-after` (seconds, fractions, a date) or
/// `x-ratelimit-reset-*`; `None` if there is no valid value.
pub(crate) fn requested_wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    text(headers, "retry-after-ms")
        .and_then(|value| seconds(value.parse::<f64>().ok()? / 1_000.0))
        .or_else(|| retry_after(text(headers, "retry-after")?, headers, now))
        .or_else(|| rate_limit_reset(headers, now))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn seconds(value: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(value).ok()
}

fn retry_after(value: &str, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    if let Ok(number) = value.parse::<f64>() {
        return seconds(number);
    }
    let date = httpdate::parse_http_date(value).ok()?;
    // Use the provider's clock if it sends one, in case ours is wrong.
    let now = text(headers, "date")
        .and_then(|date| httpdate::parse_http_date(date).ok())
        .unwrap_or(now);
    Some(date.duration_since(now).unwrap_or_default())
}

/// The longest wait among the limits that are used up, or whose remainder is unknown.
fn rate_limit_reset(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    ["", "-requests", "-tokens"]
        .into_iter()
        .filter(|kind| text(headers, &format!("x-ratelimit-remaining{kind}")).is_none_or(|left| left == "0"))
        .filter_map(|kind| span(text(headers, &format!("x-ratelimit-reset{kind}"))?, now))
        .max()
}

/// `120ms`, `1.5s`, `6m0s`, `1h2m3s`, a bare number of seconds, or a Unix time in seconds or milliseconds.
fn span(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(number) = value.parse::<f64>() {
        let since_epoch = now.duration_since(UNIX_EPOCH).ok()?;
        return match number {
            milliseconds if milliseconds > 1e12 => Some(seconds(milliseconds / 1e3)?.saturating_sub(since_epoch)),
            unix if unix > 1e9 => Some(seconds(unix)?.saturating_sub(since_epoch)),
            plain => seconds(plain),
        };
    }
    if value.is_empty() {
        return None;
    }
    let mut rest = value;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .find(|letter: char| !letter.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let scale = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    seconds(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    fn asked(pairs: &[(&str, &str)]) -> Option<Duration> {
        let headers = pairs
            .iter()
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect();
        requested_wait(&headers, UNIX_EPOCH + Duration::from_secs(2_000_000_000))
    }

    #[test]
    fn every_form_of_retry_after_is_parsed() {
        let ms = |number| Some(Duration::from_millis(number));
        for (pairs, expected) in [
            (&[("retry-after-ms", "250")][..], ms(250)),
            (&[("retry-after-ms", "1500.5")], Some(Duration::from_secs_f64(1.5005))),
            (&[("retry-after", "3")], ms(3_000)),
            (&[("retry-after", " 0.25 ")], ms(250)),
            (&[("retry-after-ms", "10"), ("retry-after", "3")], ms(10)),
            (&[("retry-after", "Wed, 18 May 2033 03:33:30 GMT")], ms(10_000)),
            (&[("retry-after", "Thu, 01 Jan 1970 00:00:00 GMT")], ms(0)),
            (
                &[
                    ("retry-after", "Fri, 01 Jan 2027 00:00:07 GMT"),
                    ("date", "Fri, 01 Jan 2027 00:00:02 GMT"),
                ],
                ms(5_000),
            ),
            (&[("x-ratelimit-reset-requests", "120ms")], ms(120)),
            (&[("x-ratelimit-reset-tokens", "6m0s")], ms(360_000)),
            (&[("x-ratelimit-reset-tokens", "1h2m3.5s")], ms(3_723_500)),
            (&[("x-ratelimit-reset", "2000000004")], ms(4_000)),
            (&[("x-ratelimit-reset", "2000000004500")], ms(4_500)),
            (&[("x-ratelimit-reset", "12")], ms(12_000)),
        ] {
            assert_eq!(asked(pairs), expected, "{pairs:?}");
        }
    }

    #[test]
    fn only_exhausted_limits_count() {
        let pairs = [
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "2s"),
            ("x-ratelimit-remaining-tokens", "9000"),
            ("x-ratelimit-reset-tokens", "90s"),
        ];
        assert_eq!(asked(&pairs), Some(Duration::from_secs(2)));
    }

    #[test]
    fn invalid_values_are_ignored() {
        for value in ["", "soon", "-1", "NaN", "inf", "1e400", "5x", "s", "1.2.3"] {
            assert_eq!(asked(&[("retry-after", value)]), None, "{value}");
            assert_eq!(asked(&[("x-ratelimit-reset", value)]), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(value in "[ -~]{0,24}") {
            asked(&[("retry-after-ms", &value), ("retry-after", &value), ("x-ratelimit-reset-tokens", &value)]);
        }
    }
}
