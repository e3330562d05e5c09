//! Masks passwords, tokens and keys in the configuration.

use super::Config;

/// Replaces a secret.
const MASK: &str = "***";

impl Config {
    /// A copy without passwords and tokens.
    pub(crate) fn masked(&self) -> Self {
        let mut config = self.clone();
        for address in [
            &mut config.database.url,
            &mut config.telemetry.otlp_endpoint,
            &mut config.hubs.address,
        ]
        .into_iter()
        .flatten()
        {
            *address = masked_address(address);
        }
        let pushes = config
            .workspaces
            .values_mut()
            .filter_map(|workspace| workspace.delivery.push.as_mut());
        for push in pushes {
            push.address = masked_address(&push.address);
            mask_helper(&mut push.credential_helper);
        }
        mask_helper(&mut config.hubs.credential_helper);
        for provider in config.providers.values_mut() {
            provider.base_url = provider.base_url.as_deref().map(masked_address);
            // Some providers expect their key in a header.
            provider
                .extra_headers
                .values_mut()
                .for_each(|value| MASK.clone_into(value));
        }
        config
    }
}

/// A helper may be a script that contains the password.
fn mask_helper(helper: &mut Option<String>) {
    if helper.as_deref().is_some_and(|helper| helper.starts_with('!')) {
        *helper = Some(MASK.to_owned());
    }
}

/// Masks the password before an `@` and secret values after a `?`. A password that should have been percent-encoded is
/// masked completely: in doubt, text is masked.
pub(crate) fn masked_address(address: &str) -> String {
    let (address, query) = match address.rsplit_once('?') {
        Some((address, query)) if is_query(query) => (address, Some(query)),
        Some(_) | None => (address, None),
    };
    let mut masked = masked_password(address);
    if let Some(query) = query {
        masked.push('?');
        masked.push_str(&masked_query(query));
    }
    masked
}

/// Whether the text is a list of `name=value` and not the rest of a password with a `?`.
fn is_query(text: &str) -> bool {
    let first = text.split('&').next().unwrap_or_default();
    let name = first.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn masked_query(query: &str) -> String {
    let mut hidden = false;
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) => {
            hidden = ["pass", "key", "token", "secret"]
                .iter()
                .any(|word| name.contains(word));
            match hidden {
                true => format!("{name}={MASK}"),
                false => pair.to_owned(),
            }
        }
        // The rest of a value with an `&`.
        None if hidden => MASK.to_owned(),
        None => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

fn masked_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        return address.to_owned();
    };
    let Some((user, host)) = rest.rsplit_once('@') else {
        return address.to_owned();
    };
    let Some((name, behind)) = user.split_once(':') else {
        return address.to_owned();
    };
    // `host:5432/db@x` has a port there, and a name before a `/` is not a user.
    let is_port = !behind.contains('@') && behind.split('/').next().is_some_and(|port| port.parse::<u16>().is_ok());
    if name.contains('/') || is_port && behind.contains('/') {
        return address.to_owned();
    }
    format!("{scheme}://{name}:{MASK}@{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_keys_are_masked_and_the_rest_stays() {
        let shown = [
            (
                "postgres://me:s3cret@host:5432/db?sslmode=require",
                "postgres://me:***@host:5432/db?sslmode=require",
            ),
            (
                "postgres:///db?host=/run&password=s3cret",
                "postgres:///db?host=/run&password=***",
            ),
            ("postgres://me@host/db", "postgres://me@host/db"),
            ("https://host/v1?api_key=s3cret", "https://host/v1?api_key=***"),
            ("postgres://me:a@b@host/db", "postgres://me:***@host/db"),
            ("postgres://me:a@b/c@host/db", "postgres://me:***@host/db"),
            ("postgres://me:a/b@host/db", "postgres://me:***@host/db"),
            ("postgres://me:a?b@host/db", "postgres://me:***@host/db"),
            ("postgres://me:a@b?c@host/db", "postgres://me:***@host/db"),
            (
                "postgres://me:a#b@c@host/db?sslmode=require",
                "postgres://me:***@host/db?sslmode=require",
            ),
            ("postgres://me:a:b@host/db", "postgres://me:***@host/db"),
            ("postgres://me:1234@host/db", "postgres://me:***@host/db"),
            ("postgres://host:5432/db", "postgres://host:5432/db"),
            (
                "postgres://host:5432/db?user=me@corp",
                "postgres://host:5432/db?user=me@corp",
            ),
            (
                "postgres:///db?password=a@b&sslmode=require",
                "postgres:///db?password=***&sslmode=require",
            ),
            ("postgres:///db?password=a&b", "postgres:///db?password=***&***"),
        ];
        for (address, expected) in shown {
            assert_eq!(masked_address(address), expected);
        }
    }

    #[test]
    fn credentials_of_shared_hubs_are_masked() {
        let mut config = Config::default();
        config.hubs.address = Some("ssh://git:s3cret@host/{hub}".into());
        config.hubs.credential_helper = Some("!echo password=s3cret".into());
        let masked = config.masked().hubs;
        assert_eq!(masked.address.as_deref(), Some("ssh://git:***@host/{hub}"));
        assert_eq!(masked.credential_helper.as_deref(), Some("***"));
    }
}
