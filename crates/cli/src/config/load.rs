//! Loader: reads the file, the variables and the flags, and reports all problems.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::flags::Flags;
use super::problem::{Origin, Origins, Problem, Problems};
use super::settings::{self, Setting};
use super::validate::{self, Report};
use super::value::{Refusal, Value};
use super::{Config, Log, file};

/// Configuration, with the source of each value.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Sentences that an operator should read before the hub starts.
    pub warnings: Vec<String>,
    /// Reasons why no client could use a hub with this configuration: `serve` warns, and `--check` fails.
    pub unusable: Vec<String>,
    pub(super) origins: Origins,
}

impl Loaded {
    /// Source of a setting's value.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.of(key)
    }

    /// Reads the configuration from these flags and the environment of this process.
    ///
    /// # Errors
    /// All problems.
    pub fn read(flags: &Flags) -> Result<Self, Problems> {
        Self::read_from(flags, environment())
    }

    /// The settings of these flags and this process's environment, for a command that runs no hub: each value
    /// must be valid, but they need not fit together.
    ///
    /// # Errors
    /// All values that are not valid.
    pub fn settings(flags: &Flags) -> Result<Config, Problems> {
        match Layers::collect(flags, &environment()).resolve() {
            (config, _, problems) if problems.is_empty() => Ok(config),
            (_, _, problems) => Err(Problems(problems)),
        }
    }

    /// Returns the log settings, as far as the configuration can be read.
    ///
    /// Errors of the configuration are logged with these settings.
    pub fn log(flags: &Flags) -> Log {
        Layers::collect(flags, &environment()).resolve().0.log
    }

    /// Reads the configuration from these flags and variables.
    ///
    /// # Errors
    /// All problems.
    pub fn read_from(
        flags: &Flags,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        let mut layers = Layers::collect(flags, &variables.into_iter().collect());
        let (config, origins, mut problems) = layers.resolve();
        let report =
            if problems.is_empty() { validate::validate(&config, &origins) } else { Report::default() };
        problems.extend(report.problems);
        if problems.is_empty() {
            let warnings = layers.warnings.into_iter().chain(report.warnings).collect();
            Ok(Self { config, warnings, unusable: report.unusable, origins })
        } else {
            Err(Problems(problems))
        }
    }
}

/// Variables of this process. A name or value that is not UTF-8 cannot be a setting.
fn environment() -> BTreeMap<String, String> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}

/// Prefix of the program's variables.
const PREFIX: &str = "SSEKIT_";

fn named_file(variables: &BTreeMap<String, String>) -> Option<PathBuf> {
    variables.get("SSEKIT_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Values by setting; a later source replaces an earlier one.
#[derive(Default)]
struct Layers {
    values: BTreeMap<&'static str, (Value, Origin)>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Layers {
    /// Reads the file, the variables and the flags, in this order.
    fn collect(flags: &Flags, variables: &BTreeMap<String, String>) -> Self {
        let mut layers = Self::default();
        if let Some(path) = flags.config.clone().or_else(|| named_file(variables)) {
            layers.file(&path);
        }
        layers.variables(variables);
        for (key, value) in flags.values() {
            layers.set(key, value.clone(), |setting| Origin::Flag(setting.flag()));
        }
        layers
    }

    fn set(&mut self, key: &'static str, value: Value, origin: impl FnOnce(&Setting) -> Origin) {
        let setting = settings::find(key).expect("each source has checked the name");
        // A replaced value must be valid too. Otherwise the error would appear when the replacing value is
        // removed.
        let origin = origin(setting);
        if let Err(refusal) = (setting.read)(&mut Config::default(), &value) {
            self.problems.push(problem(key, refusal, origin.clone()));
        }
        self.values.insert(key, (value, origin));
    }

    fn file(&mut self, path: &Path) {
        let text = match read(path) {
            Ok(text) => text,
            Err(what) => {
                let origin = Origin::File(path.to_owned(), 1);
                self.problems.push(Problem { origin, what });
                return;
            }
        };
        let (values, mistakes) = file::read(&text);
        for mistake in mistakes {
            let origin = Origin::File(path.to_owned(), mistake.line);
            self.problems.push(Problem { origin, what: mistake.what });
        }
        for (key, value) in values {
            let line = value.line.unwrap_or(1);
            self.set(key, value, |_| Origin::File(path.to_owned(), line));
        }
        self.problems.sort_by_key(|problem| match problem.origin {
            Origin::File(_, line) => line,
            _ => 0,
        });
    }

    fn variables(&mut self, variables: &BTreeMap<String, String>) {
        let ours = variables.iter().filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty());
        for (name, value) in ours {
            match settings::all().find(|setting| setting.variable() == *name) {
                Some(setting) => {
                    self.set(setting.key, Value::text(value), |_| Origin::Variable(name.clone()));
                }
                None => self.warnings.extend(misspelled(name)),
            }
        }
    }

    /// Combines the values.
    fn resolve(&mut self) -> (Config, Origins, Vec<Problem>) {
        let mut config = Config::default();
        let mut origins = Origins::default();
        let mut dev = Config::default();
        if let Some((value, _)) = self.values.get("dev") {
            // An invalid value is among the problems already.
            let _ = settings::find("dev").map(|setting| (setting.read)(&mut dev, value));
        }
        if dev.dev {
            for key in DEV {
                let setting = settings::find(key).expect("it is in the table");
                (setting.read)(&mut config, &Value::text("true")).expect("it is true or false");
                origins.0.insert(key, Origin::Dev);
            }
        }
        for (key, (value, origin)) in &self.values {
            let setting = settings::find(key).expect("each source has checked the name");
            if (setting.read)(&mut config, value).is_ok() {
                origins.0.insert(key, origin.clone());
            }
        }
        (config, origins, std::mem::take(&mut self.problems))
    }
}

/// Settings that `dev` turns on.
const DEV: [&str; 5] = ["anonymous", "metrics", "subscriptions", "subscriptions_anonymous", "ui"];

fn problem(key: &str, refusal: Refusal, origin: Origin) -> Problem {
    match origin {
        Origin::File(path, line) => Problem {
            origin: Origin::File(path, refusal.line.unwrap_or(line)),
            what: format!("{key}: {}", refusal.why),
        },
        origin => Problem { origin, what: refusal.why },
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(file::MAX_SIZE + 1).read_to_string(&mut text));
    match read {
        Ok(bytes) if bytes as u64 > file::MAX_SIZE => {
            Err("the configuration file is larger than 1 MiB".to_owned())
        }
        Ok(_) => Ok(text),
        Err(error) => Err(format!("cannot read the configuration file: {error}")),
    }
}

/// Warns of a variable that resembles one of the program's.
///
/// Other variables may have the prefix: Kubernetes creates `SSEKIT_PORT` for a service `ssekit`.
fn misspelled(name: &str) -> Option<String> {
    let close = settings::all()
        .map(|setting| (strsim::osa_distance(&setting.variable(), name), setting))
        .min_by_key(|(distance, _)| *distance)?;
    let (distance, setting) = close;
    let near = name.len() <= MAX_NAME && distance <= 2 && setting.key.len() > 4;
    let known = matches!(name, "SSEKIT_CONFIG" | "SSEKIT_TOKEN");
    (near && !known).then(|| format!("{name} has no effect; did you mean {}?", setting.variable()))
}

/// Maximum length in bytes of a name that is compared; no variable of the program has a longer name.
const MAX_NAME: usize = 80;
