//! One of the four rings that an AF_XDP socket shares with the kernel.
//!
//! # Theory of operation
//!
//! A ring has a power-of-two number of entries and two free-running counters: entries from
//! `consumer` up to `producer` are filled, the others are free. One side writes entries and then
//! the producer counter (release); the other reads the counter (acquire), then the entries, and
//! then writes the consumer counter (release), which gives the entries back. Each counter has one
//! writer. Counters wrap around; all arithmetic here does too.
//!
//! [`Producer`] and [`Consumer`] are our side of a ring whose other side is the kernel. Entries are
//! plain data of which the kernel may write nonsense without breaking memory safety: whoever takes
//! an address out of an entry checks it.

use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};

use rustix::net::xdp::{XdpDesc, XdpRingOffset};

use super::super::Mapping;

/// What a ring holds.
///
/// # Safety
///
/// Every bit pattern is a value.
pub(super) unsafe trait Entry: Copy {}

// SAFETY: an integer.
unsafe impl Entry for u64 {}
// SAFETY: three integers and transparent bits.
unsafe impl Entry for XdpDesc {}

/// The ring as mapped.
#[derive(Debug)]
struct Ring<T> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: Option<NonNull<AtomicU32>>,
    entries: NonNull<T>,
    size: u32,
    /// Keeps the memory that the pointers lead to.
    _memory: Mapping,
    _entries: PhantomData<T>,
}

// SAFETY: the pointers lead into the mapping, which the value owns and which is not bound to a
// thread.
unsafe impl<T: Entry> Send for Ring<T> {}

impl<T: Entry> Ring<T> {
    fn new(memory: Mapping, offsets: &XdpRingOffset, size: u32) -> Self {
        assert!(size.is_power_of_two(), "the kernel only makes rings of such sizes");
        let fits = |offset: u64, bytes: usize, align: usize| {
            offset.is_multiple_of(align as u64) && offset + bytes as u64 <= memory.len() as u64
        };
        let (word, align) = (size_of::<AtomicU32>(), align_of::<AtomicU32>());
        assert!(fits(offsets.producer, word, align), "the kernel's offsets lie in the ring");
        assert!(fits(offsets.consumer, word, align), "the kernel's offsets lie in the ring");
        assert!(offsets.flags.is_none_or(|flags| fits(flags, word, align)), "as above");
        assert!(fits(offsets.desc, size as usize * size_of::<T>(), align_of::<T>()), "as above");
        // SAFETY: the offset lies in the mapping, by the assertions.
        let at = |offset: u64| unsafe { memory.base().add(offset as usize) };
        Self {
            producer: at(offsets.producer).cast(),
            consumer: at(offsets.consumer).cast(),
            flags: offsets.flags.map(|offset| at(offset).cast()),
            entries: at(offsets.desc).cast(),
            size,
            _memory: memory,
            _entries: PhantomData,
        }
    }

    fn producer(&self) -> &AtomicU32 {
        // SAFETY: points into our mapping, aligned; both sides access it as an atomic word.
        unsafe { self.producer.as_ref() }
    }

    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: points into our mapping, aligned; both sides access it as an atomic word.
        unsafe { self.consumer.as_ref() }
    }

    fn entry(&self, index: u32) -> NonNull<T> {
        // SAFETY: the mask keeps the index below the number of entries.
        unsafe { self.entries.add((index & (self.size - 1)) as usize) }
    }

    fn needs_wakeup(&self) -> bool {
        const NEED_WAKEUP: u32 = 1;
        // Kernels without the flag want to be woken always.
        let Some(flags) = self.flags else { return true };
        // SAFETY: points into our mapping, aligned; both sides access it as an atomic word.
        let flags = unsafe { flags.as_ref() };
        flags.load(Ordering::Relaxed) & NEED_WAKEUP != 0
    }
}

/// Our side of a ring that we fill.
#[derive(Debug)]
pub(super) struct Producer<T> {
    ring: Ring<T>,
    /// Entries written so far; the shared counter follows with [`Producer::submit`].
    written: u32,
    /// The kernel's counter as last read.
    consumed: u32,
}

impl<T: Entry> Producer<T> {
    pub(super) fn new(memory: Mapping, offsets: &XdpRingOffset, size: u32) -> Self {
        let ring = Ring::new(memory, offsets, size);
        let written = ring.producer().load(Ordering::Relaxed);
        let consumed = ring.consumer().load(Ordering::Acquire);
        Self { ring, written, consumed }
    }

    /// Writes an entry, which the kernel sees after [`Producer::submit`]; false when the ring is
    /// full.
    pub(super) fn push(&mut self, value: T) -> bool {
        if self.written.wrapping_sub(self.consumed) >= self.ring.size {
            self.consumed = self.ring.consumer().load(Ordering::Acquire);
            if self.written.wrapping_sub(self.consumed) >= self.ring.size {
                return false;
            }
        }
        let entry = self.ring.entry(self.written);
        // SAFETY: the entry is free, so the kernel does not touch it until the counter says that
        // it is filled.
        unsafe { entry.write(value) };
        self.written = self.written.wrapping_add(1);
        true
    }

    /// Shows the kernel what was written.
    pub(super) fn submit(&self) {
        self.ring.producer().store(self.written, Ordering::Release);
    }

    /// How many entries the kernel has not taken yet.
    pub(super) fn outstanding(&mut self) -> u32 {
        self.consumed = self.ring.consumer().load(Ordering::Acquire);
        self.written.wrapping_sub(self.consumed)
    }

    /// Whether the kernel waits for a system call before it looks.
    pub(super) fn needs_wakeup(&self) -> bool {
        self.ring.needs_wakeup()
    }
}

/// Our side of a ring that the kernel fills.
#[derive(Debug)]
pub(super) struct Consumer<T> {
    ring: Ring<T>,
    /// Entries taken so far; the shared counter follows with [`Consumer::release`].
    taken: u32,
    /// The kernel's counter as last read.
    produced: u32,
}

impl<T: Entry> Consumer<T> {
    pub(super) fn new(memory: Mapping, offsets: &XdpRingOffset, size: u32) -> Self {
        let ring = Ring::new(memory, offsets, size);
        let taken = ring.consumer().load(Ordering::Relaxed);
        let produced = ring.producer().load(Ordering::Acquire);
        Self { ring, taken, produced }
    }

    /// Takes the next entry; its place goes back to the kernel with [`Consumer::release`].
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.taken == self.produced {
            self.produced = self.ring.producer().load(Ordering::Acquire);
            if self.taken == self.produced {
                return None;
            }
        }
        let value = self.filled(0);
        self.taken = self.taken.wrapping_add(1);
        Some(value)
    }

    /// The next entries, at most so many, without taking them.
    pub(super) fn peek(&mut self, most: u32) -> impl Iterator<Item = T> + '_ {
        self.produced = self.ring.producer().load(Ordering::Acquire);
        let there = self.produced.wrapping_sub(self.taken).min(most);
        (0..there).map(|i| self.filled(i))
    }

    /// The entry so many places on from the next, which the kernel has filled.
    fn filled(&self, on: u32) -> T {
        debug_assert!(on < self.produced.wrapping_sub(self.taken));
        let entry = self.ring.entry(self.taken.wrapping_add(on));
        // SAFETY: the entry is filled and ours until it is released; any bits are a value.
        unsafe { entry.read() }
    }

    /// Gives the places of the taken entries back.
    pub(super) fn release(&self) {
        self.ring.consumer().store(self.taken, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u32 = 8;
    const OFFSETS: XdpRingOffset =
        XdpRingOffset { producer: 0, consumer: 64, desc: 192, flags: Some(128) };

    /// Two views of the same ring: ours, and one that plays the kernel. The counters start where
    /// the arithmetic has to wrap around soon.
    fn ring_pair() -> (Producer<u64>, Consumer<u64>) {
        let ours = Mapping::anonymous(4096).unwrap();
        let start = u32::MAX - 5;
        for offset in [OFFSETS.producer, OFFSETS.consumer] {
            // SAFETY: the offset lies in the mapping.
            let counter = unsafe { ours.base().add(offset as usize) };
            // SAFETY: nobody else uses the mapping yet.
            unsafe { counter.cast::<u32>().write(start) };
        }
        let mut producer = Producer::new(ours, &OFFSETS, SIZE);
        let mut consumer = Consumer::<u64>::new(Mapping::anonymous(4096).unwrap(), &OFFSETS, SIZE);
        consumer.ring.producer = producer.ring.producer;
        consumer.ring.consumer = producer.ring.consumer;
        consumer.ring.entries = producer.ring.entries;
        (consumer.taken, consumer.produced) = (start, start);
        producer.consumed = start;
        (producer, consumer)
    }

    #[test]
    fn entries_come_out_in_order_across_the_wrap_of_the_counters() {
        let (mut producer, mut consumer) = ring_pair();
        for round in 0..10 {
            for n in 0..5 {
                assert!(producer.push(round * 10 + n));
            }
            assert_eq!(consumer.pop(), None, "nothing is seen before submit");
            producer.submit();
            for n in 0..5 {
                assert_eq!(consumer.pop(), Some(round * 10 + n));
            }
            assert_eq!(consumer.pop(), None);
            consumer.release();
        }
    }

    #[test]
    fn a_full_ring_refuses_until_places_come_back() {
        let (mut producer, mut consumer) = ring_pair();
        assert_eq!((0..20).filter(|n| producer.push(*n)).count(), SIZE as usize);
        producer.submit();
        assert_eq!(producer.outstanding(), SIZE);
        assert_eq!(consumer.pop(), Some(0));
        assert!(!producer.push(99), "taken, but not released");
        consumer.release();
        assert!(producer.push(99));
        assert!(!producer.push(100));
    }

    #[test]
    fn the_wakeup_flag_is_the_kernels() {
        let (producer, _consumer) = ring_pair();
        assert!(!producer.needs_wakeup());
        let flags = producer.ring.flags.unwrap();
        // SAFETY: points into the mapping of the ring.
        unsafe { flags.as_ref() }.store(1, Ordering::Relaxed);
        assert!(producer.needs_wakeup());
    }

    #[test]
    #[should_panic(expected = "in the ring")]
    fn offsets_outside_the_mapping_are_not_believed() {
        let offsets = XdpRingOffset { producer: 1 << 20, ..OFFSETS };
        Producer::<u64>::new(Mapping::anonymous(4096).unwrap(), &offsets, SIZE);
    }
}
