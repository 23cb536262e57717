//! What the RFCs demand and what attackers try, packet by packet in virtual time.
//!
//! The names of the tests in `rfc*` begin with the requirement that they show, as
//! docs/requirements.toml lists them.

mod anticipating;
mod attacks;
mod first;
mod host;
mod net;
mod opening;
mod plain;
mod policy;
mod pressure;
mod properties;
mod totals;
mod waiting;
mod walk;

mod rfc4787;
mod rfc5382;
mod rfc5508;
mod rfc7857;
