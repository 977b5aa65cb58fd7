//! Errors of the underlay about packets of our tunnels: whether they can be true, what is learnt from
//! them, and what senders behind the tunnels are told (RFC 2003 §4 and §5, RFC 2473 §8, RFC 4213 §3.4).
//!
//! What can't be true changes nothing. What may be is bounded: an estimate of the path MTU only goes
//! down, to a floor; an error is told of once, and at the rate of all errors.

use core::net::IpAddr;
use core::time::Duration;

use super::State;
use crate::clock::Nanos;
use crate::counters::Counter;
use crate::device::Device;
use crate::interface::Interface;
use crate::node::icmp_error::{IPV4_MAX, IcmpError};
use crate::node::icmp_relay::{Cause, UnderlayError, Words, plateau_below};
use crate::packet::{Flags, Packet};
use crate::stage::quoted::{Rejected, Sent, is_right, read};
use crate::tables::Tables;
use crate::tables::soft_state::PathMtu;
use crate::tunnel::{DontFragment, Relayed, Tunnel};
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::minimal::unfold;
use crate::wire::{Family, protocol};
use crate::witness::{Event, Witness};

/// Tunnels inside each other that an error is passed through, step by step (RFC 2473 §8.4).
const STEPS_MAX: usize = 8;

/// No estimate of a path MTU is given up sooner (RFC 1191 §6.3, RFC 8201 §4).
const EXPIRY_MIN_S: u32 = 300;

/// A sender that is to be told: of this packet, this, by the tunnel that sent it.
struct Telling<'a> {
    /// From its header on, or from the one into which that is folded, as the tunnel does it.
    inner: &'a [u8],
    error: IcmpError,
    tunnel: &'a Tunnel,
}

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
        if let Some(heard) = heard {
            self.pass_on(packet, (heard, Some(own)), STEPS_MAX, tables, now);
        }
        Ok(())
    }

    /// Passes on what `packet` says, through as many tunnels as it has `steps`. `told`: see [`take_step`](Self::take_step).
    fn pass_on(
        &mut self,
        packet: &Packet,
        (heard, told): (UnderlayError<'_>, Option<IpAddr>),
        steps: usize,
        tables: &Tables,
        now: Nanos,
    ) {
        let Some(steps) = steps.checked_sub(1) else { return };
        let step = self.take_step(heard, told, packet.meta.ingress, tables, now);
        let Some(Telling { inner, error, tunnel }) = step else { return };
        let mut room = [0; IPV4_MAX];
        let inner = if tunnel.setup.shim.is_minimal() {
            let Some((len, _)) = unfold(inner, &mut room) else { return };
            room.get(..len).unwrap_or(&[])
        } else {
            inner
        };
        if is_from_here(inner, tables) {
            // What was inside this tunnel is the outer packet of another of ours.
            let heard = UnderlayError { cause: Cause::from_error(error), quoted: inner };
            return self.pass_on(packet, (heard, None), steps, tables, now);
        }
        if self.report(inner, error, Flags::NONE, tables, now) {
            self.witness.turn_to(packet);
            self.count_event(Counter::IfIcmpRelayed, Some(tunnel.setup.slot));
        }
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
        let mut mtu = sent.underlay_mtu();
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
            tables.soft_state.note_error(sent.to.path_to_learn(tables, now), now);
        }
        let is_relayed = match setup.relay.relayed {
            Relayed::All => true,
            Relayed::TooBig => matches!(heard.cause, Cause::TooBig { .. }),
            Relayed::Nothing => false,
        };
        self.witness.note(|| Event::Relay { relayed: setup.relay.relayed, passes: is_relayed });
        if !is_relayed || sent.quote.protocol == protocol::MPLS {
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
        let setup = &sent.tunnel.setup;
        let told = sent.believable(mtu)?;
        let known = tables.soft_state.mtu(sent.to.path(tables), now);
        let underlay_mtu = sent.underlay_mtu();
        let estimate = known.map_or(underlay_mtu, |known| known.mtu.min(underlay_mtu));
        // Errors about packets that were under way when the first one came say the same once more.
        let is_news = told.mtu < estimate || told.is_locked;
        if told.mtu > estimate || (known.is_none() && !is_news) {
            return None;
        }
        let until = now + Duration::from_secs(setup.relay.pmtu_expiry_s.max(EXPIRY_MIN_S).into());
        if is_news {
            let path = sent.to.path_to_learn(tables, now);
            if !tables.soft_state.learn(path, told, now, until) {
                return Some(told.mtu);
            }
            self.count_event(Counter::IfPmtuUpdates, Some(setup.slot));
        }
        Some(told.mtu)
    }
}

impl Sent<'_> {
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
        let is_labelled = self.quote.protocol == protocol::MPLS;
        let follows_path = is_labelled || setup.follows_path(inner_dont_fragment);
        if !follows_path || (inherits && !self.quote.dont_fragment) {
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
