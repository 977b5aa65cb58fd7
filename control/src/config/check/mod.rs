//! What the entries of a configuration have to do with each other. Every check reports all it finds; none stops
//! another.

mod addresses;
mod ends;
mod frames;
mod labels;
mod loops;
mod many_peers;
mod mirrors;
mod misspelled;
mod ports;
mod remotes;
mod routing;
mod udp;

use std::collections::HashMap;

use ipnet::IpNet;

use super::model::{Limits, Route};
use super::ports::PortDraft;
use super::report::{Report, Spot};
use super::routes::RouteDraft;
use super::tunnels::{TunnelDraft, TunnelNames};
pub(super) use misspelled::Misspelled;

/// Everything that was read, for checks across it.
#[derive(Debug)]
pub(super) struct Drafts<'t> {
    pub(super) ports: Vec<PortDraft<'t>>,
    pub(super) loopback: Vec<IpNet>,
    pub(super) loopback_spot: Option<Spot<'t>>,
    pub(super) tunnels: Vec<TunnelDraft<'t>>,
    pub(super) tunnel_names: TunnelNames,
}

/// What an address or a net belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    Port(usize),
    Tunnel(usize),
    Loopback,
}

impl<'t> Drafts<'t> {
    /// The holder as a sentence calls it.
    fn name(&self, holder: Holder) -> String {
        match holder {
            Holder::Port(index) => self
                .ports
                .get(index)
                .map_or_else(String::new, |draft| format!("port {}", draft.port.name)),
            Holder::Tunnel(index) => self
                .tunnels
                .get(index)
                .map_or_else(String::new, |draft| format!("tunnel {}", draft.tunnel.name)),
            Holder::Loopback => "loopback".to_owned(),
        }
    }

    /// Every address with its holder and its position in the holder's list.
    fn addresses(&self) -> impl Iterator<Item = (Holder, usize, IpNet)> {
        let ports = self.ports.iter().enumerate().flat_map(|(index, draft)| {
            let addresses = draft.port.addresses.iter().enumerate();
            addresses.map(move |(position, net)| (Holder::Port(index), position, *net))
        });
        let loopback = self.loopback.iter().enumerate();
        let loopback = loopback.map(|(position, net)| (Holder::Loopback, position, *net));
        let tunnels = self.tunnels.iter().enumerate().flat_map(|(index, draft)| {
            let addresses = draft.tunnel.addresses.iter().enumerate();
            addresses.map(move |(position, net)| (Holder::Tunnel(index), position, *net))
        });
        ports.chain(loopback).chain(tunnels)
    }

    /// Where the holder was written: only for mistakes and warnings.
    fn spot(&self, report: &Report, holder: Holder) -> Spot<'t> {
        let spot = match holder {
            Holder::Port(index) => self.ports.get(index).map(|draft| draft.spot),
            Holder::Tunnel(index) => {
                self.tunnels.get(index).map(|draft| draft.written.spot(report))
            }
            Holder::Loopback => self.loopback_spot,
        };
        spot.expect("the entry of an address, because addresses are found in entries")
    }
}

/// Positions by name.
struct Names<'d> {
    ports: HashMap<&'d str, usize>,
    tunnels: &'d TunnelNames,
    /// Of attached ports, the first of the tunnels that they are attached to.
    attached: HashMap<&'d str, usize>,
}

impl<'d> Names<'d> {
    fn new(drafts: &'d Drafts<'_>) -> Self {
        let ports = drafts.ports.iter().enumerate();
        let tunnels = drafts.tunnels.iter().enumerate().rev();
        let attached = |(index, draft): (usize, &'d TunnelDraft<'_>)| {
            Some((&**draft.tunnel.attached_to()?, index))
        };
        Self {
            ports: ports.map(|(index, draft)| (&*draft.port.name, index)).collect(),
            tunnels: &drafts.tunnel_names,
            attached: tunnels.filter_map(attached).collect(),
        }
    }
}

/// Runs every check and resolves the routes.
pub(super) fn check(
    report: &mut Report,
    drafts: &Drafts<'_>,
    routes: Vec<Vec<RouteDraft<'_>>>,
    misspelled: &Misspelled,
    limits: &Limits,
) -> Vec<Route> {
    let names = Names::new(drafts);
    let nets = addresses::ConnectedNets::new(drafts);
    let owned = addresses::check(report, drafts, &nets);
    ports::check(report, drafts, &owned, misspelled);
    ends::check(report, drafts, &names, &owned, &nets, misspelled);
    mirrors::check(report, drafts, &names, misspelled);
    labels::check(report, drafts, &names, &owned, &nets, misspelled);
    let routes = routing::resolve(report, drafts, routes, &names, &owned, &nets, misspelled);
    loops::check(report, drafts, &names, &nets, &routes, limits);
    routes
}
