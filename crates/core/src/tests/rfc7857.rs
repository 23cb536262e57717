//! RFC 7857: what was added to the three others.

mod automaton;
mod endpoints;
mod refresh;
