//! Tunnels in UDP: what goes together, and that a port means one thing.

use rustc_hash::FxHashMap;

use super::super::mistake::MistakeKind;
use super::super::report::Report;
use super::super::tunnel::{Encap, Family, Tunnel};
use super::super::tunnels::TunnelDraft;
use super::super::words::{Mode, Payload, UdpEncap};
use super::Drafts;

/// What a tunnel's own entry says.
pub(super) fn check(report: &mut Report, draft: &TunnelDraft<'_>) {
    let tunnel = &draft.tunnel;
    check_overlay(report, draft);
    check_zero_rx(report, draft);
    warn_of_idle(report, draft);
    let Some(encap) = tunnel.encap.as_deref() else { return };
    let wrong = if encap.kind == UdpEncap::Fou && carries(tunnel).is_none() {
        Some((
            "a FOU port stands for one protocol, and this tunnel carries several",
            "write type: gue, which says what follows, or a mode or payload of one protocol",
        ))
    } else if encap.variant == 1 && (tunnel.mode.is_gre() || !carries_ip(tunnel)) {
        Some(("variant 1 of GUE carries IP alone", "write variant: 0, or leave it out"))
    } else if lacks_checksum(tunnel, encap) {
        Some((
            "UDP over IPv6 has a checksum (RFC 8200 \u{a7}8.1)",
            "write checksum: yes, or udp6-zero-tx: yes where the peer accepts none (RFC 6935)",
        ))
    } else {
        None
    };
    let Some((message, advice)) = wrong else { return };
    draft.written.spot(report).at("encap", |place, mark| {
        report.error(place, mark, MistakeKind::DoesNotApply, message).advise(advice);
    });
}

/// The same for VXLAN and GENEVE.
fn check_overlay(report: &mut Report, draft: &TunnelDraft<'_>) {
    let tunnel = &draft.tunnel;
    let Some(overlay) = tunnel.overlay.as_deref() else { return };
    let is_right = overlay.checksum || tunnel.settings.udp6_zero_tx;
    if tunnel.outer == Family::Ipv4 || is_right {
        return;
    }
    draft.written.spot(report).at("udp-checksum", |place, mark| {
        let message = "UDP over IPv6 has a checksum (RFC 8200 \u{a7}8.1)";
        report.error(place, mark, MistakeKind::DoesNotApply, message).advise(
            "write udp-checksum: yes, or udp6-zero-tx: yes where the peer accepts none (RFC 6935)",
        );
    });
}

/// Whether datagrams without a checksum would be taken from anybody.
fn check_zero_rx(report: &mut Report, draft: &TunnelDraft<'_>) {
    let tunnel = &draft.tunnel;
    let is_in_udp = tunnel.encap.is_some() || tunnel.overlay.is_some();
    let is_open = is_in_udp && tunnel.outer == Family::Ipv6 && tunnel.peers().next().is_none();
    if !tunnel.settings.udp6_zero_rx || !is_open {
        return;
    }
    draft.written.spot(report).at("udp6-zero-rx", |place, mark| {
        //= RFC 6936 §4: such datagrams are taken between ends that are configured.
        let message =
            "datagrams without a checksum are taken from known peers alone (RFC 6936 \u{a7}4)";
        report
            .error(place, mark, MistakeKind::DoesNotApply, message)
            .advise("write the peer's address, or leave udp6-zero-rx out");
    });
}

/// Settings about checksums that change nothing. What is said for all tunnels is for those in UDP.
fn warn_of_idle(report: &mut Report, draft: &TunnelDraft<'_>) {
    let (tunnel, settings) = (&draft.tunnel, &draft.tunnel.settings);
    let overlay = tunnel.overlay.as_deref().map(|overlay| overlay.checksum);
    // `None`: it is not in UDP; else whether what it sends has sums.
    let sums = tunnel.encap.as_deref().map(|encap| encap.checksum).or(overlay);
    let idle = [
        ("udp6-zero-tx", settings.udp6_zero_tx && sums != Some(false)),
        ("udp6-zero-rx", settings.udp6_zero_rx && sums.is_none()),
    ];
    for (key, _) in idle.into_iter().filter(|(_, is_idle)| *is_idle) {
        if report.is_full_of_warnings() {
            return;
        }
        let spot = draft.written.spot(report);
        if spot.node.entry(key).is_none() {
            continue;
        }
        let (message, advice) = if sums.is_none() {
            (
                "it is about checksums of UDP, and this tunnel is in none",
                "write encap:, or leave it out",
            )
        } else {
            (
                "it allows to send without checksums, and this tunnel sends them",
                "leave it out, or write checksum: no in encap, or udp-checksum: no",
            )
        };
        spot.at(key, |place, mark| {
            report.warn(place, mark, MistakeKind::DoesNotApply, message).advise(advice);
        });
    }
}

fn carries_ip(tunnel: &Tunnel) -> bool {
    tunnel.payload != Payload::Mplsip
}

fn lacks_checksum(tunnel: &Tunnel, encap: &Encap) -> bool {
    let is_ipv6 = tunnel.outer == Family::Ipv6;
    is_ipv6 && !encap.checksum && !tunnel.settings.udp6_zero_tx
}

/// What a port is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Gue,
    FouIpv4,
    FouIpv6,
    FouGre,
    FouMpls,
    Vxlan,
    Geneve,
}

impl Use {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Gue => "GUE",
            Self::FouIpv4 => "IPv4 in FOU",
            Self::FouIpv6 => "IPv6 in FOU",
            Self::FouGre => "GRE in FOU",
            Self::FouMpls => "MPLS in FOU",
            Self::Vxlan => "VXLAN",
            Self::Geneve => "GENEVE",
        }
    }
}

/// The one thing that a tunnel carries in FOU.
fn carries(tunnel: &Tunnel) -> Option<Use> {
    match tunnel.payload {
        _ if tunnel.mode.is_gre() => Some(Use::FouGre),
        Payload::Ipip => Some(Use::FouIpv4),
        Payload::Ip6ip => Some(Use::FouIpv6),
        Payload::Mplsip => Some(Use::FouMpls),
        Payload::Any | Payload::Ethernet | Payload::Ip => None,
    }
}

/// What a tunnel listens for.
fn use_of(tunnel: &Tunnel) -> Option<Use> {
    match tunnel.mode {
        Mode::Vxlan => return Some(Use::Vxlan),
        Mode::Geneve => return Some(Use::Geneve),
        _ => {}
    }
    match tunnel.encap.as_deref()?.kind {
        UdpEncap::Gue => Some(Use::Gue),
        UdpEncap::Fou => carries(tunnel),
    }
}

/// Two tunnels that listen at one port for different things.
pub(super) fn check_ports(report: &mut Report, drafts: &Drafts<'_>) {
    let mut first: FxHashMap<u16, (Use, usize)> = FxHashMap::default();
    for (index, draft) in drafts.tunnels.iter().enumerate() {
        let Some(port) = draft.tunnel.udp_port().filter(|_| !draft.is_broken) else { continue };
        let Some(meant) = use_of(&draft.tunnel) else { continue };
        let (known, other) = *first.entry(port).or_insert((meant, index));
        let Some(other) = drafts.tunnels.get(other).filter(|_| known != meant) else { continue };
        let (name, location) = (&other.tunnel.name, other.written.location());
        let key = if draft.tunnel.mode.is_overlay() { "port" } else { "encap" };
        draft.written.spot(report).at(key, |place, mark| {
            let known = known.as_str();
            let message = format!("UDP port {port} is for {known}, by tunnel {name} ({location})");
            report
                .error(place, mark, MistakeKind::Ambiguous, message)
                .advise("listen at another `port` for this one");
        });
    }
}
