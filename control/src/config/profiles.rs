//! The settings of a tunnel that a profile has a default for, and these defaults.

use std::num::NonZeroU8;
use std::time::Duration;

use ipnet::IpNet;

use super::tunnel::Family;
use super::words::{
    DontFragment, DscpDecap, Ecn, Fragment, IcmpRelay, Mode, Profile, ReceiveSequence,
};

/// The settings of a tunnel that a profile has a default for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in the file")]
pub struct Settings {
    /// Which defaults were taken.
    pub profile: Profile,
    /// `None`: underlay path MTU less the overhead. With `static-mtu`, that number.
    pub mtu: Option<u16>,
    /// RFC 4213 §3.2.1: `mtu` is fixed and the outer DF clear.
    pub static_mtu: bool,
    /// The outer TTL or hop limit; `None`: the inner one's after its decrement.
    pub ttl: Option<NonZeroU8>,
    /// Outer packets that arrive with less are dropped.
    pub min_outer_ttl: NonZeroU8,
    /// The outer DSCP, 0–63; `None`: the inner one's.
    pub dscp: Option<u8>,
    /// The inner DSCP on decapsulation.
    pub dscp_decap: DscpDecap,
    /// The outer ECN field.
    pub ecn: Ecn,
    /// The outer DF bit; means nothing for an IPv6 outer header.
    pub dont_fragment: DontFragment,
    /// What is cut.
    pub fragment: Fragment,
    /// Outer fragments are put together again.
    pub reassembly: bool,
    /// How long fragments wait for the others.
    pub reassembly_timeout: Duration,
    /// How long a learnt path MTU is believed.
    pub pmtu_expiry: Duration,
    /// The smallest path MTU that is believed.
    pub pmtu_floor: u16,
    /// TCP's MSS option is lowered to what fits.
    pub clamp_tcp_mss: bool,
    /// An MSS option is inserted where there is none.
    pub mss_insert: bool,
    /// Multicast and broadcast may enter and leave.
    pub multicast: bool,
    /// A packet from the tunnel may be routed back into it.
    pub hairpin: bool,
    /// Packets of any outer source are accepted.
    pub unsafe_any_peer: bool,
    /// ICMP errors say that a filter did it.
    pub relay_admin: bool,
    /// Outer packets must come in where the route to their source goes out.
    pub outer_rpf: bool,
    /// Which inner sources are believed.
    pub inner_source: InnerSource,
    /// Inner destinations that are allowed; empty: all.
    pub inner_destination: Vec<IpNet>,
    /// Which errors of the underlay are relayed.
    pub icmp_relay: IcmpRelay,
    /// RFC 2473's encapsulation limit in the outer header; `None`: not added.
    pub encap_limit: Option<u8>,
    /// The outer flow label, 20 bits; `None`: a hash of the inner flow.
    pub flow_label: Option<u32>,
    /// GRE: what is sent has a checksum.
    pub checksum: bool,
    /// GRE: what arrives must have one.
    pub require_checksum: bool,
    /// GRE: what is sent is numbered.
    pub sequence: bool,
    /// GRE: what becomes of numbered packets that arrive late.
    pub receive_sequence: ReceiveSequence,
    /// GRE: what arrives must be numbered.
    pub require_sequence: bool,
    /// UDP over IPv6: what is sent may have no checksum.
    pub udp6_zero_tx: bool,
    /// UDP over IPv6: what arrives may have none.
    pub udp6_zero_rx: bool,
}

/// Which inner sources a tunnel accepts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum InnerSource {
    /// Some route, best or not, could send to that source through this tunnel (RFC 3704 §2.3).
    Feasible,
    /// The best route to that source is this tunnel.
    Strict,
    /// There is a route to that source.
    Loose,
    /// Any.
    Off,
    /// Those in one of these prefixes.
    Prefixes(Vec<IpNet>),
}

/// The profile's value for everything the file does not say.
impl Settings {
    /// Semantics of the profiles, one column each, for tunnels of a mode with `outer` outside.
    pub fn of(profile: Profile, mode: Mode, outer: Family) -> Self {
        let settings = Self::of_any(profile, mode, outer);
        if mode != Mode::Minimal {
            return settings;
        }
        // The header is the sender's own, and a piece of a packet can't enter.
        Self {
            ttl: None,
            dscp: None,
            dscp_decap: DscpDecap::Keep,
            ecn: Ecn::Normal,
            dont_fragment: DontFragment::Inherit,
            fragment: Fragment::Outer,
            ..settings
        }
    }

    /// The same, but for what follows from a mode that leaves no choice.
    fn of_any(profile: Profile, mode: Mode, outer: Family) -> Self {
        let default_ttl = NonZeroU8::new(64);
        let native = Self {
            profile,
            mtu: None,
            static_mtu: false,
            ttl: default_ttl,
            min_outer_ttl: NonZeroU8::MIN,
            dscp: None,
            dscp_decap: DscpDecap::Keep,
            ecn: Ecn::Normal,
            dont_fragment: DontFragment::Pmtudisc,
            fragment: Fragment::Inner,
            reassembly: true,
            reassembly_timeout: Duration::from_secs(match outer {
                Family::Ipv4 => 2,
                Family::Ipv6 => 60,
            }),
            pmtu_expiry: Duration::from_mins(10),
            pmtu_floor: 552,
            clamp_tcp_mss: true,
            mss_insert: false,
            multicast: false,
            hairpin: false,
            unsafe_any_peer: false,
            relay_admin: false,
            outer_rpf: false,
            inner_source: InnerSource::Feasible,
            inner_destination: Vec::new(),
            icmp_relay: IcmpRelay::All,
            encap_limit: None,
            flow_label: None,
            checksum: false,
            require_checksum: false,
            sequence: false,
            receive_sequence: ReceiveSequence::Ignore,
            require_sequence: false,
            udp6_zero_tx: false,
            udp6_zero_rx: false,
        };
        match (profile, outer) {
            (Profile::Native, _) => native,
            (Profile::Linux, Family::Ipv4) => Self {
                ttl: None,
                reassembly_timeout: Duration::from_secs(30),
                ..Self::linux(native)
            },
            // Linux's VXLAN and GENEVE add no such option.
            (Profile::Linux, Family::Ipv6) if mode.is_overlay() => Self::linux(native),
            (Profile::Linux, Family::Ipv6) => Self { encap_limit: Some(4), ..Self::linux(native) },
            //= RFC 4023 §5.1: DF is set around labels, whoever the peer is.
            (Profile::Routeros, _) if mode.is_mpls() => {
                Self { inner_source: InnerSource::Off, ..native }
            }
            (Profile::Routeros, _) => {
                Self { dont_fragment: DontFragment::No, inner_source: InnerSource::Off, ..native }
            }
        }
    }

    /// What iproute2's tunnels of both families have in common.
    fn linux(native: Self) -> Self {
        Self {
            dscp: Some(0),
            ecn: Ecn::Rfc3168,
            inner_source: InnerSource::Off,
            clamp_tcp_mss: false,
            ..native
        }
    }
}
