//! The two ends of a path, with a gateway between them that only forwards.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use core::time::Duration;

use masq_bench::ends::{Bulk, Connections, Ends, Exchange, Transport, Way};
use masq_lab::{Gateway, Lab, Topology, unavailable};

const WINDOW: Duration = Duration::from_millis(50);

#[test]
fn bytes_are_counted_in_both_directions() {
    with_ends(|ends| {
        for (streams, way) in [(1, Way::Up), (1, Way::Down), (3, Way::Up)] {
            let rate = Bulk { streams, way, window: WINDOW }.run(ends).unwrap();
            assert!(rate > 1e6, "{streams} {way:?}: {rate} bit/s");
        }
    });
}

#[test]
fn every_request_is_answered_before_the_next() {
    with_ends(|ends| {
        for transport in [Transport::Tcp, Transport::Udp] {
            let times = Exchange { transport, window: WINDOW }.run(ends).unwrap();
            let sum: f64 = times.iter().sum();
            assert!(times.iter().all(|time| *time > 0.0), "{transport:?}");
            // One after another they cannot take longer than there was time, but for the last.
            let most = 1e6 * (WINDOW + Duration::from_secs(1)).as_secs_f64();
            assert!(sum <= most, "{transport:?}: {sum} µs");
        }
    });
}

#[test]
fn connections_end_on_both_sides_and_leave_nothing_behind() {
    with_ends(|ends| {
        let done = Connections { clients: 2, window: WINDOW }.run(ends).unwrap();
        assert!(done.rate > 10.0 && done.all > 0, "{done:?}");
        let states = |namespace: &masq_lab::Namespace| {
            let text = namespace.run(|| std::fs::read_to_string("/proc/thread-self/net/tcp"));
            text.unwrap().lines().skip(1).count()
        };
        let left = || (states(ends.client), states(ends.server));
        masq_lab::wait_until("every socket is gone", masq_lab::SOON, || left() == (0, 0)).unwrap();
    });
}

fn with_ends(work: impl FnOnce(&Ends<'_>)) {
    let Some(lab) = lab() else { return };
    let _gateway = Gateway::forwarding(&lab).unwrap();
    work(&Ends {
        client: lab.workstation().namespace(),
        server: lab.server.namespace(),
        address: lab.server.address(),
    });
}

fn lab() -> Option<Lab> {
    if let Some(why) = unavailable() {
        assert!(std::env::var_os("MASQ_REQUIRE_NETNS").is_none(), "{why}");
        eprintln!("skipped: {why}");
        return None;
    }
    Some(Topology::new().without_routers().build().unwrap())
}
