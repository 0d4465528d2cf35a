//! Parsers of arguments that several options have.

use std::ops::RangeInclusive;

use clap::builder::RangedI64ValueParser;

/// Parser of the numbers in a range.
pub(super) fn within(range: RangeInclusive<u32>) -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(i64::from(*range.start())..=i64::from(*range.end()))
}
