//! Every event in words. One table names who tells which; the compiler finds an event that nobody
//! tells.

mod ending;
mod entering;
mod frame;
mod labels;
mod leaving;
mod mirror;
mod node;
mod stations;
mod way;

use adit_dataplane::counters::Counter;
use adit_dataplane::wire::ethernet::ether_type;
use adit_dataplane::witness::Event;

use super::names::Names;
use super::step::Told;

/// Tells an event.
#[expect(clippy::too_many_lines, reason = "a table: one entry an event, and none may be missing")]
pub(super) fn tell(event: &Event, names: Names<'_>) -> Told {
    match event {
        Event::Received { port, length } => frame::received(*port, *length, names),
        Event::Told { port, frame } => frame::told(*port, frame, names),
        Event::Answer { error, to, from } => node::answer(*error, *to, *from),
        Event::Piece(header) => way::piece(header),
        Event::Mirrored { of, is_egress, tunnel } => mirror::copy(*of, *is_egress, *tunnel, names),
        Event::Frame { destination, ours, kind } => frame::ethernet(*destination, *ours, *kind),
        Event::Attached { port, tunnel } => frame::attached(*port, *tunnel, names),
        Event::Unwrapped { port, stations, kind, .. } => {
            frame::unwrapped(*port, *stations, *kind, names)
        }
        Event::Packet(header) => frame::packet(header),
        Event::Malformed { version, fault } => frame::malformed(*version, *fault),
        Event::Options { length, is_source_routed } => frame::options(*length, *is_source_routed),
        Event::Extensions { kinds, judged } => frame::extensions(kinds, *judged),
        Event::Decap { tunnel, outer, from_anyone } => {
            leaving::decap(*tunnel, outer, *from_anyone, names)
        }
        Event::OuterSource { source, is_legal } => leaving::outer_source(*source, *is_legal),
        Event::TunnelUp { tunnel, is_up } => way::tunnel_up(*tunnel, *is_up, names),
        Event::OuterTtl { ttl, least } => leaving::outer_ttl(*ttl, *least),
        Event::ReversePath { source, ingress, passes } => {
            leaving::reverse_path(*source, *ingress, *passes, names)
        }
        Event::Shim(judged) => leaving::shim(*judged),
        Event::Label { entry, step } => labels::label(*entry, *step, names),
        Event::Inner(header) => leaving::inner(header),
        Event::EcnOut { outer, inner, result } => leaving::ecn(*outer, *inner, *result),
        Event::DscpOut { outer, inner, is_copied } => leaving::dscp(*outer, *inner, *is_copied),
        Event::InnerSource { tunnel, source, filter, hop, refused } => {
            leaving::inner_source((*tunnel, *source, *hop), *filter, *refused, names)
        }
        Event::InnerDestination { destination, is_listed, refused } => {
            leaving::inner_destination(*destination, *is_listed, *refused)
        }
        Event::InDomain { destination, refused } => leaving::in_domain(*destination, *refused),
        Event::NestedDecap { left, limit } => leaving::nested(*left, *limit),
        Event::Accepted { tunnel, length } => leaving::accepted(*tunnel, *length, names),
        Event::Mss { tunnel, mtu, outcome, inserts } => {
            entering::mss(*tunnel, *mtu, *outcome, *inserts, names)
        }
        Event::Route { destination, hop } => way::route(*destination, *hop, names),
        Event::Member { hop, .. } => way::member(*hop, names),
        Event::TtlExpired { ttl, is_ipv4 } => way::ttl_expired(*ttl, *is_ipv4),
        Event::TtlLowered { ttl, is_ipv4 } => way::ttl_lowered(*ttl, *is_ipv4),
        Event::PortSize { port, mtu, length } => way::port_size(*port, *mtu, *length, names),
        Event::Encap { tunnel, length } => entering::encap(*tunnel, *length, names),
        Event::Depth { entered, limit } => entering::depth(*entered, *limit),
        Event::MayEnter { tunnel, limit } => entering::may_enter(*tunnel, *limit, names),
        Event::PeerInside { tunnel, destination, peer, remote } => {
            entering::peer_inside(*tunnel, *destination, (*peer, *remote), names)
        }
        Event::Towards { tunnel, station, towards, remote, count } => {
            stations::towards(*tunnel, *station, (*towards, *remote), *count, names)
        }
        Event::Copy { length } => stations::copy(*length),
        Event::Learnt { station, remote } => stations::learnt(*station, *remote),
        Event::Loop { tunnel, rule } => way::turns(*tunnel, *rule, names),
        Event::TunnelSize(size) => entering::size(size),
        Event::Truncated { length, left } => mirror::truncated(*length, *left),
        Event::Underlay { tunnel, hop } => entering::underlay(*tunnel, *hop, names),
        Event::EarlierLost { tunnel } => entering::earlier_lost(*tunnel, names),
        Event::Wrapped(wrapped) => entering::wrapped(wrapped, names),
        Event::Cut { mtu, length } => way::cut(*mtu, *length),
        Event::Neighbor { port, address, macs } => way::neighbor(*port, *address, *macs, names),
        Event::Held { port, address } => ending::held(*port, *address, names),
        Event::Resumed { is_answered } => way::resumed(*is_answered),
        Event::Delivered => node::delivered(),
        Event::Lookup { outer, found } => node::lookup(outer, *found, names),
        Event::EchoReply { length } => node::echo_reply(*length),
        Event::EchoLimited => node::echo_limited(),
        Event::Punted { port } => ending::punted(*port, names),
        Event::Consumed => ending::consumed(),
        Event::Waits { seconds } => ending::waits(*seconds),
        Event::Duplicate => node::duplicate(),
        Event::LastPiece => node::last_piece(),
        Event::PutTogether { length } => node::put_together(*length),
        Event::GivenUp => node::given_up(),
        Event::Heard(cause) => node::heard(*cause),
        Event::Quoted { tunnel, source, destination, length } => {
            node::quoted(*tunnel, (*source, *destination), *length, names)
        }
        Event::Disbelieved => node::disbelieved(),
        Event::PathMtu { told, holds } => node::path_mtu(*told, *holds),
        Event::Relay { relayed, passes } => node::relay(*relayed, *passes),
        Event::NothingToTell => node::nothing_to_tell(),
        Event::AnswerSuppressed { error, to } => node::suppressed(*error, *to),
        Event::AnswerLimited { error, to, limit } => node::limited(*error, *to, *limit),
        Event::Counted { counter } => ending::counted(*counter),
        Event::Sent { port, length } => ending::sent(*port, *length, names),
        Event::Dropped(loss) => ending::dropped(*loss, names),
    }
}

/// The control side has refused a frame that it was given.
pub(super) fn refused(counter: Counter) -> Told {
    ending::refused(counter)
}

/// What an event says of a frame as a whole, if it does.
pub(super) fn summary(event: &Event) -> Option<String> {
    match event {
        Event::Packet(header) => Some(frame::summary(header)),
        Event::Frame { destination, ours, kind }
            if destination != ours && *kind != ether_type::ARP =>
        {
            Some(frame::ethernet(*destination, *ours, *kind).words)
        }
        _ => None,
    }
}
