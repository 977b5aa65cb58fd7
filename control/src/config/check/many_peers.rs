//! Tunnels with many peers, 6rd and ISATAP: what goes together in one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use adit_dataplane::tunnel::peers::isatap;
use ipnet::IpNet;

use super::super::mistake::MistakeKind;
use super::super::report::{Place, Report};
use super::super::tunnel::{SixRd, Tunnel};
use super::super::tunnels::TunnelDraft;
use super::super::words::{DontFragment, Mode, SixRdRole};
use super::Drafts;
use super::addresses::{Owned, not_a_host};
use crate::yaml::Mark;

/// What a tunnel says that finds its peers in IPv6 addresses. Its local address has been looked at.
pub(super) fn check(
    report: &mut Report,
    draft: &TunnelDraft<'_>,
    drafts: &Drafts<'_>,
    owned: &Owned,
) {
    if !draft.tunnel.mode.has_many_peers() {
        return;
    }
    refuse_strange_keys(report, draft);
    if draft.tunnel.mode == Mode::Isatap {
        let routers = (&*draft.tunnel.potential_routers, "potential-routers");
        check_routers(report, draft, routers, drafts, owned);
        if let Some(local) = check_local(report, draft) {
            check_identifiers(report, draft, local);
        }
        return;
    }
    let Some(domain) = draft.tunnel.six_rd.as_deref() else {
        return at(report, draft, "6rd", |report, place, mark| {
            report
                .error(place, mark, MistakeKind::Missing, "the tunnel has no domain")
                .advise("write 6rd: { prefix: …, relay-prefix: …, border-relays: […] }");
        });
    };
    check_routers(report, draft, (&domain.border_relays, "6rd"), drafts, owned);
    if let Some(local) = check_local(report, draft)
        && is_in_domain(report, draft, domain, local)
    {
        check_addresses(report, draft, domain);
    }
    if domain.role == SixRdRole::Br && !sets_df(&draft.tunnel) {
        at(report, draft, "dont-fragment", |report, place, mark| {
            //= RFC 5969 §9.1: a relay may have an anycast address, and sets DF.
            let message = "a border relay sets DF, as its address may be that of several";
            report
                .error(place, mark, MistakeKind::DoesNotApply, message)
                .advise("write dont-fragment: pmtudisc, or leave it out");
        });
    }
}

fn at(
    report: &mut Report,
    draft: &TunnelDraft<'_>,
    key: &str,
    with: impl FnOnce(&mut Report, &Place<'_>, Mark),
) {
    draft.written.spot(report).at(key, |place, mark| with(report, place, mark));
}

fn sets_df(tunnel: &Tunnel) -> bool {
    tunnel.settings.dont_fragment == DontFragment::Pmtudisc && !tunnel.settings.static_mtu
}

/// Keys that are about one peer.
fn refuse_strange_keys(report: &mut Report, draft: &TunnelDraft<'_>) {
    let spot = draft.written.spot(report);
    for (key, message) in [
        ("remote", "the peers of such a tunnel are in the IPv6 addresses"),
        ("encap", "IPv6 is directly in IPv4 here"),
        ("unsafe-any-peer", "such a tunnel knows its peers by the IPv6 addresses"),
    ] {
        let says_no = key == "unsafe-any-peer" && !draft.tunnel.settings.unsafe_any_peer;
        if says_no || spot.node.entry(key).is_none() {
            continue;
        }
        at(report, draft, key, |report, place, mark| {
            report.error(place, mark, MistakeKind::DoesNotApply, message).advise("leave it out");
        });
    }
}

/// Routers are hosts, and others; `key` lists them.
fn check_routers(
    report: &mut Report,
    draft: &TunnelDraft<'_>,
    (routers, key): (&[Ipv4Addr], &str),
    drafts: &Drafts<'_>,
    owned: &Owned,
) {
    for (index, relay) in routers.iter().enumerate() {
        let address = IpAddr::V4(*relay);
        let wrong = if let Some(what) = not_a_host(address) {
            format!("{relay} is {what}")
        } else if let Some(holder) = owned.get(&address) {
            format!("{relay} is our own address, of {}", drafts.name(*holder))
        } else if routers[..index].contains(relay) {
            format!("{relay} is in the list twice")
        } else {
            continue;
        };
        at(report, draft, key, |report, place, mark| {
            report
                .error(place, mark, MistakeKind::Address, wrong)
                .advise("write the address of each other router once");
        });
    }
    let is_old_anycast = |relay: &Ipv4Addr| relay.octets() == [192, 88, 99, 1];
    if routers.iter().any(is_old_anycast) {
        at(report, draft, key, |report, place, mark| {
            let message = "192.88.99.1 is no relay any more (RFC 7526)";
            report
                .warn(place, mark, MistakeKind::Address, message)
                .advise("write the address of a relay that you know");
        });
    }
}

/// The one local address.
fn check_local(report: &mut Report, draft: &TunnelDraft<'_>) -> Option<Ipv4Addr> {
    let tunnel = &draft.tunnel;
    let Some(IpAddr::V4(local)) = tunnel.local else {
        if tunnel.local.is_none() {
            at(report, draft, "local", |report, place, mark| {
                report
                    .error(place, mark, MistakeKind::Missing, "the tunnel has no local address")
                    .advise("write local: and the IPv4 address that stands in its IPv6 addresses");
            });
        }
        return None;
    };
    if tunnel.more_locals.is_empty() {
        return Some(local);
    }
    at(report, draft, "local", |report, place, mark| {
        report
            .error(place, mark, MistakeKind::DoesNotApply, "such a tunnel has one address outside")
            .advise("write one of them");
    });
    None
}

/// Whether the local address is one of the domain's, where it must be.
fn is_in_domain(
    report: &mut Report,
    draft: &TunnelDraft<'_>,
    domain: &SixRd,
    local: Ipv4Addr,
) -> bool {
    if domain.role == SixRdRole::Br || domain.relay_prefix.contains(&local) {
        return true;
    }
    at(report, draft, "local", |report, place, mark| {
        let message =
            format!("{local} is not in {}, as the domain's routers are", domain.relay_prefix);
        report
            .error(place, mark, MistakeKind::Address, message)
            .advise("write an address in it, or another relay-prefix, or role: br");
    });
    false
}

/// Addresses of an ISATAP node end with its identifier.
fn check_identifiers(report: &mut Report, draft: &TunnelDraft<'_>, local: Ipv4Addr) {
    for (position, net) in draft.tunnel.addresses.iter().enumerate() {
        let IpNet::V6(net) = net else { continue };
        let address = net.addr();
        if net.prefix_len() == 64 && isatap::embedded(address) == Some(local.into()) {
            continue;
        }
        let prefix = u128::from(address) >> 64 << 64;
        let right = Ipv6Addr::from(prefix | u128::from(isatap::identifier(local)));
        draft.written.spot(report).at_address(position, |place, mark| {
            //= RFC 5214 §6.1: prefixes of 64 bits, and behind them what is made of the IPv4 address.
            let message = format!("{net} is no address of {local} on an ISATAP link");
            report
                .error(place, mark, MistakeKind::Address, message)
                .advise(format!("write {right}/64"));
        });
    }
}

/// Addresses in the domain are in what is delegated to this node.
fn check_addresses(report: &mut Report, draft: &TunnelDraft<'_>, domain: &SixRd) {
    let Some(delegated) = draft.tunnel.delegated() else { return };
    for (position, net) in draft.tunnel.addresses.iter().enumerate() {
        let IpAddr::V6(address) = net.addr() else { continue };
        if !domain.prefix.contains(&address) || delegated.contains(&IpNet::from(net.addr())) {
            continue;
        }
        draft.written.spot(report).at_address(position, |place, mark| {
            let message =
                format!("{address} is another router's: {delegated} is delegated to this one");
            report
                .error(place, mark, MistakeKind::Address, message)
                .advise(format!("write an address in {delegated}"));
        });
    }
}
