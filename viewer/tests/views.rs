//! Rows and columns that are chosen of tables, on a recorded profile.

use std::path::Path;

use cgoprof_profile::{Profile, decode};
use cgoprof_viewer::report::tabular::{self, Form, TabularError};
use cgoprof_viewer::report::view::{View, expression};
use cgoprof_viewer::report::{By, json, text};
use cgoprof_viewer::tables::inside::Group;

fn profile() -> Profile {
    named("sqlite")
}

fn named(name: &str) -> Profile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/profiles/{name}.pb.gz"));
    decode(&std::fs::read(path).unwrap()).unwrap()
}

/// The lines of a report's table, its head first.
fn table(view: &View) -> Vec<String> {
    let report = text::write(&profile(), By::Function, view).expect("a report");
    let (_, table) = report.split_once("\n\n").expect("a table");
    table.lines().take_while(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn rows_are_filtered_and_sorted_and_columns_chosen() {
    let columns = ["calls", "C FUNCTION"].map(str::to_owned).to_vec();
    let view = View { columns, sort: Some("CALLS".to_owned()), ..View::all() };
    let all = table(&view);
    let calls = |line: &String| -> u64 {
        line.split_whitespace().next().expect("a number").replace(',', "").parse().expect("a number")
    };
    let (head, rows) = all.split_first().expect("a head");
    assert_eq!(head.split_whitespace().collect::<Vec<_>>(), ["CALLS", "C", "FUNCTION"]);
    assert!(rows.len() > 3 && rows.windows(2).all(|two| calls(&two[0]) >= calls(&two[1])), "{all:#?}");
    let matching = |text: &str| table(&View { filter: Some(expression(text).unwrap()), ..view.clone() }).len() - 1;
    let with = |part: &str| rows.iter().filter(|row| row.to_lowercase().contains(part)).count();
    assert_eq!(matching("step"), with("step"));
    assert_eq!((matching("STEP"), matching("sqlite3") > 0), (0, true));
    assert_eq!(matching("^github.com/mattn"), matching("mattn"), "Go packages are names too");
    let by_name = table(&View { sort: Some("function".to_owned()), ..view.clone() });
    let names: Vec<&str> = by_name[1..].iter().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert!(names.is_sorted(), "{names:?}");
    let unknown = View { columns: vec!["calls".to_owned(), "nix".to_owned()], ..View::all() };
    let error = text::write(&profile(), By::Function, &unknown).expect_err("no such column").to_string();
    assert!(error.contains("`nix`") && error.contains("c_p50"), "{error}");
}

#[test]
fn a_table_fits_the_terminal_and_names_what_has_no_room() {
    let widest = |lines: &[String]| lines.iter().map(|line| line.chars().count()).max().expect("a line");
    let all = table(&View::all());
    assert!(widest(&all) > 120, "{all:#?}");
    for width in [120, 80, 60] {
        let lines = table(&View { width: Some(width), ..View::all() });
        let (last, rows) = lines.split_last().expect("lines");
        assert!(widest(rows) <= width, "{width}: {lines:#?}");
        assert!(last.starts_with("... no room for ") && last.contains("EXIT"), "{width}: {last}");
        assert!(rows[0].contains("TOTAL") && rows[0].contains("C FUNCTION"), "{width}: {lines:#?}");
    }
}

/// The line of Go, or of C, was once the first to go.
#[test]
fn what_tells_rows_apart_stays_on_a_narrow_terminal() {
    for (name, by, head) in [("sqlite", By::Site, "LINE"), ("blocked", By::Inside(Group::Line), "LINE")] {
        let report = text::write(&named(name), by, &View { width: Some(80), ..View::rows(5) }).expect("a report");
        let heads = report.lines().find(|line| line.contains("TOTAL ") && line.contains("  ")).expect("heads");
        assert!(heads.contains(head), "{by:?}: {report}");
    }
}

#[test]
fn csv_and_markdown_have_a_field_for_each_column_in_each_row() {
    let profile = profile();
    let report: serde_json::Value = serde_json::from_str(&json::write(&profile).unwrap()).unwrap();
    for by in By::ALL {
        let write =
            |form| tabular::write(&profile, by, &View::all(), form).map(|text| String::from_utf8(text).unwrap());
        if matches!(by, By::Stack | By::Blocked | By::Slowest) {
            assert_eq!(write(Form::Csv), Err(TabularError::NoTable));
            continue;
        }
        let markdown = write(Form::Markdown).expect("a table");
        // Escaped ones are no borders.
        let borders = |line: &str| line.replace("\\|", "").matches('|').count();
        let heads = borders(markdown.lines().next().expect("heads"));
        assert!(markdown.lines().all(|line| borders(line) == heads), "{by:?}: {markdown}");
        let csv = write(Form::Csv).expect("a table");
        assert_eq!(csv.lines().count() + 1, markdown.lines().count(), "{by:?}");
    }
    let functions = tabular::write(&profile, By::Function, &View::all(), Form::Csv).expect("a table");
    let functions = String::from_utf8(functions).unwrap();
    assert_eq!(functions.lines().count() - 1, report["functions"].as_array().unwrap().len());
    let chosen = View { columns: vec!["name".to_owned(), "total".to_owned()], limit: 1, ..View::all() };
    let chosen = tabular::write(&profile, By::Function, &chosen, Form::Csv).expect("a table");
    let first = &report["functions"][0];
    let line = format!("{},{},{}", first["name"].as_str().unwrap(), first["total_ns"], first["total_se_ns"]);
    assert_eq!(String::from_utf8(chosen).unwrap(), format!("name,total_ns,total_se_ns\r\n{line}\r\n"));
}
