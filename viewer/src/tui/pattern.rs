//! What is searched for.

use regex::{Regex, RegexBuilder};

/// A regular expression, or a plain text where it is none. Small letters match capital ones too.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// None of an empty text.
    pub(crate) fn new(text: &str) -> Option<Pattern> {
        if text.is_empty() {
            return None;
        }
        let any_case = !text.chars().any(char::is_uppercase);
        let build = |text: &str| RegexBuilder::new(text).case_insensitive(any_case).size_limit(1 << 20).build();
        let regex = build(text).or_else(|_| build(&regex::escape(text))).ok()?;
        Some(Pattern { text: text.to_owned(), regex })
    }

    /// As it was typed.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_regular_expressions() {
        let check = |text: &str, name: &str, expected| {
            assert_eq!(Pattern::new(text).unwrap().matches(name), expected, "{text} {name}");
        };
        check("step", "sqlite3_step", true);
        check("Step", "sqlite3_step", false);
        check("step", "sqlite3_STEP", true);
        check("^sqlite.*step$", "sqlite3_step", true);
        check("^step", "sqlite3_step", false);
        check("(*Stmt", "main.(*Stmt).Exec", true);
        check("[", "a[0]", true);
        assert!(Pattern::new("").is_none());
    }
}
