//! Sessions as the API shows them.

use core::net::IpAddr;
use core::time::Duration;

use masq_api::{Count, EndpointView, FlowPage, FlowQuery, FlowView};
use masq_core::tcp::State;
use masq_core::{Kind, TimeoutClass, Timeouts};
use masq_flow::{Direction, Flags, Reader, Seen, Session, SideActivity, Slot};
use masq_wire::{Endpoint, Protocol};

/// Sessions of a page when nobody says how many.
const PAGE: u32 = 1000;

/// The most sessions of a page: some megabytes of JSON.
const LARGEST_PAGE: u32 = 10_000;

/// Records looked at for one page, so that a query that finds little does not walk a large table in
/// one go.
const LOOKS: u32 = 1 << 20;

/// What is needed to show a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lens<'a> {
    pub(crate) reader: &'a Reader,
    pub(crate) timeouts: &'a Timeouts,
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub(crate) now: u64,
}

impl Lens<'_> {
    /// The sessions that a query asks for, from its place on.
    pub(crate) fn flows(self, query: &FlowQuery) -> FlowPage {
        let filter = Filter::new(query);
        let limit = query.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let first = query.after.unwrap_or(0);
        let mut flows = Vec::new();
        for seen in self.reader.sessions_from(Slot::new(first)) {
            let slot = seen.slot.index();
            if flows.len() == limit || slot - first >= LOOKS {
                return FlowPage { flows, next: Some(slot) };
            }
            if filter.admits(&seen) {
                flows.push(self.view(&seen));
            }
        }
        FlowPage { flows, next: None }
    }

    fn view(self, seen: &Seen) -> FlowView {
        let Seen { slot, session, activity } = seen;
        let idle = self.since(activity.last_seen_ns());
        let lifetime = class(seen).map(|class| self.timeouts.of(class));
        FlowView {
            slot: slot.index(),
            protocol: session.original.protocol.to_string(),
            kind: kind(session).to_owned(),
            inside: endpoint(session.original.source),
            outside: endpoint(session.reply.destination),
            remote: endpoint(session.original.destination),
            hairpin: session.flags.contains(Flags::HAIRPIN).then(|| endpoint(session.reply.source)),
            state: state(seen).to_owned(),
            egress: count(activity[Direction::Egress]),
            ingress: count(activity[Direction::Ingress]),
            age: self.since(u64::from(session.created) * 1_000_000_000).as_secs_f64(),
            idle: idle.as_secs_f64(),
            expires: lifetime.map(|lifetime| lifetime.saturating_sub(idle).as_secs_f64()),
        }
    }

    pub(super) fn since(self, then: u64) -> Duration {
        // A stamp may be later than our look at the clock.
        Duration::from_nanos(self.now.saturating_sub(then))
    }
}

const fn kind(session: &Session) -> &'static str {
    match Kind::of(session) {
        Kind::Mapped => "mapped",
        Kind::Plain => "plain",
    }
}

/// By which timeout a session ends. The engine follows a connection that the programs carry when its
/// timer looks, and no sooner; whoever lists it wants to know what it is by then.
fn class(seen: &Seen) -> Option<TimeoutClass> {
    let Seen { session, activity, .. } = seen;
    if session.original.protocol == Protocol::TCP {
        return Some(State::of(session, activity).class());
    }
    TimeoutClass::from_number(session.class)
}

/// The state in a word. TCP's is its timeout class; others have been answered or not.
fn state(seen: &Seen) -> &'static str {
    match class(seen) {
        Some(TimeoutClass::TcpOpening) => "opening",
        Some(TimeoutClass::TcpEstablished) => "established",
        Some(TimeoutClass::TcpClosing) => "closing",
        Some(TimeoutClass::TcpReset) => "reset",
        Some(TimeoutClass::Udp | TimeoutClass::Icmp | TimeoutClass::Other) | None => {
            if seen.activity[Direction::Ingress].packets > 0 { "answered" } else { "unanswered" }
        }
    }
}

pub(super) fn endpoint(endpoint: Endpoint) -> EndpointView {
    EndpointView { address: endpoint.addr, port: endpoint.port }
}

pub(super) fn count(side: SideActivity) -> Count {
    Count { packets: side.packets, bytes: side.bytes }
}

pub(super) fn add(sum: &mut Count, count: Count) {
    sum.packets += count.packets;
    sum.bytes += count.bytes;
}

/// A query, ready to be asked of each record.
pub(super) struct Filter<'a> {
    /// A word that names no protocol admits nothing.
    protocol: Option<Option<Protocol>>,
    inside: Option<IpAddr>,
    outside: Option<IpAddr>,
    remote: Option<IpAddr>,
    port: Option<u16>,
    state: Option<&'a str>,
}

impl<'a> Filter<'a> {
    pub(super) fn new(query: &'a FlowQuery) -> Self {
        Self {
            protocol: query.protocol.as_ref().map(|text| text.parse().ok()),
            inside: query.inside,
            outside: query.outside,
            remote: query.remote,
            port: query.port,
            state: query.state.as_deref(),
        }
    }

    pub(super) fn admits(&self, seen: &Seen) -> bool {
        let Session { original, reply, .. } = &seen.session;
        let is = |wanted: Option<IpAddr>, found: &[Endpoint]| {
            wanted.is_none_or(|wanted| found.iter().any(|endpoint| endpoint.addr == wanted))
        };
        let outside: &[Endpoint] = match Kind::of(&seen.session) {
            Kind::Mapped => &[reply.destination],
            Kind::Plain => &[],
        };
        let ports = [original.source, reply.destination, original.destination, reply.source];
        self.protocol.is_none_or(|wanted| wanted == Some(original.protocol))
            && is(self.inside, &[original.source])
            && is(self.outside, outside)
            && is(self.remote, &[original.destination, reply.source])
            && self.port.is_none_or(|port| ports.iter().any(|endpoint| endpoint.port == port))
            && self.state.is_none_or(|wanted| wanted.eq_ignore_ascii_case(state(seen)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use masq_flow::{Layout, Memory, NextHopId, PerDirection, Secret, TcpMark, Writer};
    use masq_wire::Tuple;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(address: [u8; 4], port: u16) -> Endpoint {
        Endpoint { addr: IpAddr::from(address), port }
    }

    fn session(
        protocol: Protocol,
        inside_port: u16,
        remote_port: u16,
        (class, state): (TimeoutClass, u8),
    ) -> Session {
        let (inside, outside) =
            (at([192, 168, 1, 3], inside_port), at([203, 0, 113, 1], inside_port + 1));
        let remote = at([203, 0, 113, 178], remote_port);
        Session {
            original: Tuple { protocol, source: inside, destination: remote },
            reply: Tuple { protocol, source: remote, destination: outside },
            flags: Flags::empty(),
            class: class.number(),
            state,
            next_hops: PerDirection::new(NextHopId(1), NextHopId(2)),
            interfaces: PerDirection::new(0, 0),
            epoch: 0,
            rule_path: 0,
            created: 100,
        }
    }

    /// A table of three sessions at 110 seconds: a web transfer and two queries of one socket.
    fn table() -> (Writer, Reader) {
        let memory = Memory::heap(Layout::for_sessions(64));
        let mut writer = Writer::format(memory.clone(), Secret::new(1, 2));
        let established = (TimeoutClass::TcpEstablished, State::Established.number());
        let web = session(Protocol::TCP, 40000, 8888, established);
        let slot = writer.insert(100 * SECOND, &web).unwrap();
        writer.stamp(100 * SECOND, slot, Direction::Egress, 60, None);
        writer.stamp(109 * SECOND, slot, Direction::Ingress, 1500, None);
        for port in [53, 5353] {
            let query = session(Protocol::UDP, 5000, port, (TimeoutClass::Udp, 0));
            let slot = writer.insert(100 * SECOND, &query).unwrap();
            writer.stamp(105 * SECOND, slot, Direction::Egress, 61, None);
        }
        let reader = Reader::new(memory).unwrap();
        (writer, reader)
    }

    pub(in super::super) fn look<T>(ask: impl FnOnce(Lens<'_>) -> T) -> T {
        let (_writer, reader) = table();
        ask(Lens { reader: &reader, timeouts: &Timeouts::rfc(), now: 110 * SECOND })
    }

    #[test]
    fn a_record_in_words() {
        let page = look(|lens| lens.flows(&FlowQuery::default()));
        let flow = page.flows.iter().find(|flow| flow.protocol == "tcp").unwrap();
        assert_eq!(flow.inside.to_string(), "192.168.1.3:40000");
        assert_eq!(flow.outside.to_string(), "203.0.113.1:40001");
        assert_eq!(flow.remote.to_string(), "203.0.113.178:8888");
        assert_eq!(flow.state, "established");
        assert_eq!((flow.egress.bytes, flow.ingress.bytes), (60, 1500));
        assert_eq!((flow.age, flow.idle, flow.expires), (10.0, 1.0, Some(7439.0)));
        assert_eq!(page.next, None);
    }

    #[test]
    fn a_connection_that_the_programs_saw_close_is_closing() {
        let (writer, reader) = table();
        let lens = Lens { reader: &reader, timeouts: &Timeouts::rfc(), now: 110 * SECOND };
        let web = FlowQuery { protocol: Some("tcp".into()), ..FlowQuery::default() };
        let slot = Slot::new(lens.flows(&web).flows[0].slot);
        for direction in Direction::ALL {
            let mark = TcpMark { flags: TcpMark::FIN | TcpMark::ACK, acknowledgement: 7 };
            writer.stamp(109 * SECOND, slot, direction, 40, Some(mark));
        }
        let closed = &lens.flows(&web).flows[0];
        assert_eq!((closed.state.as_str(), closed.expires), ("closing", Some(239.0)));
        assert_eq!(lens.flows(&FlowQuery { state: Some("closing".into()), ..web }).flows.len(), 1);
    }

    #[test]
    fn pages_list_everything_once() {
        let (_writer, reader) = table();
        let lens = Lens { reader: &reader, timeouts: &Timeouts::rfc(), now: 0 };
        let mut query = FlowQuery { limit: Some(1), ..FlowQuery::default() };
        let mut slots = Vec::new();
        loop {
            let page = lens.flows(&query);
            slots.extend(page.flows.iter().map(|flow| flow.slot));
            query.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
        slots.dedup();
        assert_eq!(slots.len(), 3);
    }

    #[test]
    fn filters_admit_what_they_name() {
        let count = |query: FlowQuery| look(|lens| lens.flows(&query).flows.len());
        let all = FlowQuery::default();
        assert_eq!(count(FlowQuery { protocol: Some("UDP".into()), ..all.clone() }), 2);
        assert_eq!(count(FlowQuery { protocol: Some("6".into()), ..all.clone() }), 1);
        assert_eq!(count(FlowQuery { protocol: Some("nothing".into()), ..all.clone() }), 0);
        assert_eq!(count(FlowQuery { port: Some(53), ..all.clone() }), 1);
        assert_eq!(count(FlowQuery { port: Some(5001), ..all.clone() }), 2);
        assert_eq!(count(FlowQuery { state: Some("unanswered".into()), ..all.clone() }), 2);
        let remote = Some(IpAddr::from([203, 0, 113, 178]));
        assert_eq!(count(FlowQuery { remote, ..all.clone() }), 3);
        assert_eq!(count(FlowQuery { inside: remote, ..all }), 0);
    }
}
