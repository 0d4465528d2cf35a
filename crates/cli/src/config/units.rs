//! Times and sizes in the notation of people: `1m30s`, `64MiB`.

use std::time::Duration;

/// Description of a time, for errors.
pub(super) const TIME: &str = "a time: a number with a unit, such as 100ms, 25s, 5m, 1h30m or 7d";

/// Description of a size, for errors.
pub(super) const SIZE: &str =
    "a size: a number of bytes, or a number with a unit, such as 64KiB, 16MiB, 1GiB or 500MB";

/// Largest unit first, in the order of the output.
const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Largest unit first, and units of 1024 before those of 1000, in the order of the output.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads a time in whole milliseconds; `0` needs no unit.
pub(crate) fn time(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut sum: u64 = 0;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let (number, after) = digits(rest)?;
        let end = after.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = TIMES.iter().find(|(name, _)| *name == unit)?.1;
        // Each unit once, the larger first: any other notation is probably a mistake.
        if unit >= last {
            return None;
        }
        last = unit;
        sum = sum.checked_add(number.checked_mul(unit)?)?;
        rest = after;
    }
    (last != u64::MAX).then(|| Duration::from_millis(sum))
}

/// Writes a time so that [`time`] reads it.
pub(crate) fn show_time(time: Duration) -> String {
    let mut rest = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    // 1500ms is easier to read than 1s500ms.
    if rest < 60_000 && rest % 1_000 != 0 {
        return format!("{rest}ms");
    }
    let mut text = String::new();
    for (name, unit) in TIMES {
        if rest >= unit {
            text.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    text
}

/// Reads a size; `K`, `M`, `G` and `T` alone are units of 1024, in either case.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = digits(text.trim())?;
    let unit = unit.trim_start();
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        unit => SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    number.checked_mul(unit)
}

/// Writes a size so that [`size`] reads exactly that size.
pub(super) fn show_size(size: u64) -> String {
    let unit = SIZES.iter().find(|(_, unit)| size != 0 && size.is_multiple_of(*unit));
    match unit {
        Some((name, unit)) if *unit > 1 => format!("{}{name}", size / unit),
        _ => size.to_string(),
    }
}

/// Reads a number at the beginning, whose digits may be grouped as in TOML: `100_000`.
fn digits(text: &str) -> Option<(u64, &str)> {
    let end =
        text.find(|character: char| !character.is_ascii_digit() && character != '_').unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if !digits.starts_with(|character: char| character.is_ascii_digit()) {
        return None;
    }
    Some((digits.replace('_', "").parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn valid_times_are_read_and_others_refused() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("0", Some(ms(0))),
            ("100ms", Some(ms(100))),
            ("25s", Some(ms(25_000))),
            (" 25s ", Some(ms(25_000))),
            ("1m30s", Some(ms(90_000))),
            ("1h30m", Some(ms(5_400_000))),
            ("7d", Some(ms(604_800_000))),
            ("1d1h1m1s1ms", Some(ms(90_061_001))),
            ("1_000ms", Some(ms(1_000))),
            ("", None),
            ("25", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("25sec", None),
            ("1s1s", None),
            ("30s1m", None),
            ("_s", None),
            ("1s ", Some(ms(1_000))),
            ("18446744073709551615d", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(time(text), expected, "{text:?}");
        }
    }

    #[test]
    fn valid_sizes_are_read_and_others_refused() {
        for (text, expected) in [
            ("0", Some(0)),
            ("65536", Some(65_536)),
            ("64KiB", Some(65_536)),
            ("64 KiB", Some(65_536)),
            ("64k", Some(65_536)),
            ("64kib", Some(65_536)),
            ("1GiB", Some(1 << 30)),
            ("500MB", Some(500_000_000)),
            ("5B", Some(5)),
            ("1_000", Some(1_000)),
            ("", None),
            ("KiB", None),
            ("1.5GiB", None),
            ("-1", None),
            ("1XiB", None),
            ("1e3", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("18446744073709551615KiB", None),
        ] {
            assert_eq!(size(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn written_times_and_sizes_are_read_again(number: u64, shift in 0_u32..64) {
            let number = number >> shift;
            prop_assert_eq!(size(&show_size(number)), Some(number));
            let span = Duration::from_millis(number);
            prop_assert_eq!(time(&show_time(span)), Some(span));
        }

        #[test]
        fn arbitrary_text_causes_no_panic(text: String) {
            let _ = (time(&text), size(&text));
        }
    }
}
