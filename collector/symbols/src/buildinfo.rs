//! The Go linker's information about a build: `.go.buildinfo` (debug/buildinfo in Go's library).

use std::borrow::Cow;
use std::fmt;

use memchr::memmem;

use crate::address::Svma;
use crate::binary::Binary;

const MAGIC: &[u8] = b"\xff Go buildinf:";
const HEADER: usize = 32;

/// A Go release, such as go1.26.8.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct GoVersion {
    /// 26 in go1.26.8.
    pub minor: u32,
    /// 8 in go1.26.8.
    pub patch: u32,
}

/// The build information of a Go binary.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BuildInfo {
    /// As written, for example `go1.26.8` or `devel go1.28-abcdef`.
    pub version_text: String,
    /// Parsed, if it is a release or a development version that names one.
    pub version: Option<GoVersion>,
    /// The `path`, `mod`, `dep` and `build` lines.
    pub module: String,
}

impl BuildInfo {
    /// Reads the build information from its section, or else from the data segments, as `go version` does. None if
    /// there is none.
    pub fn read(binary: &Binary<'_>) -> Option<BuildInfo> {
        let section = binary.section(".go.buildinfo").map(|(_, section)| section);
        let segments = binary.writable_segments().map(|(_, data)| Cow::Borrowed(data));
        section.into_iter().chain(segments).find_map(|data| BuildInfo::find(&data))
    }

    fn find(data: &[u8]) -> Option<BuildInfo> {
        let start = memmem::find_iter(data, MAGIC).find(|at| at % 16 == 0)?;
        let data = &data[start..];
        let flags = *data.get(15)?;
        if flags & 2 == 0 {
            // Before Go 1.18 the header holds pointers. Such a release is too old in any case.
            let module = String::new();
            return Some(BuildInfo {
                version_text: "go1.17 or older".into(),
                version: Some(GoVersion { minor: 17, patch: 0 }),
                module,
            });
        }
        let (version_text, rest) = string(data.get(HEADER..)?)?;
        let (module, _) = string(rest).unwrap_or_default();
        // Sixteen bytes of sentinel on either side.
        let module = match module.len() {
            0..=32 => String::new(),
            length => String::from_utf8_lossy(&module[16..length - 16]).into_owned(),
        };
        let version_text = String::from_utf8_lossy(version_text).into_owned();
        Some(BuildInfo { version: GoVersion::parse(&version_text), version_text, module })
    }

    /// Import path of the main package, if recorded.
    pub fn main_package(&self) -> Option<&str> {
        self.module.lines().find_map(|line| line.strip_prefix("path\t"))
    }

    /// A build setting, for example `CGO_ENABLED`.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.module.lines().find_map(|line| line.strip_prefix("build\t")?.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Returns the result of `runtime.Version`, for programs without build information: the string in the variable
/// `runtime.buildVersion`. Without symbols it is the first string variable that names a release.
pub fn runtime_version(binary: &Binary<'_>) -> Option<String> {
    const LONGEST: u64 = 100;
    let text = |words: &[u8]| {
        let word = |at: usize| words.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let (at, length) = (word(0)?, word(8)?);
        let bytes = binary.bytes_at(Svma(at), usize::try_from(length).ok().filter(|_| length < LONGEST)?)?;
        let text = std::str::from_utf8(bytes).ok()?;
        GoVersion::parse(text).filter(|_| text.starts_with("go1.") || text.starts_with("devel"))?;
        Some(text.to_owned())
    };
    if let Some(variable) = binary.variable("runtime.buildVersion") {
        return text(binary.bytes_from(variable)?);
    }
    let mut variables = binary.data_pieces().into_iter().flat_map(|(address, data)| {
        let aligned = data.get(address.0.wrapping_neg() as usize % 8..).unwrap_or(&[]);
        (0..aligned.len() / 8).map(move |word| &aligned[word * 8..])
    });
    variables.find_map(text)
}

fn string(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0u64;
    for (index, byte) in data.iter().take(9).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let end = usize::try_from(length).ok()?.checked_add(index + 1)?;
            return Some((data.get(index + 1..end)?, &data[end..]));
        }
    }
    None
}

impl GoVersion {
    /// Parses `go1.26.8`, `go1.27rc1`, `devel go1.28-...`, `go1.26.8 X:nocoverageredesign`.
    pub fn parse(text: &str) -> Option<GoVersion> {
        let rest = &text[text.find("go1.")? + 4..];
        let number = |text: &str| -> Option<(u32, usize)> {
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            Some((text[..end].parse().ok()?, end))
        };
        let (minor, end) = number(rest)?;
        let patch = rest[end..].strip_prefix('.').and_then(number).map_or(0, |(patch, _)| patch);
        Some(GoVersion { minor, patch })
    }
}

impl fmt::Display for GoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "go1.{}.{}", self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_all_their_forms() {
        let check = |text, minor, patch| assert_eq!(GoVersion::parse(text), Some(GoVersion { minor, patch }), "{text}");
        check("go1.26.8", 26, 8);
        check("go1.19", 19, 0);
        check("go1.27rc1", 27, 0);
        check("devel go1.28-0123456 Mon", 28, 0);
        check("go1.26.8 X:nodwarf5", 26, 8);
        assert_eq!(GoVersion::parse("unknown"), None);
        assert_eq!(GoVersion::parse("go1."), None);
    }
}
