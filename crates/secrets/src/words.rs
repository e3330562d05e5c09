//! Distinguishes words from random text.

/// The frequency of each pair of letters in English text and identifiers, from 0 to 9; one row per first letter.
const PAIRS: [&[u8; 26]; 26] = [
    b"27874574726878373878665562",
    b"64546333652744640664622352",
    b"73648437617754843757643252",
    b"75468543833645742665643351",
    b"85887764545778575998566753",
    b"62446632701644742655623240",
    b"53437355622556540664532033",
    b"72347322712444731545512142",
    b"76777672324779863788362506",
    b"52225021303332521332513221",
    b"53347342601524432364424032",
    b"84568533824745852476653373",
    b"86458332714564770365612140",
    b"74788684736646752488664353",
    b"56775663536778672877767433",
    b"73458445614744763767634262",
    b"20020002221312201330602001",
    b"85669563826676850677654362",
    b"63758557735655774578745362",
    b"84659547833655762877645364",
    b"66656553602768560777320332",
    b"71208322632243531332223111",
    b"63346325622435632653223201",
    b"43535423522440360246221442",
    b"44435332521455460365234133",
    b"40026011511232410223200132",
];
/// On this scale words are about 7, and random letters about 4.
const USUAL_TENTHS: usize = 54;
/// Shorter runs of letters can't be classified reliably, and count as words.
const SHORT_RUN: usize = 4;
/// The most digits at the end of a name: `agent007`, `changeme123`, `sha256`.
const MOST_DIGITS_AT_THE_END: usize = 4;

/// Shannon entropy in bits per byte.
pub(crate) fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let length = text.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / length)
        .map(|share| -share * share.log2())
        .sum()
}

/// Whether the letters follow each other as they do in words.
fn reads_like_a_word(letters: &[u8]) -> bool {
    if letters.len() < 2 {
        return true;
    }
    let place = |letter: u8| usize::from(letter.to_ascii_lowercase() - b'a');
    let usual: usize = letters
        .windows(2)
        .map(|pair| usize::from(PAIRS[place(pair[0])][place(pair[1])] - b'0'))
        .sum();
    let pairs = letters.len() - 1;
    letters.len() < SHORT_RUN || usual * 10 >= USUAL_TENTHS * pairs
}

/// The possible words of a text: runs of letters, split where a capital follows a small letter.
fn runs(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| !byte.is_ascii_alphabetic())
        .filter(|run| !run.is_empty())
        .flat_map(|run| run.chunk_by(|left, right| !(left.is_ascii_lowercase() && right.is_ascii_uppercase())))
}

/// How many words a text is made of.
pub(crate) fn count(text: &[u8]) -> usize {
    runs(text).count()
}

/// Whether the text consists of joined words: a name, an identifier, a path, a phrase. Digits may end a word; elsewhere they
/// indicate random text.
pub(crate) fn is_wordy(text: &[u8]) -> bool {
    let (mut letters, mut of_words, mut digits, mut word_digits, mut parts, mut tiny) = (0, 0, 0, 0, 0, 0);
    for part in text
        .split(|byte| !byte.is_ascii_alphanumeric())
        .filter(|part| !part.is_empty())
    {
        let end = part
            .iter()
            .rposition(|byte| !byte.is_ascii_digit())
            .map_or(0, |last| last + 1);
        let (stem, number) = part.split_at(end);
        digits += number.len();
        // A date, a version or a port, but not a long number after a word.
        if number.len() <= MOST_DIGITS_AT_THE_END {
            word_digits += number.len();
        }
        digits += stem.iter().filter(|byte| byte.is_ascii_digit()).count();
        for run in runs(stem) {
            parts += 1;
            letters += run.len();
            if run.len() < 3 {
                tiny += 1;
            }
            if reads_like_a_word(run) {
                of_words += run.len();
            }
        }
    }
    // Random letters of both cases split into many tiny runs, each of which might be a word.
    letters > 0 && digits == word_digits && of_words * 10 >= letters * 8 && (parts < 4 || tiny * 2 <= parts)
}

/// Whether it is a repetition or a sequence: `xxxxxxxx`, `12345678`, `abcdefgh`, `********`.
pub(crate) fn is_monotonous(text: &[u8]) -> bool {
    if text.len() < 2 {
        return true;
    }
    // `0123456789abcdef` is used as a key in tests.
    if text.len() >= 16 && kinds(text) >= 2 && text.iter().any(u8::is_ascii_digit) && entropy(text) > 3.5 {
        return false;
    }
    let steps = text
        .windows(2)
        .filter(|pair| matches!(i16::from(pair[1]) - i16::from(pair[0]), -1..=1))
        .count();
    steps * 10 >= (text.len() - 1) * 7 || entropy(text) < 1.8
}

/// Whether it is hexadecimal, as digests and commits are.
pub(crate) fn is_hexadecimal(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_hexdigit)
}

/// How many of small letters, capitals, digits and marks it has.
pub(crate) fn kinds(text: &[u8]) -> usize {
    let has = |kind: fn(&u8) -> bool| usize::from(text.iter().any(kind));
    has(u8::is_ascii_lowercase) + has(u8::is_ascii_uppercase) + has(u8::is_ascii_digit) + has(u8::is_ascii_punctuation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_phrases_and_identifiers_are_words() {
        for text in [
            "lm-studio",
            "ollama",
            "test",
            "changeme123",
            "none-needed",
            "password",
            "postgres",
            "TokenStream",
            "self.password",
            "config.database.password",
            "MAX_TOKENS",
            "correct-horse-battery-staple",
            "settings::Secret",
            "get_secret_value",
            "secretKeyRef",
            "my_password_2024",
            "application/json",
            "access_token_expires",
            "supersecretvalue",
            "your-api-key-here",
            "tests/test_login.py",
        ] {
            assert!(is_wordy(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn random_texts_are_not_words() {
        for text in [
            "xkqjzvbnmwrtplkj",
            "a1b2c3d4e5f6",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "Tr0ub4dor&3",
            "9f86d081884c7d65",
            "hQwErTyZxCvBqWkJpLmN",
            "s3cr3t-Pa55w0rd",
        ] {
            assert!(!is_wordy(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn repetitions_and_sequences_are_monotonous() {
        for text in ["xxxxxxxx", "12345678", "abcdefghij", "********", "0000000000000001"] {
            assert!(is_monotonous(text.as_bytes()), "{text}");
        }
        assert!(!is_monotonous(b"a1b2c3d4"));
        assert!(!is_monotonous(b"hunter2pass"));
    }
}
