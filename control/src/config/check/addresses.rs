//! Who owns which address, and which nets are connected where.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::super::mistake::MistakeKind;
use super::super::prefixes::PrefixTable;
use super::super::report::Report;
use super::super::tunnel::Family;
use super::{Drafts, Holder};

/// Every address of ours.
pub(super) type Owned = FxHashMap<IpAddr, Holder>;

/// Why an address can't be that of a host; `None` if it can.
pub(super) fn not_a_host(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => not_an_ipv4_host(address),
        IpAddr::V6(address) => not_an_ipv6_host(address),
    }
}

fn not_an_ipv4_host(address: Ipv4Addr) -> Option<&'static str> {
    let first = address.octets()[0];
    match first {
        _ if address.is_unspecified() => Some("the unspecified address"),
        _ if address.is_broadcast() => Some("the broadcast address"),
        0 => Some("in 0.0.0.0/8, which has no hosts"),
        127 => Some("a loopback address"),
        224..=239 => Some("a multicast address"),
        240..=255 => Some("in 240.0.0.0/4, which is reserved"),
        _ => None,
    }
}

fn not_an_ipv6_host(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.is_loopback() {
        Some("the loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.to_ipv4_mapped().is_some() {
        Some("an IPv4-mapped address")
    } else {
        None
    }
}

pub(super) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Why an address of a net can't be a host's: it names the net itself, or all hosts in it.
pub(super) fn not_a_host_of(net: IpNet, address: IpAddr) -> Option<String> {
    // RFC 3021 and RFC 6164: nets of two addresses have hosts only.
    if net.max_prefix_len() - net.prefix_len() < 2 {
        return None;
    }
    if address == net.network() {
        return Some(match net {
            IpNet::V4(_) => format!("the address of the net {} itself", net.trunc()),
            IpNet::V6(_) => format!("the anycast address of all routers in {}", net.trunc()),
        });
    }
    match net {
        IpNet::V4(_) if address == net.broadcast() => {
            Some(format!("the broadcast address of {}", net.trunc()))
        }
        _ => None,
    }
}

/// Checks each address by itself, and that no address and no net has two holders.
pub(super) fn check(report: &mut Report, drafts: &Drafts<'_>, nets: &ConnectedNets) -> Owned {
    let mut owned = Owned::default();
    for (holder, position, net) in drafts.addresses() {
        check_address(report, drafts, holder, position, net);
        let address = net.addr();
        let earlier = owned.get(&address).copied();
        let may_repeat = is_link_local(address) && earlier != Some(holder);
        match earlier {
            Some(earlier) if !may_repeat => {
                own_twice(report, drafts, (holder, position), address, earlier);
            }
            Some(_) => {}
            None => {
                owned.insert(address, holder);
            }
        }
    }
    check_nets(report, drafts, nets);
    owned
}

fn check_address(
    report: &mut Report,
    drafts: &Drafts<'_>,
    holder: Holder,
    position: usize,
    net: IpNet,
) {
    let address = net.addr();
    let wrong = not_a_host(address).map(str::to_owned).or_else(|| not_a_host_of(net, address));
    if let Some(what) = wrong {
        drafts.spot(report, holder).at_address(position, |place, mark| {
            report
                .error(place, mark, MistakeKind::Address, format!("{address} is {what}"))
                .advise("write an address that a host can have");
        });
    } else if holder == Holder::Loopback && net.prefix_len() < net.max_prefix_len() {
        drafts.spot(report, holder).at_address(position, |place, mark| {
            let message = format!("only {address} itself becomes ours, not all of {}", net.trunc());
            report
                .warn(place, mark, MistakeKind::Address, message)
                .advise(format!("write {address}/{}", net.max_prefix_len()));
        });
    }
    if let Holder::Tunnel(index) = holder
        && let Some(draft) = drafts.tunnels.get(index)
        && !draft.is_broken
        && !draft.tunnel.carries(Family::of(address))
    {
        let family = Family::of(address).as_str();
        drafts.spot(report, holder).at_address(position, |place, mark| {
            let message = format!("a tunnel of mode {} carries no {family}", draft.tunnel.mode);
            report
                .error(place, mark, MistakeKind::WrongFamily, message)
                .advise(format!("leave the address out, or choose a mode that carries {family}"));
        });
    }
}

fn own_twice(
    report: &mut Report,
    drafts: &Drafts<'_>,
    (holder, position): (Holder, usize),
    address: IpAddr,
    earlier: Holder,
) {
    let other = drafts.name(earlier);
    drafts.spot(report, holder).at_address(position, |place, mark| {
        let message = format!("{address} is an address of {other} already");
        report
            .error(place, mark, MistakeKind::Address, message)
            .advise("give each address to one of them");
    });
}

/// The nets that are connected to ports and tunnels.
#[derive(Debug)]
pub(super) struct ConnectedNets {
    table: PrefixTable<Holder>,
}

impl ConnectedNets {
    pub(super) fn new(drafts: &Drafts<'_>) -> Self {
        let mut table = PrefixTable::default();
        for (holder, _, net) in drafts.addresses() {
            if holder != Holder::Loopback && !is_link_local(net.addr()) {
                table.entry_or_insert_with(net, || holder);
            }
        }
        Self { table }
    }

    /// What the net around an address is connected to, and that net: the longest one.
    pub(super) fn around(&self, address: IpAddr) -> Option<(IpNet, Holder)> {
        self.table.around(address).next().map(|(net, holder)| (net, *holder))
    }

    /// What exactly this net is connected to.
    pub(super) fn exactly(&self, net: IpNet) -> Option<Holder> {
        self.table.get(net).copied()
    }

    /// The nets of ports, as a sentence lists them.
    pub(super) fn of_ports(&self, drafts: &Drafts<'_>) -> String {
        const SHOWN: usize = 6;
        let mut nets: Vec<_> = self
            .table
            .iter()
            .filter(|(_, holder)| matches!(holder, Holder::Port(_)))
            .map(|(net, holder)| format!("{net} on {}", drafts.name(*holder)))
            .collect();
        nets.sort();
        nets.truncate(SHOWN);
        nets.join(", ")
    }
}

/// Two holders of one net make a route that goes either way; a port's net inside another port's is odd.
fn check_nets(report: &mut Report, drafts: &Drafts<'_>, nets: &ConnectedNets) {
    for (holder, position, net) in drafts.addresses() {
        let is_host = net.prefix_len() == net.max_prefix_len();
        if holder == Holder::Loopback || is_host || is_link_local(net.addr()) {
            continue;
        }
        let first = nets.exactly(net).filter(|first| *first != holder);
        if let Some(first) = first {
            let other = drafts.name(first);
            drafts.spot(report, holder).at_address(position, |place, mark| {
                let message = format!("the net {} is connected to {other} already", net.trunc());
                report
                    .error(place, mark, MistakeKind::Address, message)
                    .advise("packets can go only one way: give each net to one of them");
            });
            continue;
        }
        let wider = nets.table.around(net.addr()).find(|(other, other_holder)| {
            other.prefix_len() < net.prefix_len() && **other_holder != holder
        });
        if let (Holder::Port(_), Some((wider, other))) = (holder, wider)
            && matches!(other, Holder::Port(_))
        {
            let other = drafts.name(*other);
            drafts.spot(report, holder).at_address(position, |place, mark| {
                let message = format!("the net {} lies within {wider} of {other}", net.trunc());
                report.warn(place, mark, MistakeKind::Address, message).advise(
                    "hosts on the wider net will look for these addresses on their own link",
                );
            });
        }
    }
}
