//! Whether a decided file still parses, for the formats whose grammar is at hand.

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use std::{collections::BTreeSet, fmt};

/// A format that can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON in which no key stands twice: a merge is how that comes about.
    Json,
    /// TOML.
    Toml,
}

impl Format {
    /// The format of a file by its name, if every version of it parses. Where one does not, a decision can't be asked
    /// to.
    pub fn of(path: &str, versions: &[&str]) -> Option<Self> {
        let format = match path.rsplit_once('.')?.1 {
            "json" => Self::Json,
            "toml" => Self::Toml,
            _ => return None,
        };
        versions.iter().all(|text| format.check(text).is_ok()).then_some(format)
    }

    /// The format's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Toml => "TOML",
        }
    }

    /// Whether the text parses.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn check(self, text: &str) -> Result<(), String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let parsed = match self {
            Self::Json => serde_json::from_str::<UniqueKeys>(text)
                .map(drop)
                .map_err(|error| error.to_string()),
            Self::Toml => text
                .parse::<toml::Table>()
                .map(drop)
                .map_err(|error| error.message().to_owned()),
        };
        parsed.map_err(|error| format!("the file is no {} any more: {error}", self.name()))
    }
}

/// Any document whose objects have each key once.
struct UniqueKeys;

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a document")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = fields.next_key::<String>()? {
            fields.next_value::<Self>()?;
            if seen.contains(&key) {
                return Err(A::Error::custom(format!("the key {key:?} stands twice in one object")));
            }
            seen.insert(key);
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_checked_only_where_every_version_had_it() {
        assert_eq!(
            Format::of("a/b.json", &["{}", "[1, null, \"x\"]", "1.5"]),
            Some(Format::Json)
        );
        assert_eq!(Format::of("tsconfig.json", &["{}", "{ // words\n}"]), None);
        assert_eq!(Format::of("a.toml", &["", "a = 1", "[b]\nc = [1]"]), Some(Format::Toml));
        assert_eq!(Format::of("a.rs", &["", ""]), None);
        assert_eq!(Format::of("toml", &["", ""]), None);
    }

    #[test]
    fn a_key_that_stands_twice_is_no_json() {
        let problem = Format::Json
            .check("{\"a\": {\"x\": 1, \"y\": 2, \"x\": 3, \"z\": 4}}")
            .unwrap_err();
        assert!(problem.contains("\"x\" stands twice"), "{problem}");
        assert!(Format::Json.check("{\"a\": 1,}").is_err());
        assert!(Format::Toml.check("a = 1\na = 2\n").is_err());
        assert!(Format::Json.check("{\"a\": true, \"b\": [-1, 2.5, null]}").is_ok());
    }
}
