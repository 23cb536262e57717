//! Writing and reading whole records: the owner's half of [`record`](crate::record).
//!
//! A [`Line`] is the decided part of a record as plain words. It is made of a [`Session`] and gives
//! the session back. The methods of [`Record`] here store it, each in an order that leaves the
//! record vacant or whole at every instant.

use core::net::IpAddr;

use masq_wire::{Endpoint, Protocol, Tuple};

use crate::direction::{Direction, PerDirection};
use crate::key::{pack_ports, pack_v4, pack_v6, unpack_ports, unpack_v4, unpack_v6};
use crate::nexthop::NextHopId;
use crate::record::{
    ADDRESSES, CONTINUATION, DELTAS, EPOCH, FLAGS, INTERFACES, KIND, MORE, NEXT_HOPS, OCCUPIED,
    ORIGINAL_V6, PORTS, REPLY_V6, Record, SEQUENCE, families, is_wide,
};
use crate::session::{Flags, Session, Unencodable, translated_protocol};
use crate::word::release;

impl Record {
    pub(crate) fn sequence(&self) -> u32 {
        self.line[SEQUENCE].load()
    }

    pub(crate) fn is_occupied(&self) -> bool {
        !self.is_continuation() && self.shape() & OCCUPIED != 0
    }

    pub(crate) fn is_wide(&self) -> bool {
        is_wide(self.shape())
    }

    fn shape(&self) -> u8 {
        self.line[KIND].load().to_ne_bytes()[1]
    }

    /// Reads a whole record; `rest` is the odd neighbour, where there is one. The reader sees to it
    /// that nothing changes meanwhile.
    pub(crate) fn load(&self, rest: Option<&Self>) -> Line {
        let mut line = Line::default();
        for (value, word) in line.words.iter_mut().zip(&self.line) {
            *value = word.load();
        }
        if line.is_wide()
            && let Some(rest) = rest
        {
            line.continued = rest.is_continuation();
            for (value, word) in line.more.iter_mut().zip(&rest.line[MORE..]) {
                *value = word.load();
            }
        }
        line
    }

    /// Fills a vacant record and publishes it.
    pub(crate) fn publish(&self, rest: Option<&Self>, line: &Line, now_ns: u64) {
        let sequence = self.begin_change();
        self.activity.clear();
        self.activity.begin(now_ns);
        self.fill(rest, line);
        self.end_change(sequence);
    }

    /// Gives an occupied record other tuples; its activity stays.
    pub(crate) fn replace(&self, rest: Option<&Self>, line: &Line) {
        let sequence = self.begin_change();
        self.line[KIND].store(0);
        release();
        self.fill(rest, line);
        self.end_change(sequence);
    }

    /// Writes everything but the tuples of an occupied record.
    pub(crate) fn change(&self, line: &Line) {
        let sequence = self.begin_change();
        for i in [EPOCH, KIND, NEXT_HOPS, FLAGS, RULE_PATH, CREATED, INTERFACES, INTERFACES + 1] {
            self.line[i].store(line.words[i]);
        }
        self.end_change(sequence);
    }

    /// Writes class and state, which no reader but the engine looks at.
    pub(crate) fn set_state(&self, class: u8, state: u8) {
        let [protocol, shape, ..] = self.line[KIND].load().to_ne_bytes();
        self.line[KIND].store(u32::from_ne_bytes([protocol, shape, class, state]));
    }

    /// Makes the record vacant, and notes when.
    pub(crate) fn vacate(&self, rest: Option<&Self>, freed_ms: u32) {
        let sequence = self.begin_change();
        self.line[KIND].store(0);
        release();
        self.line[CREATED].store(freed_ms);
        if let Some(rest) = rest {
            rest.vacate_continuation(sequence.wrapping_add(1), freed_ms);
        }
        self.end_change(sequence);
    }

    /// Makes a continuation a vacant record of its own.
    pub(crate) fn vacate_continuation(&self, sequence: u32, freed_ms: u32) {
        self.line[KIND].store(0);
        self.line[CREATED].store(freed_ms);
        release();
        self.line[SEQUENCE].store(next_even(sequence));
    }

    /// When a vacant record was freed, in milliseconds; none if it was never used.
    pub(crate) fn freed_ms(&self) -> Option<u32> {
        (self.sequence() != 0).then(|| self.line[CREATED].load())
    }

    /// Ends a change that its owner did not live to end.
    pub(crate) fn settle(&self) {
        release();
        self.line[SEQUENCE].store(next_even(self.sequence()));
    }

    /// Makes stamps that lie beyond `latest_ns` those of `now_ns`; whether there were any.
    pub(crate) fn restamp(&self, now_ns: u64, latest_ns: u64) -> bool {
        let seconds = |ns: u64| u32::try_from(ns / 1_000_000_000).unwrap_or(u32::MAX);
        let begun_ahead = self.line[CREATED].load() > seconds(latest_ns);
        if begun_ahead {
            let sequence = self.begin_change();
            self.line[CREATED].store(seconds(now_ns));
            self.end_change(sequence);
        }
        self.activity.restamp(now_ns, latest_ns) || begun_ahead
    }

    /// Makes the record as if it had never been used.
    pub(crate) fn clear(&self) {
        for word in &self.line {
            word.store(0);
        }
        self.activity.clear();
    }

    /// Writes a line into a record that is vacant and being changed.
    fn fill(&self, rest: Option<&Self>, line: &Line) {
        if let Some(rest) = rest {
            rest.line[SEQUENCE].store(CONTINUATION);
            release();
            for (word, value) in rest.line[MORE..].iter().zip(line.more) {
                word.store(value);
            }
        }
        for (i, word) in self.line.iter().enumerate() {
            if i != SEQUENCE && i != KIND {
                word.store(line.words[i]);
            }
        }
        // Last, so that whoever finds the record half-made finds it vacant.
        release();
        self.line[KIND].store(line.words[KIND]);
    }

    /// Writes where packets of a direction arrive and leave, and the flags, of an occupied record.
    pub(crate) fn change_way(
        &self,
        direction: Direction,
        hop: NextHopId,
        interface: u32,
        flags: Flags,
    ) {
        let sequence = self.begin_change();
        let hops = self.line[NEXT_HOPS].load();
        let mut hops = PerDirection::new(hops as u16, (hops >> 16) as u16);
        hops[direction] = hop.0;
        self.line[NEXT_HOPS].store(halves(hops.egress, hops.ingress));
        self.line[INTERFACES + direction.index()].store(interface);
        self.line[FLAGS].store(u32::from(flags.bits()));
        self.end_change(sequence);
    }

    fn begin_change(&self) -> u32 {
        // All ones is the mark of a continuation, so that number is left out.
        let sequence = match self.sequence() | 1 {
            CONTINUATION => 1,
            odd => odd,
        };
        self.line[SEQUENCE].store(sequence);
        release();
        sequence
    }

    fn end_change(&self, sequence: u32) {
        release();
        self.line[SEQUENCE].store(next_even(sequence));
    }
}

/// The decided part of a record as plain words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    words: [u32; 16],
    more: [u32; 12],
    continued: bool,
}

impl Line {
    pub(crate) fn encode(session: &Session) -> Result<Self, Unencodable> {
        let egress = addresses(&session.original)?;
        let ingress = addresses(&session.reply)?;
        let (egress_v6, ingress_v6) = (egress.0, ingress.0);
        let protocol = session.original.protocol;
        if session.reply.protocol != translated_protocol(protocol, egress_v6, ingress_v6) {
            return Err(Unencodable::Protocols);
        }
        if session.original == session.reply {
            return Err(Unencodable::SameTuples);
        }

        let shape = OCCUPIED
            | if egress_v6 { ORIGINAL_V6 } else { 0 }
            | if ingress_v6 { REPLY_V6 } else { 0 };
        let mut line = Self::default();
        let words = &mut line.words;
        words[EPOCH] = session.epoch;
        let all = [egress.1, egress.2, ingress.1, ingress.2];
        if is_wide(shape) {
            words[ADDRESSES..ADDRESSES + 4].copy_from_slice(&all[0]);
            for (more, address) in line.more.chunks_exact_mut(4).zip(&all[1..]) {
                more.copy_from_slice(address);
            }
            line.continued = true;
        } else {
            for (word, address) in words[ADDRESSES..].iter_mut().zip(&all) {
                *word = address[0];
            }
        }
        for direction in Direction::ALL {
            let tuple = session.arriving(direction);
            words[PORTS + direction.index()] =
                pack_ports(tuple.source.port, tuple.destination.port);
            words[INTERFACES + direction.index()] = session.interfaces[direction];
        }
        words[KIND] = u32::from_ne_bytes([protocol.0, shape, session.class, session.state]);
        let hops = session.next_hops;
        words[NEXT_HOPS] = halves(hops.egress.0, hops.ingress.0);
        words[DELTAS] = halves(session.address_delta().0, session.port_delta().0);
        words[FLAGS] = u32::from(session.flags.bits());
        words[RULE_PATH] = session.rule_path;
        words[CREATED] = session.created;
        Ok(line)
    }

    /// The session in the line; none if the line is vacant or was never written by us.
    pub(crate) fn decode(&self) -> Option<Session> {
        let words = &self.words;
        let [protocol, shape, class, state] = words[KIND].to_ne_bytes();
        let known = OCCUPIED | ORIGINAL_V6 | REPLY_V6;
        if shape & OCCUPIED == 0 || shape & !known != 0 || is_wide(shape) != self.continued {
            return None;
        }
        let families = families(shape);
        let address = |number: usize, v6: bool| {
            let wide = match (is_wide(shape), number) {
                (false, _) => return Some(IpAddr::V4(unpack_v4(words[ADDRESSES + number]))),
                (true, 0) => array(&words[ADDRESSES..ADDRESSES + 4]),
                (true, _) => array(&self.more[4 * number - 4..4 * number]),
            };
            match (v6, wide) {
                (true, _) => Some(IpAddr::V6(unpack_v6(wide))),
                (false, [word, 0, 0, 0]) => Some(IpAddr::V4(unpack_v4(word))),
                (false, _) => None,
            }
        };
        let tuple = |direction: Direction, protocol| {
            let (number, v6) = (2 * direction.index(), families[direction]);
            let (source, destination) = unpack_ports(words[PORTS + direction.index()]);
            Some(Tuple {
                protocol,
                source: Endpoint { addr: address(number, v6)?, port: source },
                destination: Endpoint { addr: address(number + 1, v6)?, port: destination },
            })
        };
        let protocol = Protocol(protocol);
        let back = translated_protocol(protocol, families.egress, families.ingress);
        let hops = PerDirection::new(words[NEXT_HOPS] as u16, (words[NEXT_HOPS] >> 16) as u16);
        let session = Session {
            original: tuple(Direction::Egress, protocol)?,
            reply: tuple(Direction::Ingress, back)?,
            flags: Flags::from_bits(u16::try_from(words[FLAGS]).ok()?)?,
            class,
            state,
            next_hops: PerDirection::new(NextHopId(hops.egress), NextHopId(hops.ingress)),
            interfaces: PerDirection::new(words[INTERFACES], words[INTERFACES + 1]),
            epoch: words[EPOCH],
            rule_path: words[RULE_PATH],
            created: words[CREATED],
        };
        Some(session)
    }

    /// The session in the line, if everything about it is as we would have written it.
    pub(crate) fn decode_sound(&self) -> Option<Session> {
        let session = self.decode()?;
        let hops = [session.next_hops.egress, session.next_hops.ingress];
        let again = Self::encode(&session).ok()?;
        (again.words[DELTAS] == self.words[DELTAS] && hops.into_iter().all(NextHopId::is_sound))
            .then_some(session)
    }

    pub(crate) fn is_wide(&self) -> bool {
        is_wide(self.words[KIND].to_ne_bytes()[1])
    }

    /// Whether both lines have the same tuples.
    pub(crate) fn has_tuples_of(&self, other: &Self) -> bool {
        let kind = |line: &Self| {
            let [protocol, shape, ..] = line.words[KIND].to_ne_bytes();
            (protocol, shape)
        };
        kind(self) == kind(other)
            && self.words[ADDRESSES..PORTS + 2] == other.words[ADDRESSES..PORTS + 2]
            && self.more == other.more
    }
}

const RULE_PATH: usize = 12;
const CREATED: usize = 13;

const fn next_even(sequence: u32) -> u32 {
    // A used record never has number 0, which means "never used".
    match (sequence | 1).wrapping_add(1) {
        0 => 2,
        even => even,
    }
}

fn halves(low: u16, high: u16) -> u32 {
    u32::from(low) | u32::from(high) << 16
}

fn array(words: &[u32]) -> [u32; 4] {
    core::array::from_fn(|i| words.get(i).copied().unwrap_or(0))
}

/// Family, source and destination of a tuple.
fn addresses(tuple: &Tuple) -> Result<(bool, [u32; 4], [u32; 4]), Unencodable> {
    match (tuple.source.addr, tuple.destination.addr) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Ok((false, [pack_v4(source), 0, 0, 0], [pack_v4(destination), 0, 0, 0]))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Ok((true, pack_v6(source), pack_v6(destination)))
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            Err(Unencodable::MixedFamilies)
        }
    }
}
