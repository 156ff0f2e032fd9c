//! Defaults of options, from a file and from the environment. The command line goes before both, and the environment before
//! the file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, Command, CommandFactory as _, FromArgMatches as _, Parser as _};

use crate::Cli;

/// The variable that names another file.
const FILE: &str = "CGOPROF_CONFIG";

/// Options that have no defaults: a command is about them.
const NOT_SET: [&str; 4] = ["pid", "wait", "help", "version"];

/// Values by subcommand and option.
type Settings = BTreeMap<(String, String), Setting>;

/// A default, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
struct Setting {
    words: Vec<String>,
    source: String,
}

/// Parses the command line with the user's defaults. Wrong usage ends the process, as with `Cli::parse`.
///
/// # Errors
/// If the file can't be read, or a default has no option or not a value of it.
pub(crate) fn parse() -> anyhow::Result<Cli> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let command = Cli::command();
    match Cli::try_parse_from(&words) {
        Ok(typed) => {
            if let Some(why) = typed.command.refused() {
                Cli::command().error(ErrorKind::ArgumentConflict, why).exit();
            }
        }
        // It may have a default.
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {}
        Err(error) => error.exit(),
    }
    let mut settings = match file()? {
        Some((path, text)) => of_file(&command, &path, &text)?,
        None => Settings::new(),
    };
    settings.extend(of_environment(&command, std::env::vars_os())?);
    with_settings(&words, &settings)?.map_err(|error| error.exit())
}

/// Parses a command line with those defaults that go with it. The inner error is one of the command line.
fn with_settings(words: &[OsString], settings: &Settings) -> anyhow::Result<Result<Cli, clap::Error>> {
    let mut used = Settings::new();
    for (key, setting) in of_command_line(words, settings) {
        used.insert(key.clone(), setting.clone());
        match parsed(words, &used) {
            Ok(cli) if cli.command.refused().is_some() => drop(used.remove(&key)),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {}
            Err(error) => {
                let rendered = error.to_string();
                let first = rendered.lines().next().unwrap_or_default().trim_start_matches("error: ");
                bail!("{}: {first}", setting.source);
            }
        }
    }
    Ok(parsed(words, &used))
}

fn parsed(words: &[OsString], settings: &Settings) -> Result<Cli, clap::Error> {
    let matches = with_defaults(Cli::command(), settings).try_get_matches_from(words)?;
    Cli::from_arg_matches(&matches)
}

/// Returns the settings of the subcommand that is typed, without those that conflict with a typed option.
fn of_command_line(words: &[OsString], settings: &Settings) -> Settings {
    let command = Cli::command();
    let names = words.iter().skip(1).filter_map(|word| word.to_str());
    let Some(subcommand) = names.into_iter().find_map(|word| command.find_subcommand(word)) else {
        return Settings::new();
    };
    let matches = Cli::command().try_get_matches_from(words).ok();
    let matches = matches.as_ref().and_then(|matches| matches.subcommand_matches(subcommand.get_name()));
    let is_typed = |arg: &Arg| {
        matches.is_some_and(|matches| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine))
    };
    let conflicts = |one: &Arg, other: &Arg| {
        subcommand.get_arg_conflicts_with(one).iter().any(|arg| arg.get_id() == other.get_id())
    };
    let goes = |option: &str| {
        let own = subcommand.get_arguments().find(|arg| arg.get_long() == Some(option));
        let typed: Vec<&Arg> = subcommand.get_arguments().filter(|arg| is_typed(arg)).collect();
        own.is_some_and(|own| !typed.iter().any(|typed| conflicts(own, typed) || conflicts(typed, own)))
    };
    let own = settings.iter().filter(|((of, option), _)| of == subcommand.get_name() && goes(option));
    own.map(|(key, setting)| (key.clone(), setting.clone())).collect()
}

/// Errors of the user's own file that are those of a user without one.
const IGNORED: [std::io::ErrorKind; 3] =
    [std::io::ErrorKind::NotFound, std::io::ErrorKind::PermissionDenied, std::io::ErrorKind::NotADirectory];

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
        // Another user's home is not for us to read, and some users have none.
        Err(error) if named.is_none() && IGNORED.contains(&error.kind()) => Ok(None),
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
            let Some(arg) = settable(known).find(|arg| arg.get_long() == Some(&option)) else {
                let all: Vec<&str> = settable(known).filter_map(Arg::get_long).collect();
                bail!("{shown}: `{subcommand}` has no option `{option}` with a default; it has {}", all.join(", "));
            };
            let takes_several = matches!(arg.get_action(), ArgAction::Append) || arg.get_value_delimiter().is_some();
            if value.is_array() && !takes_several {
                bail!("{shown}: {subcommand}.{option} takes one value, not a list");
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
fn of_environment(
    command: &Command,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> anyhow::Result<Settings> {
    let mut settings = Settings::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("CGOPROF_")) else { continue };
        let prefix = |subcommand: &&Command| name.starts_with(&variable_name(subcommand.get_name(), ""));
        let Some(subcommand) = command.get_subcommands().find(prefix) else { continue };
        let options = || settable(subcommand).filter_map(Arg::get_long);
        let Some(option) = options().find(|option| variable_name(subcommand.get_name(), option) == name) else {
            let all: Vec<String> = options().map(|option| variable_name(subcommand.get_name(), option)).collect();
            bail!("{name} sets no option; of this command there are {}", all.join(", "));
        };
        if value.is_empty() {
            continue;
        }
        let word = value.into_string().map_err(|_| anyhow!("{name} is not UTF-8"))?;
        let key = (subcommand.get_name().to_owned(), option.to_owned());
        settings.insert(key, Setting { words: vec![word], source: name.to_owned() });
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
                arg.required(false).default_values(words)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> anyhow::Result<Settings> {
        of_file(&Cli::command(), Path::new("config.toml"), text)
    }

    fn parse(settings: &Settings, line: &str) -> anyhow::Result<crate::Command> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Ok(with_settings(&words, settings)?.expect("arguments").command)
    }

    fn environment(variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
        of_environment(&Cli::command(), variables.iter().map(|(name, value)| (name.into(), value.into())))
    }

    fn matches(settings: &Settings, line: &str) -> clap::ArgMatches {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let used = of_command_line(&words, settings);
        let matches = with_defaults(Cli::command(), &used).try_get_matches_from(&words).expect("arguments");
        matches.subcommand().expect("a subcommand").1.clone()
    }

    #[test]
    fn the_command_line_goes_before_the_environment_and_the_file() {
        let mut settings = settings("[record]\nfreq = 50\nslow = '1ms'\nno-follow = true").expect("settings");
        settings.extend(environment(&[("CGOPROF_RECORD_FREQ", "60"), ("CGOPROF_PAGER", "x")]).expect("settings"));
        let freq = |line: &str| {
            let record = matches(&settings, line);
            (*record.get_one::<u32>("freq").expect("a default"), record.get_flag("no_follow"))
        };
        assert_eq!(freq("cgoprof record ./app"), (60, true));
        assert_eq!(freq("cgoprof record --freq 70 ./app"), (70, true));
        assert_eq!(freq("cgoprof record --no-samples ./app"), (199, true), "what conflicts is left aside");
        assert_eq!(freq("cgoprof record -p 7"), (60, false), "a flag too");
    }

    #[test]
    fn a_default_that_does_not_go_with_what_is_typed_is_left_aside() {
        let check = |text: &str, line: &str| {
            let settings = settings(text).expect("settings");
            assert_eq!(parse(&settings, line).expect("arguments").refused(), None, "{text}: {line}");
        };
        check("[record]\nmax-overhead = 0.2", "cgoprof record --timing every ./app");
        check("[record]\nwaits = 'every'", "cgoprof record --engine sample ./app");
        check("[report]\nlimit = 5", "cgoprof report --format json");
        check("[report]\nformat = 'json'", "cgoprof report --limit 5");
        check("[report]\nby = 'stack'", "cgoprof report --format csv");
        check("[bench]\nduration = '1s'", "cgoprof bench");
        let both = settings("[record]\nno-samples = true").expect("settings");
        assert!(!matches(&both, "cgoprof record --freq 500 ./app").get_flag("no_samples"));
    }

    #[test]
    fn a_needed_option_may_have_a_default() {
        let settings = settings("[export]\nformat = 'csv'\n[record]\noutput = 'a/'").expect("settings");
        assert!(parse(&settings, "cgoprof export").is_ok());
        let words: Vec<OsString> = ["cgoprof", "merge", "a", "b"].map(OsString::from).into();
        let missing = with_settings(&words, &settings).expect("no setting is to blame").err().expect("an error");
        assert_eq!(missing.kind(), ErrorKind::MissingRequiredArgument);
    }

    #[test]
    fn a_setting_without_an_effect_is_an_error() {
        let check = |text: &str, expected: &str| {
            let error = format!("{:#}", settings(text).expect_err("an error"));
            assert!(error.contains(expected) && error.starts_with("config.toml: "), "{error}");
        };
        check("[recrod]\nfreq = 1", "there is no subcommand `recrod`; a table is of one of record, stat,");
        check("[record]\nfrequency = 1", "`record` has no option `frequency` with a default; it has ");
        check("[record]\npid = 1", "no option `pid`");
        check("[record]\nfreq = 1979-05-27", "record.freq must be");
        check("[record]\nfreq = [50, 60]", "record.freq takes one value");
        check("record = 1", "must be a table: [record]");
        check("[record", "config.toml: TOML parse error");
        let unknown = environment(&[("CGOPROF_RECORD_FRQ", "99")]).expect_err("an error").to_string();
        assert!(unknown.starts_with("CGOPROF_RECORD_FRQ sets no option") && unknown.contains("CGOPROF_RECORD_FREQ"));
        assert!(settings("[report]\ncolumns = ['calls', 'name']").is_ok());
    }

    #[test]
    fn a_wrong_value_is_blamed_on_its_source() {
        let check = |text: &str, expected: &str| {
            let settings = settings(text).expect("settings");
            let error = parse(&settings, "cgoprof record ./app").err().expect("an error").to_string();
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
            let prefix = variable_name(subcommand.get_name(), "");
            for other in ["CGOPROF_CONFIG", "CGOPROF_LOG", "CGOPROF_PAGER", "CGOPROF_COMMIT", "CGOPROF_GO_DIR"] {
                assert!(!other.starts_with(&prefix), "{other}: {prefix}");
            }
        }
    }
}
