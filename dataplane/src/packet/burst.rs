//! A burst: what a worker receives, looks at and sends at a time.

use core::mem::MaybeUninit;

use super::{Packet, prefetch_to_write};

/// The most packets that one burst can hold.
pub const BURST_MAX: usize = 256;

/// Up to [`BURST_MAX`] packets in order. Does not allocate.
pub struct Burst {
    slots: [MaybeUninit<Packet>; BURST_MAX],
    len: usize,
}

impl Default for Burst {
    fn default() -> Self {
        Self::new()
    }
}

impl Burst {
    /// A burst without packets.
    pub const fn new() -> Self {
        Self { slots: [const { MaybeUninit::uninit() }; BURST_MAX], len: 0 }
    }

    /// How many packets it holds.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether no further packet fits.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.len >= BURST_MAX
    }

    /// Adds a packet at the end, or gives it back when the burst is full.
    #[inline]
    pub fn push(&mut self, packet: Packet) -> Result<(), Packet> {
        match self.slots.get_mut(self.len) {
            Some(slot) => {
                slot.write(packet);
                self.len += 1;
                Ok(())
            }
            None => Err(packet),
        }
    }

    /// Adds packets at the end until there are no more or no further one fits; one that does not
    /// fit is not taken. The length is written once, so packets don't wait for one another.
    #[inline]
    pub fn extend(&mut self, packets: impl Iterator<Item = Packet>) {
        let mut len = self.len;
        let free = self.slots.get_mut(len..).unwrap_or_default();
        for (slot, packet) in free.iter_mut().zip(packets) {
            slot.write(packet);
            len += 1;
        }
        self.len = len;
    }

    /// Asks for the place that the packet gets which is added after `count` others, in a burst that another core has used.
    #[inline]
    pub fn prefetch_place(&self, count: usize) {
        if let Some(slot) = self.slots.get(self.len + count) {
            prefetch_to_write(slot);
        }
    }

    /// Takes the last packet.
    #[inline]
    pub fn pop(&mut self) -> Option<Packet> {
        self.len = self.len.checked_sub(1)?;
        let slot = self.slots.get(self.len)?;
        // SAFETY: slots below the former `len` were written by `push`; the slot is now outside
        // `len`, so the packet can't be read a second time.
        Some(unsafe { slot.assume_init_read() })
    }

    /// The packets.
    #[inline]
    pub fn packets(&self) -> &[Packet] {
        let start = self.slots.as_ptr().cast::<Packet>();
        // SAFETY: the first `len` slots were written by `push`.
        unsafe { core::slice::from_raw_parts(start, self.len) }
    }

    /// The packets, to be changed.
    #[inline]
    pub fn packets_mut(&mut self) -> &mut [Packet] {
        let start = self.slots.as_mut_ptr().cast::<Packet>();
        // SAFETY: the first `len` slots were written by `push`, and `&mut self` is exclusive.
        unsafe { core::slice::from_raw_parts_mut(start, self.len) }
    }

    /// Takes the packets out, in order; the burst is empty at once.
    #[inline]
    pub fn drain(&mut self) -> Drain<'_> {
        let len = core::mem::take(&mut self.len);
        Drain { slots: &self.slots, next: 0, len }
    }

    /// Parts the packets: those that go, as the mark of each says, are moved to `other`, which has to be empty; the rest
    /// stays, and both are in order. Without a mark for each nothing happens. Which way a packet goes nobody could
    /// foretell, so there is no branch for it.
    #[inline]
    pub fn part<T>(&mut self, other: &mut Self, marks: &[T], goes: impl Fn(&T) -> bool) {
        debug_assert!(other.is_empty(), "its packets would be lost");
        let Some(marks) = marks.get(..self.len) else { return };
        let (stays, leaves) = (self.slots.as_mut_ptr(), other.slots.as_mut_ptr());
        let mut kept = 0;
        for (at, mark) in marks.iter().enumerate() {
            let goes = goes(mark);
            let to_other = leaves.wrapping_add(at - kept);
            let place = if goes { to_other } else { stays.wrapping_add(kept) };
            // SAFETY: `kept` and `at - kept` are at most `at`, which is less than `len`: all are slots. This one was written
            // by `push`, and no packet has gone to a place behind it, so it is read for the first time.
            unsafe { core::ptr::copy(stays.wrapping_add(at), place, 1) };
            kept += usize::from(!goes);
        }
        other.len = self.len - kept;
        self.len = kept;
    }

    /// Forgets the first `count` packets (a device took them) and moves the rest to the front.
    #[inline]
    pub fn forget_front(&mut self, count: usize) {
        let count = count.min(self.len);
        self.slots.copy_within_packets(count, self.len);
        self.len -= count;
    }
}

/// Moving packets inside the slots without dropping or duplicating one.
trait CopyWithin {
    fn copy_within_packets(&mut self, from: usize, to: usize);
}

impl CopyWithin for [MaybeUninit<Packet>; BURST_MAX] {
    fn copy_within_packets(&mut self, from: usize, to: usize) {
        for (target, source) in (from..to.min(BURST_MAX)).enumerate() {
            self.swap(target, source);
        }
    }
}

/// The packets of a burst, one after the other. Those not taken are leaked, so take them all.
pub struct Drain<'a> {
    slots: &'a [MaybeUninit<Packet>; BURST_MAX],
    next: usize,
    len: usize,
}

impl Iterator for Drain<'_> {
    type Item = Packet;

    #[inline]
    fn next(&mut self) -> Option<Packet> {
        if self.next >= self.len {
            return None;
        }
        let slot = self.slots.get(self.next)?;
        self.next += 1;
        // SAFETY: slots below `len` were written by `push`; `next` only grows and the burst's own
        // `len` is already 0, so each is read once.
        Some(unsafe { slot.assume_init_read() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::MemoryPool;

    #[test]
    fn a_burst_is_parted_in_order_and_every_packet_is_in_one_part() {
        for odd_one in [1, 2, 3, 300] {
            let mut pool = MemoryPool::new(BURST_MAX, 256);
            let (mut burst, mut other) = (Burst::new(), Burst::new());
            for n in 0..BURST_MAX {
                burst.push(pool.allocate_with(&[u8::try_from(n).unwrap()]).unwrap()).unwrap();
            }
            let marks: Vec<usize> = (0..BURST_MAX).collect();
            burst.part(&mut other, &marks, |n| n % odd_one == odd_one - 1);
            let numbers = |burst: &Burst| -> Vec<u8> {
                burst.packets().iter().map(|packet| packet.data()[0]).collect()
            };
            let (goes, stays): (Vec<u8>, Vec<u8>) =
                (0..=255).partition(|&n| usize::from(n) % odd_one == odd_one - 1);
            assert_eq!((numbers(&burst), numbers(&other)), (stays, goes));
            burst.drain().chain(other.drain()).for_each(|packet| pool.release(packet));
            assert_eq!(pool.free_count(), BURST_MAX);
        }
    }

    #[test]
    fn a_burst_keeps_order_and_refuses_what_does_not_fit() {
        let mut pool = MemoryPool::new(BURST_MAX + 1, 256);
        let mut burst = Burst::new();
        for n in 0..BURST_MAX {
            burst.push(pool.allocate_with(&[u8::try_from(n % 256).unwrap()]).unwrap()).unwrap();
        }
        let extra = pool.allocate_with(&[99]).unwrap();
        let extra = burst.push(extra).unwrap_err();
        pool.release(extra);
        burst.forget_front(3);
        assert_eq!(burst.len(), BURST_MAX - 3);
        let first: Vec<u8> = burst.packets().iter().take(2).map(|p| p.data()[0]).collect();
        assert_eq!(first, [3, 4]);
        for packet in burst.drain() {
            pool.release(packet);
        }
        assert!(burst.is_empty());
    }
}
