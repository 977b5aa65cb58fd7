//! MPLS labels: that a tunnel which says something about them carries them, and that what keeps labels can go where it
//! is sent.

use std::net::IpAddr;

use super::super::keys::nearest;
use super::super::labels::LabelEntry;
use super::super::mistake::MistakeKind;
use super::super::model::Via;
use super::super::report::{Report, Spot};
use super::super::tunnels::TunnelDraft;
use super::super::words::Mode;
use super::addresses::{ConnectedNets, Owned, is_link_local, not_a_host, not_a_host_of};
use super::frames::why_attached;
use super::{Drafts, Holder, Misspelled, Names};

/// What next hops are looked up in.
struct Known<'d, 't> {
    drafts: &'d Drafts<'t>,
    names: &'d Names<'d>,
    owned: &'d Owned,
    nets: &'d ConnectedNets,
    misspelled: &'d Misspelled,
}

/// Whose labels they are.
#[derive(Clone, Copy)]
enum Whose<'d, 't> {
    Port(Spot<'t>),
    Tunnel(&'d TunnelDraft<'t>),
}

pub(super) fn check(
    report: &mut Report,
    drafts: &Drafts<'_>,
    names: &Names<'_>,
    owned: &Owned,
    nets: &ConnectedNets,
    misspelled: &Misspelled,
) {
    let known = Known { drafts, names, owned, nets, misspelled };
    for draft in &drafts.ports {
        let labels = draft.port.labels.iter().flatten();
        labels.for_each(|entry| known.check(report, entry, Whose::Port(draft.spot)));
    }
    for draft in &drafts.tunnels {
        let Some(labels) = draft.tunnel.labels.as_deref() else { continue };
        // Of other modes it has been said.
        let has_choice = matches!(draft.tunnel.mode, Mode::Sit | Mode::Any);
        if !draft.is_broken && has_choice && !draft.tunnel.carries_mpls() {
            refuse_labels(report, draft);
            continue;
        }
        for entry in &labels.arriving {
            known.check(report, entry, Whose::Tunnel(draft));
        }
    }
}

/// A tunnel that could carry labels, and was told not to.
fn refuse_labels(report: &mut Report, draft: &TunnelDraft<'_>) {
    for key in ["labels", "push"] {
        let spot = draft.written.spot(report);
        if spot.node.entry(key).is_none() {
            continue;
        }
        spot.at(key, |place, mark| {
            let payload = draft.tunnel.payload;
            let message = format!("the tunnel carries no MPLS (payload {payload})");
            report
                .error(place, mark, MistakeKind::DoesNotApply, message)
                .advise("write payload: mplsip, or payload: any, or leave this out");
        });
    }
}

impl Known<'_, '_> {
    fn check(&self, report: &mut Report, entry: &LabelEntry, whose: Whose<'_, '_>) {
        let wrong = match entry.action.via() {
            // No label leads to one of a tunnel's many peers: nothing reads such a hop.
            None | Some(Via::Peer { .. }) => None,
            Some(Via::Tunnel(name)) => {
                self.wrong_tunnel(name, whose).map(|wrong| ("tunnel", wrong))
            }
            Some(Via::Gateway { address, port }) => self.wrong_gateway(*address, port),
        };
        let Some((key, Wrong { kind, message, advice })) = wrong else { return };
        let spot = match whose {
            Whose::Port(spot) => spot,
            Whose::Tunnel(draft) => draft.written.spot(report),
        };
        let label = entry.label.to_string();
        let value = spot.node.entry("labels").and_then(|labels| labels.value.entry(&label));
        let value = value.and_then(|entry| entry.value.entry(key));
        let mark = value.map_or(spot.mark, |entry| entry.value.mark);
        spot.at("labels", |place, _| {
            let place = place.key(&label);
            let note = report.error(&place.key(key), mark, kind, message);
            if let Some(advice) = advice {
                note.advise(advice);
            }
        });
    }

    /// Why labelled packets can't go into a tunnel, if they can't.
    fn wrong_tunnel(&self, name: &str, whose: Whose<'_, '_>) -> Option<Wrong> {
        let index = self.names.tunnels.get(name).copied();
        let Some(tunnel) = index.and_then(|index| self.drafts.tunnels.get(index)) else {
            let advice = if self.names.ports.contains_key(name) {
                Some("it is a port: name the router on it in `via`".to_owned())
            } else {
                nearest(name, self.names.tunnels.keys().map(|name| &**name))
                    .map(|name| format!("did you mean {name:?}?"))
            };
            let message = format!("there is no tunnel {name:?}");
            let wrong = Wrong { kind: MistakeKind::UnknownName, message, advice };
            return Some(wrong).filter(|_| !self.misspelled.has(name));
        };
        if tunnel.is_broken {
            return None;
        }
        if !tunnel.tunnel.carries_mpls() {
            let message = format!("tunnel {name} carries no MPLS (mode {})", tunnel.tunnel.mode);
            let advice = "name one of mode mplsip or mplsip6, or of GRE";
            return Some(Wrong::new(MistakeKind::DoesNotApply, message, advice));
        }
        let is_itself =
            matches!(whose, Whose::Tunnel(draft) if draft.tunnel.name == tunnel.tunnel.name);
        if is_itself && !tunnel.tunnel.settings.hairpin {
            let message = "packets would go back into the tunnel that they came from".to_owned();
            let advice = "write hairpin: yes if that is meant";
            return Some(Wrong::new(MistakeKind::Loop, message, advice));
        }
        None
    }

    /// Why nobody can be reached there, if nobody can, and by which key.
    fn wrong_gateway(&self, address: IpAddr, port: &str) -> Option<(&'static str, Wrong)> {
        let Some(&index) = self.names.ports.get(port) else {
            let advice = if self.names.tunnels.contains_key(port) {
                Some(format!("it is a tunnel: write tunnel: {port}"))
            } else {
                nearest(port, self.names.ports.keys().copied())
                    .map(|name| format!("did you mean {name:?}?"))
            };
            let message = format!("there is no port {port:?}");
            let wrong = Wrong { kind: MistakeKind::UnknownName, message, advice };
            return Some(("port", wrong)).filter(|_| !self.misspelled.has(port));
        };
        let wrong = |message: String| {
            let advice = "write the address of the next router, which is on a net of the port";
            Some(("via", Wrong::new(MistakeKind::Route, message, advice)))
        };
        if let Some(what) = not_a_host(address) {
            return wrong(format!("{address} is {what}"));
        }
        if is_link_local(address) {
            let why = why_attached(port, self.drafts, self.names)?;
            return wrong(format!("{why}, and {address} is nobody there"));
        }
        if let Some(holder) = self.owned.get(&address) {
            let holder = self.drafts.name(*holder);
            return wrong(format!("{address} is our own address, of {holder}"));
        }
        match self.nets.around(address) {
            Some((net, Holder::Port(found))) if found == index => {
                let what = not_a_host_of(net, address)?;
                wrong(format!("{address} is {what}"))
            }
            None if self.misspelled.resembles(address) => None,
            _ => wrong(format!("{address} is on no net of port {port}")),
        }
    }
}

/// A mistake, and what to write instead.
struct Wrong {
    kind: MistakeKind,
    message: String,
    advice: Option<String>,
}

impl Wrong {
    fn new(kind: MistakeKind, message: String, advice: &str) -> Self {
        Self { kind, message, advice: Some(advice.to_owned()) }
    }
}
