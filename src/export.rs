//! `cgoprof export`: writes a profile in a format for other programs.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use cgoprof_profile::Profile;
use cgoprof_viewer::export::{FORMATS, Format};
use clap::builder::PossibleValue;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use crate::notice::say;
use crate::profile_file;

/// Write a profile in a format for other programs
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Profile to write
    #[arg(default_value = profile_file::DEFAULT)]
    file: PathBuf,
    /// Output format
    #[arg(long, value_parser = formats().map(|name| format(&name)))]
    format: usize,
    /// File to write; - for standard output
    #[arg(short, long, default_value = profile_file::STANDARD_OUTPUT)]
    output: PathBuf,
}

/// Returns the parser for the names of all formats.
fn formats() -> PossibleValuesParser {
    PossibleValuesParser::new(FORMATS.iter().map(|format| PossibleValue::new(format.name()).help(format.about())))
}

/// Returns the index of a format in [`FORMATS`].
fn format(name: &str) -> usize {
    FORMATS.iter().position(|format| format.name() == name).unwrap_or(0)
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let format = FORMATS[args.format];
    let is_standard_output = args.output.as_os_str() == profile_file::STANDARD_OUTPUT;
    if is_standard_output && format.is_binary() {
        profile_file::output(profile_file::STANDARD_OUTPUT).map_err(anyhow::Error::msg)?;
    }
    let profile = profile_file::read(&args.file)?;
    if is_standard_output {
        write(format, &profile, std::io::stdout().lock())?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = FileOnceWritten { path: &args.output, file: None };
    write(format, &profile, file).with_context(|| args.file.display().to_string())?;
    say(format_args!("written {}", args.output.display()));
    Ok(ExitCode::SUCCESS)
}

fn write(format: &dyn Format, profile: &Profile, output: impl Write) -> anyhow::Result<()> {
    let mut output = BufWriter::new(output);
    format.write(profile, &mut output)?;
    Ok(output.flush()?)
}

/// A file that is made, or emptied, when the first bytes for it are there: not for a profile that a format can't show.
struct FileOnceWritten<'a> {
    path: &'a Path,
    file: Option<File>,
}

impl Write for FileOnceWritten<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let named =
                    |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display()));
                self.file.insert(File::create(self.path).map_err(named)?)
            }
        };
        file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), File::flush)
    }
}

#[cfg(test)]
mod tests {
    use cgoprof_viewer::export::ExportError;

    use super::*;

    /// Writes its number of bytes, or fails before it has.
    struct Writes(Option<usize>);

    impl Format for Writes {
        fn name(&self) -> &'static str {
            "test"
        }

        fn about(&self) -> &'static str {
            "test"
        }

        fn write(&self, _: &Profile, output: &mut dyn Write) -> Result<(), ExportError> {
            let Some(bytes) = self.0 else { return Err(ExportError::Draw("nothing to show".into())) };
            Ok(output.write_all(&vec![b'x'; bytes])?)
        }
    }

    #[test]
    fn a_file_stays_as_it_was_when_a_profile_has_nothing_for_a_format() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let export = |bytes| write(&Writes(bytes), &Profile::default(), FileOnceWritten { path: &path, file: None });
        assert!(export(None).is_err() && !path.exists());
        for bytes in [100_000, 3] {
            export(Some(bytes)).expect("written");
            assert_eq!(std::fs::metadata(&path).expect("a file").len(), bytes as u64);
            assert!(export(None).is_err() && path.exists());
        }
        let nowhere = FileOnceWritten { path: &folder.path().join("no/file"), file: None };
        let error = write(&Writes(Some(1)), &Profile::default(), nowhere).expect_err("no such folder");
        assert!(format!("{error:#}").contains("no/file: "), "{error:#}");
    }
}
