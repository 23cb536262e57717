//! The allocator against its requirements and against a slow, obviously right model.

use core::net::Ipv4Addr;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const X: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
const REST: HoldDown =
    HoldDown { duration: Duration::from_secs(120), most: 16_384, tcp_exempt: true };

#[test]
fn a_free_port_is_preserved() {
    let mut ports = ports([1024..=65535]);

    assert_eq!(udp(&mut ports, 5000), Ok(5000));
    assert!(ports.in_use(X, PortSpace::Udp, 5000));
    assert!(!ports.in_use(X, PortSpace::Tcp, 5000));
}

#[test]
fn req_3_a_port_in_use_is_never_given_again() {
    let mut ports = ports([1024..=65535]);
    let given: BTreeSet<u16> = (0..64_512).map(|_| udp(&mut ports, 5000).unwrap()).collect();

    assert_eq!(given.len(), 64_512);
    assert_eq!(udp(&mut ports, 5000), Err(Exhausted { in_use: 64_512, resting: 0 }));
}

#[test]
fn req_3a_the_class_is_kept_to_the_last_port() {
    let mut ports = ports([512..=1023, 1024..=65535]);
    for _ in 512..=1023 {
        assert!((512..=1023).contains(&udp(&mut ports, 500).unwrap()));
    }

    assert!(udp(&mut ports, 500).is_err(), "no port of the other class");
    assert_eq!(udp(&mut ports, 1024), Ok(1024));
    assert!(udp(&mut ports, 1024).unwrap() > 1024);
}

#[test]
fn req_3a_an_impossible_class_is_not_insisted_on() {
    let mut ports = ports([61_000..=65_095]);

    assert!((61_000..=65_095).contains(&udp(&mut ports, 1023).unwrap()));
}

#[test]
fn req_4_parity_is_kept_and_gives_way_when_it_must() {
    let mut ports = ports([2000..=2009]);
    let even: BTreeSet<u16> = (0..5).map(|_| udp(&mut ports, 40_000).unwrap()).collect();

    assert!(even.iter().all(|port| port % 2 == 0), "{even:?}");
    assert_eq!(ports.counts(X, PortSpace::Udp).parity_lost, 0);
    assert_eq!(udp(&mut ports, 40_000).unwrap() % 2, 1);
    assert_eq!(ports.counts(X, PortSpace::Udp).parity_lost, 1);
}

#[test]
fn an_identifier_has_neither_class_nor_parity() {
    let mut ports = ports([0..=9, 2000..=2009]);
    let given: BTreeSet<u16> = (0..20)
        .map(|_| ports.allocate(Instant::ZERO, X, PortSpace::Icmp, Wish::identifier(4)).unwrap())
        .collect();

    assert_eq!(given, (0..=9).chain(2000..=2009).collect());
}

#[test]
fn rfc_6888_req_8_a_freed_port_rests_for_two_minutes() {
    let mut ports = ports([2000..=2001]);
    let freed = Instant::ZERO + Duration::from_secs(1_000);
    udp(&mut ports, 2000).unwrap();
    udp(&mut ports, 2001).unwrap();
    assert!(ports.release(freed, X, PortSpace::Udp, 2000, Release::Ended));

    let early = freed + Duration::from_nanos(119_999_999_999);
    let refused = ports.allocate(early, X, PortSpace::Udp, Wish::port(2000));
    assert_eq!(refused, Err(Exhausted { in_use: 1, resting: 1 }));

    let late = freed + Duration::from_secs(120);
    assert_eq!(ports.allocate(late, X, PortSpace::Udp, Wish::port(2000)), Ok(2000));
    assert_eq!(ports.resting_count(X, PortSpace::Udp), 0);
}

#[test]
fn rfc_6888_req_8a_tcp_is_exempt_when_configured() {
    let mut ports = ports([2000..=2000]);
    for (tcp_exempt, again) in [(true, true), (false, false)] {
        ports.set_hold_down(HoldDown { tcp_exempt, ..REST });
        assert_eq!(tcp(&mut ports, 2000), Ok(2000));
        assert!(ports.release(Instant::ZERO, X, PortSpace::Tcp, 2000, Release::Ended));
        assert_eq!(ports.free_count(X, PortSpace::Tcp) == 1, again);
    }
}

#[test]
fn rfc_6888_req_8_the_number_of_resting_ports_is_bounded() {
    let mut ports = ports([2000..=2009]);
    ports.set_hold_down(HoldDown { most: 3, ..REST });
    for port in 2000..=2009 {
        udp(&mut ports, port).unwrap();
        ports.release(Instant::ZERO, X, PortSpace::Udp, port, Release::Ended);
    }

    assert_eq!(ports.resting_count(X, PortSpace::Udp), 3);
    assert_eq!(ports.free_count(X, PortSpace::Udp), 7);
    assert_eq!(ports.counts(X, PortSpace::Udp).rest_cut_short, 7);
    assert_eq!(udp(&mut ports, 2000), Ok(2000), "the oldest were freed first");
}

#[test]
fn a_port_freed_before_a_restart_rests_on() {
    let mut ports = ports([2000..=2000]);
    let until = Instant::ZERO + Duration::from_secs(30);

    assert!(ports.rest(X, PortSpace::Udp, 2000, until));
    assert!(udp(&mut ports, 2000).is_err());
    assert_eq!(ports.allocate(until, X, PortSpace::Udp, Wish::port(2000)), Ok(2000));
    assert!(!ports.rest(X, PortSpace::Udp, 2000, until), "in use");
}

#[test]
fn a_reclaimed_port_is_free_at_once_and_counted() {
    let mut ports = ports([2000..=2000]);
    udp(&mut ports, 2000).unwrap();

    assert!(ports.release(Instant::ZERO, X, PortSpace::Udp, 2000, Release::Reclaimed));
    assert_eq!(udp(&mut ports, 4000), Ok(2000));
    assert_eq!(ports.counts(X, PortSpace::Udp).reclaimed, 1);
}

#[test]
fn a_claim_takes_free_resting_and_foreign_ports_but_not_used_ones() {
    let mut ports = ports([2000..=2001]);
    udp(&mut ports, 2000).unwrap();
    assert_eq!(ports.claim_exact(X, PortSpace::Udp, 2000), Err(Taken { port: 2000 }));
    ports.release(Instant::ZERO, X, PortSpace::Udp, 2000, Release::Ended);

    assert_eq!(ports.claim_exact(X, PortSpace::Udp, 2000), Ok(()), "resting");
    assert_eq!(ports.claim_exact(X, PortSpace::Udp, 2001), Ok(()), "free");
    assert_eq!(ports.claim_exact(X, PortSpace::Udp, 80), Ok(()), "not allowed");
    assert_eq!(ports.resting_count(X, PortSpace::Udp), 0);

    assert!(ports.release(Instant::ZERO, X, PortSpace::Udp, 80, Release::Ended));
    let later = Instant::ZERO + Duration::from_secs(1_000);
    let refused = ports.allocate(later, X, PortSpace::Udp, Wish::port(80));
    assert!(refused.is_err(), "a foreign port does not come to us: {refused:?}");
}

#[test]
fn a_port_that_is_no_longer_allowed_stays_in_use_and_then_goes() {
    let mut ports = ports([2000..=2003]);
    udp(&mut ports, 2000).unwrap();
    udp(&mut ports, 2001).unwrap();
    ports.release(Instant::ZERO, X, PortSpace::Udp, 2001, Release::Ended);

    let fewer = Arc::new(PortSet::from_ranges([2002..=2003]));
    ports.set_allowed(X, PortSpace::Udp, fewer);
    assert!(ports.in_use(X, PortSpace::Udp, 2000));
    ports.release(Instant::ZERO, X, PortSpace::Udp, 2000, Release::Ended);

    let later = Instant::ZERO + Duration::from_secs(1_000);
    let given = [0, 1].map(|_| ports.allocate(later, X, PortSpace::Udp, Wish::port(2000)));
    assert_eq!(BTreeSet::from(given.map(Result::unwrap)), BTreeSet::from([2002, 2003]));
    assert!(ports.allocate(later, X, PortSpace::Udp, Wish::port(2000)).is_err());
}

#[test]
fn a_removed_address_has_no_ports() {
    let mut ports = ports([2000..=2003]);
    udp(&mut ports, 2000).unwrap();
    ports.remove_address(X);

    assert!(udp(&mut ports, 2000).is_err());
    assert!(!ports.release(Instant::ZERO, X, PortSpace::Udp, 2000, Release::Ended));
    assert_eq!(ports.spaces().count(), 0);
}

/// Chi-square over 64 bins of equal size: 63 degrees of freedom, and 103.4 is passed once in a
/// thousand by chance. The seed is fixed, so the test either always passes or shows a bias.
#[test]
fn rfc_6056_replacements_are_uniform_even_when_half_the_ports_are_taken() {
    let mut bins = [0f64; 64];
    let mut ports = ports([32_768..=65_535]);
    // Takes long runs, which a search that probes onward would answer with their far ends.
    for run in (32_768..65_535).step_by(512) {
        for port in run..run + 256 {
            ports.claim_exact(X, PortSpace::Udp, port).unwrap();
        }
    }
    const DRAWS: u32 = 64_000;
    for _ in 0..DRAWS {
        let port = udp(&mut ports, 32_768).unwrap();
        assert_eq!(port % 2, 0);
        bins[usize::from((port - 32_768) / 512)] += 1.0;
        ports.release(Instant::ZERO, X, PortSpace::Udp, port, Release::Unused);
    }

    let expected = f64::from(DRAWS) / 64.0;
    let chi_square: f64 = bins.iter().map(|seen| (seen - expected).powi(2) / expected).sum();
    assert!(chi_square < 103.4, "{chi_square}");
}

#[test]
fn rfc_6056_replacements_do_not_follow_one_another() {
    let mut ports = ports([1024..=65_535]);
    ports.claim_exact(X, PortSpace::Udp, 5000).unwrap();
    let given: Vec<u16> = (0..10_000).map(|_| udp(&mut ports, 5000).unwrap()).collect();

    let near = given.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 2).count();
    let rising = given.windows(2).filter(|pair| pair[0] < pair[1]).count();
    // By chance: 2 of 32,256 even ports lie at a distance of two, and half the steps go up.
    assert!(near < 10, "{near} steps of at most two");
    assert!((4_700..5_300).contains(&rising), "{rising} rising steps");
}

#[test]
fn another_seed_gives_other_ports() {
    let draw = |seed| {
        let mut ports = Ports::new(Random::from_u64(seed), REST);
        ports.set_allowed(X, PortSpace::Udp, Arc::new(PortSet::from_ranges([1024..=65_535])));
        ports.claim_exact(X, PortSpace::Udp, 5000).unwrap();
        (0..20).map(|_| udp(&mut ports, 5000).unwrap()).collect::<Vec<u16>>()
    };

    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

/// What happens to the allocator in the model test.
#[derive(Clone, Debug)]
enum Step {
    Allocate(u16),
    Claim(u16),
    Release(usize, bool),
    Wait(u64),
    Allow(u16, u16),
}

/// The same rules with sets and scans.
#[derive(Default)]
struct Model {
    allowed: BTreeSet<u16>,
    used: BTreeSet<u16>,
    resting: Vec<(Instant, u16)>,
}

impl Model {
    fn free(&self, now: Instant) -> BTreeSet<u16> {
        let resting: BTreeSet<u16> =
            self.resting.iter().filter(|(until, _)| *until > now).map(|(_, port)| *port).collect();
        let taken: BTreeSet<u16> = self.used.union(&resting).copied().collect();
        self.allowed.difference(&taken).copied().collect()
    }

    /// What may be answered to a wish for a port.
    fn answers(&self, now: Instant, wish: u16) -> BTreeSet<u16> {
        let free = self.free(now);
        if free.contains(&wish) {
            return BTreeSet::from([wish]);
        }
        let class = PortClass::of(wish);
        let possible = self.allowed.iter().any(|port| PortClass::of(*port) == class);
        let same_class: BTreeSet<u16> =
            free.into_iter().filter(|port| !possible || PortClass::of(*port) == class).collect();
        let same_parity: BTreeSet<u16> =
            same_class.iter().copied().filter(|port| port % 2 == wish % 2).collect();
        if same_parity.is_empty() { same_class } else { same_parity }
    }
}

proptest! {
    #[test]
    fn it_never_hands_out_a_port_twice_and_never_loses_one(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut ports = Ports::new(Random::from_u64(seed), REST);
        let mut model = Model::default();
        let mut now = Instant::ZERO;
        allow(&mut ports, &mut model, 1010, 1040);

        for step in steps {
            match step {
                Step::Allocate(wish) => {
                    let answers = model.answers(now, wish);
                    match ports.allocate(now, X, PortSpace::Udp, Wish::port(wish)) {
                        Ok(port) => {
                            prop_assert!(answers.contains(&port), "{} of {:?}", port, answers);
                            prop_assert!(model.used.insert(port));
                        }
                        Err(_) => prop_assert!(answers.is_empty(), "lost {:?}", answers),
                    }
                }
                Step::Claim(port) => {
                    let claimed = ports.claim_exact(X, PortSpace::Udp, port).is_ok();
                    prop_assert_eq!(claimed, model.used.insert(port));
                    model.resting.retain(|(_, resting)| *resting != port);
                }
                Step::Release(n, at_once) => {
                    let Some(port) = model.used.iter().nth(n % model.used.len().max(1)).copied()
                    else { continue };
                    let why = if at_once { Release::Reclaimed } else { Release::Ended };
                    prop_assert!(ports.release(now, X, PortSpace::Udp, port, why));
                    prop_assert!(!ports.release(now, X, PortSpace::Udp, port, why));
                    model.used.remove(&port);
                    if !at_once {
                        model.resting.push((now + REST.duration, port));
                    }
                }
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
                Step::Allow(first, last) => {
                    allow(&mut ports, &mut model, first, last);
                }
            }
            for port in 1000..1050 {
                prop_assert_eq!(ports.in_use(X, PortSpace::Udp, port), model.used.contains(&port));
            }
        }

        // After every rest is over, exactly what is allowed and unused can be had.
        now += Duration::from_secs(1_000);
        let mut left = BTreeSet::new();
        while let Ok(port) = ports.allocate(now, X, PortSpace::Udp, Wish::identifier(0)) {
            prop_assert!(left.insert(port));
        }
        prop_assert_eq!(left, model.free(now));
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1000..1050u16).prop_map(Step::Allocate),
        1 => (1000..1050u16).prop_map(Step::Claim),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(n, at_once)| Step::Release(n, at_once)),
        2 => (0..200u64).prop_map(Step::Wait),
        1 => (1000..1030u16, 0..20u16).prop_map(|(first, more)| Step::Allow(first, first + more)),
    ]
}

fn allow(ports: &mut Ports, model: &mut Model, first: u16, last: u16) {
    ports.set_allowed(X, PortSpace::Udp, Arc::new(PortSet::from_ranges([first..=last])));
    model.allowed = (first..=last).collect();
}

fn ports<const N: usize>(ranges: [core::ops::RangeInclusive<u16>; N]) -> Ports {
    let allowed = Arc::new(PortSet::from_ranges(ranges));
    let mut ports = Ports::new(Random::from_u64(42), REST);
    for space in PortSpace::ALL {
        ports.set_allowed(X, space, Arc::clone(&allowed));
    }
    ports
}

fn udp(ports: &mut Ports, port: u16) -> Result<u16, Exhausted> {
    ports.allocate(Instant::ZERO, X, PortSpace::Udp, Wish::port(port))
}

fn tcp(ports: &mut Ports, port: u16) -> Result<u16, Exhausted> {
    ports.allocate(Instant::ZERO, X, PortSpace::Tcp, Wish::port(port))
}
