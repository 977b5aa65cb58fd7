//! What becomes of labelled packets, by their top label. Each interface has labels of its own: a tunnel, and a
//! port that takes MPLS.

use std::collections::HashMap;

use super::neighbor::AdjacencyId;
use super::{NextHop, Tables};
use crate::interface::{PortId, TunnelId};
use crate::tunnel::lookup::Seed;
use crate::wire::mpls::{ENTRY_LEN, MplsLabel};

/// The most labels that one interface can have.
pub const LABELS_MAX: usize = 1 << 16;

/// The most labels that are put in front of a packet at once.
pub const PUSHED_MAX: usize = 4;

const ENTRY_LEN_U16: u16 = 4;
const _: () = assert!(ENTRY_LEN_U16 as usize == ENTRY_LEN);

/// Labels that are put in front of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Labels {
    labels: [MplsLabel; PUSHED_MAX],
    count: u8,
}

/// More labels than are put in front of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at most {PUSHED_MAX} labels are put in front of a packet")]
pub struct TooManyLabels;

impl Labels {
    /// None.
    pub const NONE: Self = Self { labels: [MplsLabel::IPV4_NULL; PUSHED_MAX], count: 0 };

    /// These, the outermost first.
    ///
    /// # Errors
    /// When there are more than [`PUSHED_MAX`].
    pub fn new(labels: &[MplsLabel]) -> Result<Self, TooManyLabels> {
        let mut new = Self { count: u8::try_from(labels.len()).unwrap_or(u8::MAX), ..Self::NONE };
        new.labels.get_mut(..labels.len()).ok_or(TooManyLabels)?.copy_from_slice(labels);
        Ok(new)
    }

    /// The outermost first.
    #[inline]
    pub fn as_slice(&self) -> &[MplsLabel] {
        self.labels.get(..usize::from(self.count)).unwrap_or(&[])
    }

    /// Whether the last of them says that a packet of the other family is behind it.
    pub fn deny(&self, is_ipv4: bool) -> bool {
        match self.as_slice().last() {
            //= RFC 3032 §2.1: explicit null at the bottom says of which family the packet behind it is.
            Some(&MplsLabel::IPV4_NULL) => !is_ipv4,
            Some(&MplsLabel::IPV6_NULL) => is_ipv4,
            _ => false,
        }
    }

    /// Bytes in front of a packet.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "`is_none` says so")]
    pub const fn len(&self) -> usize {
        self.count as usize * ENTRY_LEN
    }

    /// The same in a narrow number.
    #[inline]
    pub const fn len_u16(&self) -> u16 {
        self.count as u16 * ENTRY_LEN_U16
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_none(&self) -> bool {
        self.count == 0
    }
}

/// What becomes of packets with a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelAction {
    /// It goes, and the IP packet behind it is routed.
    PopIp,
    /// It goes, and the next one is looked up.
    PopLabel,
    /// Others take its place, and the packet goes there.
    Swap(Labels, LabelHop),
}

/// Where a labelled packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LabelHop {
    /// Into a tunnel.
    Tunnel(TunnelId),
    /// To a host on a port's link.
    Host(AdjacencyId),
    /// Nowhere: there is no such tunnel or port any more.
    Nowhere,
}

impl From<LabelHop> for NextHop {
    fn from(hop: LabelHop) -> Self {
        match hop {
            LabelHop::Tunnel(tunnel) => Self::Tunnel(tunnel),
            LabelHop::Host(adjacency) => Self::Via(adjacency),
            LabelHop::Nowhere => Self::NoRoute,
        }
    }
}

/// The labels of one interface. They are the operator's choice, so their hash needs no secret: nobody can make them
/// collide.
#[derive(Clone, Debug, Default)]
pub struct LabelTable(HashMap<MplsLabel, LabelAction, Seed>);

impl LabelTable {
    /// What becomes of packets with this label on top; `None`: nobody gave it.
    #[inline]
    pub fn get(&self, label: MplsLabel) -> Option<LabelAction> {
        self.0.get(&label).copied()
    }
}

impl FromIterator<(MplsLabel, LabelAction)> for LabelTable {
    fn from_iter<I: IntoIterator<Item = (MplsLabel, LabelAction)>>(labels: I) -> Self {
        Self(labels.into_iter().collect())
    }
}

impl Tables {
    /// The labels of a port; `None`: it takes no MPLS.
    #[inline]
    pub fn labels_of(&self, port: PortId) -> Option<&LabelTable> {
        self.port_labels.get(port.index())?.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_many_labels_is_found_and_no_other() {
        let label = |number| MplsLabel::new(number).unwrap();
        let hop = |number| LabelHop::Tunnel(TunnelId(number));
        let swap = |number| LabelAction::Swap(Labels::new(&[label(number)]).unwrap(), hop(number));
        let table: LabelTable =
            (16..50_000).step_by(3).map(|number| (label(number), swap(number))).collect();
        for number in 0..50_010 {
            let is_there = (16..50_000).contains(&number) && (number - 16) % 3 == 0;
            assert_eq!(table.get(label(number)), is_there.then(|| swap(number)), "{number}");
        }
    }

    #[test]
    fn four_labels_are_the_most() {
        let labels = [MplsLabel::IPV4_NULL; 5];
        assert_eq!(Labels::new(&labels[..4]).map(|labels| labels.len()), Ok(16));
        assert_eq!(Labels::new(&labels), Err(TooManyLabels));
    }
}
