//! Numbers as people read them.

/// A time with three significant digits: `34.0 ns`, `1.24 us`, `980 ms`, `12.3 s`.
pub fn time(nanos: f64) -> String {
    let (value, unit) = match nanos.abs() {
        n if n < 999.5 => (nanos, "ns"),
        n if n < 999.5e3 => (nanos / 1e3, "us"),
        n if n < 999.5e6 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    format!("{} {unit}", digits(value))
}

/// A time with its standard error, where it has one worth showing: `81.0 ms ±3.2 %`.
pub fn with_error(nanos: f64, standard_error: f64) -> String {
    match standard_error / nanos {
        share if share.is_finite() && share > 0.0005 => format!("{} \u{b1}{}", time(nanos), percent(share)),
        _ => time(nanos),
    }
}

fn digits(value: f64) -> String {
    match value.abs() {
        v if v < 9.995 => format!("{value:.2}"),
        v if v < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A count with thousands apart: `1,234,567`.
pub fn count(number: u64) -> String {
    let plain = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count, nothing where it is none.
pub(crate) fn some_count(number: u64) -> String {
    if number == 0 { String::new() } else { count(number) }
}

/// A time, nothing where it is none.
pub(crate) fn some_time(nanos: f64) -> String {
    if nanos <= 0.0 { String::new() } else { time(nanos) }
}

/// `1 crossing`, `2 crossings`.
pub fn crossings(number: u64) -> String {
    format!("{} crossing{}", count(number), if number == 1 { "" } else { "s" })
}

/// `1 call`, `2 calls`.
pub fn calls(number: u64) -> String {
    format!("{} call{}", count(number), if number == 1 { "" } else { "s" })
}

/// A share of one: `12.3 %`.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        small if small != 0.0 && small.abs() < 0.05 => "<0.1 %".to_owned(),
        value if value.abs() >= 999.5 => format!("{value:.0} %"),
        value => format!("{value:.1} %"),
    }
}

/// A name from a binary, safe for a terminal: without control characters, without what turns the direction of text, and
/// without what can't be seen.
pub fn printable(name: &str) -> String {
    // Nearly all names; tables go through here for each cell of each picture.
    if name.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return name.to_owned();
    }
    let safe = |c: char| if c.is_control() || is_formatting(c) { '\u{fffd}' } else { c };
    name.chars().map(safe).collect()
}

/// Bidirectional controls, separators and spaces of no width (Unicode, UAX 9 and the category Cf).
fn is_formatting(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_scale() {
        let check = |nanos, expected: &str| assert_eq!(time(nanos), expected);
        check(0.0, "0.00 ns");
        check(3.456, "3.46 ns");
        check(999.4, "999 ns");
        check(999.6, "1.00 us");
        check(1_240.0, "1.24 us");
        check(98_000_000.0, "98.0 ms");
        check(12_345_678_901.0, "12.3 s");
        check(4e12, "4000 s");
    }

    #[test]
    fn errors_are_shown_where_they_are_worth_it() {
        let check = |nanos, error, expected: &str| assert_eq!(with_error(nanos, error), expected);
        check(81e6, 2.6e6, "81.0 ms \u{b1}3.2 %");
        check(81e6, 1e3, "81.0 ms");
        check(0.0, 0.0, "0.00 ns");
        check(0.0, 1.0, "0.00 ns");
    }

    #[test]
    fn counts_are_grouped() {
        let check = |number, expected: &str| assert_eq!(count(number), expected);
        check(0, "0");
        check(999, "999");
        check(1000, "1,000");
        check(1_234_567, "1,234,567");
    }

    #[test]
    fn shares() {
        let check = |share, expected: &str| assert_eq!(percent(share), expected);
        check(0.0, "0.0 %");
        check(0.0001, "<0.1 %");
        check(0.1234, "12.3 %");
        check(25.0, "2500 %");
    }

    #[test]
    fn names_cannot_drive_a_terminal() {
        assert_eq!(printable("a\x1b[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
        assert_eq!(printable("a\u{202e}b\u{2066}c\u{200b}"), "a\u{fffd}b\u{fffd}c\u{fffd}");
        assert_eq!(printable("日本語 e\u{301} α"), "日本語 e\u{301} α");
    }
}
