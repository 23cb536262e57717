//! An AF_XDP socket in copy mode, with its packet buffers.
//!
//! # Contract
//!
//! The socket owns a fixed number of buffers. A buffer is in one place at a time: free, with the
//! kernel (waiting to be filled, or being sent), or with us as a [`Frame`], which is proof of
//! ownership and cannot be copied. [`Xsk::receive`] and [`Xsk::allocate`] hand out frames;
//! [`Xsk::send`] and [`Xsk::release`] take them back. Bytes are reached through the socket, so no
//! reference to a buffer outlives its stay with us.
//!
//! ```text
//!            fill ring                     rx ring
//!   free ──────────────► kernel (receive) ─────────► Frame ──release──► free
//!     ▲                                                │
//!     │ completion ring                                │ tx ring
//!     └──────────────── kernel (send) ◄────────────────┘
//! ```
//!
//! A sent buffer comes back only when the last device has freed the packet. [`Xsk::reclaim`]
//! says which tag came back, so that the caller can limit what is outstanding per next hop.
//!
//! # Why not the crate `xdp`
//!
//! It keeps completed buffers to itself (no tag per frame), does not read the rings' wake-up flags,
//! its counters overflow in debug builds after 2^32 packets, and every receive and send is an
//! `unsafe fn` for the caller. The socket options, which need no care, come from `rustix`.

mod ring;

use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use masq_flow::anticipate;
use rustix::net::xdp::{
    SocketAddrXdp, SocketAddrXdpFlags, XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING,
    XDP_UMEM_PGOFF_COMPLETION_RING, XDP_UMEM_PGOFF_FILL_RING, XdpDesc, XdpDescOptions,
    XdpRingOffset, XdpStatistics, XdpUmemReg, XdpUmemRegFlags,
};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use self::ring::{Consumer, Producer};
use super::Mapping;

/// How large each buffer is; the kernel takes 256 bytes of it.
pub(crate) const BUFFER_LEN: usize = 4096;

/// A buffer that is ours, and the part of it that holds the packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    index: u32,
    start: usize,
    len: usize,
}

impl Frame {
    /// Cuts bytes off the front.
    pub(crate) fn advance(&mut self, bytes: usize) {
        let bytes = bytes.min(self.len);
        self.start += bytes;
        self.len -= bytes;
    }

    /// Sets the length, within the buffer.
    pub(crate) fn set_len(&mut self, len: usize) {
        self.len = len.min(BUFFER_LEN - self.start);
    }
}

/// Where a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Free,
    Filling,
    Ours,
    Sending,
}

/// The socket.
#[derive(Debug)]
pub(crate) struct Xsk {
    socket: OwnedFd,
    fill: Producer<u64>,
    completion: Consumer<u64>,
    receive: Consumer<XdpDesc>,
    transmit: Producer<XdpDesc>,
    places: Vec<Place>,
    /// What [`Xsk::send`] was told about each buffer.
    tags: Vec<u16>,
    free: Vec<u32>,
    filling: u32,
    sending: u32,
    /// Descriptors of the kernel that made no sense.
    nonsense: u64,
    /// Outlives the socket: fields are dropped in order, and the kernel keeps the pages anyway.
    memory: Mapping,
}

impl Xsk {
    /// Opens a socket on the first queue of an interface, with so many buffers (a power of two).
    pub(crate) fn open(ifindex: u32, buffers: u32) -> io::Result<Self> {
        let memory = Mapping::anonymous(buffers as usize * BUFFER_LEN)?;
        let socket = rustix::net::socket_with(
            AddressFamily::XDP,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let registration = XdpUmemReg {
            addr: memory.base().as_ptr().expose_provenance() as u64,
            len: memory.len() as u64,
            chunk_size: BUFFER_LEN as u32,
            headroom: 0,
            flags: XdpUmemRegFlags::empty(),
            tx_metadata_len: 0,
        };
        sockopt::set_xdp_umem_reg(&socket, registration)?;
        let size = buffers / 2;
        sockopt::set_xdp_umem_fill_ring_size(&socket, size)?;
        sockopt::set_xdp_umem_completion_ring_size(&socket, buffers)?;
        sockopt::set_xdp_rx_ring_size(&socket, size)?;
        sockopt::set_xdp_tx_ring_size(&socket, buffers)?;
        // A sent buffer is charged to the socket with the size that the kernel's copy of it has.
        let _ = sockopt::set_socket_send_buffer_size_force(&socket, memory.len() * 2);

        let offsets = sockopt::xdp_mmap_offsets(&socket)?;
        let map = |start: u64, ring: &XdpRingOffset, entry: usize, entries: u32| {
            Mapping::shared(&socket, start, ring.desc as usize + entry * entries as usize)
        };
        let (address, descriptor) = (size_of::<u64>(), size_of::<XdpDesc>());
        let fill = map(XDP_UMEM_PGOFF_FILL_RING, &offsets.fr, address, size)?;
        let completion = map(XDP_UMEM_PGOFF_COMPLETION_RING, &offsets.cr, address, buffers)?;
        let receive = map(XDP_PGOFF_RX_RING, &offsets.rx, descriptor, size)?;
        let transmit = map(XDP_PGOFF_TX_RING, &offsets.tx, descriptor, buffers)?;

        let flags = SocketAddrXdpFlags::XDP_COPY | SocketAddrXdpFlags::XDP_USE_NEED_WAKEUP;
        rustix::net::bind(&socket, &SocketAddrXdp::new(flags, ifindex, 0))?;

        let mut xsk = Self {
            socket,
            fill: Producer::new(fill, &offsets.fr, size),
            completion: Consumer::new(completion, &offsets.cr, buffers),
            receive: Consumer::new(receive, &offsets.rx, size),
            transmit: Producer::new(transmit, &offsets.tx, buffers),
            places: vec![Place::Free; buffers as usize],
            tags: vec![0; buffers as usize],
            free: (0..buffers).rev().collect(),
            filling: 0,
            sending: 0,
            nonsense: 0,
            memory,
        };
        xsk.refill();
        Ok(xsk)
    }

    /// Asks memory for the next packets that arrived, at most so many: their first two cache lines.
    pub(crate) fn anticipate(&mut self, most: u32) {
        let Self { receive, memory, .. } = self;
        for descriptor in receive.peek(most) {
            let first = memory.base().as_ptr().wrapping_add(descriptor.addr as usize);
            anticipate(first);
            anticipate(first.wrapping_add(64));
        }
    }

    /// Takes the next packet that arrived.
    pub(crate) fn receive(&mut self) -> Option<Frame> {
        loop {
            let descriptor = self.receive.pop()?;
            let frame = self.take(descriptor.addr, Place::Filling, descriptor.len as usize);
            self.filling -= u32::from(frame.is_some());
            if let Some(frame) = frame {
                return Some(frame);
            }
        }
    }

    /// Takes an empty buffer to write a packet into, which begins at `headroom`.
    pub(crate) fn allocate(&mut self, headroom: usize) -> Option<Frame> {
        let index = self.free.pop()?;
        self.places[index as usize] = Place::Ours;
        let start = headroom.min(BUFFER_LEN);
        Some(Frame { index, start, len: BUFFER_LEN - start })
    }

    /// The packet in a frame.
    pub(crate) fn bytes(&mut self, frame: &Frame) -> &mut [u8] {
        let start = frame.index as usize * BUFFER_LEN + frame.start;
        assert!(start + frame.len <= self.memory.len(), "frames lie within the memory");
        // SAFETY: in bounds, by the assertion.
        let bytes = unsafe { self.memory.base().add(start) };
        // SAFETY: the buffer is ours while its frame exists, so the kernel does not touch it; the
        // frame cannot be copied, and the exclusive borrow of the socket keeps any other reference
        // into the memory away.
        unsafe { core::slice::from_raw_parts_mut(bytes.as_ptr(), frame.len) }
    }

    /// Gives a buffer back unused.
    pub(crate) fn release(&mut self, frame: Frame) {
        self.places[frame.index as usize] = Place::Free;
        self.free.push(frame.index);
    }

    /// Queues a frame for sending; the kernel sees it after [`Xsk::flush`].
    pub(crate) fn send(&mut self, frame: Frame, tag: u16) {
        let descriptor = XdpDesc {
            addr: u64::from(frame.index) * BUFFER_LEN as u64 + frame.start as u64,
            len: frame.len as u32,
            options: XdpDescOptions::empty(),
        };
        self.tags[frame.index as usize] = tag;
        let queued = self.transmit.push(descriptor);
        debug_assert!(queued, "the ring has a place for every buffer");
        if !queued {
            self.release(frame);
            return;
        }
        self.places[frame.index as usize] = Place::Sending;
        self.sending += 1;
    }

    /// Has the kernel send what is queued and take free buffers for what arrives. True when some
    /// of it has to wait for devices to free what they were given. No frame is with the caller at
    /// that moment.
    pub(crate) fn flush(&mut self) -> bool {
        let known = self.free.len() as u32 + self.filling + self.sending;
        debug_assert_eq!(known as usize, self.places.len(), "no buffer is lost");
        self.receive.release();
        self.refill();
        self.transmit.submit();
        let mut before = self.transmit.outstanding();
        while before > 0 && self.transmit.needs_wakeup() {
            let _ = rustix::net::send(&self.socket, &[], SendFlags::DONTWAIT);
            // The kernel takes a few packets per call; when it takes none, devices are busy.
            let left = self.transmit.outstanding();
            if left == before {
                break;
            }
            before = left;
        }
        before > 0
    }

    /// Takes sent buffers back, telling the tag of each.
    pub(crate) fn reclaim(&mut self, mut sent: impl FnMut(u16)) {
        while let Some(address) = self.completion.pop() {
            if let Some(frame) = self.take(address, Place::Sending, 0) {
                self.sending -= 1;
                sent(self.tags[frame.index as usize]);
                self.release(frame);
            }
        }
        self.completion.release();
    }

    /// How many packets the kernel dropped because no buffer was free for them, and because the
    /// ring was full.
    pub(crate) fn statistics(&self) -> io::Result<XdpStatistics> {
        Ok(sockopt::xdp_statistics(&self.socket)?)
    }

    /// How many descriptors of the kernel made no sense.
    pub(crate) fn nonsense(&self) -> u64 {
        self.nonsense
    }

    fn refill(&mut self) {
        // Half of the buffers receive; the other half is for what is being sent.
        let wanted = self.places.len() as u32 / 2;
        while self.filling < wanted {
            let Some(index) = self.free.pop() else { break };
            if !self.fill.push(u64::from(index) * BUFFER_LEN as u64) {
                self.free.push(index);
                break;
            }
            self.places[index as usize] = Place::Filling;
            self.filling += 1;
        }
        self.fill.submit();
        if self.fill.needs_wakeup() {
            let _ = rustix::net::recv(&self.socket, &mut [0; 0], RecvFlags::DONTWAIT);
        }
    }

    /// Takes a buffer over from the kernel, if it really was there.
    fn take(&mut self, address: u64, from: Place, len: usize) -> Option<Frame> {
        let index = usize::try_from(address).ok()? / BUFFER_LEN;
        let start = address as usize % BUFFER_LEN;
        match self.places.get_mut(index) {
            Some(place) if *place == from && start + len <= BUFFER_LEN => {
                *place = Place::Ours;
                Some(Frame { index: index as u32, start, len })
            }
            Some(_) | None => {
                self.nonsense += 1;
                None
            }
        }
    }
}

impl AsFd for Xsk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// How long to wait before another try when devices hold everything that was sent.
pub(crate) const BUSY_RETRY: Duration = Duration::from_millis(1);
