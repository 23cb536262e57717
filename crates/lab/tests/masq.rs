//! The scenarios through the real program.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod scenarios;

use scenarios::Nat;

mod masq {
    use super::*;

    scenarios::every_scenario!(Nat::Masq, true);
}

mod masq_without_offloads {
    use super::*;

    scenarios::every_scenario!(Nat::Masq, false);
}
