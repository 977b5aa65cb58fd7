//! Buffers in ordinary memory, for everything that runs without DPDK.

use core::ptr::NonNull;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{HEADROOM, Packet};

static POOLS: AtomicUsize = AtomicUsize::new(1);

/// A fixed number of buffers of one size.
pub struct MemoryPool {
    storage: Option<Box<[UnsafeCell<u8>]>>,
    number: usize,
    capacity: u16,
    total: usize,
    free: Vec<u32>,
}

// SAFETY: the cells are reached through packets alone, each of which owns its own slot; the pool
// itself never reads them.
unsafe impl Send for MemoryPool {}

/// Slots are told apart by the low half of the handle, pools by the high half. The lowest bit is 0: handles of other
/// owners are odd.
const SLOT_BITS: u32 = usize::BITS / 2;
const SLOT_SHIFT: u32 = 1;

impl MemoryPool {
    /// `count` buffers of `capacity` bytes each, headroom included.
    pub fn new(count: usize, capacity: u16) -> Self {
        let bytes = count * usize::from(capacity);
        let storage = vec![0_u8; bytes].into_boxed_slice();
        // SAFETY: `UnsafeCell<u8>` has the layout of `u8`, and the box is not used otherwise.
        let storage = unsafe { Box::from_raw(Box::into_raw(storage) as *mut [UnsafeCell<u8>]) };
        let free = (0..u32::try_from(count).unwrap_or(u32::MAX)).rev().collect();
        let number = POOLS.fetch_add(1, Ordering::Relaxed);
        Self { storage: Some(storage), number, capacity, total: count, free }
    }

    /// An empty packet with [`HEADROOM`], or `None` when every buffer is in use.
    pub fn allocate(&mut self) -> Option<Packet> {
        let slot = self.free.pop()? as usize;
        let start = slot * usize::from(self.capacity);
        let cells = self.storage.as_ref()?.get(start..start + usize::from(self.capacity))?;
        let base = NonNull::new(UnsafeCell::raw_get(cells.as_ptr()))?;
        let handle = self.number << SLOT_BITS | slot << SLOT_SHIFT;
        let offset = HEADROOM.min(self.capacity);
        // SAFETY: the slot was on the free list, so nobody else has it; the storage is
        // initialised, and stays allocated while a packet of it is outside (see `drop`).
        Some(unsafe { Packet::from_raw_parts(base, self.capacity, offset, 0, handle) })
    }

    /// A packet that holds `bytes`, or `None` when there is no buffer or they don't fit.
    pub fn allocate_with(&mut self, bytes: &[u8]) -> Option<Packet> {
        if bytes.len() > usize::from(self.capacity.saturating_sub(HEADROOM)) {
            return None;
        }
        let mut packet = self.allocate()?;
        packet.rebuild(HEADROOM, |room| {
            room[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        });
        Some(packet)
    }

    /// Takes a packet's buffer back.
    ///
    /// # Panics
    /// When the packet comes from another pool: that is a bug of the caller.
    #[expect(clippy::needless_pass_by_value, reason = "the buffer changes owner")]
    pub fn release(&mut self, packet: Packet) {
        let handle = packet.handle();
        assert_eq!(handle >> SLOT_BITS, self.number, "a packet was released to another pool");
        let slot = (handle & ((1 << SLOT_BITS) - 1)) >> SLOT_SHIFT;
        self.free.push(u32::try_from(slot).unwrap_or(u32::MAX));
    }

    /// Tells this pool from all others: what [`number_of`](Self::number_of) says of its packets.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The number of the pool that a packet's buffer belongs to.
    pub fn number_of(packet: &Packet) -> usize {
        packet.handle() >> SLOT_BITS
    }

    /// Buffers that are not in use.
    pub fn free_count(&self) -> usize {
        self.free.len()
    }

    /// All buffers.
    pub fn total(&self) -> usize {
        self.total
    }
}

impl Drop for MemoryPool {
    fn drop(&mut self) {
        if self.free.len() != self.total {
            // A packet is still outside and may be touched: its memory is never freed.
            core::mem::forget(self.storage.take());
        }
    }
}
