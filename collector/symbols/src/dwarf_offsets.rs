//! The runtime's struct offsets as its DWARF states them.

use std::borrow::Cow;
use std::collections::HashMap;

use gimli::{AttributeValue, Dwarf, EndianSlice, LittleEndian, Unit};

use crate::binary::Binary;
use crate::runtime_offsets::RuntimeOffsets;

type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// Reads `runtime.m` and `runtime.g` from DWARF; none if there is no DWARF, or they are not in it.
pub fn read(binary: &Binary<'_>) -> Option<RuntimeOffsets> {
    let structs = Structs::read(binary)?;
    RuntimeOffsets::from_fields(|of, field| structs.offset(of, field))
}

/// Fields of the runtime's structs.
pub struct Structs {
    m: HashMap<String, u32>,
    g: HashMap<String, u32>,
}

impl Structs {
    /// Reads `runtime.m` and `runtime.g` from DWARF.
    pub fn read(binary: &Binary<'_>) -> Option<Structs> {
        let load = |id: gimli::SectionId| -> Result<Cow<'_, [u8]>, gimli::Error> {
            Ok(binary.section(id.name()).map(|(_, data)| data).unwrap_or_default())
        };
        let sections = gimli::DwarfSections::load(load).ok()?;
        let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
        let mut units = dwarf.units();
        while let Ok(Some(header)) = units.next() {
            let Ok(unit) = dwarf.unit(header) else { continue };
            if unit.name.is_none_or(|name| name.slice() != b"runtime") {
                continue;
            }
            if let Some(m) = fields(&dwarf, &unit, b"runtime.m") {
                return Some(Structs { m, g: fields(&dwarf, &unit, b"runtime.g")? });
            }
        }
        None
    }

    /// The offset of a field of `m` or `g`.
    pub fn offset(&self, of: &str, field: &str) -> Option<u32> {
        let fields = match of {
            "m" => &self.m,
            "g" => &self.g,
            _ => return None,
        };
        fields.get(field).copied()
    }
}

/// Offsets of a struct's fields by name.
fn fields(dwarf: &Dwarf<Reader<'_>>, unit: &Unit<Reader<'_>>, wanted: &[u8]) -> Option<HashMap<String, u32>> {
    let mut entries = unit.entries();
    let mut found = None;
    while let Ok(Some(entry)) = entries.next_dfs() {
        let name = entry.attr_value(gimli::DW_AT_name).and_then(|value| dwarf.attr_string(unit, value).ok());
        if found.is_none() {
            if entry.tag() == gimli::DW_TAG_structure_type && name.is_some_and(|name| name.slice() == wanted) {
                found = Some(HashMap::new());
            }
        } else if entry.tag() == gimli::DW_TAG_member {
            let offset = match entry.attr_value(gimli::DW_AT_data_member_location) {
                Some(AttributeValue::Udata(offset)) => offset,
                Some(value) => value.udata_value()?,
                None => continue,
            };
            if let (Some(fields), Some(name)) = (&mut found, name) {
                fields.insert(name.to_string_lossy().into_owned(), u32::try_from(offset).ok()?);
            }
        } else {
            break;
        }
    }
    found
}
