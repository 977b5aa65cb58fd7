//! Numbers with units, short enough for a table.

/// Bytes in powers of 1024: `0 B`, `1023 B`, `1.50 KiB`, `117 MiB`.
pub(super) fn bytes(count: u64) -> String {
    scaled(count, 1024.0, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

/// A duration given in nanoseconds: `640 ns`, `1.25 µs`, `12.0 ms`.
pub(super) fn nanoseconds(count: u64) -> String {
    scaled(count, 1000.0, ["ns", "µs", "ms", "s", "ks", "Ms", "Gs"])
}

/// A link speed given in Mbit/s: `100 Mbit/s`, `2.5 Gbit/s`.
pub(super) fn megabits_per_second(count: u32) -> String {
    if count >= 1000 {
        format!("{} Gbit/s", f64::from(count) / 1000.0)
    } else {
        format!("{count} Mbit/s")
    }
}

/// A share between 0 and 1 as `12.3 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Three significant digits, in the largest unit that leaves a number of at least 1.
fn scaled(count: u64, base: f64, units: [&str; 7]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = count as f64;
    let mut units = units.into_iter();
    let mut unit = units.next().unwrap_or_default();
    if value < base {
        return format!("{count} {unit}");
    }
    for larger in units {
        // What would be rounded up to the base is said in the next unit.
        if value < base - 0.5 {
            break;
        }
        value /= base;
        unit = larger;
    }
    let decimals = match value {
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_say_enough() {
        assert_eq!([bytes(0), bytes(1023), bytes(1024)], ["0 B", "1023 B", "1.00 KiB"]);
        assert_eq!([bytes(1_048_575), bytes(123 << 20)], ["1.00 MiB", "123 MiB"]);
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        assert_eq!([nanoseconds(999), nanoseconds(1000)], ["999 ns", "1.00 µs"]);
        assert_eq!([nanoseconds(12_345), nanoseconds(999_999)], ["12.3 µs", "1.00 ms"]);
        assert_eq!(nanoseconds(9_996), "10.0 µs");
        assert_eq!(
            [megabits_per_second(100), megabits_per_second(2500)],
            ["100 Mbit/s", "2.5 Gbit/s"]
        );
        assert_eq!(percent(0.1234), "12.3 %");
    }
}
