//! Comma-separated values (RFC 4180), times in nanoseconds.

use cgoprof_profile::Profile;
use serde_json::{Value, json};

use super::format::{ExportError, Format};
use crate::tables::functions::{self, FunctionRow};
use crate::tables::{Field, Row};
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
        let none = FunctionRow::default();
        let heads = columns(&none, profile).map(|(name, _)| name).collect();
        let rows = functions::rows(profile);
        let line = |row| columns(row, profile).map(|(_, value)| value).collect();
        Ok(table(&std::iter::once(heads).chain(rows.iter().map(line)).collect::<Vec<_>>()))
    }
}

/// The names and values of a row's columns.
fn columns<'a>(row: &'a FunctionRow, profile: &'a Profile) -> impl Iterator<Item = (String, String)> + 'a {
    let fields = FunctionRow::columns().iter().flat_map(|column| column.fields(row, profile));
    fields.flat_map(|(name, field)| match field {
        Field::Scalar(value) => vec![(name, text(&value))],
        Field::Times(times) => {
            let part = |(part, nanos): (&str, Option<f64>)| (format!("{name}_{part}"), text(&json!(nanos)));
            times.parts().map(part).into()
        }
        Field::Frames(_) | Field::Birth(_) => Vec::new(),
    })
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
