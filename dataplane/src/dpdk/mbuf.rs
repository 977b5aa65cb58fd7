//! Between DPDK's mbufs and [`Packet`]: the few fields that are read and written, by offset.
//!
//! All of them lie in an mbuf's first cache line. An mbuf that holds a packet always has one
//! segment: what arrives in several is made linear, or counted and dropped.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use dpdk_sys as sys;

use crate::interface::Interface;
use crate::packet::{Flags, Packet};

/// An mbuf that somebody owns: a queue, a ring or a packet.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Mbuf(NonNull<sys::rte_mbuf>);

// SAFETY: an mbuf has no thread of its own; whoever holds it owns it.
unsafe impl Send for Mbuf {}

/// Set in the handle of every packet over an mbuf. Handles of memory pools are even and mbufs begin at a
/// cache line, so a packet of ordinary memory is recognised without a read.
const HANDLE_TAG: usize = 1;

/// Whether a device was asked to check the IPv4 header checksum of what it receives.
#[derive(Clone, Copy)]
pub(super) enum Checksums<'a> {
    /// What it says is not to be believed.
    Unasked,
    /// It was; what it calls wrong is counted here.
    Asked(&'a AtomicU64),
}

impl Mbuf {
    /// # Safety
    /// `pointer` is an mbuf of the process's pool that the caller owns from now on.
    pub(super) unsafe fn from_raw(pointer: NonNull<sys::rte_mbuf>) -> Self {
        Self(pointer)
    }

    pub(super) fn as_ptr(self) -> *mut sys::rte_mbuf {
        self.0.as_ptr()
    }

    #[inline]
    fn field<T>(self, offset: u32) -> NonNull<T> {
        // SAFETY: the shim's offsets are those of fields, so they stay inside the mbuf.
        unsafe { self.0.byte_add(offset as usize) }.cast()
    }

    #[inline]
    fn read<T: Copy>(self, offset: u32) -> T {
        // SAFETY: a live mbuf of ours, a field of its type at that offset, aligned by its layout.
        unsafe { self.field::<T>(offset).read() }
    }

    #[inline]
    fn write<T>(self, offset: u32, value: T) {
        // SAFETY: as in `read`; the mbuf is ours alone.
        unsafe { self.field::<T>(offset).write(value) }
    }

    /// Whether all of the packet is in this mbuf.
    #[inline]
    pub(super) fn is_linear(self) -> bool {
        self.read::<u16>(sys::SHIM_MBUF_NB_SEGS) == 1
    }

    /// The packet in a linear mbuf, which owns it from now on.
    #[inline]
    pub(super) fn into_packet(self, ingress: Interface, checksums: Checksums<'_>) -> Packet {
        let base = self.read::<NonNull<u8>>(sys::SHIM_MBUF_BUF_ADDR);
        let capacity = self.read::<u16>(sys::SHIM_MBUF_BUF_LEN);
        let offset = self.read::<u16>(sys::SHIM_MBUF_DATA_OFF);
        let len = self.read::<u16>(sys::SHIM_MBUF_DATA_LEN);
        let flags = self.read::<u64>(sys::SHIM_MBUF_OL_FLAGS);
        let handle = self.0.as_ptr().expose_provenance() | HANDLE_TAG;
        // SAFETY: the mbuf is ours and linear; DPDK keeps data_off + data_len within buf_len, and
        // its memory is mapped zeroed, hence initialised.
        let mut packet = unsafe { Packet::from_raw_parts(base, capacity, offset, len, handle) };
        packet.meta.ingress = ingress;
        // Zero where the device was not asked, and where it does not know.
        let told = flags & u64::from(sys::SHIM_RX_IP_CKSUM_MASK);
        if told != 0 {
            packet.meta.flags.set(self.checksum_flags(told, checksums));
        }
        packet
    }

    /// What the device's word about the IPv4 header checksum is worth.
    fn checksum_flags(self, told: u64, checksums: Checksums<'_>) -> Flags {
        if told == u64::from(sys::SHIM_RX_IP_CKSUM_BAD) {
            if let Checksums::Asked(bad) = checksums {
                bad.fetch_add(1, Ordering::Relaxed);
            }
            return Flags::BAD_CHECKSUM;
        }
        let is_good = told == u64::from(sys::SHIM_RX_IP_CKSUM_GOOD);
        // Of a tunnel's packet that the device has recognised, its word is about the inner header.
        let kind = self.read::<u32>(sys::SHIM_MBUF_PACKET_TYPE);
        let is_plain_ipv4 =
            kind & sys::SHIM_PTYPE_L3_IPV4 != 0 && kind & sys::SHIM_PTYPE_TUNNEL_MASK == 0;
        match checksums {
            Checksums::Asked(_) if is_good && is_plain_ipv4 => Flags::GOOD_CHECKSUM,
            _ => Flags::NONE,
        }
    }

    /// The mbuf of a packet, without a look at what the packet has become. `None`: the packet is
    /// not over an mbuf.
    #[inline]
    pub(super) fn of(packet: &Packet) -> Option<Self> {
        let handle = packet.handle();
        if handle & HANDLE_TAG == 0 {
            return None;
        }
        let pointer = core::ptr::with_exposed_provenance_mut(handle - HANDLE_TAG);
        // SAFETY: a handle with the tag is one of `into_packet`, which made it of an mbuf's address.
        Some(Self(unsafe { NonNull::new_unchecked(pointer) }))
    }

    /// Writes where the packet now starts and how long it is into its mbuf.
    #[inline]
    pub(super) fn follow(self, packet: &Packet) {
        // A packet's length is a u16 by construction; the accessor widens it.
        #[expect(clippy::cast_possible_truncation, reason = "a packet's length fits 16 bits")]
        let len = packet.len() as u16;
        self.write(sys::SHIM_MBUF_DATA_OFF, packet.offset());
        self.write(sys::SHIM_MBUF_DATA_LEN, len);
        self.write(sys::SHIM_MBUF_PKT_LEN, u32::from(len));
    }

    /// Copies all segments into the first. False: they don't fit, nothing has changed.
    #[cold]
    pub(super) fn linearize(self) -> bool {
        // SAFETY: a live mbuf that is ours, with all of its segments.
        unsafe { sys::shim_linearize(self.as_ptr()) == 0 }
    }
}

/// Gives mbufs back to the pool, with all their segments.
#[inline]
pub(super) fn release(mbufs: &mut [*mut sys::rte_mbuf]) {
    let count = u32::try_from(mbufs.len()).unwrap_or(u32::MAX);
    // SAFETY: the pointers are owned mbufs (callers take them out of packets or queues), and the
    // count is that of the slice.
    unsafe { sys::rte_pktmbuf_free_bulk(mbufs.as_mut_ptr(), count) };
}
