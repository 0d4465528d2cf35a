//! The Debian package, written with `dpkg-deb`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::build::{Build, VERSION, documents, epoch};
use super::files;
use crate::command::{Command, root};

/// Scripts and lists for dpkg, and the configuration.
const SOURCES: &str = "packaging/debian";
const SCRIPTS: &[&str] = &["postinst", "postrm", "prerm"];
const UNITS: &[&str] = &["ssekit.service", "ssekit.socket"];

/// Differences of the package's unit to the example.
///
/// They are the path of the program, and a user that the package makes.
const CHANGES: &[(&str, &str)] = &[
    ("ExecStart=/usr/local/bin/ssekit ", "ExecStart=/usr/bin/ssekit "),
    ("DynamicUser=yes\n", "User=ssekit\nGroup=ssekit\n"),
];

/// Builds the package.
pub(super) fn write(build: &Build) -> Result<PathBuf> {
    let folder = build.stage.join("debian");
    files::clear(&folder)?;
    program(build, &folder)?;
    units(&folder)?;
    control(build, &folder)?;
    Command::new("chmod --recursive u=rwX,go=rX").arg(&folder).run()?;
    let name = format!("ssekit_{}_{}.deb", version(), architecture()?);
    // xz makes it smallest, and takes longest.
    let compression = if build.is_release { "-Zxz" } else { "-Zgzip" };
    Command::new("dpkg-deb --root-owner-group")
        .arg(compression)
        .arg("--build")
        .arg(&folder)
        .arg(build.out.join(&name))
        .env("SOURCE_DATE_EPOCH", epoch())
        .run()?;
    build.artifact(&name)
}

/// The program, its configuration and its documents.
fn program(build: &Build, folder: &Path) -> Result<()> {
    files::copy(&build.program, &folder.join("usr/bin/ssekit"))?;
    files::copy(&root().join(SOURCES).join("ssekit.toml"), &folder.join("etc/ssekit/ssekit.toml"))?;
    let man = folder.join("usr/share/man/man1");
    let scripts = build.stage.join("debian-completions");
    documents(&build.program, &man, &scripts)?;
    for (name, to) in [
        ("ssekit", "bash-completion/completions/ssekit"),
        ("_ssekit", "zsh/vendor-completions/_ssekit"),
        ("ssekit.fish", "fish/vendor_completions.d/ssekit.fish"),
    ] {
        files::copy(&scripts.join(name), &folder.join("usr/share").join(to))?;
    }
    let documents = folder.join("usr/share/doc/ssekit");
    let license = files::read(&root().join("LICENSE-MIT"))?;
    let license: Vec<String> =
        license.lines().map(|line| format!(" {}", if line.is_empty() { "." } else { line })).collect();
    let copyright =
        files::read(&root().join(SOURCES).join("copyright"))?.replace("{mit}", &license.join("\n"));
    files::write(&documents.join("copyright"), &copyright)?;
    files::copy(&root().join("CHANGELOG.md"), &documents.join("changelog"))?;
    let examples = documents.join("examples");
    files::copy_all(&root().join("examples/hub"), &examples)?;
    // The package installs its own.
    for unit in UNITS {
        fs::remove_file(examples.join(unit)).with_context(|| format!("there is no example {unit}"))?;
    }
    let pages = files::list(&man)?.into_iter().map(|page| man.join(page));
    let documents = pages.chain([documents.join("changelog")]);
    documents.into_iter().try_for_each(|file| Command::new("gzip -9 --no-name").arg(file).run())
}

/// The units, as the examples have them.
fn units(folder: &Path) -> Result<()> {
    for name in UNITS {
        let mut unit = files::read(&root().join("examples/hub").join(name))?;
        if *name == "ssekit.service" {
            for (from, to) in CHANGES {
                if unit.matches(from).count() != 1 {
                    bail!("examples/hub/{name} does not contain {from:?} once");
                }
                unit = unit.replace(from, to);
            }
        }
        // The head of an example says how to install it by hand.
        let start =
            unit.find("[Unit]").with_context(|| format!("examples/hub/{name} has no section [Unit]"))?;
        files::write(&folder.join("usr/lib/systemd/system").join(name), &unit[start..])?;
    }
    Ok(())
}

/// The control file, which needs the size of all others, and the scripts.
fn control(build: &Build, folder: &Path) -> Result<()> {
    let size = Command::new("du --summarize --apparent-size --block-size=1024").arg(folder).output()?;
    let size = size.split_whitespace().next().context("du prints no size")?;
    let control = files::read(&root().join(SOURCES).join("control"))?
        .replace("{version}", &version())
        .replace("{architecture}", &architecture()?)
        .replace("{size}", size)
        .replace("{libc}", &libc(&build.program)?);
    files::write(&folder.join("DEBIAN/control"), &control)?;
    for name in SCRIPTS.iter().chain(&["conffiles"]) {
        files::copy(&root().join(SOURCES).join(name), &folder.join("DEBIAN").join(name))?;
    }
    Ok(())
}

/// Version of the package. A pre-release sorts before its release.
fn version() -> String {
    format!("{}-1", VERSION.replacen('-', "~", 1))
}

fn architecture() -> Result<String> {
    Ok(Command::new("dpkg --print-architecture").output()?.trim().to_owned())
}

/// The oldest C library that has every symbol of the program, from the names of the symbols' versions.
fn libc(program: &Path) -> Result<String> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    newest_symbol_version(&bytes).with_context(|| format!("{} is not linked with glibc", program.display()))
}

fn newest_symbol_version(program: &[u8]) -> Option<String> {
    const PREFIX: &[u8] = b"GLIBC_2.";
    let minors = program.windows(PREFIX.len()).enumerate().filter(|(_, window)| *window == PREFIX);
    let minors = minors.filter_map(|(at, _)| {
        let rest = &program[at + PREFIX.len()..];
        let length = rest.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
        std::str::from_utf8(&rest[..length]).ok()?.parse::<u32>().ok()
    });
    minors.max().map(|minor| format!("2.{minor}"))
}

#[cfg(test)]
mod tests {
    use super::newest_symbol_version;

    #[test]
    fn the_newest_symbol_version_is_a_number_not_a_text() {
        let program = b"\0GLIBC_2.4\0GLIBC_2.34\0GLIBC_2.2.5\0GLIBC_PRIVATE\0GLIBC_2.";
        assert_eq!(newest_symbol_version(program).as_deref(), Some("2.34"));
        assert_eq!(newest_symbol_version(b"musl"), None);
    }
}
