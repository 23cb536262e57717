//! How long a session lives: by its protocol, its TCP state, and when it was last seen.

use masq_flow::{Activity, Session};
use masq_wire::Protocol;

use super::Sessions;
use crate::policy::{Policy, TimeoutClass};
use crate::time::Instant;

/// When a session ends if nothing more is seen of it.
pub(super) fn deadline(policy: &Policy, session: &Session, activity: &Activity) -> Instant {
    let class = match Sessions::state(session, activity) {
        Some(state) => state.class(),
        None => class_of(session.original.protocol),
    };
    last_seen(session, activity) + policy.timeouts.of(class)
}

/// When a session could end at the earliest, whatever the fast path notes from now on: with what it
/// notes it also notes the time.
pub(super) fn earliest_end(
    policy: &Policy,
    now: Instant,
    session: &Session,
    activity: &Activity,
) -> Instant {
    let timeouts = &policy.timeouts;
    let end = deadline(policy, session, activity);
    if session.original.protocol != Protocol::TCP {
        return end;
    }
    // An administrator may have made any of them the shortest, the established one too.
    let shortest = timeouts
        .tcp_opening
        .min(timeouts.tcp_established)
        .min(timeouts.tcp_closing)
        .min(timeouts.tcp_reset);
    end.min(now + shortest)
}

/// When a packet of a session came last.
pub(crate) fn last_seen(session: &Session, activity: &Activity) -> Instant {
    let created = Instant::from_secs(u64::from(session.created));
    Instant::from_nanos(activity.last_seen_ns()).max(created)
}

/// The timeout class of a protocol other than TCP.
pub(super) const fn class_of(protocol: Protocol) -> TimeoutClass {
    match protocol {
        Protocol::ICMP | Protocol::ICMPV6 => TimeoutClass::Icmp,
        Protocol::TCP => TimeoutClass::TcpOpening,
        Protocol::UDP => TimeoutClass::Udp,
        _ => TimeoutClass::Other,
    }
}
