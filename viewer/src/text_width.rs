//! Text cut to the columns of a terminal: some characters take two, some none.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How many columns it takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Its start, with an ellipsis where it is longer than so many columns.
pub(crate) fn start(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used + 1 > columns {
            break;
        }
        kept.push(c);
    }
    if columns > 0 {
        kept.push('…');
    }
    kept
}

/// Its end: of a path, or of a Go name with its package.
pub(crate) fn end(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let (mut first, mut used) = (text.len(), 0);
    for (at, c) in text.char_indices().rev() {
        used += c.width().unwrap_or(0);
        if used + 1 > columns {
            break;
        }
        first = at;
    }
    // A mark belongs to the letter before it, which is cut off.
    let kept = text[first..].trim_start_matches(|c: char| c.width() == Some(0));
    if columns == 0 { String::new() } else { format!("…{kept}") }
}

/// A Go function's name without the path of its package: `go-sqlite3.(*SQLiteStmt).exec`.
pub(crate) fn without_path(name: &str) -> &str {
    // Type arguments have paths of their own.
    let end = name.find(['(', '[']).unwrap_or(name.len());
    name[..end].rfind('/').map_or(name, |slash| &name[slash + 1..])
}

/// Cut or filled up with spaces to so many columns, to the right.
pub(crate) fn left(text: &str, columns: usize) -> String {
    let cut = start(text, columns);
    let pad = columns.saturating_sub(width(&cut));
    cut + &" ".repeat(pad)
}

/// The same with the spaces to the left.
pub(crate) fn right(text: &str, columns: usize) -> String {
    let cut = start(text, columns);
    " ".repeat(columns.saturating_sub(width(&cut))) + &cut
}

/// Lines of at most so many columns, broken between words.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is always one");
        if !last.is_empty() && width(last) + 1 + width(word) > columns {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_by_columns() {
        let check = |text: &str, columns, from_start: &str, from_end: &str| {
            assert_eq!((start(text, columns).as_str(), end(text, columns).as_str()), (from_start, from_end), "{text}");
            assert!(width(from_start) <= columns && width(from_end) <= columns);
        };
        check("sqlite3_step", 12, "sqlite3_step", "sqlite3_step");
        check("sqlite3_step", 6, "sqlit…", "…_step");
        check("日本語の関数", 7, "日本語…", "…の関数");
        check("日本語の関数", 6, "日本…", "…関数");
        check("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…", "…e\u{301}");
        check("abc", 0, "", "");
        check("", 3, "", "");
        assert_eq!(without_path("github.com/a/b.(*T[c/d.E]).f"), "b.(*T[c/d.E]).f");
        assert_eq!(without_path("database/sql.withLock"), "sql.withLock");
        assert_eq!(without_path("main.main"), "main.main");
        assert_eq!(left("日本", 5), "日本 ");
        assert_eq!(right("ab", 4), "  ab");
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("longer than that", 4), ["longer", "than", "that"]);
        assert_eq!(wrapped("", 7), [""]);
    }
}
