//! The one list of what is counted: each line makes the enum, the name, the kind and the help text.
//!
//! Names are those of the counters page of the documentation and stable. Names that begin with
//! `if.` are kept per tunnel, all others per worker; the former stand first to index small arrays.

/// Whether a counter ends packets or accompanies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A packet ended here. Each dropped packet moves exactly one of these.
    Drop,
    /// Something happened to a packet that went on, or that another counter ended.
    Event,
}

macro_rules! kind {
    (drop) => {
        Kind::Drop
    };
    (event) => {
        Kind::Event
    };
}

macro_rules! counters {
    ($($variant:ident: $kind:ident $name:literal, $help:literal;)*) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the help text says it: `Counter::help`")]
        pub enum Counter {
            $($variant,)*
        }

        impl Counter {
            /// Every counter, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name under which it is reported.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What it means, in a sentence.
            pub const fn help(self) -> &'static str {
                match self {
                    $(Self::$variant => $help,)*
                }
            }

            /// Drop or event.
            pub const fn kind(self) -> Kind {
                match self {
                    $(Self::$variant => kind!($kind),)*
                }
            }
        }
    };
}

counters! {
    IfRxDown: drop "if.rx_down", "decap: tunnel is down";
    IfRxCsumErr: drop "if.rx_csum_err", "decap: the tunnel wants a checksum and there is none";
    IfRxSeqErr: drop "if.rx_seq_err", "decap: sequence number that is old, or missing where the tunnel wants one";
    IfRxLengthErr: drop "if.rx_length_err", "decap: inner packet shorter than its header";
    IfRxInnerTruncated: drop "if.rx_inner_truncated", "decap: inner packet longer than what arrived";
    IfRxInnerBadVersion: drop "if.rx_inner_bad_version", "decap: inner version does not fit the protocol";
    IfRxInnerBadHeader: drop "if.rx_inner_bad_header", "decap: inner header invalid";
    IfRxInnerTtlZero: drop "if.rx_inner_ttl_zero", "decap: inner TTL or hop limit 0";
    IfRxEcnDrop: drop "if.rx_ecn_drop", "decap: congestion experienced outside, not ECN-capable inside";
    IfMssClamped: event "if.mss_clamped", "TCP segment sizes lowered to what fits the tunnel, in either direction";
    IfMssMalformed: event "if.mss_malformed", "TCP packets that open a connection with options that can't be read";
    IfRxEcnLog: event "if.rx_ecn_log", "decap: ECN combinations that should not occur";
    IfRxInnerMartianSrc: drop "if.rx_inner_martian_src", "decap: inner source that no host may have";
    IfRxInnerOwnSrc: drop "if.rx_inner_own_src", "decap: inner source is one of our own addresses";
    IfRxSpoofEmbedded: drop "if.rx_spoof_embedded", "decap: inner source in which another outer address is embedded, or which no relay may send";
    IfRxInnerSrcFilter: drop "if.rx_inner_src_filter", "decap: inner source that does not belong behind this tunnel";
    IfRxInnerDstDenied: drop "if.rx_inner_dst_denied", "decap: inner destination not allowed";
    IfRxInnerSrcRoute: drop "if.rx_inner_src_route", "decap: inner packet with a source route or routing header type 0";
    IfRxNestedLimit: drop "if.rx_nested_limit", "decap: inner packet is a tunnel packet to this node again";
    IfRxLoopEncapsulator: drop "if.rx_loop_encapsulator", "decap: inner packet goes back to the encapsulator";
    IfRxHairpin: drop "if.rx_hairpin", "decap: inner packet would leave by the tunnel it came from";
    IfTxLoopSrc: drop "if.tx_loop_src", "encap: inner source is the tunnel's remote, or has an address of ours in it that would bring it back";
    IfTxLoopDev: drop "if.tx_loop_dev", "encap: the way to the remote leads into the tunnel itself";
    IfTxLoopSamePair: drop "if.tx_loop_same_pair", "encap: inner addresses are the tunnel's own";
    IfTxRecursion: drop "if.tx_recursion", "encap: too many tunnels inside each other";
    IfTxEncapLimit: drop "if.tx_encap_limit", "encap: the packet's tunnel encapsulation limit is used up";
    IfTxNoRoute: drop "if.tx_no_route", "encap: no route to the remote";
    IfTxNoRemote: drop "if.tx_no_remote", "encap: no remote known";
    IfTxDown: drop "if.tx_down", "encap: tunnel is down";
    IfTxPayloadUnsupported: drop "if.tx_payload_unsupported", "encap: the tunnel does not carry this protocol";
    IfTxFragment: drop "if.tx_fragment", "encap: piece of a packet, which minimal encapsulation can't carry";
    IfTxTooBig: drop "if.tx_too_big", "encap: packet larger than the tunnel's MTU";
    IfTxTrunc: event "if.tx_trunc", "encap: mirrored frames whose end was cut off to fit the tunnel";
    IfTxInnerFrag: event "if.tx_inner_frag", "encap: packets fragmented before encapsulation";
    IfTxOuterFrag: event "if.tx_outer_frag", "encap: packets fragmented after encapsulation";
    IfTxSoftstateIcmp: event "if.tx_softstate_icmp", "senders told, about an earlier packet, that the tunnel's far end can't be reached";
    IfPmtuUpdates: event "if.pmtu_updates", "path MTUs learnt from errors of the underlay";
    IfPmtuRejected: event "if.pmtu_rejected", "path MTUs in errors of the underlay that can't be true";
    IfIcmpRelayed: event "if.icmp_relayed", "errors of the underlay passed on to senders of inner packets";
    IfIcmpRelayShort: event "if.icmp_relay_short", "errors of the underlay that quote too little to be passed on";
    IfIcmpRelayRejected: event "if.icmp_relay_rejected", "errors of the underlay about packets that were never sent";
    Ip4BadHeader: drop "ip4.bad_header", "IPv4 header of wrong version, length or checksum";
    Ip4Truncated: drop "ip4.truncated", "IPv4 packet shorter than its total length says";
    Ip4MartianSrc: drop "ip4.martian_src", "IPv4 source that no host may have, or one of our own addresses";
    Ip4MartianDst: drop "ip4.martian_dst", "IPv4 destination that no router may forward to";
    Ip4SrcRoute: drop "ip4.src_route", "IPv4 packet with a source route option";
    Ip4TtlExpired: drop "ip4.ttl_expired", "IPv4 packet whose time to live ended here";
    Ip4NoRoute: drop "ip4.no_route", "IPv4 destination without a route";
    Ip4TooBig: drop "ip4.too_big", "IPv4 packet larger than the port it must leave by, not to be fragmented";
    Ip4FragCreated: event "ip4.frag_created", "IPv4 fragments made";
    Ip6BadHeader: drop "ip6.bad_header", "IPv6 header of wrong version or length";
    Ip6BadExthdr: drop "ip6.bad_exthdr", "IPv6 extension headers that can't be read";
    Ip6Truncated: drop "ip6.truncated", "IPv6 packet shorter than its payload length says";
    Ip6Rh0: drop "ip6.rh0", "IPv6 packet with a routing header of type 0";
    Ip6MartianSrc: drop "ip6.martian_src", "IPv6 source that no host may have, or one of our own addresses";
    Ip6MartianDst: drop "ip6.martian_dst", "IPv6 destination that no router may forward to";
    Ip6HopExpired: drop "ip6.hop_expired", "IPv6 packet whose hop limit ended here";
    Ip6Unproved: drop "ip6.unproved", "packet to an IPv6 address of ours that duplicate address detection has not found to be ours alone";
    Ip6NoRoute: drop "ip6.no_route", "IPv6 destination without a route";
    Ip6TooBig: drop "ip6.too_big", "IPv6 packet larger than the port it must leave by";
    IpBroadcastDst: drop "ip.broadcast_dst", "packet to a broadcast or multicast address that nothing here listens to";
    IpUnknownProtocol: drop "ip.unknown_protocol", "packet to a local address with a protocol that nothing here speaks";
    IpFragmentToUs: drop "ip.fragment_to_us", "fragment to a local address that no tunnel could want";
    UdpBadCsum: drop "udp.bad_csum", "UDP checksum wrong";
    UdpZeroCsum6: drop "udp.zero_csum6", "UDP over IPv6 without checksum";
    UdpShort: drop "udp.short", "UDP length beyond the packet";
    UdpClosedPort: drop "udp.closed_port", "UDP to a local address and a port that nothing listens on";
    ReasmOk: event "reasm.ok", "packets put together from fragments";
    ReasmTimeout: drop "reasm.timeout", "fragments whose packet was not complete in time";
    ReasmOverlap: drop "reasm.overlap", "fragments that overlap";
    ReasmLimit: drop "reasm.limit", "fragments beyond the memory for reassembly";
    ReasmRefused: drop "reasm.refused", "fragments of peers whose packets mostly don't complete, while memory is short";
    ReasmNoTunnel: drop "reasm.no_tunnel", "fragments that no tunnel could want";
    ReasmEcnMix: drop "reasm.ecn_mix", "fragments whose ECN fields contradict each other";
    ReasmOversize: drop "reasm.oversize", "fragments of a packet larger than is accepted";
    ReasmTiny: drop "reasm.tiny", "first fragment too short for the headers";
    TunNoMatch: drop "tun.no_match", "tunnel packet from an unknown peer, or to an address that ends no tunnel";
    TunProtoMismatch: drop "tun.proto_mismatch", "tunnel packet whose addresses belong to a tunnel of another kind";
    TunEncapMismatch: drop "tun.encap_mismatch", "UDP-encapsulated packet for a bare tunnel, or the reverse";
    TunBadOuterSrc: drop "tun.bad_outer_src", "tunnel packet from a source that no peer can have";
    TunOuterTtl: drop "tun.outer_ttl", "tunnel packet whose outer TTL is below min-outer-ttl";
    TunShimShort: drop "tun.shim_short", "tunnel packet too short for its encapsulation header";
    MinimalBadCsum: drop "minimal.bad_csum", "checksum of a minimal forwarding header wrong";
    GreBadVersion: drop "gre.bad_version", "GRE packet of another version than 0";
    GreBadFlags: drop "gre.bad_flags", "GRE packet with routing or reserved bits that must be refused, or ERSPAN with a key";
    GreBadCsum: drop "gre.bad_csum", "GRE checksum wrong";
    GreProtoUnsupported: drop "gre.proto_unsupported", "GRE packet that carries a protocol that no tunnel here can";
    GueBadVersion: drop "gue.bad_version", "GUE packet of an unknown variant";
    GueBadFlags: drop "gue.bad_flags", "GUE packet with options that nothing here can obey";
    GueControl: drop "gue.control", "GUE control message";
    GueProtoDenied: drop "gue.proto_denied", "GUE packet that carries a protocol that no tunnel here can";
    VxlanNoIFlag: drop "vxlan.no_i_flag", "VXLAN packet without a network identifier";
    VxlanReservedNonzero: event "vxlan.reserved_nonzero", "VXLAN packets with something in reserved bits, taken all the same";
    VxlanBadReserved: drop "vxlan.bad_reserved", "VXLAN packet with something in reserved bits, where the tunnel is strict";
    VxlanSelfMac: drop "vxlan.self_mac", "VXLAN: frame from a station that is one of our own ports";
    VxlanVlanTag: drop "vxlan.vlan_tag", "VXLAN: frame with a VLAN tag, which the tunnel does not take";
    VxlanUnlistedPeer: drop "vxlan.unlisted_peer", "VXLAN packet of a known network from somebody who is not among its remotes";
    VxlanFloodLimit: drop "vxlan.flood_limit", "VXLAN: frame for all remotes of a tunnel, where too many were copied in one round";
    GnvBadVersion: drop "gnv.bad_version", "GENEVE version that does not exist";
    GnvOam: drop "gnv.oam", "GENEVE control packet";
    GnvCritical: drop "gnv.critical", "GENEVE packet with a critical option, of which none is known";
    GnvBadOpts: drop "gnv.bad_opts", "GENEVE options whose lengths don't add up";
    GnvProtoDenied: drop "gnv.proto_denied", "GENEVE packet that carries what the tunnel does not";
    ErspanBadVersion: drop "erspan.bad_version", "ERSPAN version that the GRE header does not announce";
    ErspanBadFt: drop "erspan.bad_ft", "ERSPAN packet that carries something else than an Ethernet frame";
    MplsBadLabel: drop "mpls.bad_label", "label stack without a bottom, or a label that may not stand there";
    MplsNoLabel: drop "mpls.no_label", "label that this interface does not know";
    MplsTtlExpired: drop "mpls.ttl_expired", "label whose TTL is used up";
    TunIdReuse: event "tun.id_reuse", "identifications used again within 120 s";
    IcmpTx: event "icmp.tx", "ICMP errors sent";
    IcmpRatelimited: event "icmp.ratelimited", "ICMP errors not sent because of a rate limit";
    IcmpSuppressed: event "icmp.suppressed", "ICMP errors not sent because the packet may not be answered";
    IcmpBadChecksum: drop "icmp.bad_checksum", "ICMP message with a wrong checksum";
    L2NotForUs: drop "l2.not_for_us", "frame to another station";
    L2Ethertype: drop "l2.ethertype", "frame of a type that is not carried";
    L2Short: drop "l2.short", "frame too short for its header";
    NbrQueueDrop: drop "nbr.queue_drop", "packet dropped while it waited for its next hop to answer";
    NbrFailed: drop "nbr.failed", "packet whose next hop does not answer";
    ArpBad: drop "arp.bad", "ARP message that is not valid";
    NdBad: drop "nd.bad", "neighbor discovery message that is not valid";
    NdDuplicate: event "nd.duplicate", "addresses of ours that another station on the link uses: found by duplicate address detection";
    FwdBlackhole: drop "fwd.blackhole", "packet to a blackhole route";
    FwdUnreachable: drop "fwd.unreachable", "packet to an unreachable route";
    FwdProhibit: drop "fwd.prohibit", "packet to a prohibit route";
    FwdSteeringDrop: drop "fwd.steering_drop", "packet that a steering rule drops";
    PortTxFull: drop "port.tx_full", "transmit queue full";
    PortNoMbuf: drop "port.no_mbuf", "no buffer for a packet to be made, or no headroom";
    PortOversize: drop "port.oversize", "packet larger than the port's MTU that may not be answered";
    RingFull: drop "ring.full", "ring to another thread full";
}
