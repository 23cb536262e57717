//! Numbers as people read them.

/// Bytes in powers of 1000: `999 B`, `1.2 kB`, `34 MB`.
pub(crate) fn bytes(count: u64) -> String {
    scaled(count, &["B", "kB", "MB", "GB", "TB", "PB", "EB"], " ")
}

/// Packets, shortened from ten thousand on: `9999`, `12k`, `3.4M`.
pub(crate) fn packets(count: u64) -> String {
    if count < 10_000 { count.to_string() } else { scaled(count, &["", "k", "M", "G", "T"], "") }
}

/// A whole number with its thousands apart: `1,048,576`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Seconds in at most two units: `0.3s`, `12s`, `4m59s`, `2h03m`, `3d04h`.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds.is_nan() || seconds < 0.0 {
        return "0s".to_owned();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1}s");
    }
    // The fraction is below what is shown.
    let whole = core::time::Duration::try_from_secs_f64(seconds.round())
        .map_or(u64::MAX, |duration| duration.as_secs());
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole % 86_400 / 3600),
    }
}

fn scaled(count: u64, units: &[&str], gap: &str) -> String {
    let mut tenths = u128::from(count) * 10;
    let mut unit = 0;
    while tenths >= 9_995 && unit + 1 < units.len() {
        tenths = (tenths + 500) / 1000;
        unit += 1;
    }
    if unit == 0 || tenths >= 100 {
        format!("{}{gap}{}", (tenths + 5) / 10, units[unit])
    } else {
        format!("{}.{}{gap}{}", tenths / 10, tenths % 10, units[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_packets() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1234, "1.2 kB"),
            (99_999, "100 kB"),
            (104_857_600, "105 MB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(packets(9999), "9999");
        assert_eq!(packets(12_345), "12k");
        assert_eq!(packets(3_400_000), "3.4M");
        assert_eq!(grouped(1_048_576), "1,048,576");
        assert_eq!(grouped(12), "12");
    }

    #[test]
    fn times() {
        for (value, text) in [
            (0.0, "0.0s"),
            (0.26, "0.3s"),
            (9.94, "9.9s"),
            (9.96, "10s"),
            (59.7, "1m00s"),
            (299.0, "4m59s"),
            (7440.0, "2h04m"),
            (273_600.0, "3d04h"),
            (-1.0, "0s"),
        ] {
            assert_eq!(seconds(value), text);
        }
        assert!(seconds(f64::INFINITY).ends_with('h'));
    }
}
