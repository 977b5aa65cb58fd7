//! Our side of one link: which addresses are ours, which can be neighbors, how we ask and tell.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use adit_dataplane::interface::PortId;
use adit_dataplane::wire::arp::Arp;
use adit_dataplane::wire::ethernet::MacAddress;
use adit_dataplane::wire::mld::{self, Record};
use adit_dataplane::wire::nd::{self, Advertisement, Solicitation};
use adit_dataplane::worker::exchange::FRAME_MAX;
use ipnet::IpNet;

use super::PortSetup;

const _: () = assert!(mld::FRAME_LEN_MAX <= FRAME_MAX, "a report fits the ring to a worker");

#[derive(Debug)]
pub(super) struct Link {
    pub(super) port: PortId,
    pub(super) mac: MacAddress,
    /// The link-local one comes last, without a net.
    addresses: Vec<IpNet>,
}

impl Link {
    pub(super) fn new(setup: &PortSetup) -> Self {
        let mut addresses = setup.addresses.clone();
        if !addresses.iter().any(|net| net.addr() == setup.link_local) {
            addresses.push(IpNet::from(IpAddr::V6(setup.link_local)));
        }
        Self { port: setup.id, mac: setup.mac, addresses }
    }

    pub(super) fn own(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().map(IpNet::addr)
    }

    pub(super) fn owns(&self, address: IpAddr) -> bool {
        self.own().any(|own| own == address)
    }

    /// Whether it can be the address of a single host other than us.
    pub(super) fn can_be_neighbor(&self, address: IpAddr) -> bool {
        let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        let is_nobody = address.is_unspecified() || address.is_loopback();
        !(is_nobody || address.is_multicast() || is_broadcast || self.owns(address))
    }

    /// Whether it can be a neighbor, and is on a net that is connected here.
    pub(super) fn is_connected(&self, address: IpAddr) -> bool {
        let is_host = |net: &IpNet| {
            // The all-zeros and all-ones addresses of a net are its own, but for /31 and /32.
            let is_edge = address == net.network() || address == net.broadcast();
            net.contains(&address) && !(address.is_ipv4() && net.prefix_len() < 31 && is_edge)
        };
        self.can_be_neighbor(address)
            && (is_link_local(address) || self.addresses.iter().any(is_host))
    }

    /// The address of ours that asks for `target`: one on its net if there is one.
    fn source_for(&self, target: IpAddr) -> Option<IpAddr> {
        let is_of_its_family = |own: &IpAddr| own.is_ipv4() == target.is_ipv4();
        if is_link_local(target) {
            return self.own().find(|&own| is_link_local(own));
        }
        let on_its_net = self.addresses.iter().find(|net| net.contains(&target)).map(IpNet::addr);
        on_its_net.or_else(|| self.own().find(is_of_its_family))
    }

    /// Whether [`request`](Self::request) has a frame for it.
    pub(super) fn can_ask(&self, target: IpAddr) -> bool {
        self.source_for(target).is_some()
    }

    /// The frame that asks for `target`: everybody, or one station whether it is still there.
    pub(super) fn request(&self, target: IpAddr, station: Option<MacAddress>) -> Option<Vec<u8>> {
        let mac = self.mac;
        match (self.source_for(target)?, target, station) {
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
        let group = |address| match address {
            IpAddr::V6(address) => Some(nd::solicited_node(address)),
            IpAddr::V4(_) => None,
        };
        self.own().filter_map(group).collect()
    }

    /// The frames that tell routers and switches about groups; none for none.
    pub(super) fn reports(&self, record: Record, groups: &BTreeSet<Ipv6Addr>) -> Vec<Vec<u8>> {
        let own = self.own().find_map(|own| match own {
            IpAddr::V6(own) if own.is_unicast_link_local() => Some(own),
            _ => None,
        });
        let source = own.unwrap_or(Ipv6Addr::UNSPECIFIED);
        let groups: Vec<Ipv6Addr> = groups.iter().copied().collect();
        let reports = groups.chunks(mld::RECORDS_MAX);
        reports.map(|groups| mld::report(self.mac, source, record, groups)).collect()
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}
