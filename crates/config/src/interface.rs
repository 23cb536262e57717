//! Interface names and patterns: `"eth0"`, or `"ppp+"` for every interface whose name begins so.
//!
//! The `+` is that of ipchains and iptables.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// One interface, or every interface with a prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InterfacePattern {
    /// `eth0`
    Name(String),
    /// `ppp+`: any name that begins with `ppp`
    Prefix(String),
}

/// Why a text names no interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAnInterface {
    /// An empty name.
    #[error("an interface needs a name, such as \"eth0\" or \"ppp+\"")]
    Empty,
    /// IFNAMSIZ is 16 with the terminating zero.
    #[error("`{text}` is longer than the 15 characters of an interface name")]
    TooLong {
        /// What was written.
        text: String,
    },
    /// The kernel allows neither `/` nor white space.
    #[error("`{text}` is not an interface name: it contains {character:?}")]
    Character {
        /// What was written.
        text: String,
        /// The character that cannot be in a name.
        character: char,
    },
}

impl InterfacePattern {
    /// Whether an interface of this name is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
        }
    }

    /// Whether some interface name could match both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(name), pattern) | (pattern, Self::Name(name)) => pattern.matches(name),
            (Self::Prefix(one), Self::Prefix(two)) => {
                one.starts_with(two.as_str()) || two.starts_with(one.as_str())
            }
        }
    }

    /// The name, when exactly one interface is meant.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Prefix(_) => None,
        }
    }
}

impl FromStr for InterfacePattern {
    type Err = NotAnInterface;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, prefix) =
            text.strip_suffix('+').map_or((text, false), |beginning| (beginning, true));
        if text.is_empty() {
            return Err(NotAnInterface::Empty);
        }
        if name.len() > 15 {
            return Err(NotAnInterface::TooLong { text: text.to_owned() });
        }
        if let Some(character) =
            name.chars().find(|c| matches!(c, '/' | '+' | ':' | '*') || c.is_whitespace())
        {
            return Err(NotAnInterface::Character { text: text.to_owned(), character });
        }
        Ok(if prefix { Self::Prefix(name.to_owned()) } else { Self::Name(name.to_owned()) })
    }
}

impl fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}+"),
        }
    }
}

impl<'de> Deserialize<'de> for InterfacePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> InterfacePattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_plus_matches_by_prefix() {
        assert!(pattern("ppp+").matches("ppp0"));
        assert!(pattern("ppp+").matches("ppp"));
        assert!(!pattern("ppp+").matches("eth0"));
        assert!(!pattern("ppp0").matches("ppp01"));
        assert!(pattern("+").matches("anything"));
    }

    #[test]
    fn overlap_is_seen_from_both_sides() {
        assert!(pattern("ppp+").overlaps(&pattern("ppp1")));
        assert!(pattern("eth0").overlaps(&pattern("eth0")));
        assert!(pattern("wg+").overlaps(&pattern("wg-home+")));
        assert!(!pattern("eth0").overlaps(&pattern("eth1")));
        assert!(!pattern("ppp+").overlaps(&pattern("tun+")));
    }

    #[test]
    fn what_the_kernel_refuses_is_refused_here() {
        for text in ["", "eth0/1", "eth 0", "averyveryverylongname", "e+h0", "eth0:1"] {
            assert!(text.parse::<InterfacePattern>().is_err(), "{text}");
        }
    }
}
