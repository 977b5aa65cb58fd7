//! Mirror sessions: that what they mirror is there, is not themselves, and is not mirrored by too many.

use adit_dataplane::tables::mirrors::SESSIONS_MAX;
use rustc_hash::FxHashMap;

use super::super::keys::nearest;
use super::super::mistake::MistakeKind;
use super::super::report::Report;
use super::super::tunnels::TunnelDraft;
use super::super::words::Mirrored;
use super::{Drafts, Misspelled, Names};
use crate::yaml::Value;

/// The lists of `mirror`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum List {
    Ports,
    Tunnels,
}

impl List {
    const fn key(self) -> &'static str {
        match self {
            Self::Ports => "ports",
            Self::Tunnels => "tunnels",
        }
    }
}

/// What is wrong with a name, and what to write instead.
struct Wrong {
    kind: MistakeKind,
    message: String,
    advice: String,
}

pub(super) fn check(
    report: &mut Report,
    drafts: &Drafts<'_>,
    names: &Names<'_>,
    misspelled: &Misspelled,
) {
    let mut sessions: FxHashMap<(List, &str, bool), usize> = FxHashMap::default();
    for draft in drafts.tunnels.iter().filter(|draft| !draft.is_broken) {
        let Some(mirror) = draft.tunnel.mirror() else { continue };
        let ports = mirror.ports.iter().map(|name| (List::Ports, name));
        let ports = ports.enumerate();
        let tunnels = mirror.tunnels.iter().map(|name| (List::Tunnels, name)).enumerate();
        for (index, (list, name)) in ports.chain(tunnels) {
            let mut wrong = wrong_name(list, name, draft, names, misspelled);
            for is_egress in [false, true] {
                let is_meant = match mirror.direction {
                    Mirrored::Both => true,
                    one => (one == Mirrored::Egress) == is_egress,
                };
                let count = sessions.entry((list, name, is_egress)).or_default();
                *count += usize::from(is_meant);
                if *count > SESSIONS_MAX && is_meant && wrong.is_none() {
                    wrong = Some(Wrong {
                        kind: MistakeKind::OutOfRange,
                        message: format!("{name:?} is mirrored by {SESSIONS_MAX} others already"),
                        advice: "let the receiver of one of them hand the frames on".to_owned(),
                    });
                }
            }
            if let Some(wrong) = wrong {
                refuse(report, draft, (list, index), wrong);
            }
        }
    }
}

fn wrong_name(
    list: List,
    name: &str,
    draft: &TunnelDraft<'_>,
    names: &Names<'_>,
    misspelled: &Misspelled,
) -> Option<Wrong> {
    let is_own_sink = draft.tunnel.attached_to().is_some_and(|sink| &**sink == name);
    let is_known = match list {
        List::Ports => names.ports.contains_key(name),
        List::Tunnels => names.tunnels.contains_key(name),
    };
    let itself = match list {
        List::Tunnels if &*draft.tunnel.name == name => "the tunnel would mirror itself",
        List::Ports if is_own_sink => "what arrives for this port would go back to the sender",
        _ if is_known || misspelled.has(name) => return None,
        _ => return Some(unknown(list, name, names)),
    };
    Some(Wrong {
        kind: MistakeKind::Loop,
        message: itself.to_owned(),
        advice: "leave it out".to_owned(),
    })
}

fn unknown(list: List, name: &str, names: &Names<'_>) -> Wrong {
    let (what, other, near) = match list {
        List::Ports => {
            let near = nearest(name, names.ports.keys().copied());
            ("port", names.tunnels.contains_key(name), near)
        }
        List::Tunnels => {
            let near = nearest(name, names.tunnels.keys().map(|name| &**name));
            ("tunnel", names.ports.contains_key(name), near)
        }
    };
    let advice = match (other, near) {
        (true, _) if list == List::Ports => format!("it is a tunnel: write tunnels: [{name}]"),
        (true, _) => format!("it is a port: write ports: [{name}]"),
        (false, Some(near)) => format!("did you mean {near:?}?"),
        (false, None) => format!("name a {what} of this configuration"),
    };
    let message = format!("there is no {what} {name:?}");
    Wrong { kind: MistakeKind::UnknownName, message, advice }
}

fn refuse(
    report: &mut Report,
    draft: &TunnelDraft<'_>,
    (list, index): (List, usize),
    wrong: Wrong,
) {
    let spot = draft.written.spot(report);
    let value = spot.node.entry("mirror").and_then(|mirror| mirror.value.entry(list.key()));
    let item = value.and_then(|entry| match &entry.value.value {
        Value::List(items) => items.get(index).map(|node| node.mark),
        _ => None,
    });
    spot.at("mirror", |place, mark| {
        let place = place.key(list.key());
        report
            .error(&place.index(index), item.unwrap_or(mark), wrong.kind, wrong.message)
            .advise(wrong.advice);
    });
}
