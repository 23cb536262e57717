//! The packets of the bench, as its programs write and judge them: shared by the programs and user space.
//!
//! ```text
//!   flow number ──Numbering──► ends (inside, remote) ──┐
//!                                                      ├──Frame::write──► 60 bytes on the wire
//!   what outside endpoint the flow was given (learnt) ─┘                      │
//!                                                    Settings ──Frame::judge──┴──► right, or what is wrong
//! ```
//!
//! A frame carries its flow's number in its payload, so the receiver knows what every other byte must be,
//! whoever translated it. Numbers in headers stand as they are in memory, in network order: sums and
//! comparisons need no swapping.
#![no_std]
#![forbid(unsafe_code)]

pub mod frame;
pub mod numbering;
pub mod settings;
pub mod stream;

pub use frame::{Frame, Wrong};
pub use numbering::{Ends, Numbering};
pub use settings::{Counts, Settings, SettingsFlags};
pub use stream::{Stream, Streams};
