//! Readers beside a writer that does not wait for them, and the fast path's view.

#![expect(unsafe_code, reason = "the mapping under test is made here")]

use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, Ordering};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use masq_wire::checksum::Delta;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use zerocopy::FromBytes;

use super::*;
use crate::index::find;
use crate::key::{AnyKey, Key4, pack_ports, pack_v4};
use crate::record::SEQUENCE;
use crate::{Header, HeaderError, Reader, Region, Translation};

#[test]
fn a_listing_can_be_stopped_and_gone_on_with() {
    let mut writer = writer(64);
    for i in 0..30 {
        writer.insert(0, &session(i)).unwrap();
        writer.insert(0, &session6(i % 10)).ok();
    }
    let reader = Reader::new(writer.memory().clone()).unwrap();
    let whole: Vec<_> = reader.sessions().collect();
    let mut pieces: Vec<_> = reader.sessions().take(11).collect();
    let next = Slot::new(pieces[10].slot.index() + 1);
    pieces.extend(reader.sessions_from(next));
    assert_eq!(pieces, whole);
    assert_eq!(whole.len(), writer.len());
}

#[test]
fn a_record_that_stays_half_changed_is_skipped_and_counted() {
    let mut writer = writer(16);
    let slot = writer.insert(0, &session(1)).unwrap();
    writer.insert(0, &session(2)).unwrap();
    writer.record(slot).line[SEQUENCE].store(5);
    let reader = Reader::new(writer.memory().clone()).unwrap();
    let mut sessions = reader.sessions();
    assert_eq!(sessions.by_ref().map(|seen| seen.session).collect::<Vec<_>>(), [session(2)]);
    assert_eq!(sessions.torn(), 1);
    assert_eq!(reader.lookup(&session(1).original), None);
}

#[test]
fn there_is_nothing_to_read_before_the_table_is_formatted() {
    let reader = Reader::new(Memory::heap(Layout::for_sessions(4)));
    assert_eq!(reader.err(), Some(HeaderError::Foreign { magic: 0 }));
}

/// Sessions come, change and go as fast as they can; whatever a reader sees belongs together.
#[test]
fn a_reader_never_sees_a_mixture() {
    const ROUNDS: u32 = 20_000;
    let mut writer = Writer::format(Memory::heap(Layout { slots: 8, buckets: 4 }), SECRET);
    let reader = Reader::new(writer.memory().clone()).unwrap();
    let done = AtomicBool::new(false);
    let marked = |number: u32| {
        let plain = if number.is_multiple_of(3) { session6(number) } else { session(number) };
        Session { epoch: number, rule_path: number, created: number, ..plain }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for found in reader.sessions() {
                    assert_eq!(found.session, marked(found.session.epoch));
                }
            }
        });
        for number in 0..ROUNDS {
            let now = u64::from(number) * 2 * SECOND;
            let slot = writer.insert(now, &marked(number)).unwrap();
            writer.stamp(now, slot, Direction::Egress, 1, None);
            if number.is_multiple_of(2) {
                writer.rebind(slot, &marked(number + 6 * ROUNDS)).unwrap();
            }
            if number.is_multiple_of(64) {
                std::thread::yield_now();
            }
            writer.remove(now, slot).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(reader.sessions().count(), 0);
}

/// As the control thread has it: the kernel would kill whoever writes.
#[test]
fn a_read_only_mapping_is_enough_to_read() {
    let layout = Layout::for_sessions(32);
    let file = [size_of::<Header>(), 64 * layout.buckets as usize, 128 * layout.slots as usize]
        .map(|length| (shared_file(length), length));
    let memory = |flags| {
        let [header, buckets, records] = &file;
        Memory::new(map(header, flags), map(buckets, flags), map(records, flags)).unwrap()
    };
    let mut writer = Writer::format(memory(ProtFlags::READ | ProtFlags::WRITE), SECRET);
    for i in 0..5 {
        writer.insert(0, &session(i)).unwrap();
        writer.insert(0, &session6(i)).unwrap();
    }

    let reader = Reader::new(memory(ProtFlags::READ)).unwrap();
    let read: Vec<_> = reader.sessions().map(|seen| (seen.slot, seen.session)).collect();
    assert_eq!(read, writer.sessions().collect::<Vec<_>>());
    assert!(reader.lookup(&session(3).reply).is_some());
    assert_eq!(reader.stats().sessions, 10);
}

#[test]
fn the_fast_path_finds_what_the_packet_says_and_how_to_change_it() {
    let mut writer = writer(16);
    let session = session(77);
    let slot = writer.insert(0, &session).unwrap();
    let memory = writer.memory();
    let key = Key4 {
        source: u32::from_ne_bytes([10, 0, 0, 0]),
        destination: u32::from_ne_bytes([203, 0, 113, 178]),
        ports: u32::from_ne_bytes([0x04, 0x4d, 0x01, 0xbb]),
        protocol: 6,
    };

    let hit = find(memory, memory.header(), &key).unwrap();

    assert_eq!((hit.slot, hit.direction), (slot, Direction::Egress));
    let translation = hit.record.translation(hit.direction);
    let same = Delta::of_u16(1101, 1101).combine(Delta::of_u16(443, 443));
    let expected = Translation {
        source: u32::from_ne_bytes([192, 0, 2, 1]),
        destination: key.destination,
        ports: key.ports,
        address_delta: session.address_delta(),
        port_delta: same,
        next_hop: NextHopId(1),
    };
    assert_eq!(translation, expected);
    assert!(hit.is_current());
    writer.record(slot).line[SEQUENCE].store(9);
    assert!(!hit.is_current());
}

proptest! {
    /// What the fast path writes into a packet is what the session says, both ways; and the deltas
    /// of the two ways cancel.
    #[test]
    fn translations_are_those_of_the_session(session in any_session()) {
        let mut writer = writer(4);
        let slot = writer.insert(0, &session).unwrap();
        for direction in Direction::ALL {
            let (arriving, leaving) = (session.arriving(direction), session.leaving(direction));
            let key = AnyKey::new(arriving).unwrap();
            let memory = writer.memory();
            let hit = find(memory, memory.header(), &key).unwrap();
            prop_assert_eq!((hit.slot, hit.direction), (slot, direction));
            prop_assert_eq!(hit.record.epoch(), session.epoch);
            prop_assert_eq!(hit.record.flags(), session.flags);

            let translation = hit.record.translation(direction);
            prop_assert_eq!(translation.next_hop, session.next_hops[direction]);
            prop_assert_eq!(
                translation.ports,
                pack_ports(leaving.source.port, leaving.destination.port)
            );
            if let (IpAddr::V4(source), IpAddr::V4(destination), false) =
                (leaving.source.addr, leaving.destination.addr, writer.record(slot).is_wide())
            {
                prop_assert_eq!(translation.source, pack_v4(source));
                prop_assert_eq!(translation.destination, pack_v4(destination));
            }
            let back = writer.record(slot).translation(direction.reverse());
            for (there, back) in [
                (translation.address_delta, back.address_delta),
                (translation.port_delta, back.port_delta),
            ] {
                prop_assert!(there.combine(back).is_none());
            }
        }
    }
}

/// A mapping that is unmapped when nobody uses it any more.
struct Mapping(NonNull<core::ffi::c_void>, usize);

// SAFETY: the mapping is an address and a length; any thread may unmap it.
unsafe impl Send for Mapping {}

// SAFETY: nothing can be done with a shared reference to it.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: address and length are those of a mapping, and the last region that had it is
        // being dropped.
        unsafe { munmap(self.0.as_ptr(), self.1) }.unwrap();
    }
}

fn shared_file(length: usize) -> OwnedFd {
    let file = memfd_create("table", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, length as u64).unwrap();
    file
}

fn map<T: FromBytes + Sync>((file, length): &(OwnedFd, usize), flags: ProtFlags) -> Region<T> {
    // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
    let address = unsafe { mmap(null_mut(), *length, flags, MapFlags::SHARED, file, 0) }.unwrap();
    let address = NonNull::new(address).unwrap();
    let keeper = Arc::new(Mapping(address, *length));
    // SAFETY: the mapping has this length, begins at a page, and lives as long as its keeper; the
    // values consist of words, and a reader writes to none.
    unsafe { Region::from_raw(address.cast(), *length / size_of::<T>(), keeper) }
}
