//! The packets of the bench, as its programs write and judge them.
#![no_std]
#![forbid(unsafe_code)]
