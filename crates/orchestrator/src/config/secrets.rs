//! The configuration as it may be shown: without what would let its reader in.

use super::Config;

/// What stands in the place of a secret.
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
            // A header is where some providers want their key.
            provider
                .extra_headers
                .values_mut()
                .for_each(|value| MASK.clone_into(value));
        }
        config
    }
}

/// A helper may be a script with the password in it.
fn mask_helper(helper: &mut Option<String>) {
    if helper.as_deref().is_some_and(|helper| helper.starts_with('!')) {
        *helper = Some(MASK.to_owned());
    }
}

/// Hides the password before an `@` and the values after a `?`.
pub(crate) fn masked_address(address: &str) -> String {
    let (address, query) = match address.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (address, None),
    };
    let mut masked = masked_password(address);
    if let Some(query) = query {
        let names = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if name.contains("pass") || name.contains("key") || name.contains("token") => {
                format!("{name}={MASK}")
            }
            _ => pair.to_owned(),
        });
        masked.push('?');
        masked.push_str(&names.collect::<Vec<_>>().join("&"));
    }
    masked
}

fn masked_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        return address.to_owned();
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    match authority.rsplit_once('@') {
        Some((user, host)) if user.contains(':') => {
            let name = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{name}:{MASK}@{host}{path}")
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_keys_are_hidden_and_the_rest_stays() {
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
        ];
        for (address, expected) in shown {
            assert_eq!(masked_address(address), expected);
        }
    }

    #[test]
    fn where_hubs_are_shared_is_shown_without_what_opens_them() {
        let mut config = Config::default();
        config.hubs.address = Some("ssh://git:s3cret@host/{hub}".into());
        config.hubs.credential_helper = Some("!echo password=s3cret".into());
        let masked = config.masked().hubs;
        assert_eq!(masked.address.as_deref(), Some("ssh://git:***@host/{hub}"));
        assert_eq!(masked.credential_helper.as_deref(), Some("***"));
    }
}
