//! The one pool of buffers that all ports and workers share.

use core::ptr::NonNull;

use dpdk_sys as sys;

use super::error::{EalError, last_error};
use super::mbuf::{Checksums, Mbuf};
use crate::interface::Interface;
use crate::packet::{HEADROOM, Packet};
use crate::reassembly::size_max;

/// Destination, source, type, and room for one VLAN tag.
const ETHERNET_LEN: u32 = 14 + 4;

/// Headers that may stand between the first byte of a frame and a packet that is put together behind them:
/// those of tunnels that its pieces came out of.
const STRIPPED_HEADERS: u32 = 128;

/// Buffers that a registered thread keeps for itself.
const THREAD_CACHE: u32 = 256;

/// Hugepage memory or not, an mbuf costs this much beyond its data room: its header, the pool's
/// header and trailer, and padding that spreads objects over memory channels.
const MBUF_OVERHEAD: u64 = 448;

const _: () = assert!(sys::SHIM_PKTMBUF_HEADROOM == HEADROOM as u32);
const _: () = assert!(THREAD_CACHE <= sys::SHIM_MEMPOOL_CACHE_MAX);

/// How large a buffer must be so that every frame of a port with that MTU, and what is
/// put together of such, fits one.
pub(super) fn data_room(mtu: u16) -> u16 {
    let packet = u32::try_from(size_max(mtu)).unwrap_or(u32::MAX);
    let room = u32::from(HEADROOM) + ETHERNET_LEN + STRIPPED_HEADERS + packet;
    u16::try_from(room.next_multiple_of(64)).unwrap_or(u16::MAX - 63)
}

/// Bytes of memory for that many buffers.
pub(super) fn memory_needed(count: u32, data_room: u16) -> u64 {
    u64::from(count) * (u64::from(data_room) + MBUF_OVERHEAD)
}

/// The buffers of all ports. Their memory stays until the process ends, for the sake of packets that
/// somebody still holds.
pub struct Pool {
    raw: NonNull<sys::rte_mempool>,
    total: u32,
    data_room: u16,
}

// SAFETY: mempools are made for use by many threads at once.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    /// Needs the EAL.
    pub(super) fn new(count: u32, data_room: u16) -> Result<Self, EalError> {
        let cache = THREAD_CACHE.min(count / 8);
        // SAFETY: the EAL is initialised (callers hold it); any socket's memory will do.
        let raw = unsafe {
            sys::rte_pktmbuf_pool_create(c"adit".as_ptr(), count, cache, 0, data_room, -1)
        };
        let megabytes = memory_needed(count, data_room).div_ceil(1 << 20);
        match NonNull::new(raw) {
            Some(raw) => Ok(Self { raw, total: count, data_room }),
            None => Err(EalError::Pool { count, megabytes, reason: last_error() }),
        }
    }

    pub(super) fn as_ptr(&self) -> *mut sys::rte_mempool {
        self.raw.as_ptr()
    }

    /// All buffers.
    pub fn total(&self) -> usize {
        self.total as usize
    }

    /// Bytes of a buffer, headroom included.
    pub fn data_room(&self) -> usize {
        usize::from(self.data_room)
    }

    /// Buffers that nobody uses, those in threads' caches included. A snapshot.
    pub fn free_count(&self) -> usize {
        // SAFETY: the pool lives.
        unsafe { sys::rte_mempool_avail_count(self.as_ptr()) as usize }
    }

    /// Buffers in packets, rings and the queues of devices. A snapshot.
    pub fn in_use_count(&self) -> usize {
        self.total().saturating_sub(self.free_count())
    }

    /// An empty packet with headroom.
    pub(super) fn allocate(&self) -> Option<Packet> {
        let mut mbuf = core::ptr::null_mut();
        // SAFETY: the pool lives, and there is room for the one pointer.
        let result = unsafe { sys::shim_alloc_bulk(self.as_ptr(), &raw mut mbuf, 1) };
        if result != 0 {
            return None;
        }
        // SAFETY: a fresh mbuf of our pool, ours from now on.
        let mbuf = unsafe { Mbuf::from_raw(NonNull::new(mbuf)?) };
        Some(mbuf.into_packet(Interface::NONE, Checksums::Unasked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_holds_a_full_frame_and_what_is_put_together() {
        assert!(data_room(1500) >= 128 + 18 + 60 + 2000);
        assert!(data_room(9000) >= 128 + 18 + 60 + 9100);
        assert_eq!(data_room(1500) % 64, 0);
        assert!(data_room(u16::MAX) > 65_400);
    }
}
