//! Comma-separated values (RFC 4180), times in nanoseconds.

use cgoprof_profile::{Cell, Function, Profile};
use serde_json::Value;

use super::format::{ExportError, Format};
use crate::report::json;
use crate::units::printable;

/// The C functions of a profile: the columns are the fields of `functions[]` in the JSON report, those of objects in it as
/// `object_field`. What a recording did not measure is empty.
pub struct Csv;

impl Format for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn about(&self) -> &'static str {
        "C functions as comma-separated values, one column for each number"
    }

    fn write(&self, profile: &Profile) -> Result<Vec<u8>, ExportError> {
        let rows = rows(profile)?;
        // A profile without functions has the same columns.
        let any = Profile { functions: vec![Function::default()], cells: vec![Cell::default()], ..Profile::default() };
        let heads = self::rows(&any)?.into_iter().map(|row| row.into_iter().map(|(name, _)| name).collect());
        let lines = rows.into_iter().map(|row| row.into_iter().map(|(_, value)| value).collect());
        Ok(table(&heads.chain(lines).collect::<Vec<_>>()))
    }
}

/// The functions of a profile, each with the names of its columns.
fn rows(profile: &Profile) -> Result<Vec<Vec<(String, String)>>, ExportError> {
    let report: Value = serde_json::from_str(&json::write(profile)?)?;
    Ok(report["functions"].as_array().into_iter().flatten().map(fields).collect())
}

/// What tells functions apart, before their numbers.
const NAMES: [&str; 5] = ["name", "package", "library", "symbol", "via"];

/// The columns of a row with their names.
fn fields(row: &Value) -> Vec<(String, String)> {
    let Value::Object(all) = row else { return Vec::new() };
    let names = NAMES.iter().map(|&name| (name.to_owned(), text(&row[name])));
    let numbers =
        all.iter().filter(|(name, _)| !NAMES.contains(&name.as_str())).flat_map(|(name, value)| match value {
            Value::Object(parts) => parts.iter().map(|(part, value)| (format!("{name}_{part}"), text(value))).collect(),
            value => vec![(name.clone(), text(value))],
        });
    names.chain(numbers).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text),
        value => value.to_string(),
    }
}

/// Lines of fields, the first one the heads.
pub(crate) fn table(lines: &[Vec<String>]) -> Vec<u8> {
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
    fn a_profile_without_functions_has_heads() {
        let written = String::from_utf8(Csv.write(&Profile::default()).unwrap()).unwrap();
        assert!(written.starts_with("name,package,") && written.contains(",calls,"), "{written}");
        assert_eq!(written.lines().count(), 1);
    }

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let lines = [vec!["a".to_owned(), "b,c".to_owned()], vec!["say \"x\"".to_owned(), String::new()]];
        assert_eq!(table(&lines), b"a,\"b,c\"\r\n\"say \"\"x\"\"\",\r\n");
    }
}
