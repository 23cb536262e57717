//! Reassembly against its requirements, and against datagrams cut by hand.

use core::net::Ipv4Addr;

use masq_wire::checksum::Sum;
use proptest::prelude::*;

use super::*;
use crate::routes::PortId;
use crate::time::{Duration, Instant};

const START: Instant = Instant::ZERO;
const S: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
const X: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

#[test]
fn rfc_4787_req_14_fragments_come_in_any_order() {
    let payload = payload(3500);
    let cuts = cut(&payload, 1480);
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut reassembler = reassembler();
        let mut whole = None;
        for index in order {
            whole = complete(reassembler.insert(START, &cuts[index].fragment()));
        }
        assert_eq!(whole.unwrap().packet[20..], payload, "{order:?}");
        assert!(reassembler.is_empty());
        assert_eq!((reassembler.bytes(), reassembler.counts().completed), (0, 1));
    }
}

#[test]
fn rfc_4787_req_14_datagrams_are_not_mixed_up() {
    let (one, two) =
        (payload(2000), payload(2000).into_iter().map(|byte| !byte).collect::<Vec<_>>());
    let keys = [
        DatagramKey { identification: 8, ..key() },
        DatagramKey { source: X, ..key() },
        DatagramKey { destination: S, ..key() },
        DatagramKey { protocol: Protocol::ICMP, ..key() },
        DatagramKey { interface: PortId(2), ..key() },
    ];
    for other in keys {
        let mut reassembler = reassembler();
        let (ours, theirs) = (cut(&one, 1480), with_key(cut(&two, 1480), other));
        assert_eq!(reassembler.insert(START, &ours[0].fragment()), Ok(Progress::Incomplete));
        assert_eq!(reassembler.insert(START, &theirs[1].fragment()), Ok(Progress::Incomplete));
        let whole = complete(reassembler.insert(START, &theirs[0].fragment())).unwrap();
        assert_eq!((whole.key, &whole.packet[20..]), (other, &two[..]));
        let whole = complete(reassembler.insert(START, &ours[1].fragment())).unwrap();
        assert_eq!((whole.key, &whole.packet[20..]), (key(), &one[..]));
    }
}

#[test]
fn the_header_is_that_of_an_unfragmented_datagram() {
    let payload = payload(2000);
    let mut cuts = cut(&payload, 1480);
    // The first fragment carries an option that is not copied (record route), the second does not.
    cuts[0].header = header_with_options(&[7, 7, 4, 0, 0, 0, 0, 0]);
    let mut reassembler = reassembler();
    reassembler.insert(START, &cuts[1].fragment()).unwrap();
    let whole = complete(reassembler.insert(START, &cuts[0].fragment())).unwrap();

    let header = &whole.packet[..28];
    assert_eq!(header[2..4], 2028u16.to_be_bytes());
    assert_eq!(header[4..6], [0xab, 0xcd], "identification");
    assert_eq!(header[6..8], [0, 0], "neither more fragments nor an offset");
    assert_eq!(header[20..], [7, 7, 4, 0, 0, 0, 0, 0]);
    assert!(Sum::ZERO.add_bytes(header).verifies());
    assert_eq!(whole.origin.largest_fragment, 28 + 1480);
}

#[test]
fn df_is_kept_when_the_largest_fragment_had_it() {
    for (marked, expected) in [([true, true], true), ([true, false], true), ([false, true], false)]
    {
        let payload = payload(2000);
        let cuts = cut(&payload, 1480);
        let mut reassembler = reassembler();
        let mut whole = None;
        for (cut, dont_fragment) in cuts.iter().zip(marked) {
            let fragment = Fragment { dont_fragment, ..cut.fragment() };
            whole = complete(reassembler.insert(START, &fragment));
        }
        let whole = whole.unwrap();
        assert_eq!(whole.origin.dont_fragment, expected, "{marked:?}");
        assert_eq!(whole.packet[6] & 0x40 != 0, expected);
    }
}

#[test]
fn fragments_with_df_leave_as_large_as_they_came_or_not_at_all() {
    let origin = |dont_fragment| Origin { largest_fragment: 1400, dont_fragment };
    assert_eq!(origin(true).mtu(1500), Some(1400));
    assert_eq!(origin(true).mtu(1400), Some(1400));
    assert_eq!(origin(true).mtu(1280), None);
    assert_eq!(origin(false).mtu(1500), Some(1500));
    assert_eq!(origin(false).mtu(1280), Some(1280));
}

#[test]
fn rfc_3168_5_3_a_congestion_mark_is_kept() {
    let marks = [
        ([0b10, 0b11], Ok(0b11)),
        ([0b01, 0b10], Ok(0b01)),
        ([0b00, 0b00], Ok(0b00)),
        ([0b00, 0b11], Err(FragmentError::EcnMixture)),
    ];
    for (marks, expected) in marks {
        let payload = payload(2000);
        let mut cuts = cut(&payload, 1480);
        let mut reassembler = reassembler();
        for (cut, mark) in cuts.iter_mut().zip(marks) {
            cut.header[1] = 46 << 2 | mark;
        }
        reassembler.insert(START, &cuts[0].fragment()).unwrap();
        let end = reassembler.insert(START, &cuts[1].fragment());
        let tos = end.map(|progress| complete(Ok(progress)).unwrap().packet[1]);
        assert_eq!(tos, expected.map(|mark| 46 << 2 | mark), "{marks:?}");
        assert!(reassembler.is_empty());
    }
}

#[test]
fn an_exact_copy_is_ignored() {
    let payload = payload(3500);
    let cuts = cut(&payload, 1480);
    let mut reassembler = reassembler();
    for n in [0, 2] {
        assert_eq!(reassembler.insert(START, &cuts[n].fragment()), Ok(Progress::Incomplete));
        assert_eq!(reassembler.insert(START, &cuts[n].fragment()), Ok(Progress::Duplicate));
    }

    assert!(complete(reassembler.insert(START, &cuts[1].fragment())).is_some());
}

#[test]
fn rfc_5722_an_overlap_condemns_the_datagram_and_what_follows() {
    let overlaps: [(&str, usize, usize, u8); 6] = [
        ("same place, other bytes", 1480, 1480, 0xff),
        ("teardrop: inside another one", 1488, 8, 0),
        ("over the end of the one before", 2952, 16, 0),
        ("over the beginning of the next", 1472, 1480, 0),
        ("around another one", 8, 3000, 0),
        ("same beginning, longer", 1480, 1488, 0),
    ];
    for (name, offset, len, change) in overlaps {
        let payload = payload(6000);
        let cuts = cut(&payload, 1480);
        let mut reassembler = reassembler();
        reassembler.insert(START, &cuts[1].fragment()).unwrap();
        let mut bytes = payload[offset..offset + len].to_vec();
        bytes[0] ^= change;
        let evil = Fragment { offset, payload: &bytes, ..cuts[1].fragment() };

        assert_eq!(reassembler.insert(START, &evil), Err(FragmentError::Overlap), "{name}");
        for cut in &cuts {
            assert_eq!(reassembler.insert(START, &cut.fragment()), Err(FragmentError::Condemned));
        }
        assert_eq!(reassembler.counts().condemned, 1);
        let late = START + Duration::from_secs(30);
        assert_eq!(reassembler.expire(late), Some(Expired { key: key(), first: None }));
        assert_eq!(reassembler.bytes(), 0);
    }
}

#[test]
fn contradicting_ends_condemn_the_datagram() {
    let payload = payload(4440);
    let cuts = cut(&payload, 1480);
    let at = |offset, more| Fragment { offset, more, ..cuts[1].fragment() };
    let sequences = [
        ("data beyond the end", at(1480, false), at(2960, true)),
        ("two ends", at(1480, false), at(2960, false)),
        ("an end before known data", at(2960, true), at(1480, false)),
        ("an end that goes on", at(1480, false), at(1480, true)),
    ];
    for (name, first, second) in sequences {
        let mut reassembler = reassembler();
        assert_eq!(reassembler.insert(START, &first), Ok(Progress::Incomplete));
        let error = reassembler.insert(START, &second);
        assert_eq!(error, Err(FragmentError::ContradictingEnd), "{name}");
    }
    let mut reassembler = reassembler();
    reassembler.insert(START, &at(1480, true)).unwrap();
    let error = reassembler.insert(START, &at(1480, false));
    assert_eq!(error, Err(FragmentError::Overlap), "a copy that ends");
}

#[test]
fn impossible_fragments_are_dropped_alone() {
    let payload = payload(3000);
    let cuts = cut(&payload, 1480);
    let base = cuts[0].fragment();
    let tcp = Fragment { key: DatagramKey { protocol: Protocol::TCP, ..key() }, ..base };
    let cases = [
        ("empty", Fragment { payload: &[], ..base }, FragmentError::Empty),
        (
            "empty end",
            Fragment { payload: &[], more: false, offset: 1480, ..base },
            FragmentError::Empty,
        ),
        ("misaligned", Fragment { payload: &payload[..1479], ..base }, FragmentError::Misaligned),
        ("ping of death", Fragment { offset: 65_528, more: false, ..base }, FragmentError::TooLong),
        ("just too long", Fragment { offset: 64_056, more: false, ..base }, FragmentError::TooLong),
        ("tiny TCP", Fragment { payload: &payload[..8], ..tcp }, FragmentError::Tiny),
        ("torn TCP", Fragment { offset: 8, ..tcp }, FragmentError::Tiny),
    ];
    for (name, fragment, error) in cases {
        let mut reassembler = reassembler();
        assert_eq!(reassembler.insert(START, &fragment), Err(error), "{name}");
        assert!(reassembler.is_empty(), "{name}");
    }
    let mut reassembler = reassembler();
    let last = Fragment { offset: 64_024, more: false, ..base };
    assert_eq!(reassembler.insert(START, &last), Ok(Progress::Incomplete), "ends at 65,504");
    let tiny_udp = Fragment { payload: &payload[..8], ..base };
    assert_eq!(reassembler.insert(START, &tiny_udp), Ok(Progress::Incomplete));
}

#[test]
fn the_largest_datagram_is_put_together_and_one_with_a_longer_header_is_not() {
    let payload = payload(65_515);
    for options in [0, 8] {
        let mut cuts = cut(&payload, 1480);
        cuts[0].header = header_with_options(&[1; 8][..options]);
        let mut reassembler = reassembler();
        let mut end = Ok(Progress::Incomplete);
        for cut in &cuts {
            end = reassembler.insert(START, &cut.fragment());
        }
        match options {
            0 => assert_eq!(complete(end).unwrap().packet.len(), 65_535),
            _ => assert_eq!(end, Err(FragmentError::TooLong)),
        }
        assert_eq!(reassembler.bytes(), 0);
    }
}

#[test]
fn a_datagram_has_its_time_from_its_first_fragment_on() {
    let payload = payload(3500);
    let cuts = cut(&payload, 1480);
    let limits =
        ReassemblyLimits { timeout: Duration::from_secs(2), ..ReassemblyLimits::default() };
    let mut reassembler = Reassembler::new(limits);
    assert_eq!(reassembler.poll_timeout(), None);
    reassembler.insert(START, &cuts[0].fragment()).unwrap();
    reassembler.insert(START + Duration::from_secs(1), &cuts[1].fragment()).unwrap();

    let end = START + Duration::from_secs(2);
    assert_eq!(reassembler.poll_timeout(), Some(end));
    assert_eq!(reassembler.expire(START + Duration::from_nanos(1_999_999_999)), None);
    let first = [&cuts[0].header[..], &payload[..1480]].concat();
    assert_eq!(reassembler.expire(end), Some(Expired { key: key(), first: Some(first) }));
    assert_eq!(reassembler.expire(end), None);
    assert_eq!((reassembler.bytes(), reassembler.counts().expired), (0, 1));
}

#[test]
fn timeouts_are_brought_between_two_and_thirty_seconds() {
    for (configured, used) in [(0, 2), (2, 2), (10, 10), (30, 30), (3600, 30)] {
        let timeout = Duration::from_secs(configured);
        let limits = ReassemblyLimits { timeout, ..ReassemblyLimits::default() };
        assert_eq!(limits.clamped().timeout, Duration::from_secs(used));
    }
}

#[test]
fn the_number_of_pieces_is_bounded() {
    let payload = payload(8 * 600);
    let cuts = cut(&payload, 8);
    let mut reassembler = reassembler();
    let refused = cuts.iter().step_by(2).position(|cut| {
        reassembler.insert(START, &cut.fragment()) == Err(FragmentError::TooManyPieces)
    });

    assert_eq!(refused, Some(ReassemblyLimits::default().pieces));
    assert!(reassembler.bytes() < 1024);
}

#[test]
fn rfc_4787_req_14a_a_flood_from_one_source_costs_that_source_only() {
    let mut reassembler = reassembler();
    let honest = payload(6000);
    let another_source = DatagramKey { source: "192.0.2.9".parse().unwrap(), ..key() };
    let honest_cuts = with_key(cut(&honest, 1480), another_source);
    reassembler.insert(START, &honest_cuts[0].fragment()).unwrap();
    flood(&mut reassembler, 50_000, |n| DatagramKey { identification: n, ..key() });

    assert_eq!(reassembler.len(), 1 + ReassemblyLimits::default().datagrams_per_source);
    for cut in &honest_cuts[1..] {
        let progress = reassembler.insert(START, &cut.fragment());
        if let Some(whole) = complete(progress) {
            assert_eq!(whole.packet[20..], honest);
        }
    }
    assert_eq!(reassembler.counts().completed, 1);
}

#[test]
fn rfc_4787_req_14a_a_few_heavy_sources_give_way_before_a_light_one() {
    let mut reassembler = reassembler();
    let payload = payload(3000);
    let honest = cut(&payload, 1480);
    reassembler.insert(START, &honest[0].fragment()).unwrap();
    // Twenty sources fill the whole table up to its bound and on.
    flood(&mut reassembler, 50_000, |n| DatagramKey {
        source: Ipv4Addr::from_bits(0xc000_0200 + n % 20).into(),
        identification: n,
        ..key()
    });

    assert_eq!(reassembler.len(), ReassemblyLimits::default().datagrams);
    reassembler.insert(START, &honest[1].fragment()).unwrap();
    assert!(complete(reassembler.insert(START, &honest[2].fragment())).is_some());
}

#[test]
fn rfc_4787_req_14a_a_flood_from_invented_sources_leaves_fragments_in_order_alone() {
    let mut reassembler = reassembler();
    let invented = |n: u32| DatagramKey { source: Ipv4Addr::from_bits(n).into(), ..key() };
    flood(&mut reassembler, 50_000, invented);
    let payload = payload(60_000);
    for (n, cut) in cut(&payload, 1480).iter().enumerate() {
        // Ten stranger's fragments between two of ours.
        flood(&mut reassembler, 10, |m| invented(1_000_000 + 10 * n as u32 + m));
        if let Some(whole) = complete(reassembler.insert(START, &cut.fragment())) {
            assert_eq!(whole.packet[20..], payload);
        }
    }

    assert_eq!(reassembler.counts().completed, 1);
    assert!(reassembler.bytes() <= ReassemblyLimits::default().bytes);
    assert!(reassembler.len() <= ReassemblyLimits::default().datagrams);
}

#[test]
fn bytes_of_a_source_are_bounded() {
    let limits = ReassemblyLimits { bytes_per_source: 10_000, ..ReassemblyLimits::default() };
    let mut reassembler = Reassembler::new(limits);
    let payload = payload(30_000);
    let mut refused = 0;
    for cut in cut(&payload, 1480) {
        refused +=
            usize::from(reassembler.insert(START, &cut.fragment()) == Err(FragmentError::Limit));
        assert!(reassembler.bytes() <= 10_000);
    }

    assert!(refused > 0);
}

proptest! {
    #[test]
    fn any_cuts_in_any_order_give_the_datagram_back(
        len in 1..4000usize,
        sizes in prop::collection::vec(1..40usize, 1..50),
        order in any::<u64>(),
        copies in any::<u64>(),
    ) {
        let payload = payload(len);
        let mut cuts = Vec::new();
        let mut offset = 0;
        for size in sizes.iter().cycle() {
            let end = (offset + 8 * size).min(len);
            cuts.push(cut_range(&payload, offset, end));
            if end == len {
                break;
            }
            offset = end;
        }
        let mut random = crate::random::Random::from_u64(order);
        let mut shuffled = Vec::new();
        while !cuts.is_empty() {
            shuffled.push(cuts.swap_remove(random.below(cuts.len() as u32) as usize));
        }
        let limits = ReassemblyLimits { pieces: 1000, ..ReassemblyLimits::default() };
        let mut reassembler = Reassembler::new(limits);
        let last = shuffled.len() - 1;
        for (n, cut) in shuffled.iter().enumerate() {
            match reassembler.insert(START, &cut.fragment()) {
                Ok(Progress::Complete(whole)) => {
                    prop_assert_eq!(n, last);
                    prop_assert_eq!(&whole.packet[20..], &payload[..]);
                }
                other => {
                    prop_assert_eq!(other, Ok(Progress::Incomplete));
                    prop_assert!(n < last);
                    if copies >> (n % 64) & 1 == 1 {
                        let copy = reassembler.insert(START, &cut.fragment());
                        prop_assert_eq!(copy, Ok(Progress::Duplicate));
                    }
                }
            }
        }
        prop_assert_eq!((reassembler.len(), reassembler.bytes()), (0, 0));
    }

    #[test]
    fn no_sequence_of_fragments_breaks_the_bounds(
        steps in prop::collection::vec((0..4u32, 0..5u32, 0..40usize, 1..20usize, any::<bool>(), 0..50u64), 0..300),
    ) {
        let limits = ReassemblyLimits {
            timeout: Duration::from_secs(2),
            datagrams: 8,
            datagrams_per_source: 4,
            bytes: 6_000,
            bytes_per_source: 3_000,
            pieces: 6,
        };
        let mut reassembler = Reassembler::new(limits);
        let bytes = payload(8 * 20);
        let header = header_with_options(&[]);
        let mut now = START;
        for (host, identification, offset, len, more, wait) in steps {
            now += Duration::from_millis(wait);
            while reassembler.expire(now).is_some() {}
            let key = DatagramKey {
                source: Ipv4Addr::from_bits(host).into(),
                identification,
                ..key()
            };
            let payload = &bytes[..8 * len];
            let fragment =
                Fragment { key, offset: 8 * offset, more, dont_fragment: false, header: &header, payload };
            let _ = reassembler.insert(now, &fragment);

            prop_assert!(reassembler.len() <= 8 && reassembler.bytes() <= 6_000);
            prop_assert!(reassembler.poll_timeout().is_none_or(|end| end > now));
        }
        while reassembler.expire(now + Duration::from_secs(60)).is_some() {}
        prop_assert_eq!((reassembler.len(), reassembler.bytes()), (0, 0));
    }
}

/// A fragment that owns its bytes.
#[derive(Clone)]
struct Cut {
    key: DatagramKey,
    offset: usize,
    more: bool,
    header: Vec<u8>,
    payload: Vec<u8>,
}

impl Cut {
    fn fragment(&self) -> Fragment<'_> {
        Fragment {
            key: self.key,
            offset: self.offset,
            more: self.more,
            dont_fragment: false,
            header: &self.header,
            payload: &self.payload,
        }
    }
}

fn cut(payload: &[u8], size: usize) -> Vec<Cut> {
    let starts = (0..payload.len()).step_by(size);
    starts.map(|start| cut_range(payload, start, (start + size).min(payload.len()))).collect()
}

/// The same pieces of another datagram.
fn with_key(cuts: Vec<Cut>, key: DatagramKey) -> Vec<Cut> {
    cuts.into_iter().map(|cut| Cut { key, ..cut }).collect()
}

fn cut_range(payload: &[u8], start: usize, end: usize) -> Cut {
    Cut {
        key: key(),
        offset: start,
        more: end < payload.len(),
        header: header_with_options(&[]),
        payload: payload[start..end].to_vec(),
    }
}

fn header_with_options(options: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 20];
    header[0] = 0x45 + (options.len() / 4) as u8;
    header[4..6].copy_from_slice(&[0xab, 0xcd]);
    header[6] = 0x20;
    header[8..10].copy_from_slice(&[64, 17]);
    header.extend_from_slice(options);
    header
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n / 8 * 31 + n) as u8).collect()
}

fn key() -> DatagramKey {
    DatagramKey {
        interface: PortId(1),
        source: S,
        destination: X,
        protocol: Protocol::UDP,
        identification: 0xabcd,
    }
}

fn reassembler() -> Reassembler {
    Reassembler::new(ReassemblyLimits::default())
}

fn complete(progress: Result<Progress, FragmentError>) -> Option<Datagram> {
    match progress.unwrap() {
        Progress::Complete(datagram) => Some(datagram),
        Progress::Duplicate | Progress::Incomplete => None,
    }
}

fn flood(reassembler: &mut Reassembler, number: u32, key: impl Fn(u32) -> DatagramKey) {
    let (header, payload) = (header_with_options(&[]), payload(1480));
    for n in 0..number {
        let fragment = Fragment {
            key: key(n),
            offset: 0,
            more: true,
            dont_fragment: false,
            header: &header,
            payload: &payload,
        };
        let _ = reassembler.insert(START, &fragment);
    }
}
