//! Packets with labels, from a tunnel or a port: what becomes of them, by the labels of the interface that they came
//! in by (RFC 3031). Who calls it has the packet stand at its top label.

use super::decap::{Outer, accept};
use super::{Round, Verdict};
use crate::counters::Counter;
use crate::interface::TunnelId;
use crate::packet::{Flags, Packet};
use crate::tables::labels::{LabelAction, LabelHop, LabelTable, Labels};
use crate::tunnel::{Tunnel, ecn};
use crate::wire::mpls::{self, ENTRY_LEN, Entry};
use crate::wire::protocol;
use crate::witness::{Event, Hop, LabelStep, LoopRule, Witness};

/// What has become of a labelled packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switched {
    /// Its labels are gone: it stands at what should be an IP header of this protocol.
    Ip(u8),
    /// It stands at its new top label, and goes there.
    To(LabelHop),
}

/// What an entry asks for.
enum Asked {
    /// It goes; what follows at the bottom is of this IP protocol.
    Null(u8),
    Given(LabelAction),
}

/// Does what the labels of a packet ask for.
///
/// # Errors
/// The drop counter, when they ask for nothing that can be done.
pub fn switch(
    packet: &mut Packet,
    table: Option<&LabelTable>,
    round: &Round<'_, impl Witness>,
) -> Result<Switched, Counter> {
    if mpls::stack_len(packet.data()).is_none() {
        return Err(Counter::MplsBadLabel);
    }
    // Each turn takes an entry off a stack that has at most so many.
    for _ in 0..mpls::DEPTH_MAX {
        let entry = Entry::read(packet.data());
        let asked = ask(entry, table);
        round.note(|| Event::Label { entry, step: step(&asked, round) });
        let switched = match asked? {
            Asked::Null(carried) => pop(packet, entry, Some(carried)),
            Asked::Given(LabelAction::PopIp) if !entry.is_bottom => {
                return Err(Counter::MplsBadLabel);
            }
            Asked::Given(LabelAction::PopLabel) if entry.is_bottom => {
                return Err(Counter::MplsBadLabel);
            }
            Asked::Given(LabelAction::PopIp | LabelAction::PopLabel) => pop(packet, entry, None),
            Asked::Given(LabelAction::Swap(labels, hop)) => {
                swap(packet, entry, &labels)?;
                Some(Switched::To(hop))
            }
        };
        if let Some(switched) = switched {
            return Ok(switched);
        }
    }
    Err(Counter::MplsBadLabel)
}

/// What an entry asks for, by its label; its TTL is looked at where the label is known.
fn ask(entry: Entry, table: Option<&LabelTable>) -> Result<Asked, Counter> {
    let asked = match entry.label.number() {
        0 => Asked::Null(protocol::IPV4),
        2 => Asked::Null(protocol::IPV6),
        //= RFC 3032 §2.1: router alert is nobody's here, implicit null stands in no packet, 14 is for
        //= maintenance, and nobody knows what the others mean.
        1 | 3..=6 | 8..=12 | 14 => return Err(Counter::MplsBadLabel),
        _ => {
            let given = table.and_then(|table| table.get(entry.label));
            Asked::Given(given.ok_or(Counter::MplsNoLabel)?)
        }
    };
    if entry.ttl <= 1 {
        //= RFC 3032 §2.4.2: a packet whose outgoing TTL would be 0 goes no further.
        return Err(Counter::MplsTtlExpired);
    }
    Ok(asked)
}

/// For who watches.
fn step(
    asked: &Result<Asked, Counter>,
    round: &Round<'_, impl Witness>,
) -> Result<LabelStep, Counter> {
    Ok(match asked {
        Err(counter) => return Err(*counter),
        Ok(Asked::Null(_)) => LabelStep::Null,
        Ok(Asked::Given(LabelAction::PopIp)) => LabelStep::PopIp,
        Ok(Asked::Given(LabelAction::PopLabel)) => LabelStep::PopLabel,
        Ok(Asked::Given(LabelAction::Swap(labels, hop))) => {
            LabelStep::Swap(*labels, Hop::of((*hop).into(), round.tables))
        }
    })
}

/// Takes an entry off. At the bottom: the protocol of the IP packet behind it, `carried` if the label says so.
fn pop(packet: &mut Packet, entry: Entry, carried: Option<u8>) -> Option<Switched> {
    //= RFC 3443 §3.2: in the short pipe model what is behind keeps its own TTL, which its forwarding lowers.
    packet.strip(ENTRY_LEN);
    if !entry.is_bottom {
        //= RFC 4182 §2: explicit null may stand anywhere in a stack.
        return None;
    }
    let by_version = || match packet.data().first().map(|first| first >> 4) {
        Some(6) => protocol::IPV6,
        _ => protocol::IPV4,
    };
    Some(Switched::Ip(carried.unwrap_or_else(by_version)))
}

/// Puts labels in the place of an entry.
fn swap(packet: &mut Packet, entry: Entry, labels: &Labels) -> Result<(), Counter> {
    //= RFC 3032 §2.4.2: the outgoing TTL is one less than the incoming one.
    let ttl = entry.ttl - 1;
    let [above @ .., last] = labels.as_slice() else { return Err(Counter::MplsNoLabel) };
    Entry { label: *last, ttl, ..entry }.write(packet.data_mut());
    for &label in above.iter().rev() {
        let room = packet.prepend(ENTRY_LEN).ok_or(Counter::PortNoMbuf)?;
        // One hop puts them all there: they have one TTL.
        Entry { label, ttl, is_bottom: false, ..entry }.write(room);
    }
    Ok(())
}

/// Does what the labels of a packet ask for that came through a tunnel. What goes on with labels has been accepted.
#[inline(never)]
pub(super) fn come_out(
    packet: &mut Packet,
    tunnel: &Tunnel,
    outer: Outer,
    id: TunnelId,
    round: &mut Round<'_, impl Witness>,
) -> Result<Switched, Counter> {
    let length = packet.len();
    if length < ENTRY_LEN {
        return Err(Counter::TunShimShort);
    }
    let switched = switch(packet, tunnel.setup.mpls.labels.as_deref(), round)?;
    if outer.tos.is_some_and(|tos| tos & ecn::MASK == ecn::CE) {
        // Labels have no ECN field: it ends.
        round.count_event(Counter::IfRxEcnLog, tunnel.setup.slot);
    }
    if let Switched::To(hop) = switched {
        if hop == LabelHop::Tunnel(id) && !tunnel.setup.hairpin {
            round.note(|| Event::Loop { tunnel: id, rule: LoopRule::Hairpin });
            return Err(Counter::IfRxHairpin);
        }
        accept(packet, tunnel, id, length, round);
    }
    Ok(switched)
}

/// Sends a labelled packet on its way.
#[inline]
pub fn leave(packet: &mut Packet, hop: LabelHop) -> Verdict {
    packet.meta.flags.set(Flags::LABELLED);
    packet.meta.flags.set(Flags::UNANSWERED);
    match hop {
        LabelHop::Tunnel(tunnel) => Verdict::Encap(tunnel),
        LabelHop::Host(adjacency) => Verdict::Transmit(adjacency),
        LabelHop::Nowhere => Verdict::drop(Counter::MplsNoLabel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mpls::MplsLabel;

    fn label(number: u32) -> MplsLabel {
        MplsLabel::new(number).unwrap()
    }

    fn entry(number: u32, is_bottom: bool, ttl: u8) -> Entry {
        Entry { label: label(number), class: 0, is_bottom, ttl }
    }

    #[test]
    fn reserved_labels_are_refused_each_for_its_reason() {
        for number in 0..16 {
            let asked = ask(entry(number, true, 64), None).map(|asked| match asked {
                Asked::Null(carried) => carried,
                Asked::Given(_) => 0,
            });
            let expected = match number {
                0 => Ok(protocol::IPV4),
                2 => Ok(protocol::IPV6),
                7 | 13 | 15 => Err(Counter::MplsNoLabel),
                _ => Err(Counter::MplsBadLabel),
            };
            assert_eq!(asked, expected, "{number}");
        }
    }

    #[test]
    fn a_label_that_nobody_gave_is_unknown_whatever_its_ttl() {
        let table: LabelTable = [(label(100), LabelAction::PopIp)].into_iter().collect();
        let asked = |number, ttl| ask(entry(number, true, ttl), Some(&table)).err();
        assert_eq!(asked(100, 2), None);
        assert_eq!(asked(100, 1), Some(Counter::MplsTtlExpired));
        assert_eq!(asked(100, 0), Some(Counter::MplsTtlExpired));
        assert_eq!(asked(101, 1), Some(Counter::MplsNoLabel));
    }
}
