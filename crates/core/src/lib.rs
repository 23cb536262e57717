//! The NAT engine: sans-IO, no clock, no threads
