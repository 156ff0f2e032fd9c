//! Arguments that `report` and `diff` share: which rows and columns of a table are shown.

use cgoprof_viewer::report::view::{self, View};

use crate::pager;

/// Which rows and columns are shown.
#[derive(clap::Args)]
pub(crate) struct TableOptions {
    /// Maximum number of rows, without totals [default: 20; all with --format csv]
    #[arg(long)]
    limit: Option<usize>,
    /// Column to sort rows by: its head, or its key in JSON; numbers descend, names ascend
    #[arg(long, value_name = "COLUMN")]
    sort: Option<String>,
    /// Columns to show: their heads, or their keys in JSON
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    columns: Vec<String>,
    /// Regular expression that a name in the row must match: C function, Go package, library, thread; in stacks, a function
    #[arg(long, value_name = "REGEX", value_parser = view::expression)]
    filter: Option<view::Regex>,
    /// Print to the terminal, without a pager (CGOPROF_PAGER, PAGER, less)
    #[arg(long)]
    pub(crate) no_pager: bool,
}

/// Default for the maximum number of rows.
const ROWS: usize = 20;

impl TableOptions {
    /// Whether columns or their order are chosen.
    pub(crate) fn choose_columns(&self) -> bool {
        self.sort.is_some() || !self.columns.is_empty()
    }

    /// Whether columns are named.
    pub(crate) fn name_columns(&self) -> bool {
        !self.columns.is_empty()
    }

    /// Whether rows are filtered.
    pub(crate) fn filter(&self) -> bool {
        self.filter.is_some()
    }

    /// Whether rows or columns are chosen.
    pub(crate) fn choose(&self) -> bool {
        self.choose_columns() || self.limit.is_some() || self.filter()
    }

    /// Returns the view, of all rows unless fewer are asked for or `is_csv` is false.
    pub(crate) fn view(&self, is_csv: bool) -> View {
        View {
            limit: self.limit.unwrap_or(if is_csv { usize::MAX } else { ROWS }),
            sort: self.sort.clone(),
            columns: self.columns.clone(),
            filter: self.filter.clone(),
            width: pager::width(),
            bold: pager::shows_bold(),
            ..View::all()
        }
    }
}
