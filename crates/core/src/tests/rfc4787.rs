//! RFC 4787: UDP.

mod fragments;
mod hairpin;
mod icmp;
mod lifetime;
mod mapping;
