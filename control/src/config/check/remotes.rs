//! Tunnels with several remotes: what goes together. Each of their addresses is looked at with the other ends.

use super::super::mistake::MistakeKind;
use super::super::remotes::KEYS;
use super::super::report::Report;
use super::super::tunnels::TunnelDraft;
use super::super::words::Mode;

/// What a tunnel's own entry says.
pub(super) fn check(report: &mut Report, draft: &TunnelDraft<'_>) {
    let tunnel = &draft.tunnel;
    if tunnel.mode != Mode::Vxlan {
        return;
    }
    let says = |report: &Report, key: &str| draft.written.spot(report).node.entry(key).is_some();
    let Some(remotes) = tunnel.remotes.as_deref() else {
        for key in KEYS.into_iter().filter(|key| *key != "remotes") {
            if says(report, key) {
                refuse(report, draft, key, IDLE);
            }
        }
        return;
    };
    if says(report, "remote") {
        refuse(report, draft, "remotes", SAID_TWICE);
    }
    match (tunnel.local, &*tunnel.more_locals) {
        (Some(_), []) => {}
        (None, _) => refuse(report, draft, "local", NO_LOCAL),
        (Some(_), _) => refuse(report, draft, "local", POOL),
    }
    for (station, remote) in &remotes.fixed {
        if !remotes.all.contains(remote) {
            draft.written.spot(report).at("fdb", |place, mark| {
                let message = format!("station {station} is behind {remote}, which is no remote");
                report
                    .error(place, mark, MistakeKind::UnknownName, message)
                    .advise(format!("add {remote} to `remotes`, or name one of them"));
            });
        }
    }
}

/// A mistake: what it is, in words, and what to do about it.
type Fault = (MistakeKind, &'static str, &'static str);

const IDLE: Fault = (
    MistakeKind::DoesNotApply,
    "all frames go to the one remote",
    "leave it out, or write remotes: and a list",
);
const SAID_TWICE: Fault = (
    MistakeKind::DoesNotApply,
    "`remote` says already where frames go",
    "leave one of the two out",
);
const NO_LOCAL: Fault = (
    MistakeKind::Missing,
    "a tunnel with several remotes has no route that could tell its own address",
    "write local: and an address of ours",
);
const POOL: Fault = (
    MistakeKind::DoesNotApply,
    "a tunnel with several remotes sends from one address",
    "write one of them; the source port tells flows apart",
);

fn refuse(report: &mut Report, draft: &TunnelDraft<'_>, key: &str, (kind, message, advice): Fault) {
    draft.written.spot(report).at(key, |place, mark| {
        report.error(place, mark, kind, message).advise(advice);
    });
}
