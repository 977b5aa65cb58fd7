//! The section `tunnels`, entry by entry: what the file says, over what `defaults.tunnels` says, over what the
//! profile says. What tunnels have to do with each other and with ports is checked in `check`.

use std::net::IpAddr;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::keys::known_entries;
use super::mistake::{MistakeKind, Origin};
use super::model::Name;
use super::read::{self, WordOr, quoted};
use super::report::{Field, Part, Place, Report, Spot};
use super::sections::{Sections, set};
use super::tunnel::{Family, InnerSource, Settings, Tunnel};
use super::vocabulary::{self, NOT_IN_DEFAULTS};
use super::words::{
    DontFragment, DscpDecap, Ecn, Fragment, IcmpRelay, Mode, Payload, Profile, Word as _,
};

/// RFC 791's smallest datagram that needs no fragmentation, and the largest there is.
const MTU: std::ops::RangeInclusive<u64> = 68..=65_535;
/// RFC 4213 §3.2.1: the static tunnel MTU lies between these.
const STATIC_MTU: std::ops::RangeInclusive<u64> = 1280..=1480;
const COMMENT_LIMIT: usize = 1024;
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

/// A tunnel and where it was written.
#[derive(Debug)]
pub(super) struct TunnelDraft<'t> {
    pub(super) tunnel: Tunnel,
    pub(super) spot: Spot<'t>,
    /// Its mode or an end of it is wrong or missing, so that checks of them would only repeat that.
    pub(super) is_broken: bool,
}

/// What was written for a tunnel, or for all of them; `None` is not mentioned.
#[derive(Debug, Clone, Default)]
struct Written {
    profile: Option<Profile>,
    mode: Option<Mode>,
    payload: Option<Payload>,
    local: Option<IpAddr>,
    remote: Option<IpAddr>,
    link: Option<Name>,
    addresses: Vec<IpNet>,
    routes: Vec<IpNet>,
    enabled: Option<bool>,
    latency: Option<bool>,
    comment: Option<String>,
    mtu: Option<WordOr<u16>>,
    static_mtu: Option<u16>,
    ttl: Option<WordOr<u8>>,
    min_outer_ttl: Option<NonZeroU8>,
    dscp: Option<WordOr<u8>>,
    dscp_decap: Option<DscpDecap>,
    ecn: Option<Ecn>,
    dont_fragment: Option<DontFragment>,
    fragment: Option<Fragment>,
    reassembly: Option<bool>,
    reassembly_timeout: Option<Duration>,
    pmtu_expiry: Option<Duration>,
    pmtu_floor: Option<u16>,
    clamp_tcp_mss: Option<bool>,
    mss_insert: Option<bool>,
    multicast: Option<bool>,
    hairpin: Option<bool>,
    unsafe_any_peer: Option<bool>,
    relay_admin: Option<bool>,
    outer_rpf: Option<bool>,
    inner_source: Option<InnerSource>,
    inner_destination: Option<Vec<IpNet>>,
    icmp_relay: Option<IcmpRelay>,
    encap_limit: Option<WordOr<u8>>,
    flow_label: Option<WordOr<u32>>,
    /// A key that decides about others was refused.
    is_broken: bool,
}

/// Reads every tunnel.
pub(super) fn read<'t>(report: &mut Report, sections: &Sections<'t>) -> Vec<TunnelDraft<'t>> {
    let defaults = read_defaults(report, sections);
    let spots = sections.names(report, "tunnels");
    spots.into_iter().map(|spot| read_tunnel(report, spot, &defaults)).collect()
}

fn read_defaults(report: &mut Report, sections: &Sections<'_>) -> Written {
    let mut defaults = Written::default();
    sections.settings(report, "defaults", vocabulary::DEFAULTS, |report, _, field| {
        for entry in known_entries(report, field, vocabulary::TUNNEL) {
            let place = field.place.key(&entry.key);
            if NOT_IN_DEFAULTS.contains(&&*entry.key) {
                let message = format!("{:?} can't be the same for every tunnel", entry.key);
                report
                    .error(&place, entry.mark, MistakeKind::DoesNotApply, message)
                    .advise("write it in each tunnel");
                continue;
            }
            defaults.read(report, &entry.key, Field { place: &place, node: &entry.value });
        }
    });
    defaults
}

fn read_tunnel<'t>(report: &mut Report, spot: Spot<'t>, defaults: &Written) -> TunnelDraft<'t> {
    let name = if let Part::Key(name) = spot.entry { name } else { "" };
    let root = Place::root(spot.file);
    let section = root.key("tunnels");
    let place = section.key(name);
    let mut written = Written::default();
    let entries =
        known_entries(report, Field { place: &place, node: spot.node }, vocabulary::TUNNEL);
    for entry in &entries {
        let place = place.key(&entry.key);
        written.read(report, &entry.key, Field { place: &place, node: &entry.value });
    }
    // A refused key is there all the same: it is not missing, and its default does not stand in.
    let is_refused =
        |key: &str| spot.node.entry(key).is_some() && !entries.iter().any(|entry| entry.key == key);
    written.is_broken |= ["mode", "payload", "local", "remote", "link"].into_iter().any(is_refused);
    let explicit_mode = written.mode.or(defaults.mode);
    if explicit_mode.is_none() && !is_refused("mode") && !defaults.is_broken {
        miss_mode(report, &spot, written.is_broken);
    }
    let is_broken = written.is_broken || defaults.is_broken || explicit_mode.is_none();
    let mode = explicit_mode.unwrap_or(Mode::Ipip);
    let origin = Origin(spot.location());
    let tunnel = written.resolve(defaults, mode, Arc::from(name), origin);
    if explicit_mode.is_some() {
        refuse_keys_of_other_modes(report, &spot, mode);
        refuse_static_mtu_with_others(report, &spot);
    }
    TunnelDraft { tunnel, spot, is_broken }
}

fn miss_mode(report: &mut Report, spot: &Spot<'_>, is_broken: bool) {
    // A mode that is there but wrong has been reported.
    if is_broken && spot.node.entry("mode").is_some() {
        return;
    }
    let names: Vec<_> = Mode::WORDS.iter().map(|(name, _)| *name).collect();
    spot.at("mode", |place, mark| {
        report
            .error(place, mark, MistakeKind::Missing, "the tunnel has no mode")
            .advise(format!("write mode: and one of {}", names.join(", ")));
    });
}

impl Written {
    fn read(&mut self, report: &mut Report, key: &str, field: Field<'_, '_>) {
        let decides = matches!(key, "mode" | "payload" | "local" | "remote" | "link");
        if decides {
            self.is_broken |= self.read_identity(report, key, field).is_none();
            return;
        }
        match key {
            "profile" => self.profile = read::word(report, field),
            "addresses" => {
                set(
                    &mut self.addresses,
                    read::list_of_good(report, field, read::interface_address),
                );
            }
            "routes" => set(&mut self.routes, read::list_of_good(report, field, read::prefix)),
            "enabled" => self.enabled = read::boolean(report, field),
            "latency" => self.latency = read::boolean(report, field),
            "comment" => self.comment = comment(report, field),
            _ => self.read_outer(report, key, field),
        }
    }

    /// What tells the tunnel from others. `None` if it is wrong.
    fn read_identity(
        &mut self,
        report: &mut Report,
        key: &str,
        field: Field<'_, '_>,
    ) -> Option<()> {
        match key {
            "mode" => self.mode = Some(read::word(report, field)?),
            "payload" => self.payload = Some(read::word(report, field)?),
            "local" => self.local = Some(read::address(report, field)?),
            "remote" => self.remote = Some(read::address(report, field)?),
            _ => self.link = Some(Arc::from(read::text(report, field)?)),
        }
        Some(())
    }

    /// The outer header.
    fn read_outer(&mut self, report: &mut Report, key: &str, field: Field<'_, '_>) {
        match key {
            "mtu" => self.mtu = read::word_or_number(report, field, "auto", MTU),
            "static-mtu" => self.static_mtu = read::small(report, field, STATIC_MTU),
            "ttl" => self.ttl = read::word_or_number(report, field, "inherit", 1..=255),
            "min-outer-ttl" => {
                self.min_outer_ttl = read::small(report, field, 1..=255).and_then(NonZeroU8::new);
            }
            "dscp" => self.dscp = read::word_or_number(report, field, "inherit", 0..=63),
            "dscp-decap" => self.dscp_decap = read::word(report, field),
            "ecn" => self.ecn = read::word(report, field),
            "dont-fragment" => self.dont_fragment = read::word(report, field),
            "encap-limit" => {
                self.encap_limit = read::word_or_number(report, field, "none", 0..=255);
            }
            "flow-label" => {
                self.flow_label = read::word_or_number(report, field, "hash", 0..=0xf_ffff);
            }
            _ => self.read_sizes(report, key, field),
        }
    }

    /// Sizes, fragments and what is learnt about them.
    fn read_sizes(&mut self, report: &mut Report, key: &str, field: Field<'_, '_>) {
        match key {
            "fragment" => self.fragment = read::word(report, field),
            "reassembly" => self.reassembly = read::boolean(report, field),
            "reassembly-timeout" => {
                self.reassembly_timeout = read::duration(report, field, SECOND..=120 * SECOND);
            }
            "pmtu-expiry" => self.pmtu_expiry = read::duration(report, field, SECOND..=DAY),
            "pmtu-floor" => self.pmtu_floor = read::small(report, field, 68..=1500),
            "clamp-tcp-mss" => self.clamp_tcp_mss = read::boolean(report, field),
            "mss-insert" => self.mss_insert = read::boolean(report, field),
            "icmp-relay" => self.icmp_relay = icmp_relay(report, field),
            "relay-admin" => self.relay_admin = read::boolean(report, field),
            _ => self.read_policy(report, key, field),
        }
    }

    /// Who and what may come in.
    fn read_policy(&mut self, report: &mut Report, key: &str, field: Field<'_, '_>) {
        match key {
            "multicast" => self.multicast = read::boolean(report, field),
            "hairpin" => self.hairpin = read::boolean(report, field),
            "unsafe-any-peer" => self.unsafe_any_peer = read::boolean(report, field),
            "outer-rpf" => self.outer_rpf = read::boolean(report, field),
            "inner-source" => self.inner_source = inner_source(report, field),
            "inner-destination" => self.inner_destination = prefixes(report, field),
            _ => {}
        }
    }

    /// The tunnel: what it says itself, else what is said for all, else what its profile says.
    fn resolve(self, defaults: &Self, mode: Mode, name: Name, origin: Origin) -> Tunnel {
        let profile = self.profile.or(defaults.profile).unwrap_or(Profile::Native);
        let mut settings = Settings::of(profile, mode);
        defaults.apply(&mut settings, mode);
        self.apply(&mut settings, mode);
        let payload = self.payload.or(defaults.payload);
        Tunnel {
            origin,
            name,
            mode,
            payload: resolve_payload(mode, profile, payload),
            local: self.local.or(defaults.local),
            remote: self.remote.or(defaults.remote),
            link: self.link.or_else(|| defaults.link.clone()),
            addresses: self.addresses,
            routes: self.routes,
            enabled: self.enabled.or(defaults.enabled).unwrap_or(true),
            latency: self.latency.or(defaults.latency).unwrap_or(false),
            comment: self.comment.or_else(|| defaults.comment.clone()).unwrap_or_default(),
            settings,
        }
    }

    fn apply(&self, settings: &mut Settings, mode: Mode) {
        if let Some(mtu) = self.mtu {
            settings.mtu = mtu.number();
            settings.static_mtu = false;
        }
        if let Some(mtu) = self.static_mtu
            && mode == Mode::Sit
        {
            //= RFC 4213 §3.2.1: a static tunnel MTU goes with a clear outer DF bit
            settings.mtu = Some(mtu);
            settings.static_mtu = true;
            settings.dont_fragment = DontFragment::No;
        }
        let ttl = self.ttl.map(|ttl| ttl.number().and_then(NonZeroU8::new));
        set(&mut settings.ttl, ttl);
        set(&mut settings.min_outer_ttl, self.min_outer_ttl);
        set(&mut settings.dscp, self.dscp.map(WordOr::number));
        set(&mut settings.dscp_decap, self.dscp_decap);
        set(&mut settings.ecn, self.ecn);
        set(&mut settings.dont_fragment, self.dont_fragment);
        set(&mut settings.fragment, self.fragment);
        set(&mut settings.reassembly, self.reassembly);
        set(&mut settings.reassembly_timeout, self.reassembly_timeout);
        set(&mut settings.pmtu_expiry, self.pmtu_expiry);
        set(&mut settings.pmtu_floor, self.pmtu_floor);
        set(&mut settings.clamp_tcp_mss, self.clamp_tcp_mss);
        set(&mut settings.mss_insert, self.mss_insert);
        set(&mut settings.multicast, self.multicast);
        set(&mut settings.hairpin, self.hairpin);
        set(&mut settings.unsafe_any_peer, self.unsafe_any_peer);
        set(&mut settings.relay_admin, self.relay_admin);
        set(&mut settings.outer_rpf, self.outer_rpf);
        set(&mut settings.inner_source, self.inner_source.clone());
        set(&mut settings.inner_destination, self.inner_destination.clone());
        set(&mut settings.icmp_relay, self.icmp_relay);
        if mode.outer() == Family::Ipv6 {
            set(&mut settings.encap_limit, self.encap_limit.map(WordOr::number));
            set(&mut settings.flow_label, self.flow_label.map(WordOr::number));
        }
    }
}

/// What a tunnel carries: `payload` where the mode leaves a choice.
fn resolve_payload(mode: Mode, profile: Profile, payload: Option<Payload>) -> Payload {
    match (mode, profile) {
        (Mode::Ipip | Mode::Ipip6, _) => Payload::Ipip,
        (Mode::Ip6ip6, _) => Payload::Ip6ip,
        // iproute2 creates sit tunnels that carry everything.
        (Mode::Any, _) | (Mode::Sit, Profile::Linux) => payload.unwrap_or(Payload::Any),
        (Mode::Sit, _) => payload.unwrap_or(Payload::Ip6ip),
    }
}

fn comment(report: &mut Report, field: Field<'_, '_>) -> Option<String> {
    if field.node.value == crate::yaml::Value::Null {
        return Some(String::new());
    }
    let text = read::text(report, field)?;
    if text.len() > COMMENT_LIMIT {
        let message = format!("the comment is longer than {COMMENT_LIMIT} bytes");
        report.field(field, MistakeKind::OutOfRange, message);
        return None;
    }
    Some(text.to_owned())
}

fn icmp_relay(report: &mut Report, field: Field<'_, '_>) -> Option<IcmpRelay> {
    let text = read::text(report, field)?;
    if read::as_boolean(text) == Some(true) {
        return Some(IcmpRelay::All);
    }
    read::word(report, field)
}

fn inner_source(report: &mut Report, field: Field<'_, '_>) -> Option<InnerSource> {
    if matches!(field.node.value, crate::yaml::Value::List(_)) {
        return prefixes(report, field).map(InnerSource::Prefixes);
    }
    let text = read::text(report, field)?;
    let source = match text {
        "feasible" => InnerSource::Feasible,
        "strict" => InnerSource::Strict,
        "loose" => InnerSource::Loose,
        _ if read::as_boolean(text) == Some(false) => InnerSource::Off,
        _ => {
            let message = format!("{} is not a filter", quoted(text));
            report
                .field(field, MistakeKind::BadValue, message)
                .advise("write feasible, strict, loose, off, or a list of prefixes");
            return None;
        }
    };
    Some(source)
}

fn prefixes(report: &mut Report, field: Field<'_, '_>) -> Option<Vec<IpNet>> {
    let prefixes = read::list(report, field, read::prefix)?;
    if prefixes.is_empty() {
        report
            .field(field, MistakeKind::BadValue, "the list is empty: nothing would be accepted")
            .advise("name prefixes, or leave the key out");
        return None;
    }
    Some(prefixes)
}

/// Keys written for this tunnel that mean nothing for its mode. Defaults for all are exempt.
fn refuse_keys_of_other_modes(report: &mut Report, spot: &Spot<'_>, mode: Mode) {
    const IPV6_OUTER: &[&str] = &["encap-limit", "flow-label"];
    let outer = mode.outer();
    let mut refuse = |key: &str, message: String| {
        let Some(entry) = spot.node.entry(key) else { return };
        spot.at(key, |place, _| {
            report
                .error(place, entry.mark, MistakeKind::DoesNotApply, message)
                .advise("leave it out");
        });
    };
    let about = |key: &str| format!("{key:?} means nothing for mode {mode}");
    if outer == Family::Ipv4 {
        for key in IPV6_OUTER {
            refuse(key, format!("{}: the outer header is IPv4", about(key)));
        }
    } else {
        refuse("dont-fragment", format!("{}: IPv6 has no such bit", about("dont-fragment")));
    }
    if mode != Mode::Sit {
        refuse("static-mtu", format!("{}, only for sit", about("static-mtu")));
        if mode != Mode::Any {
            refuse("payload", format!("{}, which says itself what it carries", about("payload")));
        }
    }
}

fn refuse_static_mtu_with_others(report: &mut Report, spot: &Spot<'_>) {
    if spot.node.entry("static-mtu").is_none() {
        return;
    }
    for other in ["mtu", "dont-fragment"] {
        let Some(entry) = spot.node.entry(other) else { continue };
        spot.at(other, |place, _| {
            let message = format!("`static-mtu` fixes {other:?} already");
            report
                .error(place, entry.mark, MistakeKind::DoesNotApply, message)
                .advise("leave one of the two out");
        });
    }
}
