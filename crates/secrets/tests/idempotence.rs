//! Masking a masked text changes nothing: logs, reports and the database mask the same text more than once.

use proptest::{collection, prelude::*, sample};
use secrets::{Masker, redact, redact_json};
use serde_json::{Value, json};

const CASES: u32 = 600;

const BODY: [&str; 4] = [
    "MIIEpAIBAAKCAQEAq7Rk2ZxW9mTb4LvN8sYc1HdF6gJp3UeA5oXi0BnMq7Rk2ZxW",
    "Zx9Kq2Lm7Rt4Vb8Nc3Wd6Hf1Jg5Pk0Qs2Tu4Vx8mQ2zLk9Yb3Nc7Md1Fg5HjWq8b",
    "Yb3Nc7Md1Fg5Hj==",
    "=aB3d",
];

/// Pieces of which secrets are made, and of what stands around them.
const PIECES: &[&str] = &[
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----",
    "-----END RSA PRIVATE KEY-----",
    "-----END",
    "PRIVATE KEY",
    "Private-Lines: 14",
    "Proc-Type: 4,ENCRYPTED",
    "Version: 1",
    BODY[0],
    BODY[1],
    BODY[2],
    BODY[3],
    "LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQpNSUlFcEFJQkFBS0NBUUVB",
    "settings:12:",
    "settings:13-",
    "src/a file.rs-7-",
    "DB_PASSWORD=",
    "password: ",
    "\"api_key\": \"",
    "token: &'static str = \"",
    "--token ",
    "Tr0ub4dor&3xyz",
    "hunter2pass!",
    "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
    "sk-proj-Zx9Kq2Lm7Rt4Vb8Nc3Wd6Hf1Jg5Pk0Qs2Tu4Vx8m",
    "AKIAJ7FKQW2ZNX4PLD3V",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYZ9kLm2QwEr",
    "Bearer ",
    "Basic ",
    "YWRtaW46czNjcjN0UGE1NXcwcmQ=",
    "-u admin:",
    "postgres://app:",
    "https://",
    "@db.internal:5432/app",
    "[redacted]",
    "[redac",
    "redacted",
    "ted]",
    "a word",
    "x",
    "42",
    ":",
    "-",
    "=",
    "&",
    ",",
    " ",
    "\n",
    "\\n",
    "\r\n",
    "\t",
    "\"",
    "'",
    "\\",
    "\\\"",
    "[",
    "]",
    "{",
    "}",
    "ü",
    "+",
    ">",
];

fn text() -> impl Strategy<Value = String> {
    collection::vec(
        prop_oneof![
            8 => sample::select(PIECES).prop_map(str::to_owned),
            1 => "[ -~]{0,12}",
            1 => "[A-Za-z0-9+/]{1,70}",
        ],
        0..24,
    )
    .prop_map(|pieces| pieces.concat())
}

fn streamed(text: &str) -> String {
    let mut masker = Masker::default();
    let mut out = masker.push(text.as_bytes());
    out.extend(masker.finish());
    String::from_utf8(out).expect("masks stand between characters")
}

#[track_caller]
fn assert_masked_once(text: &str) {
    let once = redact(text);
    assert_eq!(redact(&once), once, "from {text:?}");
}

#[test]
fn touching_secrets_are_masked_at_once() {
    let text = "AKIAJ7FKQW2ZNX4PLD3Vghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8";
    assert_eq!(redact(text), "AKIA[redacted]ghp_[redacted]");
    assert_masked_once(text);
}

#[test]
fn key_in_listing_is_masked_at_once() {
    for (prefix, glue) in [
        ("settings:12:", "\n"),
        ("a file-12-", "\r\n"),
        ("x:", "\\n"),
        ("MIIE:", "\n"),
    ] {
        for lines in [&PIECES[8..11], &PIECES[8..12], &PIECES[9..11]] {
            let body: String = lines.iter().map(|line| format!("{prefix}{line}{glue}")).collect();
            let begin = format!("{prefix}-----BEGIN RSA PRIVATE KEY-----{glue}");
            let end = format!("{prefix}-----END RSA PRIVATE KEY-----{glue}");
            for text in [
                format!("{begin}{body}{end}"),
                format!("{begin}{body}"),
                format!("{body}{end}{body}"),
            ] {
                assert_masked_once(&text);
                assert_masked_once(&format!("{text}{text}"));
            }
        }
    }
}

#[test]
fn named_value_with_a_secret_inside_is_masked_at_once() {
    let key = "MIIEpAIBAAKCAQEAq7Rk2ZxW9mTb4LvN8sYc1HdF6gJp3UeA5oXi0BnMq7Rk2ZxW";
    let document = json!({"api_key": format!("{key}{key}:{key}Bearer 0+-")});
    let once = redact_json(&document);
    assert_eq!(once, json!({"api_key": "[redacted]"}));
    assert_masked_once(&document.to_string());
}

#[test]
fn existing_mask_is_kept() {
    for text in [
        "[redacted]",
        "password=[redacted]",
        "DB_PASSWORD=x[redacted]7Kq",
        "\"token\": \"[redacted]\"",
        "postgres://app:[redacted]@db/app",
        "Bearer [redacted]",
    ] {
        assert_masked_once(text);
    }
    assert_eq!(
        redact("postgres://app:[redacted]@db/app"),
        "postgres://app:[redacted]@db/app"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn masking_a_masked_text_changes_nothing(text in text()) {
        assert_masked_once(&text);
    }

    #[test]
    fn masking_a_masked_stream_changes_nothing(text in text()) {
        let once = streamed(&text);
        prop_assert_eq!(streamed(&once), once);
    }

    #[test]
    fn masking_masked_json_changes_nothing(name in text(), first in text(), second in text()) {
        let nested = json!({"password": first, "arguments": json!({"text": second}).to_string()}).to_string();
        let document = json!({"api_key": [first, second], name: {"token": second}, "lines": nested});
        let once = redact_json(&document);
        prop_assert_eq!(redact_json(&once), once);
        assert_masked_once(&document.to_string());
        assert_masked_once(&format!("sent {document}"));
        let written = redact(&document.to_string());
        prop_assert!(serde_json::from_str::<Value>(&written).is_ok(), "{}", written);
    }
}
