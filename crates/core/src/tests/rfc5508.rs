//! RFC 5508: ICMP.

mod errors;
mod hairpin;
mod originated;
mod queries;
mod quoted;
