//! Errors of the underlay about packets of our tunnels: whether they can be true, what is learnt from
//! them, and what senders behind the tunnels are told (RFC 2003 §4 and §5, RFC 2473 §8, RFC 4213 §3.4).
//!
//! What can't be true changes nothing. What may be is bounded: an estimate of the path MTU only goes
//! down, to a floor; an error is told of once, and at the rate of all errors.

use core::net::IpAddr;
use core::time::Duration;

use super::State;
use crate::clock::Nanos;
use crate::counters::{Counter, CounterSlot};
use crate::device::Device;
use crate::interface::{Interface, PortId, TunnelId};
use crate::node::icmp_error::IcmpError;
use crate::node::icmp_relay::{Cause, Inner, Quote, UnderlayError, Words, plateau_below};
use crate::packet::{Flags, Packet};
use crate::tables::Tables;
use crate::tables::soft_state::{PathMtu, TunnelPath};
use crate::tunnel::lookup::{
    Class, Found, LabelledTunnels, OuterAddress, Pair, Protocols, TunnelLookup, is_tunnel_protocol,
};
use crate::tunnel::shim::quoted_label;
use crate::tunnel::{DontFragment, Relayed, Tunnel};
use crate::wire::checksum::checksum;
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::{Family, icmp4, icmp6, protocol, read_u16};
use crate::witness::{Event, Witness};

/// Tunnels inside each other that an error is passed through, step by step (RFC 2473 §8.4).
const STEPS_MAX: usize = 8;

/// No estimate of a path MTU is given up sooner (RFC 1191 §6.3, RFC 8201 §4).
const EXPIRY_MIN_S: u32 = 300;

/// A sender that is to be told: of this packet, this, by the tunnel that sent it.
struct Telling<'a> {
    inner: &'a [u8],
    error: IcmpError,
    tunnel: &'a Tunnel,
}

/// A quoted packet that one of our tunnels may have sent.
struct Sent<'a> {
    id: TunnelId,
    tunnel: &'a Tunnel,
    path: TunnelPath,
    quote: Quote<'a>,
    /// What was inside, as far as the quote shows it.
    inner: Option<Inner>,
}

/// What becomes of an ICMP message that changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unheard {
    /// It is of no concern here.
    Silent,
    /// It is about a packet that was never sent; by the tunnel with these counters, if by any.
    Rejected(Option<CounterSlot>),
}

/// Says of a whole packet to this node, from a host and with a checked header of `offset` bytes, whether it
/// is an ICMP error that changes nothing: then all that is left to be done is to count it.
pub(crate) fn is_unheard(
    packet: &[u8],
    offset: usize,
    ingress: Interface,
    tables: &Tables,
) -> Option<Unheard> {
    let message = packet.get(offset..)?;
    let is_ipv4 = packet.first()? >> 4 == 4;
    let kind = *message.first()?;
    let is_error = if is_ipv4 { icmp4::is_error(kind) } else { icmp6::is_error(kind) };
    if !is_error {
        return None;
    }
    let (own, heard) = read(packet, message);
    let unheard = match heard.map(|heard| Sent::find(heard.quoted, Some(own), ingress, tables)) {
        None | Some(Ok(None)) => Unheard::Silent,
        Some(Err(Rejected(tunnel))) => Unheard::Rejected(tunnel.map(|tunnel| tunnel.setup.slot)),
        Some(Ok(Some(_))) => return None,
    };
    is_right(packet, message).then_some(unheard)
}

/// Whether the checksum of an ICMP message in a packet is right.
fn is_right(packet: &[u8], message: &[u8]) -> bool {
    if packet.first().is_some_and(|first| first >> 4 == 4) {
        checksum(message) == 0
    } else {
        icmp6::checksum(packet, message) == read_u16(message, icmp6::offset::CHECKSUM)
    }
}

/// The address of ours that an ICMP message went to, and what it says.
fn read<'a>(packet: &[u8], message: &'a [u8]) -> (IpAddr, Option<UnderlayError<'a>>) {
    if packet.first().is_some_and(|first| first >> 4 == 4) {
        let own = Ipv4::trusted(packet).destination();
        (IpAddr::V4(own.into()), UnderlayError::of_icmp4(message))
    } else {
        let own = Ipv6::trusted(packet).destination();
        (IpAddr::V6(own.into()), UnderlayError::of_icmp6(message))
    }
}

/// Why an error is not believed, and of which tunnel it speaks.
struct Rejected<'a>(Option<&'a Tunnel>);

impl<D: Device, W: Witness> State<D, W> {
    /// Hears an ICMP error to this node whose message begins at `offset` of the packet. Afterwards the
    /// packet has reached its end.
    ///
    /// # Errors
    /// The drop counter, if it is no such message.
    pub(super) fn hear_error(
        &mut self,
        packet: &Packet,
        offset: usize,
        tables: &Tables,
        now: Nanos,
    ) -> Result<(), Counter> {
        let bytes = packet.data();
        let message = bytes.get(offset..).unwrap_or(&[]);
        if !is_right(bytes, message) {
            return Err(Counter::IcmpBadChecksum);
        }
        let (own, heard) = read(bytes, message);
        self.witness.note(|| Event::Heard(heard.map(|heard| heard.cause)));
        let Some(mut heard) = heard else { return Ok(()) };
        let mut told = Some(own);
        for _ in 0..STEPS_MAX {
            let step = self.take_step(heard, told.take(), packet.meta.ingress, tables, now);
            let Some(Telling { inner, error, tunnel }) = step else { break };
            if !is_from_here(inner, tables) {
                if self.report(inner, error, Flags::NONE, tables, now) {
                    self.witness.turn_to(packet);
                    self.count_event(Counter::IfIcmpRelayed, Some(tunnel.setup.slot));
                }
                break;
            }
            // What was inside this tunnel is the outer packet of another of ours.
            heard = UnderlayError { cause: Cause::from_error(error), quoted: inner };
        }
        Ok(())
    }

    /// Finds the tunnel that sent what an error quotes, and learns from it. `told` is the address of
    /// ours that the error was sent to, `ingress` where it came in.
    fn take_step<'a>(
        &self,
        heard: UnderlayError<'a>,
        told: Option<IpAddr>,
        ingress: Interface,
        tables: &'a Tables,
        now: Nanos,
    ) -> Option<Telling<'a>> {
        let sent = match Sent::find(heard.quoted, told, ingress, tables) {
            Ok(sent) => sent?,
            Err(Rejected(tunnel)) => {
                let slot = tunnel.map(|tunnel| tunnel.setup.slot);
                self.witness.note(|| Event::Disbelieved);
                self.count_event(Counter::IfIcmpRelayRejected, slot);
                return None;
            }
        };
        self.witness.note(|| sent.event());
        let setup = &sent.tunnel.setup;
        let mut mtu = setup.underlay_mtu;
        if let Cause::TooBig { mtu: told } = heard.cause {
            let learnt = self.learn(&sent, told, tables, now);
            self.witness.note(|| Event::PathMtu { told, holds: learnt });
            let Some(learnt) = learnt else {
                self.count_event(Counter::IfPmtuRejected, Some(setup.slot));
                return None;
            };
            mtu = learnt;
        } else if setup.relay.relayed == Relayed::All && heard.cause.is_of_path(setup.ttl.is_none())
        {
            tables.soft_state.note_error(sent.path, now);
        }
        let is_relayed = match setup.relay.relayed {
            Relayed::All => true,
            Relayed::TooBig => matches!(heard.cause, Cause::TooBig { .. }),
            Relayed::Nothing => false,
        };
        self.witness.note(|| Event::Relay { relayed: setup.relay.relayed, passes: is_relayed });
        if !is_relayed {
            return None;
        }
        let Some(inner) = sent.inner.filter(|inner| inner.is_enough) else {
            self.count_event(Counter::IfIcmpRelayShort, Some(setup.slot));
            return None;
        };
        let words = Words {
            mtu: mtu.saturating_sub(sent.quote.overhead).min(setup.mtu),
            inherits_ttl: setup.ttl.is_none(),
            tells_prohibited: setup.relay.tells_prohibited,
            is_connected: is_connected(inner.destination, sent.tunnel, tables),
        };
        let Some(error) = inner.error(heard.cause, words) else {
            self.witness.note(|| Event::NothingToTell);
            return None;
        };
        Some(Telling { inner: sent.quote.inner, error, tunnel: sent.tunnel })
    }

    /// Learns a path MTU. Returns the one that holds now; `None`: what the error says can't be true.
    fn learn(&self, sent: &Sent<'_>, mtu: u32, tables: &Tables, now: Nanos) -> Option<u16> {
        let Sent { tunnel, path, .. } = *sent;
        let setup = &tunnel.setup;
        let told = sent.believable(mtu)?;
        let known = tables.soft_state.mtu(path, now);
        let estimate = known.map_or(setup.underlay_mtu, |known| known.mtu.min(setup.underlay_mtu));
        // Errors about packets that were under way when the first one came say the same once more.
        let is_news = told.mtu < estimate || told.is_locked;
        if told.mtu > estimate || (known.is_none() && !is_news) {
            return None;
        }
        let until = now + Duration::from_secs(setup.relay.pmtu_expiry_s.max(EXPIRY_MIN_S).into());
        if is_news && tables.soft_state.learn(path, told, now, until) {
            self.count_event(Counter::IfPmtuUpdates, Some(setup.slot));
        }
        Some(told.mtu)
    }
}

impl<'a> Sent<'a> {
    /// Finds who sent a quoted packet. `None`: it is of no tunnel, and no concern here.
    fn find(
        quoted: &'a [u8],
        told: Option<IpAddr>,
        ingress: Interface,
        tables: &'a Tables,
    ) -> Result<Option<Self>, Rejected<'a>> {
        let of_nobody = || Rejected(told.and_then(|told| sole_tunnel(told, tables)));
        let quote = Quote::of(quoted).ok_or_else(of_nobody)?;
        let is_udp = quote.protocol == protocol::UDP && !tables.udp_ports.is_empty();
        if !is_udp && !is_tunnel_protocol(quote.protocol) {
            return Ok(None);
        }
        let (id, tunnel) = find_tunnel(&quote, ingress, tables).ok_or_else(of_nobody)?;
        let headers = tunnel.setup.recognise(quote.protocol, quote.inner);
        let (len, carried) = headers.ok_or_else(of_nobody)?;
        let quote = quote.behind(len, carried);
        let rejected = Rejected(Some(tunnel));
        let path =
            tunnel.path_from(quote.source).filter(|_| told.is_none_or(|told| told == quote.source));
        let (Some(path), Ok(inner)) = (path, quote.inner()) else { return Err(rejected) };
        if inner.is_some_and(|inner| !came_through(&inner, id, tables)) {
            return Err(rejected);
        }
        Ok(Some(Self { id, tunnel, path, quote, inner }))
    }

    /// For who watches.
    fn event(&self) -> Event {
        let Quote { source, destination, total_len, .. } = self.quote;
        Event::Quoted { tunnel: self.id, source, destination, length: total_len }
    }

    /// The path MTU that an error tells of, if a packet like the quoted one can have met it.
    fn believable(&self, mtu: u32) -> Option<PathMtu> {
        let setup = &self.tunnel.setup;
        if setup.outer == Family::Ipv6 {
            //= RFC 8201 §4: an MTU below 1280 is no reason to send less.
            let mtu = u16::try_from(mtu).ok().filter(|&mtu| mtu >= ipv6::MINIMUM_MTU)?;
            return Some(PathMtu { mtu, is_locked: false });
        }
        //= RFC 1191 §4: only a packet with DF can be too big.
        let inherits = setup.dont_fragment == DontFragment::Inherit;
        let inner_dont_fragment = (self.quote.protocol == protocol::IPV4).then_some(true);
        if !setup.follows_path(inner_dont_fragment) || (inherits && !self.quote.dont_fragment) {
            return None;
        }
        let total_len = self.quote.total_len;
        let mtu = if mtu == 0 { plateau_below(total_len) } else { u16::try_from(mtu).ok()? };
        if mtu < ipv4::MTU_MIN || total_len <= usize::from(mtu) {
            return None;
        }
        let floor = setup.relay.pmtu_floor;
        Some(PathMtu { mtu: mtu.max(floor), is_locked: mtu < floor })
    }
}

/// The tunnel whose outer packets look like the quoted one.
fn find_tunnel<'t>(
    quote: &Quote<'_>,
    ingress: Interface,
    tables: &'t Tables,
) -> Option<(TunnelId, &'t Tunnel)> {
    let port = ingress.as_port();
    let sends_so = |id: TunnelId| {
        let tunnel = tables.tunnel(id)?;
        let setup = &tunnel.setup;
        let is_peer = setup.remote == Some(quote.destination);
        let is_its = is_peer && setup.recognise(quote.protocol, quote.inner).is_some();
        is_its.then_some((id, tunnel))
    };
    match (quote.source, quote.destination) {
        (IpAddr::V4(local), IpAddr::V4(remote)) => {
            let lookup = (&tables.tunnels_by_ipv4, &tables.labelled_by_ipv4);
            search((local.into(), remote.into()), quote, port, lookup, sends_so)
        }
        (IpAddr::V6(local), IpAddr::V6(remote)) => {
            let lookup = (&tables.tunnels_by_ipv6, &tables.labelled_by_ipv6);
            search((local.into(), remote.into()), quote, port, lookup, sends_so)
        }
        _ => None,
    }
}

/// Tunnels of one pair of addresses that are looked through for one that may have sent a quoted packet.
const RELATIVES_MAX: usize = 64;

fn search<'t, A: OuterAddress>(
    (local, remote): (A, A),
    quote: &Quote<'_>,
    port: Option<PortId>,
    (bare, labelled): (&TunnelLookup<A>, &LabelledTunnels<A>),
    sends_so: impl Fn(TunnelId) -> Option<(TunnelId, &'t Tunnel)>,
) -> Option<(TunnelId, &'t Tunnel)> {
    let carries = Protocols::of(quote.protocol);
    if carries != Protocols::NONE {
        let Found::Tunnel(id) = bare.find(local, remote, carries, port) else { return None };
        return sends_so(id);
    }
    // By the label that arrives, which mostly is the one that is sent; else one after the other.
    if let Some(label) = quoted_label(quote.protocol, quote.inner)
        && let Some(id) = labelled.any_with(Pair { local, remote, label }, port)
        && let Some(found) = sends_so(id)
    {
        return Some(found);
    }
    let classes = Class::ALL.into_iter().filter(|class| class.outer_protocol() == quote.protocol);
    let all = classes.flat_map(|class| labelled.candidates(local, remote, class));
    all.take(RELATIVES_MAX).find_map(sends_so)
}

/// The tunnel that an address of ours belongs to, if there is one alone.
fn sole_tunnel(own: IpAddr, tables: &Tables) -> Option<&Tunnel> {
    fn sole<A: OuterAddress>(
        own: A,
        bare: &TunnelLookup<A>,
        labelled: &LabelledTunnels<A>,
    ) -> Option<TunnelId> {
        match (bare.has_local(own), labelled.has_local(own)) {
            (true, false) => bare.sole_with_local(own),
            (false, true) => labelled.sole_with_local(own),
            _ => None,
        }
    }
    let id = match own {
        IpAddr::V4(own) => sole(own.into(), &tables.tunnels_by_ipv4, &tables.labelled_by_ipv4),
        IpAddr::V6(own) => sole(own.into(), &tables.tunnels_by_ipv6, &tables.labelled_by_ipv6),
    };
    tables.tunnel(id?)
}

/// Whether a packet like this goes into the tunnel: else the error is forged, or late.
fn came_through(inner: &Inner, id: TunnelId, tables: &Tables) -> bool {
    let next_hop = match inner.destination {
        IpAddr::V4(destination) => tables.route_ipv4(destination.into()),
        IpAddr::V6(destination) => tables.route_ipv6(destination.into()),
    };
    inner.may_be_told_of() && tables.next_hops.leads_into(next_hop, id)
}

/// Whether this node has sent a packet.
fn is_from_here(packet: &[u8], tables: &Tables) -> bool {
    match packet.first().map(|first| first >> 4) {
        Some(4) => tables.local.contains_ipv4(Ipv4::trusted(packet).source()),
        _ => tables.local.contains_ipv6(Ipv6::trusted(packet).source()),
    }
}

/// Whether an address is on a net of a port, or of the tunnel that leads there.
fn is_connected(destination: IpAddr, tunnel: &Tunnel, tables: &Tables) -> bool {
    let IpAddr::V4(destination) = destination else { return false };
    let nets = tables.ports.iter().flat_map(|port| port.nets.iter());
    nets.chain(&tunnel.setup.relay.nets).any(|net| net.contains(&destination))
}
