//! Defaults of options, from a file and from the environment: what the command line says goes first, then the environment,
//! then the file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::error::ContextKind;
use clap::{Arg, ArgAction, Command, CommandFactory as _, FromArgMatches as _};

use crate::Cli;

/// The variable that names another file.
const FILE: &str = "CGOPROF_CONFIG";

/// Options of which a default makes no sense: they say what a command is about.
const NOT_SET: [&str; 4] = ["pid", "wait", "help", "version"];

/// Values by subcommand and option.
type Settings = BTreeMap<(String, String), Setting>;

/// A default, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
struct Setting {
    words: Vec<String>,
    source: String,
}

/// Parses the command line with the user's defaults.
///
/// # Errors
/// If the file can't be read, or a default has no option or not a value of it.
pub(crate) fn parse() -> anyhow::Result<Cli> {
    let command = Cli::command();
    let mut settings = match file()? {
        Some((path, text)) => of_file(&command, &path, &text)?,
        None => Settings::new(),
    };
    settings.extend(of_environment(&command, |name| std::env::var_os(name))?);
    let parsed = with_defaults(command, &settings).try_get_matches();
    let cli = parsed.and_then(|matches| Cli::from_arg_matches(&matches));
    cli.map_err(|error| blamed(&error, &settings))
}

/// Returns the path and the content of the user's file, if there is one.
fn file() -> anyhow::Result<Option<(PathBuf, String)>> {
    let named = std::env::var_os(FILE).filter(|named| !named.is_empty()).map(PathBuf::from);
    let folder = || {
        let own = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
        own.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")))
    };
    let Some(path) = named.clone().or_else(|| Some(folder()?.join("cgoprof/config.toml"))) else { return Ok(None) };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read the settings in {}", path.display())),
    }
}

/// Reads the tables of a file: one for each subcommand, with its options.
fn of_file(command: &Command, path: &Path, text: &str) -> anyhow::Result<Settings> {
    let shown = path.display();
    let table: toml::Table = text.parse().with_context(|| shown.to_string())?;
    let mut settings = Settings::new();
    for (subcommand, options) in table {
        let Some(known) = command.find_subcommand(&subcommand) else {
            let all: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
            bail!("{shown}: there is no subcommand `{subcommand}`; a table is of one of {}", all.join(", "));
        };
        let toml::Value::Table(options) = options else {
            bail!("{shown}: `{subcommand}` must be a table: [{subcommand}]");
        };
        for (option, value) in options {
            if !settable(known).any(|arg| arg.get_long() == Some(&option)) {
                let all: Vec<&str> = settable(known).filter_map(Arg::get_long).collect();
                bail!("{shown}: `{subcommand}` has no option `{option}` with a default; it has {}", all.join(", "));
            }
            let setting =
                words(value).map(|words| Setting { words, source: format!("{shown}: {subcommand}.{option}") });
            let setting = setting
                .ok_or_else(|| anyhow!("{shown}: {subcommand}.{option} must be a text, a number, true or false"))?;
            settings.insert((subcommand.clone(), option), setting);
        }
    }
    Ok(settings)
}

/// Returns a value as words of the command line.
fn words(value: toml::Value) -> Option<Vec<String>> {
    match value {
        toml::Value::String(text) => Some(vec![text]),
        toml::Value::Integer(number) => Some(vec![number.to_string()]),
        toml::Value::Float(number) => Some(vec![number.to_string()]),
        toml::Value::Boolean(flag) => Some(vec![flag.to_string()]),
        toml::Value::Array(values) => {
            let words = values.into_iter().map(words).collect::<Option<Vec<_>>>()?;
            Some(words.concat())
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

/// Reads variables like `CGOPROF_RECORD_NO_SAMPLES`.
fn of_environment(command: &Command, variable: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<Settings> {
    let mut settings = Settings::new();
    for subcommand in command.get_subcommands() {
        for option in settable(subcommand).filter_map(Arg::get_long) {
            let name = variable_name(subcommand.get_name(), option);
            let Some(value) = variable(&name).filter(|value| !value.is_empty()) else { continue };
            let value = value.into_string().map_err(|_| anyhow!("{name} is not UTF-8"))?;
            let key = (subcommand.get_name().to_owned(), option.to_owned());
            settings.insert(key, Setting { words: vec![value], source: name });
        }
    }
    Ok(settings)
}

fn variable_name(subcommand: &str, option: &str) -> String {
    format!("CGOPROF_{subcommand}_{option}").to_uppercase().replace('-', "_")
}

/// Returns the options of a subcommand that can have defaults.
fn settable(subcommand: &Command) -> impl Iterator<Item = &Arg> {
    subcommand.get_arguments().filter(|arg| arg.get_long().is_some_and(|long| !NOT_SET.contains(&long)))
}

fn with_defaults(command: Command, settings: &Settings) -> Command {
    settings.iter().fold(command, |command, ((subcommand, option), setting)| {
        command.mut_subcommand(subcommand, |known| {
            let id = known.get_arguments().find(|arg| arg.get_long() == Some(option)).map(|arg| arg.get_id().clone());
            let Some(id) = id else { return known };
            known.mut_arg(id, |arg| {
                let words = words_for(&arg, setting);
                arg.default_values(words)
            })
        })
    })
}

/// Returns the words of a setting. 1 and 0 are true and false for an option without a value.
fn words_for(arg: &Arg, setting: &Setting) -> Vec<String> {
    let is_flag = matches!(arg.get_action(), ArgAction::SetTrue);
    let word = |word: &String| match word.as_str() {
        "1" if is_flag => "true".to_owned(),
        "0" if is_flag => "false".to_owned(),
        _ => word.clone(),
    };
    setting.words.iter().map(word).collect()
}

/// Returns an error of parsing as one of the setting that it is about.
fn blamed(error: &clap::Error, settings: &Settings) -> anyhow::Error {
    let option = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    let value = error.get(ContextKind::InvalidValue).map(ToString::to_string).unwrap_or_default();
    let name = option.trim_start_matches("--").split([' ', '=']).next().unwrap_or_default();
    let is_it =
        |((_, option), setting): &(&(String, String), &Setting)| option == name && setting.words.contains(&value);
    let source = settings.iter().find(is_it).map_or("the settings", |(_, setting)| setting.source.as_str());
    let rendered = error.to_string();
    let first = rendered.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    anyhow!("{source}: {first}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> anyhow::Result<Settings> {
        of_file(&Cli::command(), Path::new("config.toml"), text)
    }

    fn parsed(settings: &Settings, line: &str) -> clap::ArgMatches {
        with_defaults(Cli::command(), settings).try_get_matches_from(line.split(' ')).expect("arguments")
    }

    #[test]
    fn the_command_line_goes_before_the_environment_and_the_file() {
        let mut settings = settings("[record]\nfreq = 50\nslow = '1ms'\nno-follow = true").expect("settings");
        let variable = |name: &str| (name == "CGOPROF_RECORD_FREQ").then(|| OsString::from("60"));
        settings.extend(of_environment(&Cli::command(), variable).expect("settings"));
        let freq = |line: &str| {
            let matches = parsed(&settings, line);
            let record = matches.subcommand_matches("record").expect("record").clone();
            (*record.get_one::<u32>("freq").expect("a default"), record.get_flag("no_follow"))
        };
        assert_eq!(freq("cgoprof record ./app"), (60, true));
        assert_eq!(freq("cgoprof record --freq 70 ./app"), (70, true));
        assert_eq!(freq("cgoprof record --no-samples ./app"), (60, true), "a default conflicts with nothing");
        assert_eq!(freq("cgoprof record -p 7"), (60, true), "nor does that of a flag");
    }

    #[test]
    fn what_is_set_in_vain_is_an_error() {
        let check = |text: &str, expected: &str| {
            let error = format!("{:#}", settings(text).expect_err("an error"));
            assert!(error.contains(expected) && error.starts_with("config.toml: "), "{error}");
        };
        check("[recrod]\nfreq = 1", "there is no subcommand `recrod`; a table is of one of record, stat,");
        check("[record]\nfrequency = 1", "`record` has no option `frequency` with a default; it has ");
        check("[record]\npid = 1", "no option `pid`");
        check("[record]\nfreq = 1979-05-27", "record.freq must be");
        check("record = 1", "must be a table: [record]");
        check("[record", "config.toml: TOML parse error");
    }

    #[test]
    fn a_wrong_value_is_blamed_on_its_source() {
        let check = |text: &str, expected: &str| {
            let settings = settings(text).expect("settings");
            let error = with_defaults(Cli::command(), &settings).try_get_matches_from(["cgoprof", "record", "./app"]);
            let error = blamed(&error.expect_err("an error"), &settings).to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        check("[record]\nfreq = 0", "config.toml: record.freq: invalid value '0' for '--freq <FREQ>'");
        check("[record]\ntiming = 'often'", "config.toml: record.timing: invalid value 'often'");
        check("[record]\nno-follow = 'maybe'", "config.toml: record.no-follow: invalid value 'maybe'");
    }

    #[test]
    fn variables_are_named_as_options() {
        assert_eq!(variable_name("record", "no-samples"), "CGOPROF_RECORD_NO_SAMPLES");
        for subcommand in Cli::command().get_subcommands() {
            for option in settable(subcommand).filter_map(Arg::get_long) {
                let name = variable_name(subcommand.get_name(), option);
                assert!(!["CGOPROF_CONFIG", "CGOPROF_LOG", "CGOPROF_PAGER"].contains(&name.as_str()), "{name}");
            }
        }
    }
}
