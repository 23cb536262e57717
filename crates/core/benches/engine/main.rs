//! What the engine costs: time and allocations, one operation at a time.
//!
//! `cargo bench -p masq-core` prints for each line nanoseconds and, under them, allocations. The
//! rows of one group differ in how full things are; an operation that is constant in time has rows
//! that look alike.

mod fragments;
mod ports;
mod process;
mod walk;

use divan::AllocProfiler;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}
