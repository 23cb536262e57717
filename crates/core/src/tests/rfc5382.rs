//! RFC 5382: TCP.

mod lifetime;
mod mapping;
mod sequences;
mod unsolicited;
