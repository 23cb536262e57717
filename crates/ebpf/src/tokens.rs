//! How much of the engine one source may ask for.
//!
//! A packet without a session costs the engine far more than it costs its sender. Each source
//! address has a bucket of tokens for such packets, so that a flood from one host leaves the punt
//! port to the others. Packets of sessions cost nothing here: the number of sessions is bounded
//! elsewhere.

use aya_ebpf::bindings::BPF_ANY;
use masq_flow::maps::{Settings, TokenBucket};

use crate::clock;
use crate::maps::TOKENS;

/// What a packet may cost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Price {
    /// Nothing: it belongs to a session.
    Free,
    /// A fraction of a token: a fragment or an ICMP error, of which honest traffic has many, and
    /// which make no session by themselves.
    Look,
    /// A token: it may make a session.
    Session,
}

/// How many looks there are in a token.
const LOOKS: u32 = 8;

/// Charges a source; false if it has used up what it may ask for.
#[inline(always)]
pub(crate) fn charge(settings: &Settings, source: u32, price: Price) -> bool {
    let parts = match price {
        Price::Free => return true,
        Price::Look => LOOKS,
        Price::Session => 1,
    };
    let rate = settings.miss_rate.saturating_mul(parts);
    let burst = settings.miss_burst.saturating_mul(parts);
    let now = clock::asked();
    match TOKENS.get_ptr_mut(source) {
        // SAFETY: the look-up returned a valid, aligned value. Two processors may charge one source
        // at once and lose a charge, which is cheaper than a lock.
        Some(bucket) => unsafe { (*bucket).take(now, rate, burst) },
        None => {
            let mut bucket = TokenBucket::default();
            let allowed = bucket.take(now, rate, burst);
            // The map makes room by forgetting the source that was seen longest ago. Where even
            // that fails, fairness is what is lost, not the packet.
            let _ = TOKENS.insert(source, bucket, u64::from(BPF_ANY));
            allowed
        }
    }
}
