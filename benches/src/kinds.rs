//! What makes a tunnel of a benchmark the kind that its case says: the headers that it puts between, and what it knows.

use std::sync::Arc;

use adit_dataplane::tables::labels::{LabelAction, LabelHop, LabelTable, Labels};
use adit_dataplane::tables::neighbor::AdjacencyId;
use adit_dataplane::tables::soft_state::TunnelPath;
use adit_dataplane::tunnel::TunnelSetup;
use adit_dataplane::tunnel::erspan::{Erspan, Version};
use adit_dataplane::tunnel::frames::FrameRules;
use adit_dataplane::tunnel::gre::Gre;
use adit_dataplane::tunnel::lookup::Protocols;
use adit_dataplane::tunnel::peers::isatap::Isatap;
use adit_dataplane::tunnel::peers::six_rd::{SixRd, SixRdSetup};
use adit_dataplane::tunnel::peers::{Kind as PeerKind, Peers};
use adit_dataplane::tunnel::policy::SourceFilter;
use adit_dataplane::tunnel::remotes::{Remote, Remotes};
use adit_dataplane::tunnel::shim::{Kind, Shim};
use adit_dataplane::tunnel::source_port::{PortRange, SourcePort};
use adit_dataplane::tunnel::udp::{Udp, UdpHeader};
use adit_dataplane::tunnel::vxlan::Vxlan;
use adit_dataplane::wire::mpls::MplsLabel;
use adit_dataplane::wire::{Family, protocol};

use crate::packets::{
    Between, ISATAP_PREFIX, LAN, LOCAL4, SIX_RD_PREFIX, SIX_RD_RELAYS, remote4, station,
};

impl Between {
    /// What the tunnel carries.
    pub(crate) fn protocols(self) -> Protocols {
        match self {
            Self::Mpls | Self::MplsGre => Protocols::MPLS,
            Self::Minimal => Protocols::IPV4,
            Self::SixRd | Self::Isatap => Protocols::IPV6,
            _ if self.is_of_frames() => Protocols::ETHERNET,
            _ => Protocols::IPV4.with(Protocols::IPV6),
        }
    }

    /// What is between the headers, of which the outer one is of this family.
    pub(crate) fn shim(self, outer: Family) -> Shim {
        let key = Some(Self::KEY);
        match self {
            Self::Gre | Self::Gretap | Self::MplsGre => Kind::Gre(Gre::default()).into(),
            Self::KeyedGre => {
                Kind::Gre(Gre { output_key: key, input_key: key, ..Gre::default() }).into()
            }
            Self::SummedGre => Kind::Gre(Gre { has_checksum: true, ..Gre::default() }).into(),
            Self::NumberedGre => {
                let sequences = Some(Arc::default());
                Kind::Gre(Gre { has_sequence: true, sequences, ..Gre::default() }).into()
            }
            Self::Minimal => Kind::Minimal.into(),
            Self::Erspan | Self::ErspanOne | Self::ErspanThree => self.erspan().into(),
            _ => match self.udp_header() {
                Some(header) => self.in_udp(header, outer),
                None => Shim::default(),
            },
        }
    }

    fn erspan(self) -> Kind {
        let session = Self::NETWORK.into();
        let version = match self {
            Self::ErspanOne => Version::One,
            Self::ErspanThree => Version::Three { session, hardware_id: 3, is_egress: None },
            _ => Version::Two { session, index: 7 },
        };
        Kind::Erspan(Erspan { version, sequences: Some(Arc::default()) })
    }

    fn udp_header(self) -> Option<UdpHeader> {
        let id = Self::NETWORK.into();
        Some(match self {
            Self::Fou | Self::BareFou => UdpHeader::Fou { carries: protocol::IPV4 },
            Self::FouGre => UdpHeader::Fou { carries: protocol::GRE },
            Self::Gue => UdpHeader::Gue,
            Self::GueDirect => UdpHeader::GueDirect,
            Self::Vxlan | Self::VxlanRemotes | Self::VxlanFlood => {
                UdpHeader::Vxlan(Vxlan { id, is_strict: false })
            }
            Self::Geneve | Self::GenevePackets => UdpHeader::Geneve { id },
            _ => return None,
        })
    }

    fn in_udp(self, header: UdpHeader, outer: Family) -> Shim {
        let is_bare_vxlan = outer == Family::Ipv4 && matches!(header, UdpHeader::Vxlan(_));
        let udp = Udp {
            listens_at: self.udp_port(),
            sends_to: self.udp_port(),
            sends_from: SourcePort::ByFlow(PortRange::DYNAMIC),
            has_checksum: !is_bare_vxlan && self != Self::BareFou,
            needs_no_checksum: false,
            header,
        };
        let has_gre = self == Self::FouGre;
        Shim { udp: Some(udp), kind: if has_gre { Kind::Gre(Gre::default()) } else { Kind::None } }
    }

    /// Makes a tunnel this kind, beyond its headers. `is_encap`: packets go into it.
    pub(crate) fn put(self, setup: &mut TunnelSetup, is_encap: bool) {
        setup.put_shim(self.shim(setup.outer));
        match self {
            Self::Minimal => setup.put_minimal(),
            Self::Mpls | Self::MplsGre => give_label(setup),
            Self::SixRd => give_peers(setup, six_rd()),
            Self::Isatap => give_peers(setup, PeerKind::Isatap(Isatap::new([ISATAP_PREFIX], &[]))),
            _ if self.is_of_frames() => {
                let is_session = is_encap && self.is_of_copies();
                let rules =
                    if is_session { FrameRules::of_copies(None) } else { FrameRules::any(LAN) };
                let remotes = self.remotes(is_encap).map(Box::new);
                setup.remote = setup.remote.filter(|_| remotes.is_none());
                setup.protocols = Protocols::ETHERNET;
                setup.frames = Some(FrameRules { remotes, ..rules });
                setup.mtu -= setup.link_header_len();
            }
            _ => {}
        }
    }

    /// The remotes of a tunnel that has several. Where frames go into it each has a station, otherwise they are heard.
    fn remotes(self, is_encap: bool) -> Option<Remotes> {
        let count = self.remote_count()?;
        let remote = |number| Remote { address: remote4(number).into(), path: TunnelPath(0) };
        let stations = (0..if is_encap { count } else { 0 })
            .map(|number| (station(number), remote4(number).into()));
        Some(Remotes::new((0..count).map(remote), stations, Some(Arc::default())))
    }
}

/// It is the relay of a 6rd domain.
fn six_rd() -> PeerKind {
    PeerKind::SixRd(SixRd::new(&SixRdSetup {
        prefix: SIX_RD_PREFIX,
        relay_prefix: SIX_RD_RELAYS,
        border_relays: Box::new([LOCAL4]),
        is_relay: true,
        local: LOCAL4,
    }))
}

/// Any source inside that says where it comes from is believed.
fn give_peers(setup: &mut TunnelSetup, kind: PeerKind) {
    setup.remote = None;
    setup.protocols = Protocols::IPV6;
    setup.inner_source = SourceFilter::Off;
    setup.peers = Some(Box::new(Peers::new(kind, None, None)));
}

fn label() -> MplsLabel {
    MplsLabel::new(100).expect("a label, because it has 20 bits")
}

fn one_label() -> Labels {
    Labels::new(&[label()]).expect("one label")
}

/// Label 100 is popped where it arrives, and put in front of what is sent.
fn give_label(setup: &mut TunnelSetup) {
    setup.protocols = Protocols::MPLS;
    setup.put_labels(one_label());
    let table: LabelTable = [(label(), LabelAction::PopIp)].into_iter().collect();
    setup.mpls.labels = Some(Arc::new(table));
}

/// Label 100 becomes itself, on its way to a host.
pub(crate) fn swapping(to: AdjacencyId) -> Arc<LabelTable> {
    let swap = LabelAction::Swap(one_label(), LabelHop::Host(to));
    Arc::new([(label(), swap)].into_iter().collect())
}
