//! The rows of a table as an array of JSON objects.

use cgoprof_profile::Profile;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::tables::{Column, Row};

/// Rows with their columns. Each object is made when it is written.
pub(crate) struct Rows<'a, R> {
    profile: &'a Profile,
    rows: Vec<R>,
    columns: &'a [Column<R>],
}

/// One of the rows.
struct Object<'a, R> {
    profile: &'a Profile,
    row: &'a R,
    columns: &'a [Column<R>],
}

impl<'a, R> Rows<'a, R> {
    /// Rows of a table that has the same columns for all profiles.
    pub(crate) fn new(profile: &'a Profile, rows: Vec<R>) -> Self
    where
        R: Row,
    {
        Rows { profile, rows, columns: R::columns() }
    }

    /// Rows with these columns.
    pub(super) fn with(profile: &'a Profile, rows: Vec<R>, columns: &'a [Column<R>]) -> Self {
        Rows { profile, rows, columns }
    }
}

impl<R> Serialize for Rows<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns = self.columns;
        let mut array = serializer.serialize_seq(Some(self.rows.len()))?;
        for row in &self.rows {
            array.serialize_element(&Object { profile: self.profile, row, columns })?;
        }
        array.end()
    }
}

impl<R> Serialize for Object<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        for column in self.columns {
            for (name, field) in column.fields(self.row, self.profile) {
                object.serialize_entry(&name, &field)?;
            }
        }
        object.end()
    }
}
