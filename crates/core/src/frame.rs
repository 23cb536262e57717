//! A packet and the memory it lies in.

use core::ops::Range;

/// An IPv4 packet from its header on, in a buffer that may be longer.
///
/// A packet that [`process`](crate::Engine::process) forwards has the length that it came with; one
/// that [`poll_transmit`](crate::Engine::poll_transmit) makes may have any up to the buffer's.
#[derive(Debug)]
pub struct Frame<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

impl<'a> Frame<'a> {
    /// The packet in the first `length` bytes of a buffer, or in all of it if that is shorter.
    #[must_use]
    pub fn new(buffer: &'a mut [u8], length: usize) -> Self {
        let length = length.min(buffer.len());
        Self { buffer, length }
    }

    /// A buffer without a packet.
    #[must_use]
    pub const fn empty(buffer: &'a mut [u8]) -> Self {
        Self { buffer, length: 0 }
    }

    /// The packet.
    #[must_use]
    pub fn packet(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// The packet, to be changed in place.
    #[must_use]
    pub fn packet_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.length]
    }

    /// The length of the packet.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there is no packet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The longest packet that fits.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.buffer.len()
    }

    /// Puts another packet in; false, and no change, if it does not fit.
    #[must_use]
    pub fn replace(&mut self, packet: &[u8]) -> bool {
        let Some(room) = self.buffer.get_mut(..packet.len()) else { return false };
        room.copy_from_slice(packet);
        self.length = packet.len();
        true
    }

    /// The whole buffer, for somebody who makes a packet in it and then says how long it is.
    pub fn buffer_mut(&mut self) -> &mut [u8] {
        self.buffer
    }

    /// Says how long the packet in the buffer is.
    pub fn set_len(&mut self, length: usize) {
        self.length = length.min(self.buffer.len());
    }

    /// The bytes of a range of the packet; none if it reaches beyond.
    #[must_use]
    pub fn get(&self, range: Range<usize>) -> Option<&[u8]> {
        self.packet().get(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_never_exceeds_its_buffer() {
        let mut buffer = [0; 4];
        let mut frame = Frame::new(&mut buffer, 9);
        assert_eq!(frame.len(), 4);
        assert!(!frame.replace(&[1; 5]));
        assert!(frame.replace(&[1, 2]));
        assert_eq!(frame.packet(), [1, 2]);
        frame.set_len(7);
        assert_eq!(frame.len(), 4);
    }
}
