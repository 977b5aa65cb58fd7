//! Taking an entry out of a table of open addressing with linear probing.

/// Empties the slot at `gap` and moves up what was pushed behind it, so that no search ends early
/// and no tombstones gather (Knuth, TAOCP 3 §6.4, algorithm R).
///
/// `slots` are a power of two in number, and not all full. `home` says where the search for an
/// entry begins, before it is reduced to the size of the table; nothing for an empty slot.
pub(crate) fn remove<T: Copy>(
    slots: &mut [T],
    mut gap: usize,
    empty: T,
    home: impl Fn(&T) -> Option<usize>,
) {
    let mask = slots.len() - 1;
    let mut at = gap;
    loop {
        at = (at + 1) & mask;
        let Some(home) = home(&slots[at]) else { break };
        // An entry may not move in front of where its search begins.
        if at.wrapping_sub(home) & mask >= at.wrapping_sub(gap) & mask {
            slots[gap] = slots[at];
            gap = at;
        }
    }
    slots[gap] = empty;
}
