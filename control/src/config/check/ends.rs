//! The ends of tunnels: families, who owns them, and whether two tunnels can be told apart.

use std::net::IpAddr;

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::super::keys::nearest;
use super::super::mistake::MistakeKind;
use super::super::report::{Place, Report};
use super::super::tunnel::{Family, Tunnel};
use super::super::tunnels::TunnelDraft;
use super::addresses::{ConnectedNets, Owned, is_link_local, not_a_host, not_a_host_of};
use super::{Drafts, Holder, Misspelled, Names, frames, many_peers, remotes, udp};
use crate::config::{Mode, ReceiveSequence, UdpEncap};
use crate::yaml::Mark;

/// RFC 8200 §5.
const SMALLEST_IPV6_MTU: u16 = 1280;

pub(super) fn check(
    report: &mut Report,
    drafts: &Drafts<'_>,
    names: &Names<'_>,
    owned: &Owned,
    nets: &ConnectedNets,
    misspelled: &Misspelled,
) {
    for (index, draft) in drafts.tunnels.iter().enumerate() {
        check_link(report, draft, drafts, names, misspelled);
        check_mtu(report, draft);
        warn_of_reordering(report, draft);
        warn_of_many_counts(report, draft);
        if draft.is_broken {
            continue;
        }
        udp::check(report, draft);
        frames::check(report, draft, drafts, names, misspelled);
        remotes::check(report, draft);
        let families_fit = check_families(report, draft);
        let remote_is_ours = families_fit && check_remotes(report, draft, drafts, owned, nets);
        if families_fit && !remote_is_ours {
            check_local(report, draft, Holder::Tunnel(index), owned, misspelled);
            many_peers::check(report, draft, drafts, owned);
        }
    }
    check_ambiguity(report, drafts);
    udp::check_ports(report, drafts);
    frames::check_ports(report, drafts);
}

fn check_link(
    report: &mut Report,
    draft: &TunnelDraft<'_>,
    drafts: &Drafts<'_>,
    names: &Names<'_>,
    misspelled: &Misspelled,
) {
    let Some(link) = &draft.tunnel.link else { return };
    if let Some(why) = frames::why_attached(link, drafts, names) {
        draft.written.spot(report).at("link", |place, mark| {
            let message = format!("{why}, and takes no other packets");
            report
                .error(place, mark, MistakeKind::DoesNotApply, message)
                .advise("bind the tunnel to the port that its outer packets leave by");
        });
        return;
    }
    if names.ports.contains_key(&**link) || misspelled.has(link) {
        return;
    }
    draft.written.spot(report).at("link", |place, mark| {
        let message = format!("there is no port {link:?}");
        let note = report.error(place, mark, MistakeKind::UnknownName, message);
        if names.tunnels.contains_key(&**link) {
            note.advise("it is a tunnel; a tunnel is bound to a port");
        } else if let Some(name) = nearest(link, names.ports.keys().copied()) {
            note.advise(format!("did you mean {name:?}?"));
        }
    });
}

fn check_mtu(report: &mut Report, draft: &TunnelDraft<'_>) {
    let tunnel = &draft.tunnel;
    let Some(mtu) = tunnel.settings.mtu.filter(|mtu| *mtu < SMALLEST_IPV6_MTU) else { return };
    let has_ipv6 = tunnel.addresses.iter().any(|net| net.addr().is_ipv6());
    let only_ipv6 = tunnel.carries(Family::Ipv6) && !tunnel.carries(Family::Ipv4);
    if draft.is_broken || !(has_ipv6 || only_ipv6) {
        return;
    }
    draft.written.spot(report).at("mtu", |place, mark| {
        let message = format!("an MTU of {mtu} is too small for IPv6");
        report
            .error(place, mark, MistakeKind::OutOfRange, message)
            .advise(format!("write {SMALLEST_IPV6_MTU} or more, or auto"));
    });
}

/// Packets of several classes overtake each other, and numbers tell.
fn warn_of_reordering(report: &mut Report, draft: &TunnelDraft<'_>) {
    let settings = &draft.tunnel.settings;
    if !settings.sequence || settings.dscp.is_some() || report.is_full_of_warnings() {
        return;
    }
    draft.written.spot(report).at("sequence", |place, mark| {
        let message = "packets are numbered, and each has the DSCP of the packet inside: where \
                       routers prefer some, numbers arrive out of order";
        report
            .warn(place, mark, MistakeKind::DoesNotApply, message)
            .advise("write dscp: and one for all, if the peer drops what is late");
    });
}

/// Peers count on their own, and a tunnel has one count.
fn warn_of_many_counts(report: &mut Report, draft: &TunnelDraft<'_>) {
    let tunnel = &draft.tunnel;
    let drops_old = tunnel.settings.receive_sequence == ReceiveSequence::DropOld;
    if !drops_old || !tunnel.settings.unsafe_any_peer || report.is_full_of_warnings() {
        return;
    }
    draft.written.spot(report).at("receive-sequence", |place, mark| {
        let message = "numbers of all peers are held against one count: what one sends makes \
                       packets of the others late, and they are dropped";
        report
            .warn(place, mark, MistakeKind::DoesNotApply, message)
            .advise("write receive-sequence: ignore, or a tunnel for each peer");
    });
}

fn check_families(report: &mut Report, draft: &TunnelDraft<'_>) -> bool {
    let tunnel = &draft.tunnel;
    let outer = tunnel.outer;
    let mut fits = true;
    let mut refuse = |report: &mut Report, address, place: &Place<'_>, mark| {
        let (family, mode) = (outer.as_str(), tunnel.mode);
        let (message, advice) = match mode.outer() {
            Some(_) => (
                format!("{address} is not {family}, which mode {mode} has outside"),
                other_modes(outer),
            ),
            None => (
                format!("{address} is not {family}, as the other end is"),
                "write two addresses of one family",
            ),
        };
        report.error(place, mark, MistakeKind::WrongFamily, message).advise(advice);
        fits = false;
    };
    let is_wrong = |address: &IpAddr| Family::of(*address) != outer;
    for (index, local) in tunnel.locals().enumerate().filter(|(_, local)| is_wrong(local)) {
        at_local(report, draft, index, |report, place, mark| refuse(report, local, place, mark));
    }
    for (index, remote) in tunnel.peers().enumerate().filter(|(_, remote)| is_wrong(remote)) {
        at_remote(report, draft, index, |report, place, mark| refuse(report, remote, place, mark));
    }
    fits
}

/// Hands the place of one of the sources to `with`: of the item of a list, or of the single one.
fn at_local(
    report: &mut Report,
    draft: &TunnelDraft<'_>,
    index: usize,
    with: impl FnOnce(&mut Report, &Place<'_>, Mark),
) {
    let spot = draft.written.spot(report);
    if draft.tunnel.more_locals.is_empty() {
        spot.at("local", |place, mark| with(report, place, mark));
    } else {
        spot.at_item("local", index, |place, mark| with(report, place, mark));
    }
}

/// The same for one of the remotes.
pub(super) fn at_remote(
    report: &mut Report,
    draft: &TunnelDraft<'_>,
    index: usize,
    with: impl FnOnce(&mut Report, &Place<'_>, Mark),
) {
    let spot = draft.written.spot(report);
    if draft.tunnel.remotes.is_none() {
        spot.at("remote", |place, mark| with(report, place, mark));
    } else {
        spot.at_item("remotes", index, |place, mark| with(report, place, mark));
    }
}

fn other_modes(outer: Family) -> &'static str {
    match outer {
        Family::Ipv4 => {
            "write an IPv4 address; ipip6, ip6ip6, any, ip6gre, ip6gretap, ip6erspan and mplsip6 have IPv6 outside"
        }
        Family::Ipv6 => {
            "write an IPv6 address; ipip, minimal, sit, gre, gretap, erspan, mplsip, 6rd and isatap have IPv4 outside"
        }
    }
}

/// Whether a remote end is this node itself; then the local one need not be looked at.
fn check_remotes(
    report: &mut Report,
    draft: &TunnelDraft<'_>,
    drafts: &Drafts<'_>,
    owned: &Owned,
    nets: &ConnectedNets,
) -> bool {
    let tunnel = &draft.tunnel;
    if tunnel.peers().next().is_none() {
        if !tunnel.settings.unsafe_any_peer && !tunnel.mode.has_many_peers() {
            draft.written.spot(report).at("remote", |place, mark| {
                report
                    .error(place, mark, MistakeKind::Missing, "the tunnel has no remote end")
                    .advise("write the peer's address (`unsafe-any-peer: yes` decapsulates for anybody)");
            });
        }
        return false;
    }
    if tunnel.settings.unsafe_any_peer {
        draft.written.spot(report).at("unsafe-any-peer", |place, mark| {
            let message = "a tunnel with a remote end accepts that peer alone";
            report
                .error(place, mark, MistakeKind::DoesNotApply, message)
                .advise("leave this out, or `remote`");
        });
    }
    let mut is_ours = false;
    for (index, remote) in tunnel.peers().enumerate() {
        is_ours |= check_remote(report, draft, (index, remote), drafts, (owned, nets));
    }
    is_ours
}

/// The same for one of them.
fn check_remote(
    report: &mut Report,
    draft: &TunnelDraft<'_>,
    (index, remote): (usize, IpAddr),
    drafts: &Drafts<'_>,
    (owned, nets): (&Owned, &ConnectedNets),
) -> bool {
    let tunnel = &draft.tunnel;
    if let Some(holder) = owned.get(&remote) {
        let holder = drafts.name(*holder);
        let is_both = tunnel.locals().any(|local| owned.contains_key(&local));
        at_remote(report, draft, index, |report, place, mark| {
            let both = if is_both { "; both ends are ours" } else { "" };
            let message = format!("{remote} is our own address, of {holder}{both}");
            report
                .error(place, mark, MistakeKind::Address, message)
                .advise("write the address of the peer");
        });
        return true;
    }
    let of_net = nets.around(remote).filter(|(_, holder)| matches!(holder, Holder::Port(_)));
    let wrong = not_a_host(remote)
        .map(str::to_owned)
        .or_else(|| of_net.and_then(|(net, _)| not_a_host_of(net, remote)));
    if let Some(what) = wrong {
        at_remote(report, draft, index, |report, place, mark| {
            report
                .error(place, mark, MistakeKind::BadValue, format!("{remote} is {what}"))
                .advise("write the address of the peer");
        });
    } else if is_link_local(remote) && tunnel.remotes.is_some() {
        at_remote(report, draft, index, |report, place, mark| {
            let message = format!("{remote} is link-local, and there is no route to it");
            report
                .error(place, mark, MistakeKind::Address, message)
                .advise("write another of its addresses");
        });
    } else if is_link_local(remote) && tunnel.link.is_none() {
        at_remote(report, draft, index, |report, place, mark| {
            let message = format!("{remote} is link-local, and the link is not named");
            report
                .error(place, mark, MistakeKind::Address, message)
                .advise("name the port in `link`");
        });
    }
    false
}

fn check_local(
    report: &mut Report,
    draft: &TunnelDraft<'_>,
    holder: Holder,
    owned: &Owned,
    misspelled: &Misspelled,
) {
    for (index, local) in draft.tunnel.locals().enumerate() {
        let found = owned.get(&local).copied();
        let is_misspelled = found.is_none() && misspelled.resembles(local);
        if found.is_none_or(|found| found == holder) && !is_misspelled {
            refuse_local(report, draft, (index, local), found.is_some());
        }
    }
}

fn refuse_local(
    report: &mut Report,
    draft: &TunnelDraft<'_>,
    (index, local): (usize, IpAddr),
    is_inside: bool,
) {
    at_local(report, draft, index, |report, place, mark| {
        if is_inside {
            let message = format!("{local} is the tunnel's own address, which is inside it");
            report
                .error(place, mark, MistakeKind::Loop, message)
                .advise("write an address of a port or of `loopback`");
            return;
        }
        let (message, advice) = match not_a_host(local) {
            Some(what) => (
                format!("{local} is {what}"),
                "write an address of a port or of `loopback`, or leave it out".to_owned(),
            ),
            None => (
                format!("{local} is not an address of ours"),
                format!(
                    "add it to a port or to `loopback: {{ addresses: [{local}/{}] }}`",
                    bits(local)
                ),
            ),
        };
        report.error(place, mark, MistakeKind::Address, message).advise(advice);
    });
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// What stands between the outer header and the packet inside.
#[derive(PartialEq, Eq, Hash)]
struct Headers {
    /// What follows UDP, and the port.
    udp: Option<(Option<UdpEncap>, u16)>,
    overlay: Option<Mode>,
    has_gre: bool,
    is_minimal: bool,
    is_erspan: bool,
    key: Option<u32>,
}

impl Headers {
    fn of(tunnel: &Tunnel) -> Self {
        Self {
            udp: tunnel.udp_port().map(|port| (tunnel.encap.as_deref().map(|e| e.kind), port)),
            overlay: Some(tunnel.mode).filter(|mode| mode.is_overlay()),
            has_gre: tunnel.mode.is_gre(),
            is_minimal: tunnel.mode == Mode::Minimal,
            is_erspan: tunnel.mode.is_erspan(),
            key: match (tunnel.overlay.as_deref(), tunnel.erspan()) {
                (Some(overlay), _) => Some(overlay.id),
                (None, Some(version)) => version.session().map(u32::from),
                (None, None) => tunnel.keys.as_deref().and_then(|keys| keys.input),
            },
        }
    }
}

/// What a tunnel may carry, of which it is told from others.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Carried {
    Ip(Family),
    Frames,
    Mpls,
}

impl Carried {
    fn all_of(tunnel: &Tunnel) -> impl Iterator<Item = Self> {
        let families = [Family::Ipv4, Family::Ipv6].into_iter();
        let families = families.filter(|family| tunnel.carries_bare(*family)).map(Self::Ip);
        let frames = tunnel.is_of_frames().then_some(Self::Frames);
        families.chain(frames).chain(tunnel.carries_mpls().then_some(Self::Mpls))
    }
}

/// What the lookup on decapsulation goes by, for one protocol inside.
#[derive(PartialEq, Eq, Hash)]
struct Tuple<'t> {
    outer: Family,
    inner: Carried,
    headers: Headers,
    local: Option<IpAddr>,
    remote: Option<IpAddr>,
    link: Option<&'t str>,
}

impl<'t> Tuple<'t> {
    fn of(
        tunnel: &'t Tunnel,
        (remote, local): (Option<IpAddr>, Option<IpAddr>),
        inner: Carried,
    ) -> Self {
        Self {
            outer: tunnel.outer,
            inner,
            headers: Headers::of(tunnel),
            local,
            remote,
            link: tunnel.link.as_deref(),
        }
    }
}

/// Two tunnels that a packet could belong to in the same step of the lookup. A disabled tunnel takes part: it
/// ends the lookup as any other.
fn check_ambiguity(report: &mut Report, drafts: &Drafts<'_>) {
    let count = drafts.tunnels.len();
    let mut first: FxHashMap<Tuple<'_>, usize> =
        FxHashMap::with_capacity_and_hasher(count, FxBuildHasher);
    for (index, draft) in drafts.tunnels.iter().enumerate() {
        if draft.is_broken {
            continue;
        }
        let mut other = None;
        for inner in Carried::all_of(&draft.tunnel) {
            for ends in draft.tunnel.ends() {
                let tuple = Tuple::of(&draft.tunnel, ends, inner);
                let earlier = *first.entry(tuple).or_insert(index);
                other = other.or(Some(earlier).filter(|earlier| *earlier != index));
            }
        }
        let Some(other) = other.and_then(|other| drafts.tunnels.get(other)) else { continue };
        let name = &other.tunnel.name;
        let location = other.written.location();
        let is_there = |key: &&str| draft.written.spot(report).node.entry(key).is_some();
        let key = ["remote", "remotes"].into_iter().find(is_there).unwrap_or("mode");
        draft.written.spot(report).at(key, |place, mark| {
            let message = format!(
                "what arrives can't be told from what belongs to tunnel {name} ({location})"
            );
            report.error(place, mark, MistakeKind::Ambiguous, message).advise(
                if draft.tunnel.mode.is_erspan() {
                    "let them differ in `local`, `remote`, `link` or `session`"
                } else if draft.tunnel.mode.is_gre() {
                    "let them differ in `local`, `remote`, `link` or `key`"
                } else if draft.tunnel.mode.is_overlay() {
                    "let them differ in `local`, `remote`, `link`, `port` or `id`"
                } else {
                    "let them differ in `local`, `remote`, `link` or what they carry"
                },
            );
        });
    }
}
