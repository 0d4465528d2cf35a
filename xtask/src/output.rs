//! Lines on the terminal.

#[allow(clippy::print_stderr, reason = "output for the terminal")]
pub(crate) fn say(line: &str) {
    eprintln!("==> {line}");
}
