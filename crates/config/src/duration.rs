//! Durations as people write them: `"5m"`, `"2h4m"`, `"1500ms"`, or a plain number of seconds.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A duration from the configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime(pub Duration);

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration: write seconds (300) or units (\"5m\", \"2h4m\", \"1500ms\")")]
pub struct NotADuration {
    text: String,
}

/// Longest first, so that the text of a duration uses the fewest words.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl FromStr for Lifetime {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map(Self).ok_or_else(|| NotADuration { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_u64;
    let mut previous = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        // "4m2h" is more likely a slip than a wish.
        if *scale >= previous {
            return None;
        }
        previous = *scale;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*scale)?)?;
        rest = after.trim_start();
    }
    Some(Duration::from_millis(total))
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, scale) in UNITS {
            let count = rest / scale;
            if count > 0 {
                write!(f, "{count}{unit}")?;
                rest %= scale;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Lifetime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration: seconds (300) or units (\"5m\", \"2h4m\")")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Lifetime, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Lifetime, E> {
        u64::try_from(seconds)
            .map(|seconds| Lifetime(Duration::from_secs(seconds)))
            .map_err(|_| E::custom("a duration cannot be negative"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_and_seconds() {
        for (text, seconds) in
            [("300", 300), ("5m", 300), ("124m", 7440), ("2h4m", 7440), ("1h 30m", 5400), ("0", 0)]
        {
            assert_eq!(text.parse(), Ok(Lifetime(Duration::from_secs(seconds))), "{text}");
        }
        assert_eq!("1500ms".parse(), Ok(Lifetime(Duration::from_millis(1500))));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "m", "5x", "4m2h", "5m5m", "-3", "1.5h", "99999999999999999999s"] {
            assert!(text.parse::<Lifetime>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(millis in 0_u64..1_000_000_000_000) {
            let lifetime = Lifetime(Duration::from_millis(millis));
            prop_assert_eq!(lifetime.to_string().parse(), Ok(lifetime));
        }
    }
}
