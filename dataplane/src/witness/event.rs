//! What can be noted of a packet: each a step or a decision, with the values that it was taken on.
//!
//! Numbers of ports, tunnels and groups are those of the tables in force. Words are for whoever tells
//! people of it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::parts::{Fault, Filter, Header, Hop, LoopRule};
use crate::counters::Counter;
use crate::interface::{Interface, PortId, TunnelId};
use crate::node::icmp_error::IcmpError;
use crate::node::icmp_relay::Cause;
use crate::node::mss::Mss;
use crate::node::options::Extensions;
use crate::node::rate_limit::Limit;
use crate::stage::Loss;
use crate::tables::GroupId;
use crate::tables::labels::Labels;
use crate::tables::soft_state::PathMtu;
use crate::tunnel::ecn::{EcnDecap, EcnEncap};
use crate::tunnel::remotes::Towards;
use crate::tunnel::rewrite::Patch;
use crate::tunnel::shim::Judged;
use crate::tunnel::size::SizeLimits;
use crate::tunnel::{DontFragment, Relayed};
use crate::wire::ethernet::MacAddress;
use crate::wire::ipv4::Ipv4Error;
use crate::wire::ipv6::Ipv6Error;
use crate::wire::mpls::Entry;

/// One step or decision, in the order of the packet's way.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "fields are named as in the rules that they are of")]
pub enum Event {
    /// A frame has come in; `length` without FCS.
    Received { port: PortId, length: usize },
    /// The control thread has a frame sent.
    Told { port: PortId, frame: Box<[u8]> },
    /// This node has made an ICMP error.
    Answer { error: IcmpError, to: IpAddr, from: IpAddr },
    /// This node has cut this piece.
    Piece(Header),
    /// This node has made this copy, which a mirror session sends.
    Mirrored { of: Interface, is_egress: bool, tunnel: TunnelId },

    /// Whom the frame is sent to, and what is in it.
    Frame { destination: MacAddress, ours: MacAddress, kind: u16 },
    /// The packet in the frame.
    Packet(Header),
    /// Its header is not right; `version` is what it should have been.
    Malformed { version: u8, fault: Fault },

    /// It has IPv4 options, of so many bytes.
    Options { length: usize, is_source_routed: bool },
    /// It has IPv6 extension headers: what they are, in their order, and what follows; or why they are refused.
    Extensions { kinds: Box<[u8]>, judged: Result<u8, Counter> },
    /// It is a tunnel's: outer header, and whether the tunnel takes packets from any peer.
    Decap { tunnel: TunnelId, outer: Header, from_anyone: bool },
    /// Where a packet of any peer comes from.
    OuterSource { source: IpAddr, is_legal: bool },
    /// The port is attached to this tunnel, which all of its frames go into.
    Attached { port: PortId, tunnel: TunnelId },
    /// A frame, which leaves by the port that the tunnel is attached to; `stations`: whom it is for and from.
    Unwrapped { tunnel: TunnelId, port: PortId, stations: [MacAddress; 2], kind: u16 },
    /// Whether the tunnel is up.
    TunnelUp { tunnel: TunnelId, is_up: bool },
    /// The TTL that a peer's packet must have left at least.
    OuterTtl { ttl: u8, least: u8 },
    /// Whether it came in where the route to its source goes out.
    ReversePath { source: IpAddr, ingress: Interface, passes: bool },
    /// The headers between the outer one and the packet inside, or why they are refused.
    Shim(Result<Judged, Counter>),
    /// The label on top, and what is asked for by it, or why nothing is.
    Label { entry: Entry, step: Result<LabelStep, Counter> },
    /// The packet inside.
    Inner(Header),
    /// The ECN fields, and what decapsulation makes of them.
    EcnOut { outer: u8, inner: u8, result: EcnDecap },
    /// DSCP after decapsulation: the outer one where it is copied.
    DscpOut { outer: u8, inner: u8, is_copied: bool },
    /// Whether an inner source is believed; `hop`: where the route to it leads.
    InnerSource {
        tunnel: TunnelId,
        source: IpAddr,
        filter: Filter,
        hop: Hop,
        refused: Option<Counter>,
    },
    /// Whether an inner destination is allowed; `is_listed`: the tunnel has a list.
    InnerDestination { destination: IpAddr, is_listed: bool, refused: bool },
    /// Whether an inner destination is this router's, in the domain of the tunnel.
    InDomain { destination: Ipv6Addr, refused: Option<Counter> },
    /// It is a tunnel packet to this node again, of which `left` were left before.
    NestedDecap { left: u8, limit: u8 },
    /// The tunnel has taken it: an inner packet of so many bytes.
    Accepted { tunnel: TunnelId, length: usize },

    /// What a TCP connection that opens says about segments, and what becomes of it.
    /// `inserts`: the tunnel makes those say something that say nothing.
    Mss { tunnel: TunnelId, mtu: u16, outcome: Mss, inserts: bool },

    /// Where the route to its destination leads.
    Route { destination: IpAddr, hop: Hop },
    /// The next hop of a group that its flow has.
    Member { group: GroupId, hop: Hop },
    /// TTL or hop limit is too low to go on.
    TtlExpired { ttl: u8, is_ipv4: bool },
    /// It was so much, and is one less.
    TtlLowered { ttl: u8, is_ipv4: bool },
    /// How large packets may be that leave by a port.
    PortSize { port: PortId, mtu: u16, length: usize },

    /// It is to go into a tunnel.
    Encap { tunnel: TunnelId, length: usize },
    /// So many tunnels of this node it has entered already.
    Depth { entered: u8, limit: u8 },
    /// It may; and the encapsulation limit that the outer header must have, if it brings one.
    MayEnter { tunnel: TunnelId, limit: Option<u8> },
    /// The peer that is in its destination, if that is of the tunnel's domain; and whom it goes to, if there is a way.
    PeerInside {
        tunnel: TunnelId,
        destination: Ipv6Addr,
        peer: Option<Ipv4Addr>,
        remote: Option<Ipv4Addr>,
    },
    /// Which of a tunnel's several remotes a frame goes to, and why; `remote`: that, if it is one of the `count`.
    Towards {
        tunnel: TunnelId,
        station: MacAddress,
        towards: Towards,
        remote: Option<IpAddr>,
        count: usize,
    },
    /// Another packet like it is made, which goes its own way.
    Copy { length: usize },
    /// A station was heard from a remote that it was not known to be behind.
    Learnt { station: MacAddress, remote: IpAddr },
    /// It would go round, by this rule.
    Loop { tunnel: TunnelId, rule: LoopRule },
    /// How large it may be, and what that follows from.
    TunnelSize(TunnelSize),
    /// Its end is cut off: of so many bytes, so many are left.
    Truncated { length: usize, left: usize },
    /// Where the outer packet leaves.
    Underlay { tunnel: TunnelId, hop: Hop },
    /// An earlier packet did not arrive, which the sender is told now.
    EarlierLost { tunnel: TunnelId },
    /// The outer header and what its fields follow from.
    Wrapped(Wrapped),

    /// It is cut into pieces of at most `mtu` bytes.
    Cut { mtu: u16, length: usize },
    /// Who is next on the link; `macs`: its MAC address and ours.
    Neighbor { port: PortId, address: IpAddr, macs: [u8; 12] },
    /// It waits until a neighbor answers.
    Held { port: PortId, address: IpAddr },
    /// The neighbor has answered, or has not.
    Resumed { is_answered: bool },

    /// It is for this node.
    Delivered,
    /// What a lookup by outer addresses found, for a tunnel packet to this node.
    Lookup { outer: Header, found: Result<TunnelId, Counter> },
    /// It asked for an echo, and is the reply now.
    EchoReply { length: usize },
    /// It asked for one more echo than is answered.
    EchoLimited,
    /// It is a protocol's that the control thread speaks, which has it now.
    Punted { port: PortId },
    /// It has come to its end: nothing is left to do with it.
    Consumed,

    /// It is a piece of a packet, and waits for the others so long.
    Waits { seconds: u8 },
    /// The same piece is there already.
    Duplicate,
    /// It was the last piece: the packet is whole, and goes on as its first piece.
    LastPiece,
    /// It was the first piece, and is the whole packet from here on.
    PutTogether { length: usize },
    /// The others did not come in time, or there was no room.
    GivenUp,

    /// An ICMP error; `None`: of no concern to senders behind tunnels.
    Heard(Option<Cause>),
    /// The outer packet that it quotes, of this tunnel.
    Quoted { tunnel: TunnelId, source: IpAddr, destination: IpAddr, length: usize },
    /// What it quotes was never sent by a tunnel.
    Disbelieved,
    /// The path MTU that it tells of; `holds`: the one that is believed from now on, if it can be true.
    PathMtu { told: u32, holds: Option<u16> },
    /// Whether senders are told of such errors.
    Relay { relayed: Relayed, passes: bool },
    /// There is nothing to be told to the sender of that packet.
    NothingToTell,

    /// An error that is not sent, as the packet may not be answered, or nobody knows the way back.
    AnswerSuppressed { error: IcmpError, to: IpAddr },
    /// An error that is not sent, as there were too many for a limit.
    AnswerLimited { error: IcmpError, to: IpAddr, limit: Option<Limit> },

    /// A counter of something that happened, moved.
    Counted { counter: Counter },
    /// It leaves; `length` without FCS.
    Sent { port: PortId, length: usize },
    /// It ends here.
    Dropped(Loss),
}

/// What a label asks for.
#[derive(Clone, Copy, Debug)]
pub enum LabelStep {
    /// Explicit null: it goes.
    Null,
    /// It goes, and IP is behind it.
    PopIp,
    /// It goes, and the next one is looked at.
    PopLabel,
    /// Others take its place, and the packet goes there.
    Swap(Labels, Hop),
}

/// How large a packet may be that goes into a tunnel, and what that follows from.
#[derive(Clone, Copy, Debug)]
pub struct TunnelSize {
    /// Its bytes.
    pub length: usize,
    /// What it is held against.
    pub limits: SizeLimits,
    /// The largest inner packet as it is configured, or else as the underlay takes it.
    pub configured: u16,
    /// The largest outer packet that the way to the remote takes.
    pub underlay: u16,
    /// What was learnt about the path.
    pub learnt: Option<PathMtu>,
    /// Bytes in front of it.
    pub overhead: u16,
}

/// An outer header, and what its fields follow from.
#[derive(Clone, Copy, Debug)]
pub struct Wrapped {
    /// The tunnel.
    pub tunnel: TunnelId,
    /// What differs from packet to packet.
    pub patch: Patch,
    /// From which of the tunnel's sources.
    pub source: IpAddr,
    /// To the remote.
    pub destination: IpAddr,
    /// Of how many.
    pub sources: usize,
    /// Whether it is IPv4.
    pub is_ipv4: bool,
    /// Bytes put in front.
    pub overhead: usize,
    /// The IP protocol of the packet inside, which the outer header names where nothing is between.
    pub carried: u8,
    /// Labels in front of the packet inside.
    pub push: Labels,
    /// DSCP and ECN of the packet inside.
    pub inner_tos: u8,
    /// DF inside; `None`: IPv6.
    pub inner_dont_fragment: Option<bool>,
    /// How the ECN field is made.
    pub ecn: EcnEncap,
    /// The DSCP that is configured; `None`: inherited.
    pub dscp: Option<u8>,
    /// The TTL that is configured; `None`: inherited.
    pub ttl: Option<u8>,
    /// How DF is set.
    pub dont_fragment: DontFragment,
    /// The flow label that is configured; `None`: a hash of the inner flow.
    pub flow_label: Option<u32>,
    /// The encapsulation limit in the header, where there is one.
    pub encap_limit: Option<u8>,
}

impl Event {
    /// An IPv4 packet was refused for its header.
    pub fn malformed_ipv4(error: Ipv4Error, packet: &[u8]) -> Self {
        Self::Malformed { version: 4, fault: Fault::of_ipv4(error, packet) }
    }

    /// The same for IPv6.
    pub fn malformed_ipv6(error: Ipv6Error, packet: &[u8]) -> Self {
        Self::Malformed { version: 6, fault: Fault::of_ipv6(error, packet) }
    }

    /// The extension headers of an IPv6 packet were looked at; `refused`: the counter that it ends with.
    pub fn extensions(packet: &[u8], refused: Option<Counter>) -> Self {
        let mut walk = Extensions::new(packet);
        let kinds = walk.by_ref().map(|extension| extension.kind).collect();
        Self::Extensions { kinds, judged: refused.map_or(Ok(walk.next_header()), Err) }
    }

    /// Whether a packet that begins so comes from outside, and belongs to no packet before it.
    pub const fn is_arrival(&self) -> bool {
        matches!(self, Self::Received { .. } | Self::Told { .. })
    }
}
