//! The one packet type, and the burst that carries packets from stage to stage.
//!
//! A [`Packet`] is a view of one linear buffer with headroom: where the buffer is, where the
//! packet starts in it, how long it is, and the little that stages tell each other about it. The
//! same type is used over DPDK (`handle` is the mbuf) and over ordinary memory (`handle` is a slot
//! of a [`MemoryPool`]), so that tests, fuzzing and replay run the
//! production code. It is not a smart pointer: it has no `Drop`. Packets leave a burst by send,
//! hand-off or release, in bulk; a packet that is forgotten leaks its buffer, and the conservation
//! tests find it.
//!
//! This folder, the cycle counter and `dpdk/` are the only places with unsafe code.

mod burst;
mod pool;
mod prefetch;

pub use burst::{BURST_MAX, Burst, Drain};
pub use pool::MemoryPool;
pub use prefetch::{prefetch, prefetch_to_write};

use core::ptr::NonNull;

use crate::interface::Interface;

/// Bytes kept free in front of a received frame, as in DPDK's default build.
pub const HEADROOM: u16 = 128;

/// What stages tell each other about a packet beyond its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Where the packet came in, at its present layer: a port, or after decap the tunnel.
    pub ingress: Interface,
    /// Bytes of encapsulation that this node has put in front so far. The packet that the sender
    /// knows begins that far behind the outermost IP header.
    pub encap_len: u16,
    /// See [`Flags`].
    pub flags: Flags,
}

impl Metadata {
    /// Nothing known yet.
    pub const NEW: Self = Self { ingress: Interface::NONE, encap_len: 0, flags: Flags::NONE };
}

/// One-bit facts about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// The frame was sent to a broadcast or multicast MAC: no ICMP error may answer it.
    pub const L2_GROUP: Self = Self(1);
    /// This node made the packet: its TTL is not decremented, and no error answers it.
    pub const LOCAL: Self = Self(2);
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The device says that the IPv4 header checksum is wrong. Devices err: the packet path looks
    /// itself, and off the fast path.
    pub const BAD_CHECKSUM: Self = Self(4);
    /// The device was asked to check the checksum of the outermost IPv4 header, and found it right.
    pub const GOOD_CHECKSUM: Self = Self(1 << 9);
    /// It was cut from a packet that the tunnel it enters has counted as a whole.
    pub const PIECE: Self = Self(1 << 8);
    /// It came with a fragment header: in pieces that were put together, or whole in spite of it.
    pub const PUT_TOGETHER: Self = Self(1 << 10);

    /// Its sender has been told that earlier packets did not arrive.
    pub const TOLD: Self = Self(1 << 10);

    /// It is a copy that this node has made of another, for a mirror session: no copy is made of it again.
    pub const COPY: Self = Self(1 << 11);

    /// It is a copy of what was sent, by a port or into a tunnel, not of what came.
    pub const COPY_OF_SENT: Self = Self(1 << 12);

    /// It stands at a label, not at an IP header.
    pub const LABELLED: Self = Self(1 << 15);

    /// The header that its sender knows is folded into the outermost one (RFC 2004), or into the one that stands
    /// behind [`Metadata::encap_len`] bytes.
    pub const FOLDED: Self = Self(1 << 13);

    /// Who sent it is not known, or not by an IP address: no error answers it.
    pub const UNANSWERED: Self = Self(1 << 14);

    /// Two bits that count decapsulations, then three that count encapsulations.
    const DECAP_SHIFT: u32 = 3;
    const DECAP_MAX: u16 = 3;
    const ENCAP_SHIFT: u32 = 5;
    const ENCAP_MAX: u16 = 7;

    /// Whether all bits of `other` are set.
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Sets the bits of `other`.
    #[inline]
    pub const fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Clears the bits of `other`.
    #[inline]
    pub const fn clear(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    /// How many tunnels of this node the packet has left since it came in, 3 at most.
    #[inline]
    pub const fn decap_depth(self) -> u8 {
        (self.0 >> Self::DECAP_SHIFT & Self::DECAP_MAX) as u8
    }

    /// Counts one tunnel left; stays at 3.
    #[inline]
    pub const fn count_decap(&mut self) {
        if self.0 >> Self::DECAP_SHIFT & Self::DECAP_MAX != Self::DECAP_MAX {
            self.0 += 1 << Self::DECAP_SHIFT;
        }
    }

    /// How many tunnels of this node the packet has entered since it came in, 7 at most.
    #[inline]
    pub const fn encap_depth(self) -> u8 {
        (self.0 >> Self::ENCAP_SHIFT & Self::ENCAP_MAX) as u8
    }

    /// Counts one tunnel entered; stays at 7.
    #[inline]
    pub const fn count_encap(&mut self) {
        if self.0 >> Self::ENCAP_SHIFT & Self::ENCAP_MAX != Self::ENCAP_MAX {
            self.0 += 1 << Self::ENCAP_SHIFT;
        }
    }
}

/// The way a packet took, the unit in which latency is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Path {
    /// From port to port.
    Forward = 0,
    /// Into a tunnel.
    Encap = 1,
    /// Out of a tunnel (and perhaps into the next).
    Decap = 2,
}

impl Path {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Forward, Self::Encap, Self::Decap];

    /// The word in commands and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Encap => "encap",
            Self::Decap => "decap",
        }
    }
}

/// One packet in one linear buffer.
///
/// Invariant: `base..base + capacity` is memory that this packet alone may touch, and
/// `offset + len <= capacity`.
#[derive(Debug)]
#[repr(C)]
pub struct Packet {
    base: NonNull<u8>,
    handle: usize,
    offset: u16,
    len: u16,
    capacity: u16,
    /// What the appliance did with it, for the latency histograms.
    pub path: Path,
    /// What stages know about the packet.
    pub meta: Metadata,
}

// SAFETY: a packet owns its buffer exclusively (the invariant above), so it may be used from
// whichever thread holds it; whoever made it with `from_raw_parts` promised that.
unsafe impl Send for Packet {}

impl Packet {
    /// Wraps a buffer of `capacity` bytes; the packet is `len` bytes long and starts `offset`
    /// bytes into it.
    ///
    /// # Safety
    /// `base` points to `capacity` initialised bytes that nobody else reads or writes until the
    /// packet is given back to the owner of `handle`, and `offset + len <= capacity`. An odd `handle` is an mbuf's.
    #[inline]
    pub unsafe fn from_raw_parts(
        base: NonNull<u8>,
        capacity: u16,
        offset: u16,
        len: u16,
        handle: usize,
    ) -> Self {
        debug_assert!(u32::from(offset) + u32::from(len) <= u32::from(capacity));
        Self { base, handle, offset, len, capacity, path: Path::Forward, meta: Metadata::NEW }
    }

    /// What the owner of the buffer needs to take it back: the mbuf's address, made odd, or a pool's slot, which is even.
    #[inline]
    pub fn handle(&self) -> usize {
        self.handle
    }

    /// Bytes from the start of the buffer to the first byte of the packet.
    #[inline]
    pub fn offset(&self) -> u16 {
        self.offset
    }

    /// Bytes in the packet.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a packet without bytes has no use")]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// The packet's bytes.
    #[inline]
    pub fn data(&self) -> &[u8] {
        // SAFETY: the invariant: `offset <= capacity`, so the sum stays inside the buffer.
        let start = unsafe { self.base.add(usize::from(self.offset)) };
        // SAFETY: the invariant: `len` bytes from there are ours and initialised.
        unsafe { core::slice::from_raw_parts(start.as_ptr(), usize::from(self.len)) }
    }

    /// The packet's bytes, to be changed.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: the invariant: `offset <= capacity`, so the sum stays inside the buffer.
        let start = unsafe { self.base.add(usize::from(self.offset)) };
        // SAFETY: the invariant, and `&mut self` makes this the only reference.
        unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), usize::from(self.len)) }
    }

    /// Takes `count` bytes off the front; at most all of them.
    #[inline]
    pub fn strip(&mut self, count: usize) {
        let count = truncate_u16(count).min(self.len);
        self.offset += count;
        self.len -= count;
    }

    /// Puts `count` bytes in front and returns the packet with them, or `None` when the headroom
    /// is too small; then nothing has changed. The new bytes hold whatever was there.
    #[inline]
    pub fn prepend(&mut self, count: usize) -> Option<&mut [u8]> {
        let count = u16::try_from(count).ok()?;
        let len = self.len.checked_add(count)?;
        self.offset = self.offset.checked_sub(count)?;
        self.len = len;
        Some(self.data_mut())
    }

    /// Cuts the packet to its first `len` bytes; a packet that is shorter stays as it is.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "no longer than it was")]
    pub fn truncate(&mut self, len: usize) {
        self.len = len.min(usize::from(self.len)) as u16;
    }

    /// Makes the packet the `len` bytes that begin `start` bytes into its buffer, and returns them, or
    /// `None` when the buffer ends before; then nothing has changed. Bytes that were not the packet's
    /// hold whatever was there.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "both are below the capacity")]
    pub fn reframe(&mut self, start: usize, len: usize) -> Option<&mut [u8]> {
        if start + len > usize::from(self.capacity) {
            return None;
        }
        self.offset = start as u16;
        self.len = len as u16;
        // SAFETY: the sum is at most the capacity, so this stays inside the buffer.
        let first = unsafe { self.base.add(start) };
        // SAFETY: as for `data_mut`. With the length as it was given, whoever gave it need not look at it again.
        Some(unsafe { core::slice::from_raw_parts_mut(first.as_ptr(), len) })
    }

    /// Makes the packet empty, with `headroom` bytes in front, and lets `fill` write the room that
    /// is left; `fill` returns how many bytes it wrote. Metadata starts anew.
    #[inline]
    pub fn rebuild(&mut self, headroom: u16, fill: impl FnOnce(&mut [u8]) -> usize) {
        self.offset = headroom.min(self.capacity);
        self.len = self.capacity - self.offset;
        let written = fill(self.data_mut());
        self.truncate(written);
        self.path = Path::Forward;
        self.meta = Metadata::NEW;
    }

    /// Bytes free in front.
    #[inline]
    pub fn headroom(&self) -> usize {
        usize::from(self.offset)
    }

    /// Bytes of the whole buffer.
    #[inline]
    pub fn capacity(&self) -> usize {
        usize::from(self.capacity)
    }
}

/// The lower 16 bits' worth of a length, saturating: no packet is longer.
#[inline]
fn truncate_u16(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_no_larger_than_half_a_cache_line() {
        assert!(size_of::<Packet>() <= 32, "{} bytes", size_of::<Packet>());
    }

    #[test]
    fn what_is_stripped_can_be_put_in_front_again() {
        let mut pool = MemoryPool::new(1, 2048);
        let mut packet = pool.allocate_with(&[1, 2, 3, 4]).unwrap();
        packet.strip(2);
        assert_eq!(packet.data(), [3, 4]);
        assert_eq!(packet.prepend(2).unwrap(), [1, 2, 3, 4]);
        assert!(packet.prepend(usize::from(HEADROOM) + 1).is_none());
        assert_eq!(packet.data(), [1, 2, 3, 4]);
        packet.strip(100);
        assert_eq!(packet.len(), 0);
        pool.release(packet);
    }
}
