//! Mappings as the API shows them: the sessions of each summed up.
//!
//! Sessions of one mapping lie anywhere in the table, so a page takes a walk through all of it. Only the
//! mappings of the page are kept meanwhile: those that come next after the page before, in the order of
//! protocol and inside endpoint.

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use core::time::Duration;
use std::collections::BTreeMap;

use masq_api::{Count, EndpointView, Error, ErrorKind, FlowQuery, MappingPage, MappingView};
use masq_core::{Kind, TimeoutClass};
use masq_flow::{Direction, Seen, Session};
use masq_wire::Protocol;

use super::flows::{Filter, Lens, add, count, endpoint};

/// Mappings of a page when nobody says how many.
const PAGE: u32 = 1000;

/// The most mappings of a page: some megabytes of JSON.
const LARGEST_PAGE: u32 = 50_000;

impl Lens<'_> {
    /// The mappings of the sessions that a query asks for, in order, from its place on.
    pub(crate) fn mappings(self, query: &FlowQuery) -> Result<MappingPage, Error> {
        let filter = Filter::new(query);
        let limit = query.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let after = query.beyond.as_deref().map(Key::from_str).transpose()?;
        let mut page = BTreeMap::<Key, Sum>::new();
        let mut more = false;
        let mapped = |seen: &Seen| Kind::of(&seen.session) == Kind::Mapped;
        for seen in self.reader.sessions().filter(|seen| mapped(seen) && filter.admits(seen)) {
            let key = Key::of(&seen.session);
            if after.is_some_and(|after| key <= after) {
                continue;
            }
            let full = page.len() >= limit;
            if full && page.last_key_value().is_some_and(|(last, _)| key > *last) {
                more = true;
                continue;
            }
            page.entry(key).or_insert(Sum::NONE).add(self, &seen);
            if page.len() > limit {
                page.pop_last();
                more = true;
            }
        }
        let last = page.last_key_value().filter(|_| more);
        let next = last.map(|(key, _)| key.to_string());
        Ok(MappingPage {
            mappings: page.into_iter().map(|(key, sum)| sum.view(key)).collect(),
            next,
        })
    }
}

/// What tells a mapping from others, and where it comes among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    protocol: u8,
    inside: EndpointView,
    outside: EndpointView,
}

impl Key {
    fn of(session: &Session) -> Self {
        Self {
            protocol: session.original.protocol.0,
            inside: endpoint(session.original.source),
            outside: endpoint(session.reply.destination),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.protocol, self.inside, self.outside)
    }
}

impl FromStr for Key {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let endpoint = |text: &str| {
            let parsed: SocketAddr = text.parse().ok()?;
            Some(EndpointView { address: parsed.ip(), port: parsed.port() })
        };
        let mut parts = text.split('/');
        let mut key = || {
            let protocol = parts.next()?.parse().ok()?;
            let (inside, outside) = (endpoint(parts.next()?)?, endpoint(parts.next()?)?);
            parts.next().is_none().then_some(Self { protocol, inside, outside })
        };
        key().ok_or_else(|| Error {
            kind: ErrorKind::Request,
            message: format!("`beyond={text}` is not the end of a page"),
            help: Some("give the `next` of the page before".to_owned()),
        })
    }
}

/// What the sessions of a mapping come to.
#[derive(Clone, Copy, Debug)]
struct Sum {
    sessions: u32,
    egress: Count,
    ingress: Count,
    idle: Duration,
    /// A mapping lives as long as its last session.
    expires: Duration,
}

impl Sum {
    const NONE: Self = Self {
        sessions: 0,
        egress: Count { packets: 0, bytes: 0 },
        ingress: Count { packets: 0, bytes: 0 },
        idle: Duration::MAX,
        expires: Duration::ZERO,
    };

    fn add(&mut self, lens: Lens<'_>, seen: &Seen) {
        let idle = lens.since(seen.activity.last_seen_ns());
        let lifetime =
            TimeoutClass::from_number(seen.session.class).map(|class| lens.timeouts.of(class));
        let expires = lifetime.map_or(Duration::ZERO, |lifetime| lifetime.saturating_sub(idle));
        self.sessions += 1;
        add(&mut self.egress, count(seen.activity[Direction::Egress]));
        add(&mut self.ingress, count(seen.activity[Direction::Ingress]));
        self.idle = self.idle.min(idle);
        self.expires = self.expires.max(expires);
    }

    fn view(self, key: Key) -> MappingView {
        MappingView {
            protocol: Protocol(key.protocol).to_string(),
            inside: key.inside,
            outside: key.outside,
            sessions: self.sessions,
            egress: self.egress,
            ingress: self.ingress,
            idle: self.idle.as_secs_f64(),
            expires: Some(self.expires.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::flows::tests::look;
    use super::*;

    #[test]
    fn sessions_of_one_socket_are_one_mapping() {
        let page = look(|lens| lens.mappings(&FlowQuery::default())).unwrap();
        assert_eq!((page.mappings.len(), page.next), (2, None));
        let udp = page.mappings.iter().find(|mapping| mapping.protocol == "udp").unwrap();
        assert_eq!((udp.sessions, udp.egress.packets, udp.ingress.packets), (2, 2, 0));
        assert_eq!((udp.idle, udp.expires), (5.0, Some(295.0)));
    }

    #[test]
    fn pages_list_every_mapping_once_and_in_order() {
        let all = look(|lens| lens.mappings(&FlowQuery::default())).unwrap().mappings;
        let first = FlowQuery { limit: Some(1), ..FlowQuery::default() };
        let page = look(|lens| lens.mappings(&first)).unwrap();
        assert_eq!(page.mappings, all[..1]);
        let second = FlowQuery { beyond: page.next, ..first };
        let page = look(|lens| lens.mappings(&second)).unwrap();
        assert_eq!((&page.mappings[..], page.next), (&all[1..], None));
    }

    #[test]
    fn the_end_of_a_page_is_read_as_it_was_written() {
        for text in ["17/192.168.1.3:5000/203.0.113.1:5000", "6/[2001:db8::1]:1/[2001:db8::2]:2"] {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
        for text in ["", "17/192.168.1.3:5000", "17/192.168.1.3/203.0.113.1", "a/b/c", "1/2/3/4"] {
            let query = FlowQuery { beyond: Some(text.into()), ..FlowQuery::default() };
            assert!(look(|lens| lens.mappings(&query)).is_err(), "{text}");
        }
    }
}
