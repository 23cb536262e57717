//! What the registers of nf_tables hold while a rule is read: which byte of which field of a packet.

use core::ops::RangeInclusive;

use crate::beside::scope::{Field, Ranges, complement, union};

/// A byte of a packet, and the bits of it that were kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Byte {
    field: Field,
    /// Counted from its first.
    place: usize,
    mask: u8,
}

/// The registers: twenty words, of which the first four are the verdict's.
#[derive(Clone, Debug)]
pub(super) struct Registers([Option<Byte>; 80]);

/// A value found in registers: where it begins there, its known bytes, whether it is all there is.
struct Found {
    offset: usize,
    known: usize,
    mask: u32,
    alone: bool,
}

impl Registers {
    pub(super) fn new() -> Self {
        Self([None; 80])
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Whether a key that begins in a register may have any field in it.
    pub(super) fn hold_any(&self, register: u32) -> bool {
        self.0.iter().skip(place(register)).any(Option::is_some)
    }

    /// Something of no interest, of sixteen bytes at most, is loaded.
    pub(super) fn forget(&mut self, register: u32) {
        let start = place(register);
        self.0.iter_mut().skip(start).take(16).for_each(|byte| *byte = None);
    }

    /// Bytes are loaded of which some are a field's; `first` is the place of the field's first byte
    /// among them, which may be before or after.
    pub(super) fn load(&mut self, register: u32, length: usize, field: Field, first: isize) {
        let start = place(register);
        for (at, byte) in self.0.iter_mut().skip(start).take(length).enumerate() {
            let of_field = usize::try_from(at as isize - first).ok();
            if let Some(place) = of_field.filter(|place| *place < field.width()) {
                *byte = Some(Byte { field, place, mask: 0xff });
            }
        }
    }

    /// Some bits are taken away.
    pub(super) fn mask(&mut self, from: u32, to: u32, mask: &[u8]) {
        let bytes: Vec<_> = self.0.iter().copied().skip(place(from)).take(mask.len()).collect();
        let masked = bytes.into_iter().zip(mask);
        let masked = masked.map(|(byte, mask)| Some(Byte { mask: byte?.mask & mask, ..byte? }));
        for (byte, masked) in self.0.iter_mut().skip(place(to)).zip(masked) {
            *byte = masked;
        }
    }

    /// The values of a field among keys that lie in registers from one on, if it is there: what it
    /// can be if the key is one of these, or if it is none of them.
    pub(super) fn values<'a>(
        &self,
        register: u32,
        length: usize,
        field: Field,
        keys: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        inverted: bool,
    ) -> Option<Ranges> {
        let found = self.find(register, length, field)?;
        let read = |key: &[u8]| -> Option<u32> {
            let bytes = key.get(found.offset..found.offset + found.known)?;
            let value = bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
            Some(value << (8 * (field.width() - found.known)))
        };
        let free = !found.mask & field.most();
        let range = |(from, to): (&[u8], &[u8])| -> Option<RangeInclusive<u32>> {
            Some(read(from)? & found.mask..=read(to)? | free)
        };
        let ranges = union(keys.map(range).collect::<Option<_>>()?);
        match inverted {
            false => Some(ranges),
            // That one part of several is another says nothing of this one.
            true => found.alone.then(|| complement(ranges, field.most())),
        }
    }

    fn find(&self, register: u32, length: usize, field: Field) -> Option<Found> {
        let bytes = self.0.get(place(register)..)?;
        let bytes = bytes.get(..length)?;
        let offset = bytes
            .iter()
            .position(|byte| byte.is_some_and(|byte| byte.field == field && byte.place == 0))?;
        let (mut known, mut mask) = (0, 0_u32);
        for byte in bytes[offset..].iter().take(field.width()) {
            let Some(byte) = byte.filter(|byte| byte.field == field && byte.place == known) else {
                break;
            };
            known += 1;
            mask = mask << 8 | u32::from(byte.mask);
        }
        mask <<= 8 * (field.width() - known);
        // A mask with holes names no range.
        let is_prefix = (mask | !field.most()).leading_ones() + mask.trailing_zeros() >= 32;
        (is_prefix && known > 0).then_some(Found { offset, known, mask, alone: known == length })
    }
}

/// Where a register begins: four of sixteen bytes, or sixteen of four, are the same memory.
fn place(register: u32) -> usize {
    let word = match register {
        0..=4 => 4 * register,
        words => words - 8 + 4,
    };
    (4 * word as usize).min(80)
}
