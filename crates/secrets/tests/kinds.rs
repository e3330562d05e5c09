//! Every kind of secret is masked in every place; texts that only resemble secrets are not.
#![allow(clippy::unwrap_used, reason = "a test stops where it breaks")]

use base64::Engine;
use secrets::{Masker, redact};
use serde_json::{Value, json};

const ALNUM: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const WORD: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
const BASE64: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";
const HEX: &[u8] = b"0123456789abcdef";
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Random samples of each kind; more of them found no further faults.
const SEEDS: u64 = 6;

struct Draw(fastrand::Rng);

impl Draw {
    fn of(&mut self, alphabet: &[u8], length: usize) -> String {
        (0..length)
            .map(|_| char::from(alphabet[self.0.usize(..alphabet.len())]))
            .collect()
    }

    fn mixed(&mut self, alphabet: &[u8], length: usize) -> String {
        loop {
            let drawn = self.of(alphabet, length);
            if drawn.bytes().any(|byte| byte.is_ascii_digit()) && drawn.bytes().any(|byte| byte.is_ascii_alphabetic()) {
                return drawn;
            }
        }
    }

    fn pem(&mut self, kind: &str, lines: usize) -> (String, Vec<String>) {
        let mut body: Vec<String> = (0..lines).map(|_| self.of(BASE64, 64)).collect();
        body.push(format!("{}==", self.mixed(BASE64, 38)));
        (
            format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", body.join("\n")),
            body,
        )
    }

    /// Each kind of secret: its name, a text with it, and the parts that must not remain.
    fn each(&mut self) -> Vec<(&'static str, String, Vec<String>)> {
        let mut kinds: Vec<(&'static str, String, Vec<String>)> = Vec::new();
        let mut one = |kind, before: &str, secret: String, after: &str| {
            kinds.push((kind, format!("{before}{secret}{after}"), vec![secret]));
        };
        one("github", "ghp_", self.mixed(ALNUM, 36), "");
        one("github app", "ghs_", self.mixed(ALNUM, 36), "");
        one(
            "github fine-grained",
            "github_pat_",
            format!("{}_{}", self.mixed(ALNUM, 22), self.mixed(ALNUM, 59)),
            "",
        );
        one("gitlab", "glpat-", self.mixed(WORD, 20), "");
        one("openai", "sk-proj-", self.mixed(ALNUM, 48), "");
        one("anthropic", "sk-ant-api03-", self.mixed(WORD, 93), "AA");
        one("aws id", "AKIA", self.mixed(UPPER, 16), "");
        one("aws temporary id", "ASIA", self.mixed(UPPER, 16), "");
        one("aws secret", "aws_secret_access_key = ", self.mixed(BASE64, 40), "");
        one(
            "aws secret in the environment",
            "AWS_SECRET_ACCESS_KEY=",
            self.mixed(BASE64, 40),
            "",
        );
        one(
            "aws secret in json",
            "\"SecretAccessKey\": \"",
            self.mixed(BASE64, 40),
            "\"",
        );
        one(
            "aws secret beside its id",
            "AKIAJ7FKQW2ZNX4PLD3V,",
            self.mixed(BASE64, 40),
            ",eu-west-1",
        );
        one("aws session token", "aws_session_token=", self.mixed(BASE64, 400), "");
        one("stripe", "sk_live_", self.mixed(ALNUM, 24), "");
        one("stripe restricted", "rk_live_", self.mixed(ALNUM, 24), "");
        one("npm", "npm_", self.of(ALNUM, 36), "");
        one(
            "npmrc",
            "//registry.example.test/:_authToken=",
            self.mixed(ALNUM, 36),
            "",
        );
        one("hugging face", "hf_", self.of(LETTERS, 34), "");
        one(
            "slack",
            "xoxb-",
            format!("123456789012-123456789012-{}", self.mixed(ALNUM, 24)),
            "",
        );
        one(
            "slack webhook",
            "https://hooks.slack.com/services/",
            format!("T0123ABCD/B0123ABCD/{}", self.mixed(ALNUM, 24)),
            "",
        );
        one("google", "AIza", self.mixed(WORD, 35), "");
        one("google oauth", "ya29.", self.mixed(WORD, 60), "");
        one("pypi", "pypi-AgEIcHlwaS5vcmc", self.mixed(WORD, 60), "");
        one(
            "json web token",
            "eyJhbGciOiJIUzI1NiJ9.",
            format!("eyJ{}.{}", self.mixed(ALNUM, 40), self.mixed(WORD, 43)),
            "",
        );
        one(
            "sendgrid",
            "SG.",
            format!("{}.{}", self.mixed(ALNUM, 22), self.mixed(ALNUM, 43)),
            "",
        );
        one(
            "azure storage",
            "AccountName=x;AccountKey=",
            self.of(BASE64, 86),
            "==;EndpointSuffix=core.windows.net",
        );
        one(
            "azure client secret",
            "client_secret ",
            format!("{}8Q~{}", self.of(ALNUM, 3), self.mixed(ALNUM, 34)),
            "",
        );
        one("digitalocean", "dop_v1_", self.of(HEX, 64), "");
        one("shopify", "shpat_", self.of(HEX, 32), "");
        one("vault", "hvs.", self.mixed(WORD, 95), "");
        one("telegram", "", format!("123456789:AA{}", self.mixed(WORD, 33)), "");
        one("password in the environment", "DB_PASSWORD=", self.mixed(ALNUM, 12), "");
        one(
            "password in the environment, joined",
            "PGPASSWORD=",
            self.mixed(ALNUM, 10),
            " psql",
        );
        one(
            "secret in the environment",
            "export JWT_SECRET=",
            self.mixed(ALNUM, 24),
            "",
        );
        one("token in the environment", "GITHUB_TOKEN='", self.mixed(ALNUM, 24), "'");
        one("password in yaml", "  password: ", self.mixed(ALNUM, 14), "");
        one("password in code", "let password = \"", self.mixed(ALNUM, 14), "\";");
        one("typed constant", "API_TOKEN: str = \"", self.mixed(ALNUM, 24), "\"");
        one(
            "rust constant",
            "const API_KEY: &str = \"",
            self.mixed(ALNUM, 24),
            "\";",
        );
        one("go", "apiKey := \"", self.mixed(ALNUM, 24), "\"");
        one("ruby", ":secret_key => '", self.mixed(ALNUM, 24), "'");
        one("xml", "<password>", self.mixed(ALNUM, 14), "</password>");
        one(
            "connection string",
            "Server=db;User Id=sa;Password=",
            self.mixed(ALNUM, 14),
            ";Encrypt=true",
        );
        one("query", "GET /v1?page=2&access_token=", self.mixed(ALNUM, 30), "&x=1");
        one("option", "deploy --password ", self.mixed(ALNUM, 14), " --dry-run");
        one("curl user", "curl -u admin:", self.mixed(ALNUM, 14), " http://h/");
        one("bearer", "Authorization: Bearer ", self.mixed(WORD, 30), "");
        one("header", "X-Api-Key: ", self.mixed(ALNUM, 32), "");
        one(
            "address with a password",
            "postgres://app:",
            self.mixed(ALNUM, 14),
            "@db.internal:5432/app",
        );
        one(
            "address with a token",
            "git clone https://",
            self.mixed(ALNUM, 30),
            "@github.com/o/r.git",
        );
        one(
            "address with a token as name",
            "https://",
            self.mixed(ALNUM, 30),
            ":x-oauth-basic@github.com/o/r",
        );
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("admin:{}", self.mixed(ALNUM, 12)));
        one("basic", "Authorization: Basic ", pair, "");
        for kind in [
            "RSA PRIVATE KEY",
            "PRIVATE KEY",
            "OPENSSH PRIVATE KEY",
            "EC PRIVATE KEY",
            "PGP PRIVATE KEY BLOCK",
        ] {
            let (text, body) = self.pem(kind, 12);
            kinds.push(("private key", text.clone(), body.clone()));
            kinds.push((
                "private key without its end",
                text.split("-----END").next().unwrap().to_owned(),
                body.clone(),
            ));
            let cut = text.lines().skip(4).collect::<Vec<_>>().join("\n");
            kinds.push(("private key without its beginning", cut, body[3..].to_vec()));
            kinds.push(("escaped private key", text.replace('\n', "\\n"), body.clone()));
            let listed = text
                .lines()
                .enumerate()
                .map(|(n, line)| format!("{:6}\t{line}\n", n + 1))
                .collect();
            kinds.push(("listed private key", listed, body.clone()));
            let diff = text.lines().map(|line| format!("+{line}\n")).collect();
            kinds.push(("private key in a diff", diff, body.clone()));
            let indented = text.lines().map(|line| format!("    {line}\n")).collect();
            kinds.push(("indented private key", indented, body.clone()));
            let joined = text.lines().map(|line| format!("    \"{line}\\n\" +\n")).collect();
            kinds.push(("private key of joined strings", joined, body.clone()));
            let crlf = text.replace('\n', "\r\n");
            kinds.push(("private key with carriage returns", crlf, body.clone()));
            let in_base64 = base64::engine::general_purpose::STANDARD.encode(&text);
            kinds.push((
                "private key in base64",
                format!("tls.key: {in_base64}"),
                vec![in_base64[30..].to_owned()],
            ));
        }
        let (text, body) = self.pem("RSA PRIVATE KEY", 12);
        let encrypted = text.replacen(
            '\n',
            "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,3F17F5316E2BAC89A30CC69C9E0A5B21\n\n",
            1,
        );
        kinds.push(("encrypted private key", encrypted, body));
        kinds
    }
}

fn leaves(place: &str, kind: &str, masked: &str, secrets: &[String]) -> Vec<String> {
    // Only parts longer than a short last line.
    secrets
        .iter()
        .filter(|secret| masked.contains(secret.as_str()) || (secret.len() >= 24 && masked.contains(&secret[..16])))
        .map(|secret| format!("{kind} in {place}: {secret} is left in {masked:.300}"))
        .collect()
}

fn streamed(text: &str, size: usize) -> String {
    let mut masker = Masker::default();
    let mut out = Vec::new();
    for piece in text.as_bytes().chunks(size) {
        out.extend(masker.push(piece));
    }
    out.extend(masker.finish());
    String::from_utf8(out).unwrap()
}

#[test]
fn every_kind_is_masked_in_every_place() {
    let mut left = Vec::new();
    let mut count = 0;
    for seed in 0..SEEDS {
        let mut draw = Draw(fastrand::Rng::with_seed(seed));
        for (kind, text, secrets) in draw.each() {
            count += 1;
            left.extend(leaves("a text", kind, &redact(&text), &secrets));
            let lines = format!("It says:\n{text}\nand goes on.\n");
            left.extend(leaves("lines", kind, &redact(&lines), &secrets));
            left.extend(leaves("a stream", kind, &streamed(&lines, 7), &secrets));
            let document = json!({"content": [lines.clone()], "n": 1});
            let masked = secrets::redact_json(&document);
            left.extend(leaves("a document", kind, &masked.to_string(), &secrets));
            let text_of_document = redact(&document.to_string());
            let again: Value = serde_json::from_str(&text_of_document).unwrap();
            assert_eq!(again, masked, "{kind}");
            // Tool arguments: JSON in a JSON string.
            let nested = json!({"arguments": document.to_string()});
            let masked = redact(&nested.to_string());
            let outer: Value = serde_json::from_str(&masked).unwrap();
            let inner: Value = serde_json::from_str(outer["arguments"].as_str().unwrap()).unwrap();
            assert!(inner["content"].is_array());
            left.extend(leaves("arguments", kind, &masked, &secrets));
            // A log line that contains JSON.
            let logged = format!("2026-01-01 INFO sent {}", document);
            let masked = redact(&logged);
            serde_json::from_str::<Value>(masked.split_once("sent ").unwrap().1)
                .unwrap_or_else(|error| panic!("{kind}: {error}: {masked}"));
            left.extend(leaves("a logged document", kind, &masked, &secrets));
            assert_eq!(redact(&masked), masked, "{kind}: masked twice");
        }
    }
    let shown: Vec<_> = left.iter().take(25).collect();
    println!("{count} secrets, {} left", left.len());
    assert!(left.is_empty(), "{} left: {shown:#?}", left.len());
}

/// Texts that resemble secrets and are none.
const ORDINARY: &[&str] = &[
    "commit d99a3a1f0e4b6a7c8d9e0f1a2b3c4d5e6f708192",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "      \"integrity\": \"sha512-oRJx3Zk1yYV1iH0bdrvl7v1sKQ0r6vTn6sQHqvC8wZ7M1w9Q0nU0uXlJz5m0sQk8b4wXfJ0Q1Lk0m5x0YQ==\",",
    "checksum = \"b0f4a1c3d2e5968778695a4b3c2d1e0f9f8e7d6c5b4a39281706f5e4d3c2b1a0\"",
    "id: 3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "password = os.environ[\"DB_PASSWORD\"]",
    "password = os.environ.get('DB_PASSWORD', '')",
    "const token = process.env.GITHUB_TOKEN;",
    "token: str",
    "fn login(password: &str, token: Option<String>) -> Result<Token, Error> {",
    "def test_password_is_hashed(client, user_password):",
    "self.password = password",
    "password: ${{ secrets.DB_PASSWORD }}",
    "DB_PASSWORD=${DB_PASSWORD}",
    "DB_PASSWORD=$(cat /run/secrets/db)",
    "POSTGRES_PASSWORD=postgres_password_here",
    "API_KEY=your-api-key-here",
    "api_key: <your key>",
    "https://github.com/owner/name.git",
    "git@github.com:owner/name.git",
    "ssh://git@github.com/owner/name.git",
    "mailto:someone@example.test",
    "postgres://user:password@localhost/db",
    "postgres://localhost:5432/db",
    "see https://example.test/a?b=c#d and user@example.test",
    "the bearer of news; basic functionality, Basic authentication; authorization: required",
    "sk-learn-pipeline, task-0123456789abcdef, risk-taking",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo\n-----END PUBLIC KEY-----",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@host",
    "if text.contains(\"-----BEGIN RSA PRIVATE KEY-----\") { return Err(Refused); }",
    "assert token_count == 4096 and max_tokens: 8192",
    "thisIsAVeryLongIdentifierThatGoesOnAndOnForSomeTimeWithoutAnyDigits",
    "crates/engine/src/effects/deliver/pull_request.rs:157",
    "lm-studio ollama test changeme123 none-needed password",
    "Cargo.lock package-lock.json yarn.lock",
    "\"token\": \"string\", \"password\": {\"type\": \"string\", \"minLength\": 8}",
    "secretKeyRef:\n  name: db-credentials\n  key: password",
    "password must have at least 8 characters, secret: none",
    "token = next(tokens)",
    "let secret = Secret::new(text);",
    "hf_hub_download, npm_config_registry, SG.Send, s.replace(x)",
    "version = \"1.0.219\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"",
    "private_key_path = \"/etc/ssl/private/server.key\"",
    "auth: Authenticator, session: Session, cookie: CookieJar",
    "key: \"2026-01-01T00:00:00Z\", cache-key: linux-cargo-9f86d081884c7d65",
    "x-request-id: 9f86d081884c7d65",
    "expect(screen.getByLabelText('Password')).toHaveValue('')",
    "PASSWORD_MIN_LENGTH = 12",
    "accessToken: string; refreshToken?: string;",
];

#[test]
fn texts_that_only_resemble_secrets_are_kept() {
    let masked: Vec<_> = ORDINARY
        .iter()
        .filter(|text| redact(text) != **text)
        .map(|text| (text, redact(text)))
        .collect();
    assert!(masked.is_empty(), "{masked:#?}");
}

#[test]
fn address_before_an_at_sign_in_another_string_is_kept() {
    let message = json!({"role": "assistant", "content": "see postgres://host:5432", "tool_calls": [
        {"id": "1", "name": "shell", "arguments": json!({"command": "echo me@example.test"}).to_string()}]});
    assert_eq!(redact(&message.to_string()), message.to_string());
    assert_eq!(secrets::redact_json(&message), message);
}

#[test]
fn json_keeps_shape_order_and_names() {
    let text = "{ \"z\": 1.50, \"password\" : \"Zx9Kq2Lm7Rt4\",\n \"a\": [\"DB_PASSWORD=Zx9Kq2Lm7Rt4\"], \"sk_live_a1b2c3d4e5f6g7h8\": 12345678901234567890 }";
    let expected = "{ \"z\": 1.50, \"password\" : \"[redacted]\",\n \"a\": [\"DB_PASSWORD=[redacted]\"], \"sk_live_a1b2c3d4e5f6g7h8\": 12345678901234567890 }";
    assert_eq!(redact(text), expected);
}

#[test]
fn registered_value_is_masked_in_every_form() {
    let secret = "Zq9\"x\\w=+7 kLm/ü";
    assert!(secrets::register_secret(secret.to_owned()));
    let json = serde_json::to_string(secret).unwrap();
    let forms = [
        secret.to_owned(),
        json.clone(),
        serde_json::to_string(&json).unwrap(),
        format!("{secret:?}"),
        "x=Zq9%22x%5Cw%3D%2B7%20kLm%2F%C3%BC&y".to_owned(),
    ];
    for form in forms {
        let masked = redact(&format!("the value {form} is"));
        assert!(
            masked.contains("[redacted]") && !masked.contains("kLm"),
            "{form}: {masked}"
        );
    }
    for before in ["", "a", "ab", "user:", "name: "] {
        for engine in [
            &base64::engine::general_purpose::STANDARD,
            &base64::engine::general_purpose::URL_SAFE,
        ] {
            let encoded = engine.encode(format!("{before}{secret} and more"));
            assert!(
                redact(&format!("<{encoded}>")).contains("[redacted]"),
                "{before}: {encoded}"
            );
        }
    }
    for word in ["lm-studio", "ollama", "changeme123", "password", "none-needed"] {
        assert!(!secrets::register_secret(word.to_owned()), "{word}");
        assert_eq!(redact(&format!("we use {word} here")), format!("we use {word} here"));
    }
}

#[test]
fn stream_is_masked_like_the_whole_text() {
    let mut draw = Draw(fastrand::Rng::with_seed(7));
    let mut text = String::new();
    for round in 0..6 {
        for (kind, secret, _) in draw.each() {
            text.push_str(&format!(
                "{round} {kind}\n{secret}\nplain text follows here, line by line\n"
            ));
            for line in 0..30 {
                text.push_str(&format!("test module_{line}::works_as_it_should ... ok\n"));
            }
        }
    }
    assert!(text.len() > 700_000, "{}", text.len());
    let whole = redact(&text);
    for size in [1_000, 65_536, 300_001] {
        assert!(streamed(&text, size) == whole, "pieces of {size}");
    }
}

#[test]
fn endless_line_does_not_block_the_stream() {
    let mut masker = Masker::default();
    let (mut taken, mut given) = (0, 0);
    for _ in 0..60 {
        taken += 65_536;
        given += masker.push(&[b'x'; 65_536]).len();
        assert!(taken - given <= 512 * 1024, "{taken} {given}");
    }
    assert_eq!(given + masker.finish().len(), taken);
}
