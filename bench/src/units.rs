//! Numbers as people read them.

/// A figure with its unit: `1.68 M packets/s`.
///
/// Rates get a prefix, since they span seven powers of ten; everything else is as it is.
#[must_use]
pub(crate) fn figure(value: f64, unit: &str) -> String {
    let (scaled, prefix) = if unit.ends_with("/s") { prefixed(value) } else { (value, "") };
    match (prefix, unit) {
        ("", "") => significant(scaled),
        ("", unit) => format!("{} {unit}", significant(scaled)),
        // A prefix belongs to a unit symbol: Gbit/s, but M packets/s.
        (prefix, "bit/s") => format!("{} {prefix}bit/s", significant(scaled)),
        (prefix, unit) => format!("{} {prefix} {unit}", significant(scaled)),
    }
}

/// A number with three significant digits, and all digits before the point.
#[must_use]
pub(crate) fn significant(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        _ if size == 0.0 || size >= 99.95 => 0,
        _ if size >= 9.995 => 1,
        _ if size >= 0.0995 => 2,
        _ => 4,
    };
    grouped(value, decimals)
}

/// A share as a percentage.
#[must_use]
pub(crate) fn percent(share: f64) -> String {
    let decimals = usize::from(share < 0.0995);
    format!("{:.decimals$} %", share * 100.0)
}

/// A number with its thousands apart.
#[must_use]
pub(crate) fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), ""), |parts| parts);
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if !fraction.is_empty() {
        grouped.push('.');
        grouped.push_str(fraction);
    }
    grouped
}

fn prefixed(value: f64) -> (f64, &'static str) {
    match value.abs() {
        size if size >= 999.5e6 => (value / 1e9, "G"),
        size if size >= 999.5e3 => (value / 1e6, "M"),
        size if size >= 9_995.0 => (value / 1e3, "k"),
        _ => (value, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_prefixes_and_other_figures_have_none() {
        assert_eq!(figure(1_684_000.0, "packets/s"), "1.68 M packets/s");
        assert_eq!(figure(31_940.0, "connections/s"), "31.9 k connections/s");
        assert_eq!(figure(19.35e9, "bit/s"), "19.4 Gbit/s");
        assert_eq!(figure(4_200.0, "flows/s"), "4,200 flows/s");
        assert_eq!(figure(14_321.0, "bytes"), "14,321 bytes");
        assert_eq!(figure(12.345, "µs"), "12.3 µs");
        assert_eq!(figure(0.9987, ""), "1.00");
    }

    #[test]
    fn three_digits_say_enough() {
        assert_eq!(significant(0.0), "0");
        assert_eq!(significant(0.0914), "0.0914");
        assert_eq!(significant(1.049), "1.05");
        assert_eq!(significant(99.97), "100");
        assert_eq!(significant(-12_345.6), "-12,346");
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!(grouped(1_000_000.0, 0), "1,000,000");
        assert_eq!(grouped(999.0, 0), "999");
        assert_eq!(grouped(-12_345.678, 1), "-12,345.7");
    }

    #[test]
    fn small_shares_keep_a_decimal() {
        assert_eq!(percent(0.0123), "1.2 %");
        assert_eq!(percent(0.25), "25 %");
    }
}
