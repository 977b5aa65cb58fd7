//! Some packets of a burst, with what is known of each.

use super::Outcome;
use crate::packet::{BURST_MAX, Packet};

/// At most as many items as a burst has packets.
pub(super) struct List<T> {
    items: [T; BURST_MAX],
    len: usize,
}

impl<T: Copy> List<T> {
    /// No items; `filler` is never seen.
    pub(super) fn new(filler: T) -> Self {
        Self { items: [filler; BURST_MAX], len: 0 }
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds an item. A list is filled from one burst, so there is room.
    #[inline]
    pub(super) fn push(&mut self, item: T) {
        if let Some(place) = self.items.get_mut(self.len) {
            *place = item;
            self.len += 1;
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn items(&self) -> &[T] {
        self.items.get(..self.len).unwrap_or(&[])
    }

    #[inline]
    pub(super) fn items_mut(&mut self) -> &mut [T] {
        self.items.get_mut(..self.len).unwrap_or(&mut [])
    }
}

/// Lets `see_to` see to each packet that `items` name by its place, and notes what became of it.
#[inline]
pub(super) fn see_to_each<T>(
    (packets, outcomes): (&mut [Packet], &mut [Outcome]),
    items: &[T],
    place: impl Fn(&T) -> u16,
    mut see_to: impl FnMut(&mut Packet, &T) -> Option<Outcome>,
) {
    for item in items {
        let at = usize::from(place(item));
        let (Some(packet), Some(outcome)) = (packets.get_mut(at), outcomes.get_mut(at)) else {
            continue;
        };
        if let Some(taken) = see_to(packet, item) {
            *outcome = taken;
        }
    }
}

/// The same for those that were not taken before, of which nothing changes but their outcome.
pub(super) fn see_to_others<T>(
    (packets, outcomes): (&[Packet], &mut [Outcome]),
    items: &[T],
    place: impl Fn(&T) -> u16,
    mut see_to: impl FnMut(&Packet, &T) -> Option<Outcome>,
) {
    for item in items {
        let at = usize::from(place(item));
        let (Some(packet), Some(outcome)) = (packets.get(at), outcomes.get_mut(at)) else {
            continue;
        };
        if *outcome == Outcome::NOT_TAKEN
            && let Some(ended) = see_to(packet, item)
        {
            *outcome = ended;
        }
    }
}
