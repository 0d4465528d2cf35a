use std::fmt;
use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::Config;
use super::settings::{self, GROUPS, Setting};
use super::value::{Raw, Value};

/// The flags of `ssekit serve`: one for each setting, and what to do with the configuration.
#[derive(Clone, Default)]
pub struct Flags {
    /// The configuration's file.
    pub config: Option<PathBuf>,
    /// Say whether the configuration is sound, and end.
    pub check: bool,
    /// Print the configuration and who said what, and end.
    pub print: bool,
    values: Vec<(&'static str, Value)>,
}

impl Flags {
    /// The settings among the flags, by name.
    pub(super) fn values(&self) -> &[(&'static str, Value)] {
        &self.values
    }
}

/// Without the values, of which one may be a secret.
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
                    .help("Read this TOML file [env: SSEKIT_CONFIG]"),
            )
            .arg(switch("check").help("Say whether the configuration is sound, and end: exit code 0 or 1"))
            .arg(switch("print").help("Print the configuration as TOML, with who said what, and end"))
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
            let value = match given.len() {
                1 => given.remove(0),
                _ => Value { raw: Raw::List(given), line: None },
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
        // `--dev`, or `--dev=false` against a file that says otherwise.
        arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("BOOL")
    } else {
        arg.value_name(setting.placeholder)
    }
}

/// What it is for, and what holds when nobody says anything.
fn help(setting: &Setting) -> String {
    let default = (setting.show)(&Config::default()).unwrap_or_default();
    let default = default.trim_matches(['[', ']', '"']);
    match default {
        "" | "none" | "false" => setting.help.to_owned(),
        default => format!("{} [default: {default}]", setting.help),
    }
}

const AFTER_HELP: &str = "\
Every flag is also a variable, --limits-body-size as SSEKIT_LIMITS_BODY_SIZE, and a setting of the file: `--print` shows
their names and values. A flag wins over a variable, a variable over the file, the file over what --dev and the defaults say.
Paths are relative to where the program was started.";
