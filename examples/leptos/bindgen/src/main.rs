//! `bindgen FILE.wasm FOLDER NAME` writes the modules NAME.js and NAME_bg.wasm.

use anyhow::{Context as _, Result};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next =
        |what| arguments.next().with_context(|| format!("bindgen FILE.wasm FOLDER NAME: no {what}"));
    let (file, folder, name) = (next("file")?, next("folder")?, next("name")?);
    Bindgen::new()
        .input_path(file)
        .out_name(&name)
        .web(true)?
        .omit_default_module_path(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .typescript(false)
        .generate(folder)
}
