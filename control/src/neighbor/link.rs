//! Our side of one link: which addresses are ours, which can be neighbors, how we ask and tell.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use adit_dataplane::clock::Nanos;
use adit_dataplane::interface::PortId;
use adit_dataplane::wire::arp::Arp;
use adit_dataplane::wire::ethernet::MacAddress;
use adit_dataplane::wire::mld::{self, Record};
use adit_dataplane::wire::nd::{self, Advertisement, Solicitation};
use adit_dataplane::worker::exchange::FRAME_MAX;
use ipnet::IpNet;

use super::{AddressState, PortSetup};

const _: () = assert!(mld::FRAME_LEN_MAX <= FRAME_MAX, "a report fits the ring to a worker");

#[derive(Debug)]
pub(super) struct Link {
    pub(super) port: PortId,
    pub(super) mac: MacAddress,
    /// The link-local one that the configuration does not name comes last, without a net.
    addresses: Vec<Own>,
}

/// An address that this node was given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    net: IpNet,
    pub(super) state: AddressState,
    /// When nobody will have objected to a tentative one; `None`: nobody has been asked.
    pub(super) proved_at: Option<Nanos>,
    /// The configuration names it.
    pub(super) is_configured: bool,
}

impl Own {
    pub(super) fn address(&self) -> IpAddr {
        self.net.addr()
    }

    pub(super) fn is_usable(&self) -> bool {
        self.state == AddressState::Usable
    }
}

impl Link {
    /// Without addresses.
    pub(super) fn bare(setup: &PortSetup) -> Self {
        Self { port: setup.id, mac: setup.mac, addresses: Vec::new() }
    }

    /// With the addresses of a configuration. What `before` knew of them stays true.
    pub(super) fn new(setup: &PortSetup, before: &Self) -> Self {
        let own = |net: IpNet, is_configured| {
            let known = before.addresses.iter().find(|own| own.address() == net.addr());
            let (state, proved_at) = match known {
                _ if net.addr().is_ipv4() || !setup.proves_addresses => {
                    (AddressState::Usable, None)
                }
                Some(known) => (known.state, known.proved_at),
                None => (AddressState::Tentative, None),
            };
            Own { net, state, proved_at, is_configured }
        };
        let mut addresses: Vec<Own> = setup.addresses.iter().map(|net| own(*net, true)).collect();
        if !setup.addresses.iter().any(|net| net.addr() == setup.link_local) {
            addresses.push(own(IpNet::from(IpAddr::V6(setup.link_local)), false));
        }
        Self { port: setup.id, mac: setup.mac, addresses }
    }

    /// All addresses, whether they can be used or not.
    pub(super) fn all(&self) -> &[Own] {
        &self.addresses
    }

    /// The same, to be changed.
    pub(super) fn all_mut(&mut self) -> &mut [Own] {
        &mut self.addresses
    }

    /// An address that we were given.
    pub(super) fn get(&self, address: IpAddr) -> Option<&Own> {
        self.addresses.iter().find(|own| own.address() == address)
    }

    /// Those that we use.
    pub(super) fn own(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().filter(|own| own.is_usable()).map(Own::address)
    }

    /// Whether it is one that we use.
    pub(super) fn owns(&self, address: IpAddr) -> bool {
        self.own().any(|own| own == address)
    }

    /// Whether it is one that we would like to have, and nobody has objected yet.
    pub(super) fn is_tentative(&self, address: IpAddr) -> bool {
        self.get(address).is_some_and(|own| own.state == AddressState::Tentative)
    }

    /// Whether it can be the address of a single host other than us.
    pub(super) fn can_be_neighbor(&self, address: IpAddr) -> bool {
        let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        let is_nobody = address.is_unspecified() || address.is_loopback();
        let is_ours = self.get(address).is_some();
        !(is_nobody || address.is_multicast() || is_broadcast || is_ours)
    }

    /// Whether it can be a neighbor, and is on a net that is connected here.
    pub(super) fn is_connected(&self, address: IpAddr) -> bool {
        let is_host = |net: &IpNet| {
            // The all-zeros and all-ones addresses of a net are its own, but for /31 and /32.
            let is_edge = address == net.network() || address == net.broadcast();
            net.contains(&address) && !(address.is_ipv4() && net.prefix_len() < 31 && is_edge)
        };
        self.can_be_neighbor(address)
            && (is_link_local(address) || self.addresses.iter().any(|own| is_host(&own.net)))
    }

    /// The address of ours that asks for `target`, among those that `may` ask: one on its net if there
    /// is one.
    fn source_for(&self, target: IpAddr, may: impl Fn(&Own) -> bool) -> Option<IpAddr> {
        let mut able = self.addresses.iter().filter(|own| may(own));
        if is_link_local(target) {
            return able.map(Own::address).find(|&own| is_link_local(own));
        }
        let on_its_net = able.clone().find(|own| own.net.contains(&target));
        on_its_net
            .or_else(|| able.find(|own| own.address().is_ipv4() == target.is_ipv4()))
            .map(Own::address)
    }

    /// Whether [`request`](Self::request) has a frame for it, or will have when an address of ours has
    /// turned out to be nobody else's.
    pub(super) fn can_ask(&self, target: IpAddr) -> bool {
        self.source_for(target, |own| own.state != AddressState::Duplicate).is_some()
    }

    /// The frame that asks for `target`: everybody, or one station whether it is still there.
    pub(super) fn request(&self, target: IpAddr, station: Option<MacAddress>) -> Option<Vec<u8>> {
        let mac = self.mac;
        match (self.source_for(target, Own::is_usable)?, target, station) {
            (IpAddr::V4(source), IpAddr::V4(target), station) => {
                //= RFC 1122 §2.3.2.1: a request to the one station tells whether it still answers.
                let destination = station.unwrap_or(MacAddress::BROADCAST);
                Some(Arp::request(mac, source, target).frame(destination).to_vec())
            }
            (IpAddr::V6(source), IpAddr::V6(target), Some(station)) => {
                Some(Solicitation::probe(mac, source, target).frame(mac, station))
            }
            (IpAddr::V6(source), IpAddr::V6(target), None) => {
                let solicitation = Solicitation::resolve(mac, source, target);
                Some(solicitation.frame(mac, nd::group_mac(solicitation.destination)))
            }
            _ => None,
        }
    }

    /// The frame that asks whether anybody has an address that we would like to have.
    pub(super) fn doubt(&self, address: Ipv6Addr) -> Vec<u8> {
        let solicitation = Solicitation::doubt(address);
        solicitation.frame(self.mac, nd::group_mac(solicitation.destination))
    }

    /// The frame that tells everybody that `address` is ours.
    pub(super) fn announcement(&self, address: IpAddr) -> Vec<u8> {
        let mac = self.mac;
        match address {
            IpAddr::V4(address) => {
                Arp::announcement(mac, address).frame(MacAddress::BROADCAST).to_vec()
            }
            IpAddr::V6(address) => {
                let destination = nd::group_mac(nd::ALL_NODES);
                Advertisement::announcement(mac, address).frame(mac, destination)
            }
        }
    }
}

impl Link {
    /// The groups that solicitations for our addresses go to.
    pub(super) fn groups(&self) -> BTreeSet<Ipv6Addr> {
        let group = |own: &Own| match own.address() {
            IpAddr::V6(address) => Some(nd::solicited_node(address)),
            IpAddr::V4(_) => None,
        };
        let wanted = self.addresses.iter().filter(|own| own.state != AddressState::Duplicate);
        wanted.filter_map(group).collect()
    }

    /// Where reports come from.
    pub(super) fn report_source(&self) -> Ipv6Addr {
        //= RFC 3810 §5.2.13: without a link-local address that can be used yet they come from `::`.
        let own = self.own().find_map(|own| match own {
            IpAddr::V6(own) if own.is_unicast_link_local() => Some(own),
            _ => None,
        });
        own.unwrap_or(Ipv6Addr::UNSPECIFIED)
    }

    /// The same as [`reports`](Self::reports) in version 1: a frame for each group.
    pub(super) fn reports_v1(&self, record: Record, groups: &BTreeSet<Ipv6Addr>) -> Vec<Vec<u8>> {
        let (mac, source) = (self.mac, self.report_source());
        let frame = |&group: &Ipv6Addr| match record {
            Record::Left => mld::done_v1(mac, source, group),
            Record::Listening | Record::Joined => mld::report_v1(mac, source, group),
        };
        groups.iter().map(frame).collect()
    }

    /// The frames that tell routers and switches about groups; none for none.
    pub(super) fn reports(&self, record: Record, groups: &BTreeSet<Ipv6Addr>) -> Vec<Vec<u8>> {
        let source = self.report_source();
        let groups: Vec<Ipv6Addr> = groups.iter().copied().collect();
        let reports = groups.chunks(mld::RECORDS_MAX);
        reports.map(|groups| mld::report(self.mac, source, record, groups)).collect()
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}
