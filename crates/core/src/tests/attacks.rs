//! What is done to NATs, tried on ours.
//!
//! Each attack has a control: the same thing done by somebody who may do it works, or the test would
//! prove nothing.

mod exhaustion;
mod fragments;
mod icmp;
mod spoofing;
mod tcp;
