//! The packages of the crates, as a registry has them, in a new project with the programs of the README.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::hub::Hub;
use crate::command::{Command, root, target};
use crate::dist::build::{Build, VERSION, published};
use crate::dist::files;

pub(super) fn test(build: &Build, packages: &Path, hub: &Hub) -> Result<()> {
    let unpacked = build.stage.join("packages");
    files::clear(&unpacked)?;
    let names = published()?;
    for name in &names {
        let package = packages.join(format!("{name}-{VERSION}.crate"));
        Command::new("tar --extract --gzip --file").arg(package).arg("--directory").arg(&unpacked).run()?;
        for file in ["LICENSE-APACHE", "LICENSE-MIT", "README.md"] {
            let file = unpacked.join(format!("{name}-{VERSION}")).join(file);
            files::read(&file).with_context(|| format!("the package {name} is incomplete"))?;
        }
    }
    let folder = build.stage.join("rust");
    files::write(&folder.join("Cargo.toml"), &manifest(&names))?;
    // The versions that the tests have used, which are on this machine already.
    files::copy(&root().join("Cargo.lock"), &folder.join("Cargo.lock"))?;
    let readme = files::read(&root().join("README.md"))?;
    let programs: Vec<&str> =
        readme.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [produce, consume] = programs[..] else {
        bail!("README.md has {} programs, not two", programs.len())
    };
    files::write(&folder.join("src/bin/produce.rs"), produce)?;
    files::write(&folder.join("src/bin/consume.rs"), consume)?;
    // Without debug information, which takes long to write.
    Command::cargo("build --quiet --bins")
        .within(&folder)
        .env("CARGO_TARGET_DIR", target().join("packages"))
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env_remove("RUSTFLAGS")
        .run()?;
    let programs = target().join("packages/debug");
    talk(&programs)?;
    let (_client, line) = Command::program(&programs.join("consume")).arg(hub.history()).start_and_read()?;
    if line != "hello, world" {
        bail!("the README's client received {line:?} from the hub");
    }
    Ok(())
}

/// Manifest of a project that depends on the packages by version.
///
/// The package of the program is built as a library, and not used.
fn manifest(names: &[String]) -> String {
    let patches: String = names
        .iter()
        .map(|name| format!("{name} = {{ path = \"../packages/{name}-{VERSION}\" }}\n"))
        .collect();
    format!(
        "[package]\nname = \"new\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\n\
         axum = \"0.8\"\nssekit = {{ version = \"{VERSION}\", features = [\"axum\"] }}\n\
         ssekit-cli = \"{VERSION}\"\ntokio = {{ version = \"1\", features = [\"full\"] }}\n\n\
         [patch.crates-io]\n{patches}"
    )
}

/// The README's server sends to the README's client.
fn talk(programs: &Path) -> Result<()> {
    let (_server, line) = Command::program(&programs.join("produce")).arg("127.0.0.1:0").start_and_read()?;
    let url = line.strip_prefix("listening on ").with_context(|| format!("the server printed {line:?}"))?;
    let (_client, line) = Command::program(&programs.join("consume")).arg(url).start_and_read()?;
    if !line.starts_with("the time is ") {
        bail!("the client printed {line:?}");
    }
    Ok(())
}
