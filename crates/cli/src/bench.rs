//! `ssekit bench`: the load generator, with the program's flags that name a key.

use std::io::Write;

use anyhow::Result;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use ssekit_load::Verdict;
use ssekit_mercure::issue::Signer;

use crate::key_flags::KeyFlags;

/// The arguments of `ssekit bench`.
#[derive(Clone, Debug)]
pub struct Bench {
    load: ssekit_load::Bench,
    key: KeyFlags,
}

impl Bench {
    /// Measures, and writes the report. The call blocks.
    ///
    /// # Errors
    /// When the key cannot be used, or there is no result.
    pub fn run(mut self, out: &mut impl Write) -> Result<Verdict> {
        if let Some(key) = self.key.read()? {
            self.load.sign_with(&Signer::read(key.expose())?)?;
        }
        self.load.run(out)
    }
}

/// Each measurement gets the flags that name a key, after its own flags.
impl Args for Bench {
    fn augment_args(command: Command) -> Command {
        let keys = KeyFlags::augment_args(Command::new("keys"));
        let keys: Vec<Arg> = keys.get_arguments().map(|key| key.clone().display_order(LAST)).collect();
        ssekit_load::Bench::augment_args(command).mut_subcommands(|measurement| {
            measurement.args(&keys).mut_arg("token", |token| token.conflicts_with_all(["key", "key_file"]))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Bench {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let load = ssekit_load::Bench::from_arg_matches(matches)?;
        let measurement = matches.subcommand().map_or(matches, |(_, measurement)| measurement);
        Ok(Self { load, key: KeyFlags::from_arg_matches(measurement)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Place in the help: after the flags of a measurement, and before `--help`.
const LAST: usize = 900;
