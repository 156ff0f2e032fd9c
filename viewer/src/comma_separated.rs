//! Comma-separated values (RFC 4180).

/// Returns lines of fields, the first one the heads.
pub(crate) fn lines(lines: &[Vec<String>]) -> Vec<u8> {
    let field = |field: &String| match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.clone(),
    };
    let line = |line: &Vec<String>| line.iter().map(field).collect::<Vec<_>>().join(",") + "\r\n";
    lines.iter().map(line).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let text = [vec!["a".to_owned(), "b,c".to_owned()], vec!["say \"x\"".to_owned(), String::new()]];
        assert_eq!(lines(&text), b"a,\"b,c\"\r\n\"say \"\"x\"\"\",\r\n");
    }
}
