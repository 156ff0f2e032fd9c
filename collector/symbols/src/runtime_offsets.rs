//! Offsets of fields in the Go runtime's structs (runtime/runtime2.go), by release.
//!
//! `runtime_offsets.txt` has a row for each release. A test writes it from the DWARF of programs, and compares it. The
//! offsets are the same on amd64 and arm64. The plan checks them against the displacements that `runtime.cgocall`
//! itself uses, and reads DWARF where the two disagree.

macro_rules! fields {
    ($($(#[$doc:meta])* $field:ident = $struct:ident . $name:ident,)+) => {
        /// Byte offsets of fields that differ between releases.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct RuntimeOffsets {
            $($(#[$doc])* pub $field: u32,)+
        }

        impl RuntimeOffsets {
            /// Names of the fields: the struct's name in package runtime, and the field's name in it.
            pub const FIELDS: &[(&str, &str)] = &[$((stringify!($struct), stringify!($name)),)+];

            /// Takes each field's offset from `offset`; none if one is not known there.
            pub(crate) fn from_fields(offset: impl Fn(&str, &str) -> Option<u32>) -> Option<RuntimeOffsets> {
                Some(RuntimeOffsets { $($field: offset(stringify!($struct), stringify!($name))?,)+ })
            }

            /// The offsets, in the order of [`RuntimeOffsets::FIELDS`].
            pub fn values(&self) -> Vec<u32> {
                vec![$(self.$field,)+]
            }
        }
    };
}

fields! {
    /// `m.procid`: the kernel's thread id.
    m_procid = m.procid,
    /// `m.p`.
    m_p = m.p,
    /// `m.oldp`.
    m_oldp = m.oldp,
    /// `m.incgo`.
    m_incgo = m.incgo,
    /// `m.ncgocall`.
    m_ncgocall = m.ncgocall,
    /// `m.ncgo`.
    m_ncgo = m.ncgo,
    /// `m.lockedExt`.
    m_locked_ext = m.lockedExt,
    /// `m.syscalltick`.
    m_syscalltick = m.syscalltick,
    /// `m.id`.
    m_id = m.id,
    /// `m.alllink`.
    m_alllink = m.alllink,
    /// `m.curg`.
    m_curg = m.curg,
    /// `g.goid`.
    g_goid = g.goid,
    /// `g.labels`.
    g_labels = g.labels,
    /// `g.syscallsp`; `g.syscallpc` follows.
    g_syscallsp = g.syscallsp,
}

/// Offset of `g.stack.hi`, which follows `g.stack.lo` at 0, in all releases of the table.
pub const G_STACK_HI: u32 = 8;
/// Offset of `g.stackguard0` in all releases of the table.
pub const G_STACKGUARD0: u32 = 16;
/// Offset of `g.m` in all releases of the table.
pub const G_M: u32 = 48;
/// Offset of `g.sched`, which begins with its stack pointer, in all releases of the table.
pub const G_SCHED: u32 = 56;

/// A line of names of fields, then a line for each release, oldest first.
const TABLE: &str = include_str!("runtime_offsets.txt");

/// The Go 1.x releases in the table with their offsets, newest first.
pub fn measured() -> Vec<(u32, RuntimeOffsets)> {
    let mut lines = TABLE.lines().filter(|line| !line.starts_with('#')).map(str::split_whitespace);
    let head: Vec<&str> = lines.next().into_iter().flatten().skip(1).collect();
    let row = |mut words: std::str::SplitWhitespace<'_>| {
        let minor = words.next()?.strip_prefix("1.")?.parse().ok()?;
        let offsets: Vec<u32> = words.map_while(|word| word.parse().ok()).collect();
        let offset = |of: &str, field: &str| {
            let at = head.iter().position(|name| name.split_once('.') == Some((of, field)))?;
            offsets.get(at).copied()
        };
        Some((minor, RuntimeOffsets::from_fields(offset)?))
    };
    let mut rows: Vec<_> = lines.filter_map(row).collect();
    rows.reverse();
    rows
}

/// Returns the text of a table of these releases, oldest first.
pub fn table(rows: &[(u32, RuntimeOffsets)]) -> String {
    let names = RuntimeOffsets::FIELDS.iter().map(|(of, field)| format!("{of}.{field}"));
    let head: Vec<String> = std::iter::once("go".to_owned()).chain(names).collect();
    let line = |words: Vec<String>| {
        let padded: Vec<String> =
            words.iter().zip(&head).map(|(word, head)| format!("{word:<0$}", head.len().max(4))).collect();
        padded.join(" ").trim_end().to_owned() + "\n"
    };
    let mut text = String::from(
        "# Written from the DWARF of programs of all releases by\n\
         #   CGOPROF_BLESS_OFFSETS=1 cargo test --release --test end_to_end the_table_of_struct_offsets\n",
    );
    text += &line(head.clone());
    for (minor, offsets) in rows {
        let numbers = offsets.values().into_iter().map(|offset| offset.to_string());
        text += &line(std::iter::once(format!("1.{minor}")).chain(numbers).collect());
    }
    text
}

impl RuntimeOffsets {
    /// Returns the offsets of a Go 1.x release; none if it is not in the table.
    pub fn of_release(minor: u32) -> Option<RuntimeOffsets> {
        measured().into_iter().find(|&(measured, _)| measured == minor).map(|(_, offsets)| offsets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_as_it_is_written() {
        let mut rows = measured();
        rows.reverse();
        assert!(rows.len() >= 8 && rows.is_sorted_by_key(|&(minor, _)| minor), "{rows:?}");
        assert_eq!(table(&rows), TABLE);
    }
}
