//! Port ranges: `5000`, `"1024-65535"`, or a list of them; `"auto"` leaves the choice to masq.

use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// One inclusive range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
}

/// Why a text is not a port range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotPorts {
    /// The range holds no port.
    #[error("the range {first}-{last} is empty: write {last}-{first}")]
    Backwards {
        /// The number before the dash.
        first: u16,
        /// The number after it.
        last: u16,
    },
    /// Not a number, or none of the 65,535.
    #[error("`{text}` is not a port or a range: write 5000 or \"1024-65535\"")]
    Syntax {
        /// What was written.
        text: String,
    },
    /// Port 0 cannot be used on the wire.
    #[error("port 0 cannot be used: ranges begin at 1")]
    Zero,
}

impl PortRange {
    /// # Errors
    ///
    /// When the range is empty or contains port 0.
    pub fn new(first: u16, last: u16) -> Result<Self, NotPorts> {
        if first == 0 {
            return Err(NotPorts::Zero);
        }
        if first > last {
            return Err(NotPorts::Backwards { first, last });
        }
        Ok(Self { first, last })
    }

    /// How many ports there are, at least one.
    #[must_use]
    pub fn count(self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }

    /// Whether a port is in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl From<PortRange> for RangeInclusive<u16> {
    fn from(range: PortRange) -> Self {
        range.first..=range.last
    }
}

impl FromStr for PortRange {
    type Err = NotPorts;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let syntax = || NotPorts::Syntax { text: text.to_owned() };
        let number = |part: &str| part.trim().parse::<u16>().map_err(|_| syntax());
        match text.split_once('-') {
            Some((first, last)) => Self::new(number(first)?, number(last)?),
            None => {
                let port = number(text)?;
                Self::new(port, port)
            }
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RangeVisitor)
    }
}

struct RangeVisitor;

impl de::Visitor<'_> for RangeVisitor {
    type Value = PortRange;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port (5000) or a range (\"1024-65535\")")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<PortRange, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, port: i64) -> Result<PortRange, E> {
        let port = u16::try_from(port)
            .map_err(|_| E::custom(NotPorts::Syntax { text: port.to_string() }))?;
        PortRange::new(port, port).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_single_ports() {
        assert_eq!("1024-65535".parse(), Ok(PortRange { first: 1024, last: 65535 }));
        assert_eq!("5000".parse(), Ok(PortRange { first: 5000, last: 5000 }));
        assert_eq!("61000 - 65095".parse::<PortRange>().unwrap().count(), 4096);
    }

    #[test]
    fn an_empty_range_says_how_it_was_meant() {
        let error = "65535-1024".parse::<PortRange>().unwrap_err();
        assert_eq!(error.to_string(), "the range 65535-1024 is empty: write 1024-65535");
    }

    #[test]
    fn no_port_zero_and_no_nonsense() {
        for text in ["0", "0-100", "70000", "a-b", "", "-", "1-2-3"] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }
}
