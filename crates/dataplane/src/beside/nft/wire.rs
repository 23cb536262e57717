//! What nf_tables says, as netlink carries it: questions, answers, attributes.

use core::ops::ControlFlow;
use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::{Socket, protocols};
use zerocopy::IntoBytes;

use crate::netlink::dialogue::{self, Header};

/// Kinds of objects, as questions about them are numbered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Object {
    Chain = 4,
    Rule = 7,
    Element = 13,
}

/// Gives family and attributes of each object of a kind to `take`: of all tables of a family, or of
/// all families (0).
pub(super) fn list(
    object: Object,
    family: u8,
    wanted: &[u8],
    mut take: impl FnMut(u8, &[u8]),
) -> io::Result<()> {
    // `struct nfgenmsg` begins with the family, and is four bytes long.
    let question = [&[family, 0, 0, 0], wanted].concat();
    dump(protocols::NETLINK_NETFILTER, SUBSYSTEM << 8 | object as u16, &question, |_, message| {
        if let Some((&[family, ..], attributes)) = message.split_first_chunk::<4>() {
            take(family, attributes);
        }
    })
}

/// Asks for all objects of a kind, of any netlink family.
pub(in super::super) fn dump(
    protocol: isize,
    kind: u16,
    body: &[u8],
    mut take: impl FnMut(u16, &[u8]),
) -> io::Result<()> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    let header = Header {
        length: (size_of::<Header>() + body.len()) as u32,
        kind,
        flags: NLM_F_REQUEST | NLM_F_DUMP,
        sequence: 1,
        port: 0,
    };
    let mut request = header.as_bytes().to_vec();
    request.extend_from_slice(body);
    dialogue::ask(&socket, &request, |kind, message| {
        take(kind, message);
        ControlFlow::Continue(())
    })
}

/// Kinds and values of attributes, one after the other.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    core::iter::from_fn(move || {
        let [a, b, c, d] = *bytes.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]) & KIND, value))
    })
}

/// The value of the first attribute of a kind.
pub(super) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// An attribute that is a text.
pub(super) fn attribute(kind: u16, text: &str) -> Vec<u8> {
    let mut bytes = ((5 + text.len()) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(text.as_bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

pub(super) fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

const SUBSYSTEM: u16 = 10;
/// Without the bits that say how the value is encoded.
const KIND: u16 = 0x3fff;
