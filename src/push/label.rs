//! Labels by which servers tell profiles apart.

use std::fmt;

/// The label with the name of a service, which replaces the program's name.
pub(super) const SERVICE: &str = "service_name";
/// The same label, as OpenTelemetry calls it.
const OTLP_SERVICE: &str = "service.name";

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(super) key: String,
    pub(super) value: String,
}

impl Label {
    /// Parses `key=value`.
    pub(super) fn parse(text: &str) -> Result<Label, String> {
        let (key, value) = text.split_once('=').ok_or("a label is KEY=VALUE")?;
        let is_in_key = |(at, c): (usize, char)| {
            c.is_ascii_alphabetic() || c == '_' || at > 0 && (c.is_ascii_digit() || ".-/".contains(c))
        };
        if key.is_empty() || !key.char_indices().all(is_in_key) {
            return Err(format!("a key has letters, digits and _.-/ only, not `{}`", key.escape_debug()));
        }
        if value.trim().is_empty() || value.contains(char::is_control) {
            return Err("the value must be a line of text".into());
        }
        Ok(Label { key: key.into(), value: value.trim().into() })
    }

    /// Whether its value is the name of the service.
    pub(super) fn is_service(&self) -> bool {
        [SERVICE, OTLP_SERVICE].contains(&self.key.as_str())
    }

    /// Whether its key has letters, digits and `_` only.
    pub(super) fn has_plain_key(&self) -> bool {
        self.key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_a_key_and_a_value() {
        let label = |key: &str, value: &str| Ok(Label { key: key.into(), value: value.into() });
        assert_eq!(Label::parse("env=prod"), label("env", "prod"));
        assert_eq!(Label::parse("k8s.pod=a=b "), label("k8s.pod", "a=b"));
        for wrong in ["env", "=prod", "env=", "env= ", "1st=a", "a b=c", "a=b\nc"] {
            assert!(Label::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
