//! `payload`: what a tunnel carries where its mode leaves a choice, and what follows for its settings.

use super::mistake::MistakeKind;
use super::pieces::Written;
use super::report::Report;
use super::tunnel::Family;
use super::words::{Mode, Payload, Profile};

/// What a tunnel carries: what is written, where the mode leaves a choice.
pub(super) fn resolve(mode: Mode, profile: Profile, payload: Option<Payload>) -> Payload {
    // Others are refused, and stand for nothing meanwhile.
    let of_ip = payload.filter(|payload| is_of_ip(*payload));
    match (mode, profile) {
        (Mode::Ipip | Mode::Minimal | Mode::Ipip6, _) => Payload::Ipip,
        (Mode::Ip6ip6 | Mode::SixRd | Mode::Isatap, _) => Payload::Ip6ip,
        (Mode::Mplsip | Mode::Mplsip6, _) => Payload::Mplsip,
        (Mode::Gre | Mode::Ip6gre, _) => Payload::Any,
        (Mode::Geneve, _) if payload == Some(Payload::Ip) => Payload::Ip,
        (
            Mode::Gretap
            | Mode::Ip6gretap
            | Mode::Erspan
            | Mode::Ip6erspan
            | Mode::Vxlan
            | Mode::Geneve,
            _,
        ) => Payload::Ethernet,
        // iproute2 creates sit tunnels that carry everything.
        (Mode::Any, _) | (Mode::Sit, Profile::Linux) => of_ip.unwrap_or(Payload::Any),
        (Mode::Sit, _) => of_ip.unwrap_or(Payload::Ip6ip),
    }
}

/// What stands directly in IP, or in UDP over it.
const fn is_of_ip(payload: Payload) -> bool {
    matches!(payload, Payload::Ipip | Payload::Ip6ip | Payload::Mplsip | Payload::Any)
}

/// The mode whose rules a tunnel's settings follow: around labels alone those of labels, whatever mode it is that
/// carries nothing else.
pub(super) const fn rules(mode: Mode, outer: Family, payload: Payload) -> Mode {
    match (payload, outer) {
        (Payload::Mplsip, Family::Ipv4) => Mode::Mplsip,
        (Payload::Mplsip, Family::Ipv6) => Mode::Mplsip6,
        _ => mode,
    }
}

/// Refuses what a mode can't carry.
pub(super) fn check(
    report: &mut Report,
    payload: Option<Payload>,
    written: &Written<'_>,
    mode: Mode,
) {
    let Some(payload) = payload else { return };
    let (fits, advice) = match mode {
        Mode::Sit | Mode::Any => (is_of_ip(payload), "write ip6ip, ipip, mplsip or any"),
        Mode::Geneve => {
            (matches!(payload, Payload::Ip | Payload::Ethernet), "write ethernet or ip")
        }
        Mode::Vxlan => {
            (payload == Payload::Ethernet, "leave it out: VXLAN carries Ethernet frames")
        }
        // The key means nothing there, which is said elsewhere.
        _ => (true, ""),
    };
    if fits {
        return;
    }
    written.spot(report).at("payload", |place, mark| {
        let message = format!("mode {mode} does not carry {payload:?}", payload = payload.as_str());
        report.error(place, mark, MistakeKind::DoesNotApply, message).advise(advice);
    });
}
