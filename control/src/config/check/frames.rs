//! Tunnels of Ethernet frames, and the ports that they are attached to.

use rustc_hash::FxHashMap;

use super::super::keys::nearest;
use super::super::mistake::MistakeKind;
use super::super::report::Report;
use super::super::tunnels::TunnelDraft;
use super::{Drafts, Misspelled, Names};

/// What a tunnel's own entry says.
pub(super) fn check(
    report: &mut Report,
    draft: &TunnelDraft<'_>,
    drafts: &Drafts<'_>,
    names: &Names<'_>,
    misspelled: &Misspelled,
) {
    let tunnel = &draft.tunnel;
    if !tunnel.is_of_frames() {
        return;
    }
    let is_session = tunnel.mode.is_erspan();
    let Some(attach) = tunnel.attached_to() else {
        if is_session {
            return check_source(report, draft);
        }
        draft.written.spot(report).at("attach", |place, mark| {
            let message = "the tunnel carries frames, and has no port for them";
            report
                .error(place, mark, MistakeKind::Missing, message)
                .advise("write attach: and the name of a port without addresses");
        });
        return;
    };
    if tunnel.settings.unsafe_any_peer {
        draft.written.spot(report).at("unsafe-any-peer", |place, mark| {
            let message = "frames are taken from a known peer alone";
            report
                .error(place, mark, MistakeKind::DoesNotApply, message)
                .advise("leave it out, and write `remote`");
        });
    }
    let Some(port) = names.ports.get(&**attach).and_then(|index| drafts.ports.get(*index)) else {
        if misspelled.has(attach) {
            return;
        }
        report_unknown(report, draft, attach, names);
        return;
    };
    let wrong = if !port.port.addresses.is_empty() {
        Some("addresses")
    } else if !port.port.neighbors.is_empty() {
        Some("neighbors")
    } else if port.port.labels.is_some() {
        Some("labels")
    } else {
        None
    };
    if let Some(what) = wrong {
        draft.written.spot(report).at("attach", |place, mark| {
            let instead = if is_session {
                "it would be for those alone who look at copies"
            } else {
                "all of its frames would go into the tunnel"
            };
            let message =
                format!("port {attach} has {what}, and would be no station any more: {instead}");
            report
                .error(place, mark, MistakeKind::Address, message)
                .advise(format!("take the {what} from the port, or attach another one"));
        });
    }
}

/// The port is not there.
fn report_unknown(report: &mut Report, draft: &TunnelDraft<'_>, attach: &str, names: &Names<'_>) {
    draft.written.spot(report).at("attach", |place, mark| {
        let message = format!("there is no port {attach:?}");
        let note = report.error(place, mark, MistakeKind::UnknownName, message);
        if names.tunnels.contains_key(attach) {
            note.advise("it is a tunnel; frames come from a port");
        } else if let Some(name) = nearest(attach, names.ports.keys().copied()) {
            note.advise(format!("did you mean {name:?}?"));
        }
    });
}

/// A mirror session without a port is one that sends.
fn check_source(report: &mut Report, draft: &TunnelDraft<'_>) {
    if draft.tunnel.mirror().is_some() {
        return;
    }
    draft.written.spot(report).at("mirror", |place, mark| {
        let message = "the session mirrors nothing, and has no port for what arrives";
        report
            .error(place, mark, MistakeKind::Missing, message)
            .advise("write mirror: { ports: [lan] } to send, or attach: and a port to receive");
    });
}

/// Why no packet of this node leaves by a port, if that is attached to a tunnel.
pub(super) fn why_attached(port: &str, drafts: &Drafts<'_>, names: &Names<'_>) -> Option<String> {
    let draft = drafts.tunnels.get(*names.attached.get(port)?)?;
    let (name, location) = (&draft.tunnel.name, draft.written.location());
    Some(format!("port {port} is attached to tunnel {name} ({location})"))
}

/// Two tunnels attached to one port.
pub(super) fn check_ports(report: &mut Report, drafts: &Drafts<'_>) {
    let mut first: FxHashMap<&str, usize> = FxHashMap::default();
    for (index, draft) in drafts.tunnels.iter().enumerate() {
        let Some(attach) = draft.tunnel.attached_to().filter(|_| !draft.is_broken) else {
            continue;
        };
        let earlier = *first.entry(attach).or_insert(index);
        let Some(other) = drafts.tunnels.get(earlier).filter(|_| earlier != index) else {
            continue;
        };
        let (name, location) = (&other.tunnel.name, other.written.location());
        draft.written.spot(report).at("attach", |place, mark| {
            let message = format!("port {attach} is attached to tunnel {name} ({location})");
            report
                .error(place, mark, MistakeKind::Ambiguous, message)
                .advise("attach a port of its own to each tunnel");
        });
    }
}
