//! The settings of a tunnel one by one, as written: few tunnels write more than one or two, and most write none.
//! What they come to over the profile's values is shared by all tunnels for which it is the same.

use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::mistake::MistakeKind;
use super::read::{self, WordOr, quoted};
use super::report::{Field, Report};
use super::tunnel::{Family, InnerSource, Settings};
use super::words::{
    DontFragment, DscpDecap, Ecn, Fragment, IcmpRelay, Mode, Profile, ReceiveSequence,
};

/// RFC 791's smallest datagram that needs no fragmentation, and the largest there is.
const MTU: std::ops::RangeInclusive<u64> = 68..=65_535;
/// RFC 4213 §3.2.1: the static tunnel MTU lies between these.
const STATIC_MTU: std::ops::RangeInclusive<u64> = 1280..=1480;
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

/// A setting that was written. Some depend on others; they stand in the order in which they are applied.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Setting {
    Mtu(WordOr<u16>),
    StaticMtu(u16),
    DontFragment(DontFragment),
    Ttl(WordOr<u8>),
    MinOuterTtl(NonZeroU8),
    Dscp(WordOr<u8>),
    DscpDecap(DscpDecap),
    Ecn(Ecn),
    Fragment(Fragment),
    Reassembly(bool),
    ReassemblyTimeout(Duration),
    PmtuExpiry(Duration),
    PmtuFloor(u16),
    ClampTcpMss(bool),
    MssInsert(bool),
    Multicast(bool),
    Hairpin(bool),
    UnsafeAnyPeer(bool),
    RelayAdmin(bool),
    OuterRpf(bool),
    InnerSource(InnerSource),
    InnerDestination(Box<[IpNet]>),
    IcmpRelay(IcmpRelay),
    EncapLimit(WordOr<u8>),
    FlowLabel(WordOr<u32>),
    Checksum(bool),
    RequireChecksum(bool),
    Sequence(bool),
    ReceiveSequence(ReceiveSequence),
    RequireSequence(bool),
    Udp6ZeroTx(bool),
    Udp6ZeroRx(bool),
}

impl Setting {
    /// The setting of a key. `None` if its value is wrong, or the key no setting's.
    pub(super) fn read(report: &mut Report, key: &str, field: Field<'_, '_>) -> Option<Self> {
        Some(match key {
            "mtu" => Self::Mtu(read::word_or_number(report, field, "auto", MTU)?),
            "static-mtu" => Self::StaticMtu(read::small(report, field, STATIC_MTU)?),
            "dont-fragment" => Self::DontFragment(read::word(report, field)?),
            "ttl" => Self::Ttl(read::word_or_number(report, field, "inherit", 1..=255)?),
            "min-outer-ttl" => {
                Self::MinOuterTtl(NonZeroU8::new(read::small(report, field, 1..=255)?)?)
            }
            "dscp" => Self::Dscp(read::word_or_number(report, field, "inherit", 0..=63)?),
            "dscp-decap" => Self::DscpDecap(read::word(report, field)?),
            "ecn" => Self::Ecn(read::word(report, field)?),
            "encap-limit" => {
                Self::EncapLimit(read::word_or_number(report, field, "none", 0..=255)?)
            }
            "flow-label" => {
                Self::FlowLabel(read::word_or_number(report, field, "hash", 0..=0xf_ffff)?)
            }
            _ => return Self::read_inner(report, key, field),
        })
    }

    /// What is not about the fields of the outer header.
    fn read_inner(report: &mut Report, key: &str, field: Field<'_, '_>) -> Option<Self> {
        Some(match key {
            "fragment" => Self::Fragment(read::word(report, field)?),
            "reassembly" => Self::Reassembly(read::boolean(report, field)?),
            "reassembly-timeout" => {
                Self::ReassemblyTimeout(read::duration(report, field, SECOND..=120 * SECOND)?)
            }
            "pmtu-expiry" => Self::PmtuExpiry(pmtu_expiry(report, field)?),
            "pmtu-floor" => Self::PmtuFloor(read::small(report, field, 68..=1500)?),
            "clamp-tcp-mss" => Self::ClampTcpMss(read::boolean(report, field)?),
            "mss-insert" => Self::MssInsert(read::boolean(report, field)?),
            "icmp-relay" => Self::IcmpRelay(icmp_relay(report, field)?),
            "relay-admin" => Self::RelayAdmin(read::boolean(report, field)?),
            "multicast" => Self::Multicast(read::boolean(report, field)?),
            "hairpin" => Self::Hairpin(read::boolean(report, field)?),
            "unsafe-any-peer" => Self::UnsafeAnyPeer(read::boolean(report, field)?),
            "outer-rpf" => Self::OuterRpf(read::boolean(report, field)?),
            "inner-source" => Self::InnerSource(inner_source(report, field)?),
            "inner-destination" => Self::InnerDestination(prefixes(report, field)?.into()),
            _ => return Self::read_shim(report, key, field),
        })
    }

    /// What is about the headers between the outer IP header and the packet inside.
    fn read_shim(report: &mut Report, key: &str, field: Field<'_, '_>) -> Option<Self> {
        Some(match key {
            "checksum" => Self::Checksum(read::boolean(report, field)?),
            "require-checksum" => Self::RequireChecksum(read::boolean(report, field)?),
            "sequence" => Self::Sequence(read::boolean(report, field)?),
            "receive-sequence" => Self::ReceiveSequence(read::word(report, field)?),
            "require-sequence" => Self::RequireSequence(read::boolean(report, field)?),
            "udp6-zero-tx" => Self::Udp6ZeroTx(read::boolean(report, field)?),
            "udp6-zero-rx" => Self::Udp6ZeroRx(read::boolean(report, field)?),
            _ => return None,
        })
    }

    /// Its place among others.
    fn rank(&self) -> u8 {
        match self {
            Self::Mtu(_) => 0,
            Self::StaticMtu(_) => 1,
            _ => 2,
        }
    }

    /// Puts settings in the order in which they are applied.
    pub(super) fn sort(settings: &mut [Self]) {
        settings.sort_by_key(Self::rank);
    }

    /// Whether it is about an outer header of the tunnel's own.
    const fn is_of_header(&self) -> bool {
        matches!(
            self,
            Self::Ttl(_)
                | Self::Dscp(_)
                | Self::DscpDecap(_)
                | Self::Ecn(_)
                | Self::DontFragment(_)
                | Self::Fragment(_)
        )
    }

    fn apply(&self, settings: &mut Settings, mode: Mode, outer: Family) {
        let (is_ipv6, is_gre) = (outer == Family::Ipv6, mode.is_gre());
        if mode == Mode::Minimal && self.is_of_header() {
            return;
        }
        match self {
            Self::Mtu(mtu) => {
                settings.mtu = mtu.number();
                settings.static_mtu = false;
            }
            Self::StaticMtu(mtu) if matches!(mode, Mode::Sit | Mode::SixRd | Mode::Isatap) => {
                //= RFC 4213 §3.2.1: a static tunnel MTU goes with a clear outer DF bit
                settings.mtu = Some(*mtu);
                settings.static_mtu = true;
                settings.dont_fragment = DontFragment::No;
            }
            Self::DontFragment(value) if !mode.is_mpls() => settings.dont_fragment = *value,
            Self::Ttl(ttl) => settings.ttl = ttl.number().and_then(NonZeroU8::new),
            Self::MinOuterTtl(ttl) => settings.min_outer_ttl = *ttl,
            Self::Dscp(dscp) => settings.dscp = dscp.number(),
            Self::DscpDecap(value) => settings.dscp_decap = *value,
            Self::Ecn(value) => settings.ecn = *value,
            Self::Fragment(value) => settings.fragment = *value,
            Self::Reassembly(value) => settings.reassembly = *value,
            Self::ReassemblyTimeout(value) => settings.reassembly_timeout = *value,
            Self::PmtuExpiry(value) => settings.pmtu_expiry = *value,
            Self::PmtuFloor(value) => settings.pmtu_floor = *value,
            Self::ClampTcpMss(value) => settings.clamp_tcp_mss = *value,
            Self::MssInsert(value) => settings.mss_insert = *value,
            Self::Multicast(value) => settings.multicast = *value,
            Self::Hairpin(value) => settings.hairpin = *value,
            Self::UnsafeAnyPeer(value) => settings.unsafe_any_peer = *value,
            Self::RelayAdmin(value) => settings.relay_admin = *value,
            Self::OuterRpf(value) => settings.outer_rpf = *value,
            Self::InnerSource(value) => settings.inner_source = value.clone(),
            Self::InnerDestination(value) => settings.inner_destination = value.to_vec(),
            Self::IcmpRelay(value) => settings.icmp_relay = *value,
            Self::EncapLimit(limit) if is_ipv6 => settings.encap_limit = limit.number(),
            Self::FlowLabel(label) if is_ipv6 => settings.flow_label = label.number(),
            Self::Checksum(value) if is_gre => settings.checksum = *value,
            Self::RequireChecksum(value) if is_gre => settings.require_checksum = *value,
            Self::Sequence(value) if is_gre => settings.sequence = *value,
            Self::ReceiveSequence(value) if is_gre => settings.receive_sequence = *value,
            Self::RequireSequence(value) if is_gre => settings.require_sequence = *value,
            Self::Udp6ZeroTx(value) if is_ipv6 => settings.udp6_zero_tx = *value,
            Self::Udp6ZeroRx(value) if is_ipv6 => settings.udp6_zero_rx = *value,
            // They mean nothing for this mode.
            Self::StaticMtu(_)
            | Self::DontFragment(_)
            | Self::EncapLimit(_)
            | Self::FlowLabel(_)
            | Self::Checksum(_)
            | Self::RequireChecksum(_)
            | Self::Sequence(_)
            | Self::ReceiveSequence(_)
            | Self::RequireSequence(_)
            | Self::Udp6ZeroTx(_)
            | Self::Udp6ZeroRx(_) => {}
        }
    }
}

/// Settings of many tunnels, those that are the same only once.
pub(super) struct SharedSettings<'d> {
    /// For every tunnel, before its own.
    defaults: &'d [Setting],
    /// Of tunnels without settings of their own.
    plain: FxHashMap<(Profile, Mode, Family), Arc<Settings>>,
    others: FxHashMap<Settings, Arc<Settings>>,
}

impl<'d> SharedSettings<'d> {
    pub(super) fn new(defaults: &'d [Setting]) -> Self {
        Self { defaults, plain: FxHashMap::default(), others: FxHashMap::default() }
    }

    /// What a tunnel that has written `own` goes by.
    pub(super) fn resolve(
        &mut self,
        profile: Profile,
        (mode, outer): (Mode, Family),
        own: &[Setting],
    ) -> Arc<Settings> {
        let defaults = self.defaults;
        let plain = self.plain.entry((profile, mode, outer)).or_insert_with(|| {
            let mut settings = Settings::of(profile, mode, outer);
            for setting in defaults {
                setting.apply(&mut settings, mode, outer);
            }
            Arc::new(settings)
        });
        if own.is_empty() {
            return Arc::clone(plain);
        }
        let mut settings = Settings::clone(plain);
        for setting in own {
            setting.apply(&mut settings, mode, outer);
        }
        if let Some(known) = self.others.get(&settings) {
            return Arc::clone(known);
        }
        let shared = Arc::new(settings.clone());
        self.others.insert(settings, Arc::clone(&shared));
        shared
    }
}

fn icmp_relay(report: &mut Report, field: Field<'_, '_>) -> Option<IcmpRelay> {
    let text = read::text(report, field)?;
    if read::as_boolean(text) == Some(true) {
        return Some(IcmpRelay::All);
    }
    read::word(report, field)
}

fn pmtu_expiry(report: &mut Report, field: Field<'_, '_>) -> Option<Duration> {
    let expiry = read::duration(report, field, SECOND..=DAY)?;
    //= RFC 1191 §6.3, RFC 8201 §4: a larger size is not tried within five minutes of a decrease.
    let least = 300 * SECOND;
    if expiry < least {
        let message = "a path MTU that was learnt is believed for 300 s at least (RFC 8201 §4)";
        report
            .warn(field.place, field.node.mark, MistakeKind::OutOfRange, message)
            .advise("write 300 or more");
    }
    Some(expiry.max(least))
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
