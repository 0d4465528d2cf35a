use std::time::Duration;

use anyhow::Result;

pub(crate) fn run(_each: Duration) -> Result<()> {
    Ok(())
}
