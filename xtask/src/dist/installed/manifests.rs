//! The manifests for Kubernetes: valid by its schemas, with settings that the hub takes.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::hub::clean;
use crate::command::{Command, target};
use crate::dist::build::{Build, VERSION};
use crate::dist::files;

/// The validator, with the schemas of these versions of Kubernetes.
const VALIDATOR: &str = "kubernetes-validate==1.37.0";
const VERSIONS: &[&str] = &["1.30", "1.37"];

pub(super) fn test(build: &Build) -> Result<()> {
    let manifests = build.manifests()?;
    let python = python()?;
    for &version in VERSIONS {
        Command::program(&python)
            .args(["-m", "kubernetes_validate", "--strict", "--quiet", "-k", version])
            .arg(&manifests)
            .run()
            .with_context(|| format!("not valid for Kubernetes {version}"))?;
    }
    let text = files::read(&manifests)?;
    if !text.contains(&format!("image: ghcr.io/ssekit/ssekit:{VERSION}\n")) {
        bail!("{} does not name the image of this version", manifests.display());
    }
    let key = build.stage.join("key");
    files::write(&key, "0123456789abcdef0123456789abcdef")?;
    Command::new("chmod 0600").arg(&key).run()?;
    let check = Command::program(&build.program).args(["serve", "--check", "--store", "memory"]);
    let check = settings(&text).into_iter().fold(clean(check), |check, (name, value)| match &*name {
        // The paths and the address of the pod are not those of this machine.
        "SSEKIT_KEY_FILE" => check.env(&name, &key),
        "SSEKIT_ADDR" => check.env(&name, "127.0.0.1:0"),
        _ => check.env(&name, value),
    });
    check.run()
}

/// The variables of the container.
fn settings(manifest: &str) -> Vec<(String, String)> {
    let mut lines = manifest.lines().map(str::trim);
    let mut settings = Vec::new();
    while let Some(line) = lines.next() {
        let name = line.strip_prefix("- name: ").filter(|name| name.starts_with("SSEKIT_"));
        let value = name.and_then(|name| Some((name, lines.next()?.strip_prefix("value: ")?)));
        settings.extend(value.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())));
    }
    settings
}

/// Python with the validator, in an environment that is made the first time.
fn python() -> Result<PathBuf> {
    let folder = target().join("tools").join(VALIDATOR);
    let python = folder.join("bin/python");
    let installed = || Command::program(&python).args(["-c", "import kubernetes_validate"]).succeeds();
    if !installed() {
        // Debian's own Python, whose package python3-venv goes with it.
        Command::new("/usr/bin/python3 -m venv --clear").arg(&folder).run()?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", VALIDATOR];
        Command::program(&python).args(pip).run()?;
    }
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::settings;

    #[test]
    fn settings_are_the_variables_with_values() {
        let manifest =
            "env:\n  - name: SSEKIT_ANONYMOUS\n    value: \"true\"\n  - name: OTHER\n    value: x\n";
        assert_eq!(settings(manifest), [("SSEKIT_ANONYMOUS".to_owned(), "true".to_owned())]);
    }
}
