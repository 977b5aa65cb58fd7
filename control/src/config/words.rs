//! The words a configuration value may be, each list written once: the enum, its spelling in YAML, its
//! spelling in reports. Not the rules about them: those are with the section that reads them.

use std::fmt;

/// An enum whose variants are words of the configuration.
pub trait Word: Copy + 'static {
    /// Every variant with its spelling, in the order in which help lists them.
    const WORDS: &'static [(&'static str, Self)];

    /// The variant spelled `text`.
    fn from_word(text: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
    }
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl Word for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant),)+];
        }

        impl $name {
            /// The word as the configuration spells it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(
    /// `dataplane.idle`: what a worker does when no packet arrives.
    Idle {
        /// Spin: the first packet waits for nothing.
        Poll = "poll",
        /// Back off: a laptop stays cool, the first packet waits up to a millisecond.
        Sleep = "sleep",
    }
);

words!(
    /// `dataplane.hugepages`.
    Hugepages {
        /// Take them where there are any.
        Auto = "auto",
        /// Refuse to start without.
        Required = "required",
        /// Do not touch them.
        Off = "off",
    }
);

words!(
    /// `dataplane.spread`: hand packets of one hot queue to other workers by inner flow.
    Spread {
        /// Where one worker is the bottleneck and the gain is real.
        Auto = "auto",
        /// Always.
        On = "on",
        /// Never.
        Off = "off",
    }
);

words!(
    /// `ports.*.offloads`: checksums that a device looks after.
    Offloads {
        /// What hardware does.
        Auto = "auto",
        /// What a driver does in software too.
        On = "on",
        /// None.
        Off = "off",
    }
);

words!(
    /// `ports.*.rss`: by what a device spreads packets over its receive queues.
    Rss {
        /// By the inner flow where hardware can, otherwise by the outer one.
        Auto = "auto",
        /// By the inner flow, also where a driver does it in software.
        Inner = "inner",
        /// By the outer addresses and ports.
        Outer = "outer",
        /// Not at all.
        Off = "off",
    }
);

words!(
    /// `limits.unmatched-icmp`: the answer to a tunnel packet that belongs to no tunnel.
    UnmatchedIcmp {
        /// Silence, which discloses nothing.
        No = "no",
        /// Protocol unreachable, for debugging.
        ProtoUnreach = "proto-unreach",
    }
);

words!(
    /// `tunnels.*.mode`.
    Mode {
        /// IPv4 in IPv4 (RFC 2003).
        Ipip = "ipip",
        /// IPv4 in IPv4 with one IPv4 header (RFC 2004).
        Minimal = "minimal",
        /// IPv6 in IPv4 (RFC 4213), and what `payload` adds.
        Sit = "sit",
        /// IPv6 in IPv6 (RFC 2473).
        Ip6ip6 = "ip6ip6",
        /// IPv4 in IPv6 (RFC 2473).
        Ipip6 = "ipip6",
        /// IPv4 and IPv6 in IPv6.
        Any = "any",
        /// IPv4 and IPv6 in GRE in IPv4 (RFC 2784, RFC 2890).
        Gre = "gre",
        /// The same in IPv6 (RFC 7676).
        Ip6gre = "ip6gre",
        /// Ethernet frames in GRE in IPv4.
        Gretap = "gretap",
        /// The same in IPv6.
        Ip6gretap = "ip6gretap",
        /// Ethernet frames in VXLAN (RFC 7348), in the IP version of the peer's address.
        Vxlan = "vxlan",
        /// Ethernet frames, or IPv4 and IPv6, in GENEVE (RFC 8926), likewise.
        Geneve = "geneve",
        /// Mirrored Ethernet frames in GRE in IPv4 (ERSPAN).
        Erspan = "erspan",
        /// The same in IPv6.
        Ip6erspan = "ip6erspan",
        /// MPLS in IPv4 (RFC 4023).
        Mplsip = "mplsip",
        /// MPLS in IPv6 (RFC 4023).
        Mplsip6 = "mplsip6",
        /// IPv6 in IPv4 whose peers are in the IPv6 addresses (RFC 5969).
        SixRd = "6rd",
        /// IPv6 in IPv4 whose peers are in the interface identifiers (RFC 5214).
        Isatap = "isatap",
    }
);

words!(
    /// `tunnels.*.6rd.role`: which router of the domain this node is.
    SixRdRole {
        /// A customer's.
        Ce = "ce",
        /// A border relay.
        Br = "br",
    }
);

words!(
    /// `tunnels.*.payload`: what the modes `sit`, `any` and `geneve` carry.
    Payload {
        /// IPv6.
        Ip6ip = "ip6ip",
        /// IPv4.
        Ipip = "ipip",
        /// MPLS.
        Mplsip = "mplsip",
        /// All, told apart by the outer protocol.
        Any = "any",
        /// Ethernet frames.
        Ethernet = "ethernet",
        /// IPv4 and IPv6, where they are told apart by another header.
        Ip = "ip",
    }
);

words!(
    /// `tunnels.*.erspan.direction`: where all frames of a session are said to have been mirrored.
    Direction {
        /// Where they were received.
        Ingress = "ingress",
        /// Where they were sent.
        Egress = "egress",
    }
);

words!(
    /// `tunnels.*.mirror.direction`: of what copies are made.
    Mirrored {
        /// Of what ports receive, and of what comes out of tunnels.
        Ingress = "ingress",
        /// Of what ports send, and of what goes into tunnels.
        Egress = "egress",
        /// Of both.
        Both = "both",
    }
);

words!(
    /// `labels.*.pop`: what is behind a label that goes.
    Pop {
        /// An IP packet, which is routed.
        Ip = "ip",
        /// Another label, which is looked up.
        Label = "label",
    }
);

words!(
    /// `tunnels.*.encap.type`: what follows a UDP header.
    UdpEncap {
        /// What the port stands for.
        Fou = "fou",
        /// A GUE header.
        Gue = "gue",
    }
);

words!(
    /// `tunnels.*.receive-sequence`: what becomes of numbered packets that arrive late.
    ReceiveSequence {
        /// Nothing: the numbers are not looked at.
        Ignore = "ignore",
        /// They are dropped.
        DropOld = "drop-old",
    }
);

words!(
    /// `tunnels.*.profile`: where the settings come from that the file does not mention.
    Profile {
        /// What the RFCs ask for, closed by default.
        Native = "native",
        /// What an iproute2 tunnel does.
        Linux = "linux",
        /// What a `RouterOS` tunnel does.
        Routeros = "routeros",
    }
);

words!(
    /// `tunnels.*.dscp-decap`: RFC 2983's pipe and uniform models at the egress.
    DscpDecap {
        /// Leave the inner DSCP alone (pipe).
        Keep = "keep",
        /// Overwrite the inner DSCP from the outer one (uniform).
        Copy = "copy",
    }
);

words!(
    /// `tunnels.*.ecn`: the outer ECN field on encapsulation.
    Ecn {
        /// RFC 6040: copied.
        Normal = "normal",
        /// RFC 6040 §4.3, for a peer that does not propagate it: zero.
        Compat = "compat",
        /// RFC 3168 full functionality: CE becomes ECT(0).
        Rfc3168 = "rfc3168",
    }
);

words!(
    /// `tunnels.*.dont-fragment`: the outer DF bit and what follows from it.
    DontFragment {
        /// Always set; the path MTU is learnt.
        Pmtudisc = "pmtudisc",
        /// As the inner packet has it.
        Inherit = "inherit",
        /// Never set; the inner DF still refuses packets above the tunnel's MTU.
        No = "no",
        /// Never set, and the inner one disregarded.
        IgnoreDf = "ignore-df",
    }
);

words!(
    /// `tunnels.*.fragment`: which packet is cut when it is too big and may be cut.
    Fragment {
        /// The inner one, before encapsulation.
        Inner = "inner",
        /// The outer one, after.
        Outer = "outer",
    }
);

words!(
    /// `tunnels.*.icmp-relay`: which errors of the underlay reach the inner sender.
    IcmpRelay {
        /// All of the table in RFC 2003 §4 and RFC 2473 §8.
        All = "all",
        /// Only those about the size of packets.
        Pmtu = "pmtu",
        /// None.
        Off = "off",
    }
);

words!(
    /// `routes.*.type`: what a route does with packets that it does not send.
    Refusal {
        /// Drops them silently.
        Blackhole = "blackhole",
        /// Says that the destination is unreachable.
        Unreachable = "unreachable",
        /// Says that the destination is forbidden.
        Prohibit = "prohibit",
    }
);
