//! Tunnels in UDP: what goes together, and that a port means one thing.

use rustc_hash::FxHashMap;

use super::super::mistake::MistakeKind;
use super::super::report::Report;
use super::super::tunnel::{Encap, Family, Tunnel};
use super::super::tunnels::TunnelDraft;
use super::super::words::{Payload, UdpEncap};
use super::Drafts;

/// What a tunnel's own entry says.
pub(super) fn check(report: &mut Report, draft: &TunnelDraft<'_>) {
    let tunnel = &draft.tunnel;
    let Some(encap) = tunnel.encap.as_deref() else { return };
    let wrong = if encap.kind == UdpEncap::Fou && carries(tunnel).is_none() {
        Some((
            "a FOU port stands for one protocol, and this tunnel carries several",
            "write type: gue, which says what follows, or a mode or payload of one protocol",
        ))
    } else if encap.variant == 1 && tunnel.mode.is_gre() {
        Some(("variant 1 of GUE carries IP alone", "write variant: 0, or leave it out"))
    } else if lacks_checksum(tunnel, encap) {
        Some((
            "UDP over IPv6 has a checksum (RFC 8200 \u{a7}8.1)",
            "write checksum: yes, or udp6-zero-tx: yes where the peer accepts none (RFC 6935)",
        ))
    } else if tunnel.settings.udp6_zero_rx && tunnel.remote.is_none() {
        Some((
            "datagrams without a checksum are taken from known peers alone (RFC 6936 \u{a7}4)",
            "write the peer's address, or leave udp6-zero-rx out",
        ))
    } else {
        None
    };
    let Some((message, advice)) = wrong else { return };
    draft.written.spot(report).at("encap", |place, mark| {
        report.error(place, mark, MistakeKind::DoesNotApply, message).advise(advice);
    });
}

fn lacks_checksum(tunnel: &Tunnel, encap: &Encap) -> bool {
    let is_ipv6 = tunnel.mode.outer() == Family::Ipv6;
    is_ipv6 && !encap.checksum && !tunnel.settings.udp6_zero_tx
}

/// What a port is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Gue,
    FouIpv4,
    FouIpv6,
    FouGre,
}

impl Use {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Gue => "GUE",
            Self::FouIpv4 => "IPv4 in FOU",
            Self::FouIpv6 => "IPv6 in FOU",
            Self::FouGre => "GRE in FOU",
        }
    }
}

/// The one thing that a tunnel carries in FOU.
fn carries(tunnel: &Tunnel) -> Option<Use> {
    match tunnel.payload {
        _ if tunnel.mode.is_gre() => Some(Use::FouGre),
        Payload::Ipip => Some(Use::FouIpv4),
        Payload::Ip6ip => Some(Use::FouIpv6),
        Payload::Any | Payload::Ethernet => None,
    }
}

/// Two tunnels that listen at one port for different things.
pub(super) fn check_ports(report: &mut Report, drafts: &Drafts<'_>) {
    let mut first: FxHashMap<u16, (Use, usize)> = FxHashMap::default();
    for (index, draft) in drafts.tunnels.iter().enumerate() {
        let Some(encap) = draft.tunnel.encap.as_deref().filter(|_| !draft.is_broken) else {
            continue;
        };
        let meant = match encap.kind {
            UdpEncap::Gue => Some(Use::Gue),
            UdpEncap::Fou => carries(&draft.tunnel),
        };
        let Some(meant) = meant else { continue };
        let (known, other) = *first.entry(encap.port).or_insert((meant, index));
        let Some(other) = drafts.tunnels.get(other).filter(|_| known != meant) else { continue };
        let (name, location) = (&other.tunnel.name, other.written.location());
        draft.written.spot(report).at("encap", |place, mark| {
            let (port, known) = (encap.port, known.as_str());
            let message = format!("UDP port {port} is for {known}, by tunnel {name} ({location})");
            report
                .error(place, mark, MistakeKind::Ambiguous, message)
                .advise("listen at another `port` for this one");
        });
    }
}
