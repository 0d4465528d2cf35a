//! Flags of `ssekit serve`, generated from the table of settings.

use std::fmt;
use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::Config;
use super::settings::{self, GROUPS, Setting};
use super::value::{Raw, Value};

/// The flags of `ssekit serve`: one per setting, `--config`, `--check` and `--print`.
#[derive(Clone, Default)]
pub struct Flags {
    /// Configuration file.
    pub config: Option<PathBuf>,
    /// Check the configuration and exit.
    pub check: bool,
    /// Print the configuration with the source of each value, and exit.
    pub print: bool,
    values: Vec<(&'static str, Value)>,
}

impl Flags {
    /// Names a configuration file, and no setting.
    pub(crate) fn of_file(config: Option<PathBuf>) -> Self {
        Self { config, ..Self::default() }
    }

    /// The settings among the flags, by name.
    pub(super) fn values(&self) -> &[(&'static str, Value)] {
        &self.values
    }
}

/// Omits the values, because some are secrets.
impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.values.iter().map(|(name, _)| *name).collect();
        f.debug_struct("Flags")
            .field("config", &self.config)
            .field("check", &self.check)
            .field("print", &self.print)
            .field("values", &names)
            .finish()
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let command = command
            .arg(
                Arg::new("config")
                    .long("config")
                    .value_name("FILE")
                    .value_parser(ValueParser::path_buf())
                    .help("Read settings from this TOML file [env: SSEKIT_CONFIG]"),
            )
            .arg(switch("check").help("Check the configuration and exit (0 valid, 1 invalid)"))
            .arg(
                switch("print")
                    .help("Print the configuration as TOML, with the source of each value, and exit"),
            )
            .after_help(AFTER_HELP);
        GROUPS.iter().fold(command, |command, group| {
            command.next_help_heading(group.title).args(group.settings.iter().map(|setting| {
                let arg = arg(setting);
                if group.first { arg } else { arg.hide_short_help(true) }
            }))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let values = settings::all().filter_map(|setting| {
            let given = matches.get_many::<String>(setting.key)?;
            let mut given: Vec<Value> = given.map(Value::text).collect();
            let value = match (setting.repeats)(&Config::default()) && given.len() > 1 {
                true => Value { raw: Raw::List(given), line: None },
                false => given.pop()?,
            };
            Some((setting.key, value))
        });
        Ok(Self {
            config: matches.get_one("config").cloned(),
            check: matches.get_flag("check"),
            print: matches.get_flag("print"),
            values: values.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn switch(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

fn arg(setting: &'static Setting) -> Arg {
    let arg = Arg::new(setting.key).long(setting.flag()).help(help(setting)).action(ArgAction::Append);
    if setting.placeholder.is_empty() {
        // `--dev`, or `--dev=false` to override a file.
        arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("BOOL")
    } else {
        arg.value_name(setting.placeholder)
    }
}

/// Help text with the default value.
fn help(setting: &Setting) -> String {
    let default = (setting.show)(&Config::default()).unwrap_or_default();
    let default = default.trim_matches(['[', ']', '"']);
    match default {
        "" | "none" | "false" => setting.help.to_owned(),
        default => {
            let space = if setting.help.len() + default.len() > WIDTH { '\n' } else { ' ' };
            format!("{}{space}[default: {default}]", setting.help)
        }
    }
}

/// Maximum length of help and default on one line, in bytes.
const WIDTH: usize = 110;

const AFTER_HELP: &str = "\
Each flag is also an environment variable and a setting in the file: --limits-body-size,
SSEKIT_LIMITS_BODY_SIZE, limits.body_size. Flags override variables, variables override the file, and the
file overrides --dev and the defaults. --print shows all settings.
Relative paths are relative to the current directory.";
