//! Routes: from what is written to next hops that can be reached.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;

use adit_dataplane::tunnel::peers::Peers;
use ipnet::IpNet;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::super::files::Text;
use super::super::keys::nearest;
use super::super::mistake::MistakeKind;
use super::super::model::{NextHop, Route, RouteAction, Via};
use super::super::read::default_prefix;
use super::super::report::{Place, Report};
use super::super::routes::{Destination, NextHopDraft, RouteDraft};
use super::super::tunnel::Family;
use super::super::tunnels::TunnelDraft;
use super::super::words::{Mode, Refusal};
use super::addresses::{ConnectedNets, Owned, is_link_local, not_a_host, not_a_host_of};
use super::frames::why_attached;
use super::{Drafts, Holder, Misspelled, Names};
use crate::yaml::Mark;

/// Everything that gateways and names are looked up in.
struct Resolver<'d, 't> {
    drafts: &'d Drafts<'t>,
    names: &'d Names<'d>,
    owned: &'d Owned,
    nets: &'d ConnectedNets,
    misspelled: &'d Misspelled,
}

/// Where the first route of a destination and metric was written.
type Seen<'t> = FxHashMap<(IpNet, u32), (&'t Text, Mark)>;

/// Resolves the routes of each file, then the shorthand ones; those that can't work are reported and left out.
pub(super) fn resolve<'t>(
    report: &mut Report,
    drafts: &Drafts<'t>,
    files: Vec<Vec<RouteDraft<'t>>>,
    names: &Names<'_>,
    owned: &Owned,
    nets: &ConnectedNets,
    misspelled: &Misspelled,
) -> Vec<Route> {
    let resolver = Resolver { drafts, names, owned, nets, misspelled };
    let written: usize = files.iter().map(Vec::len).sum();
    let short: usize = drafts.tunnels.iter().map(|draft| draft.tunnel.routes.len()).sum();
    let count = written + short;
    let mut routes = Vec::with_capacity(count);
    let mut seen: Seen<'t> = FxHashMap::with_capacity_and_hasher(count, FxBuildHasher);
    let mut take = |report: &mut Report, draft: &RouteDraft<'t>, route: Option<Route>| {
        let Some(route) = route else { return };
        resolver.refuse_duplicate(report, draft, &route, &mut seen);
        routes.push(route);
    };
    for draft in files.into_iter().flatten() {
        let route = resolver.route(report, &draft);
        take(report, &draft, route);
    }
    for tunnel in &drafts.tunnels {
        for (position, to) in tunnel.tunnel.routes.iter().enumerate() {
            let draft = RouteDraft::shorthand(tunnel.written, position, *to);
            let route = shorthand(report, &draft, tunnel, *to);
            take(report, &draft, Some(route));
        }
    }
    routes
}

impl<'t> Resolver<'_, 't> {
    fn route(&self, report: &mut Report, draft: &RouteDraft<'_>) -> Option<Route> {
        let mut hops: Vec<NextHop> = Vec::with_capacity(draft.next_hops.len());
        let mut is_whole = true;
        for hop in &draft.next_hops {
            let Some(via) = self.next_hop(report, draft, hop) else {
                is_whole = false;
                continue;
            };
            if hops.iter().any(|other| other.via == via) {
                let key = if hop.tunnel.is_some() { "tunnel" } else { "via" };
                draft.at_next_hop(report, hop, key, |report, place, mark| {
                    report
                        .error(place, mark, MistakeKind::Duplicate, "this next hop is here twice")
                        .advise("keep one, and give it the weight of both");
                });
                is_whole = false;
            }
            hops.push(NextHop { weight: hop.weight, via });
        }
        let to = self.destination(report, draft)?;
        is_whole &= self.families_fit(report, draft, to);
        let action = match draft.refusal {
            None => RouteAction::NextHops(hops),
            Some(Refusal::Blackhole) => RouteAction::Blackhole,
            Some(Refusal::Unreachable) => RouteAction::Unreachable,
            Some(Refusal::Prohibit) => RouteAction::Prohibit,
        };
        is_whole.then_some(Route { to, metric: draft.metric, action, is_shorthand: false })
    }

    fn next_hop(
        &self,
        report: &mut Report,
        draft: &RouteDraft<'_>,
        hop: &NextHopDraft,
    ) -> Option<Via> {
        match (hop.tunnel.as_deref(), hop.via, hop.port.as_deref()) {
            (Some(name), None, None) => self.tunnel(report, draft, hop, name),
            (Some(name), Some(address), None) if self.has_many_peers(name) => {
                let index = *self.names.tunnels.get(name)?;
                self.peer(report, draft, hop, (index, address))
            }
            (Some(_), ..) => {
                let key = if hop.via.is_some() { "via" } else { "port" };
                draft.at_next_hop(report, hop, key, |report, place, mark| {
                    let message = format!("a route through a tunnel has no {key:?}");
                    report
                        .error(place, mark, MistakeKind::DoesNotApply, message)
                        .advise("leave it out: the tunnel has one far end");
                });
                None
            }
            (None, Some(address), port) => self.gateway(report, draft, hop, (address, port)),
            (None, None, _) => {
                draft.at_next_hop(report, hop, "port", |report, place, mark| {
                    let message = "a port alone is no next hop";
                    report.error(place, mark, MistakeKind::Missing, message).advise(
                        "name the gateway in `via`; a net on the port itself needs an address there",
                    );
                });
                None
            }
        }
    }

    fn tunnel(
        &self,
        report: &mut Report,
        draft: &RouteDraft<'_>,
        hop: &NextHopDraft,
        name: &str,
    ) -> Option<Via> {
        let known = self.names.tunnels.get(name).and_then(|index| self.drafts.tunnels.get(*index));
        if let Some(known) = known {
            return Some(Via::Tunnel(known.tunnel.name.clone()));
        }
        if self.misspelled.has(name) {
            return None;
        }
        draft.at_next_hop(report, hop, "tunnel", |report, place, mark| {
            let message = format!("there is no tunnel {name:?}");
            let note = report.error(place, mark, MistakeKind::UnknownName, message);
            if self.names.ports.contains_key(name) {
                note.advise("it is a port: name the gateway on it in `via`");
            } else if let Some(name) = nearest(name, self.names.tunnels.keys().map(|name| &**name))
            {
                note.advise(format!("did you mean {name:?}?"));
            }
        });
        None
    }

    fn gateway(
        &self,
        report: &mut Report,
        draft: &RouteDraft<'_>,
        hop: &NextHopDraft,
        (address, port): (IpAddr, Option<&str>),
    ) -> Option<Via> {
        let index = match port {
            Some(port) => Some(self.port(report, draft, hop, port)?),
            None => None,
        };
        let found = self.find_gateway(address, index);
        match found {
            Ok(Holder::Port(index)) => {
                let port = self.drafts.ports.get(index)?.port.name.clone();
                Some(Via::Gateway { address, port })
            }
            Ok(Holder::Tunnel(index)) if self.is_of_many_peers(index) => {
                self.peer(report, draft, hop, (index, address))
            }
            Ok(Holder::Tunnel(index)) => {
                Some(Via::Tunnel(self.drafts.tunnels.get(index)?.tunnel.name.clone()))
            }
            Ok(Holder::Loopback) => None,
            Err(_) if self.is_misspelled(address) => None,
            Err((message, advice)) => {
                draft.at_next_hop(report, hop, "via", |report, place, mark| {
                    report.error(place, mark, MistakeKind::Route, message).advise(advice);
                });
                None
            }
        }
    }

    fn has_many_peers(&self, name: &str) -> bool {
        self.names.tunnels.get(name).is_some_and(|index| self.is_of_many_peers(*index))
    }

    fn is_of_many_peers(&self, index: usize) -> bool {
        self.drafts.tunnels.get(index).is_some_and(|draft| draft.tunnel.mode.has_many_peers())
    }

    /// A peer of a tunnel that has many: its address must say who it is.
    fn peer(
        &self,
        report: &mut Report,
        draft: &RouteDraft<'_>,
        hop: &NextHopDraft,
        (index, address): (usize, IpAddr),
    ) -> Option<Via> {
        let known = self.drafts.tunnels.get(index)?;
        let is_peer = |address: Ipv6Addr| {
            let kind = known.tunnel.peer_kind();
            let peers = kind.map(|kind| Peers::new(kind, [], None));
            // What is wrong with a tunnel has been reported there.
            known.is_broken || peers.is_none_or(|peers| peers.embedded(address.into()).is_some())
        };
        match address {
            IpAddr::V6(address) if is_peer(address) => {
                Some(Via::Peer { tunnel: known.tunnel.name.clone(), address })
            }
            _ => {
                let (name, mode) = (&known.tunnel.name, known.tunnel.mode);
                draft.at_next_hop(report, hop, "via", |report, place, mark| {
                    let message =
                        format!("{address} is not the address of a peer of tunnel {name}");
                    report.error(place, mark, MistakeKind::Route, message).advise(match mode {
                        Mode::Isatap => {
                            "write one such as fe80::5efe:192.0.2.1, with the IPv4 address in it"
                        }
                        _ => "write an address of the domain",
                    });
                });
                None
            }
        }
    }

    /// Its net is probably one of those that were written wrong, which has been reported.
    fn is_misspelled(&self, address: IpAddr) -> bool {
        self.nets.around(address).is_none() && self.misspelled.resembles(address)
    }

    fn port(
        &self,
        report: &mut Report,
        draft: &RouteDraft<'_>,
        hop: &NextHopDraft,
        name: &str,
    ) -> Option<usize> {
        if let Some(index) = self.names.ports.get(name) {
            return Some(*index);
        }
        if self.misspelled.has(name) {
            return None;
        }
        draft.at_next_hop(report, hop, "port", |report, place, mark| {
            let message = format!("there is no port {name:?}");
            let note = report.error(place, mark, MistakeKind::UnknownName, message);
            if self.names.tunnels.contains_key(name) {
                note.advise(format!("it is a tunnel: write tunnel: {name}"));
            } else if let Some(name) = nearest(name, self.names.ports.keys().copied()) {
                note.advise(format!("did you mean {name:?}?"));
            }
        });
        None
    }

    /// Where a gateway is, or why it can't be one and what to do.
    fn find_gateway(
        &self,
        address: IpAddr,
        port: Option<usize>,
    ) -> Result<Holder, (String, String)> {
        let host = || "write the address of the gateway".to_owned();
        if let Some(what) = not_a_host(address) {
            return Err((format!("{address} is {what}"), host()));
        }
        if is_link_local(address) {
            let advice = "name the port it is on: port: NAME".to_owned();
            let index = port.ok_or((format!("{address} is link-local"), advice))?;
            let name = self.drafts.ports.get(index).map(|draft| &*draft.port.name);
            let why = name.and_then(|name| why_attached(name, self.drafts, self.names));
            return why.map_or(Ok(Holder::Port(index)), |why| {
                let advice = "name the port that the gateway is on, or attach another one";
                Err((format!("{why}, and {address} is nobody there"), advice.to_owned()))
            });
        }
        if let Some(holder) = self.owned.get(&address) {
            let holder = self.drafts.name(*holder);
            return Err((format!("{address} is our own address, of {holder}"), host()));
        }
        let Some((net, holder)) = self.nets.around(address) else {
            let nets = self.nets.of_ports(self.drafts);
            let advice = if nets.is_empty() {
                "give a port an address in the gateway's net".to_owned()
            } else {
                format!("a gateway is a neighbor; connected nets are {nets}")
            };
            return Err((format!("{address} is on no connected net"), advice));
        };
        if let Some(what) = not_a_host_of(net, address) {
            return Err((format!("{address} is {what}"), host()));
        }
        match port {
            Some(index) if holder != Holder::Port(index) => {
                let wrong = self.drafts.name(Holder::Port(index));
                let right = self.drafts.name(holder);
                let message = format!("{address} is not on {wrong}, but on {right}");
                Err((message, "leave `port` out, or name that one".to_owned()))
            }
            _ => Ok(holder),
        }
    }

    /// The prefix; that of `default` is the next hop's family's.
    fn destination(&self, report: &mut Report, draft: &RouteDraft<'_>) -> Option<IpNet> {
        let Destination::Default = draft.to else {
            let Destination::Prefix(prefix) = draft.to else { return None };
            return Some(prefix);
        };
        let mut families = draft.next_hops.iter().filter_map(|hop| self.family_of(hop));
        if let Some(family) = families.next() {
            return Some(default_prefix(family == Family::Ipv4));
        }
        // A tunnel that does not exist has been reported; any family will do.
        let exists = |hop: &NextHopDraft| {
            hop.tunnel.as_deref().is_some_and(|name| self.names.tunnels.contains_key(name))
        };
        if !draft.next_hops.is_empty() && !draft.next_hops.iter().any(exists) {
            return None;
        }
        draft.at_destination(report, |report, place, mark| {
            let message = "this could be the default route of IPv4 or of IPv6";
            report
                .error(place, mark, MistakeKind::Route, message)
                .advise("write 0.0.0.0/0 or \"::/0\"");
        });
        None
    }

    /// The family that a next hop decides on.
    fn family_of(&self, hop: &NextHopDraft) -> Option<Family> {
        if let Some(address) = hop.via {
            return Some(Family::of(address));
        }
        let index = self.names.tunnels.get(hop.tunnel.as_deref()?)?;
        let tunnel = &self.drafts.tunnels.get(*index)?.tunnel;
        match (tunnel.carries(Family::Ipv4), tunnel.carries(Family::Ipv6)) {
            (true, false) => Some(Family::Ipv4),
            (false, true) => Some(Family::Ipv6),
            _ => None,
        }
    }

    fn families_fit(&self, report: &mut Report, draft: &RouteDraft<'_>, to: IpNet) -> bool {
        let family = Family::of(to.addr());
        let mut fits = true;
        for hop in &draft.next_hops {
            if let Some(address) = hop.via.filter(|address| Family::of(*address) != family) {
                fits = false;
                draft.at_next_hop(report, hop, "via", |report, place, mark| {
                    let other = family.as_str();
                    let message =
                        format!("{address} can't be the next hop of {to}, which is {other}");
                    report
                        .error(place, mark, MistakeKind::WrongFamily, message)
                        .advise(format!("write an {other} address"));
                });
            }
            let index = hop.tunnel.as_deref().and_then(|name| self.names.tunnels.get(name));
            if let Some(tunnel) = index.and_then(|index| self.drafts.tunnels.get(*index)) {
                warn_of_payload(report, draft, Some(hop), tunnel, to);
            }
        }
        fits
    }

    fn refuse_duplicate(
        &self,
        report: &mut Report,
        draft: &RouteDraft<'t>,
        route: &Route,
        seen: &mut Seen<'t>,
    ) {
        let here = (draft.written.text, draft.written.mark);
        let earlier = seen.insert((route.to, route.metric), here);
        let connected = self.nets.exactly(route.to).filter(|_| route.metric == 0);
        let (message, advice) = if let Some((text, mark)) = earlier {
            let earlier = Place::root(&text.name).location(mark);
            (
                format!(
                    "there is a route to {} of metric {} already ({earlier})",
                    route.to, route.metric
                ),
                "give one of them another metric, or write both as `next-hops` of one route",
            )
        } else if let Some(holder) = connected {
            let holder = self.drafts.name(holder);
            (
                format!("the net {} is connected to {holder}", route.to),
                "leave the route out, or give it a metric above 0",
            )
        } else {
            return;
        };
        draft.at_destination(report, |report, place, mark| {
            report.error(place, mark, MistakeKind::Duplicate, message).advise(advice);
        });
    }
}

/// The route that a tunnel's shorthand stands for.
fn shorthand(
    report: &mut Report,
    draft: &RouteDraft<'_>,
    tunnel: &TunnelDraft<'_>,
    to: IpNet,
) -> Route {
    warn_of_payload(report, draft, None, tunnel, to);
    let via = Via::Tunnel(tunnel.tunnel.name.clone());
    let hop = NextHop { weight: NonZeroU16::MIN, via };
    let action = RouteAction::NextHops(vec![hop]);
    Route { to, metric: draft.metric, action, is_shorthand: true }
}

/// C-013: accepted, because a tunnel's mode may change later; but nothing will pass. `hop` is the next hop that
/// names the tunnel, if the route is no shorthand.
fn warn_of_payload(
    report: &mut Report,
    draft: &RouteDraft<'_>,
    hop: Option<&NextHopDraft>,
    known: &TunnelDraft<'_>,
    to: IpNet,
) {
    let family = Family::of(to.addr());
    if known.is_broken || known.tunnel.carries(family) || report.is_full_of_warnings() {
        return;
    }
    let warn = |report: &mut Report, place: &Place<'_>, mark| {
        let (family, mode, name) = (family.as_str(), known.tunnel.mode, &known.tunnel.name);
        let message =
            format!("{to} leads into tunnel {name}, which carries no {family} (mode {mode})");
        report
            .warn(place, mark, MistakeKind::WrongFamily, message)
            .advise(if known.tunnel.carries_mpls() {
                "write push: [LABEL] in the tunnel; without it such packets are answered as unreachable"
            } else {
                "such packets are answered as unreachable"
            });
    };
    match hop {
        Some(hop) => draft.at_next_hop(report, hop, "tunnel", warn),
        None => draft.at_destination(report, warn),
    }
}
