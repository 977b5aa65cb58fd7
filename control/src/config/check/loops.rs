//! Where the outer packets of each tunnel go: never into the tunnel itself, directly or over others, and not
//! through more tunnels than the limit. Tunnels that could send nothing are pointed out.

use std::net::IpAddr;

use super::super::mistake::MistakeKind;
use super::super::model::{Limits, Route, RouteAction, Via};
use super::super::prefixes::PrefixTable;
use super::super::report::Report;
use super::super::tunnel::{Family, Tunnel};
use super::super::tunnels::TunnelDraft;
use super::addresses::ConnectedNets;
use super::ends::at_remote;
use super::{Drafts, Holder, Names};

/// Chains longer than this are not followed; the limit of the configuration is lower.
const CHAIN_LIMIT: usize = 32;

pub(super) fn check(
    report: &mut Report,
    drafts: &Drafts<'_>,
    names: &Names<'_>,
    nets: &ConnectedNets,
    routes: &[Route],
    limits: &Limits,
) {
    let mut table: PrefixTable<&Route> = PrefixTable::default();
    for route in routes {
        let best = table.entry_or_insert_with(route.to, || route);
        if route.metric < best.metric {
            *best = route;
        }
    }
    let count = drafts.tunnels.len();
    let mut search = Search { drafts, names, nets, table, heights: vec![Height::Unknown; count] };
    for index in 0..count {
        search.follow(report, &mut vec![index]);
        if let Some(Height::Of(height)) = search.heights.get(index)
            && *height > usize::from(limits.nested_encaps)
        {
            nest_too_deep(report, drafts, index, *height, limits);
        }
    }
    // Routes with a mistake are missing here; what that seems to leave unreachable is no news.
    if report.has_mistakes() {
        return;
    }
    for draft in drafts.tunnels.iter().filter(|draft| !draft.is_broken) {
        search.check_way(report, draft);
    }
}

#[derive(Clone, Copy)]
enum Height {
    Unknown,
    /// How many tunnels a packet enters that enters this one.
    Of(usize),
    /// Part of a loop that has been reported, or leads into one.
    Loop,
}

struct Search<'d, 't> {
    drafts: &'d Drafts<'t>,
    names: &'d Names<'d>,
    nets: &'d ConnectedNets,
    table: PrefixTable<&'d Route>,
    heights: Vec<Height>,
}

/// What the outer packets of a tunnel meet.
#[derive(Default)]
struct Way {
    ports: Vec<usize>,
    tunnels: Vec<usize>,
    is_refused: bool,
}

impl Search<'_, '_> {
    /// That of a tunnel, to all of its peers.
    fn way_of(&self, tunnel: &Tunnel) -> Option<Way> {
        tunnel.peers().filter_map(|remote| self.way_to(remote)).reduce(|mut all, one| {
            all.ports.extend(one.ports);
            all.tunnels.extend(one.tunnels);
            Way { is_refused: all.is_refused && one.is_refused, ..all }
        })
    }

    fn way_to(&self, remote: IpAddr) -> Option<Way> {
        let mut way = Way::default();
        let route = self.table.around(remote).next();
        let connected = self.nets.around(remote);
        let length = |net: Option<ipnet::IpNet>| net.map_or(-1, |net| i16::from(net.prefix_len()));
        let is_connected =
            length(connected.map(|(net, _)| net)) >= length(route.map(|(net, _)| net));
        if let Some((_, holder)) = connected.filter(|_| is_connected) {
            match holder {
                Holder::Port(index) => way.ports.push(index),
                Holder::Tunnel(index) => way.tunnels.push(index),
                Holder::Loopback => {}
            }
            return Some(way);
        }
        let (_, route) = route?;
        match &route.action {
            RouteAction::NextHops(hops) => {
                for hop in hops {
                    match &hop.via {
                        Via::Gateway { port, .. } => {
                            way.ports.extend(self.names.ports.get(&**port));
                        }
                        Via::Tunnel(name) | Via::Peer { tunnel: name, .. } => {
                            way.tunnels.extend(self.names.tunnels.get(&**name));
                        }
                    }
                }
            }
            _ => way.is_refused = true,
        }
        Some(way)
    }

    /// Finds out how many tunnels follow the last one of `path`.
    fn follow(&mut self, report: &mut Report, path: &mut Vec<usize>) -> Height {
        let Some(&last) = path.last() else { return Height::Of(0) };
        let known = self.heights.get(last).copied().unwrap_or(Height::Of(0));
        let Some(draft) = self.drafts.tunnels.get(last) else { return known };
        if !matches!(known, Height::Unknown) {
            return known;
        }
        // A bound tunnel sends through its port and through nothing else.
        let way = if draft.tunnel.link.is_some() { None } else { self.way_of(&draft.tunnel) };
        let mut height = Height::Of(1);
        for next in way.map(|way| way.tunnels).unwrap_or_default() {
            if let Some(start) = path.iter().position(|index| *index == next) {
                self.report_loop(report, path.get(start..).unwrap_or_default());
                height = Height::Loop;
                break;
            }
            if path.len() >= CHAIN_LIMIT {
                height = Height::Of(CHAIN_LIMIT);
                continue;
            }
            path.push(next);
            let behind = self.follow(report, path);
            path.pop();
            height = match (height, behind) {
                (Height::Of(most), Height::Of(behind)) => Height::Of(most.max(behind + 1)),
                _ => Height::Loop,
            };
        }
        if let Some(known) = self.heights.get_mut(last) {
            *known = height;
        }
        height
    }

    fn report_loop(&self, report: &mut Report, members: &[usize]) {
        let tunnels: Vec<&TunnelDraft<'_>> =
            members.iter().filter_map(|index| self.drafts.tunnels.get(*index)).collect();
        let Some(first) = tunnels.first() else { return };
        // The one that is reached through the next member.
        let next = members.get(1).or(members.first());
        let leads_there = |(_, remote): &(usize, IpAddr)| {
            let way = self.way_to(*remote);
            way.is_some_and(|way| way.tunnels.iter().any(|index| Some(index) == next))
        };
        let Some((index, remote)) = first.tunnel.peers().enumerate().find(leads_there) else {
            return;
        };
        let mut chain: Vec<&str> = tunnels.iter().map(|draft| &*draft.tunnel.name).collect();
        chain.push(&first.tunnel.name);
        at_remote(report, first, index, |report, place, mark| {
            let message = format!(
                "the route to {remote} leads into the tunnel itself: {}",
                chain.join(" → ")
            );
            report.error(place, mark, MistakeKind::Loop, message).advise(format!(
                "add a route to {remote} over a port, more specific than that one"
            ));
        });
    }

    /// Points out tunnels that can send nothing.
    fn check_way(&self, report: &mut Report, draft: &TunnelDraft<'_>) {
        for (index, remote) in draft.tunnel.peers().enumerate() {
            self.check_way_to(report, draft, (index, remote));
        }
    }

    fn check_way_to(
        &self,
        report: &mut Report,
        draft: &TunnelDraft<'_>,
        (index, remote): (usize, IpAddr),
    ) {
        if Family::of(remote) != draft.tunnel.outer || report.is_full_of_warnings() {
            return;
        }
        let link = draft.tunnel.link.as_deref().and_then(|link| self.names.ports.get(link));
        let way = self.way_to(remote);
        let message = match &way {
            None if super::addresses::is_link_local(remote) => return,
            None => format!("there is no route to {remote}: the tunnel can't send"),
            Some(way) if way.is_refused => {
                format!("packets to {remote} are refused by a route: the tunnel can't send")
            }
            Some(way) => match link.filter(|link| !way.ports.contains(link)) {
                Some(_) => {
                    format!("the route to {remote} does not leave through the port of `link`")
                }
                None => return,
            },
        };
        at_remote(report, draft, index, |report, place, mark| {
            report
                .warn(place, mark, MistakeKind::Route, message)
                .advise(format!("add a route to {remote}"));
        });
    }
}

fn nest_too_deep(
    report: &mut Report,
    drafts: &Drafts<'_>,
    index: usize,
    height: usize,
    limits: &Limits,
) {
    let Some(draft) = drafts.tunnels.get(index) else { return };
    at_remote(report, draft, 0, |report, place, mark| {
        let message = format!(
            "{height} tunnels would be nested; `limits.nested-encaps` is {}",
            limits.nested_encaps
        );
        report
            .error(place, mark, MistakeKind::OutOfRange, message)
            .advise("route the remote end over a port");
    });
}
