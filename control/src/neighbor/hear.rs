//! What neighbors say: requests for our addresses are answered, answers and announcements learned.

use std::net::IpAddr;
use std::time::Duration;

use adit_dataplane::clock::Nanos;
use adit_dataplane::wire::arp::{Arp, Operation};
use adit_dataplane::wire::ethernet::{self, MacAddress, ether_type};
use adit_dataplane::wire::mld;
use adit_dataplane::wire::nd::{self, Advertisement, Message, NdError, Solicitation};
use adit_dataplane::wire::read_u16;

use super::port::{FOR_TELLING, Port};
use super::report::State as Known;
use super::table::{Neighbor, State};
use super::{Action, Notice, Refusal, Turn};

/// Between two defenses of the same address.
//= RFC 5227 §1.1: DEFEND_INTERVAL 10 seconds.
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

impl Port {
    pub(super) fn frame(&mut self, frame: &[u8], turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let Some((header, payload)) = frame.split_at_checked(ethernet::HEADER_LEN) else {
            return Ok(());
        };
        let source = MacAddress(header[6..].first_chunk::<6>().copied().unwrap_or_default());
        match read_u16(header, 12) {
            ether_type::ARP => self.hear_arp(&Arp::parse(payload)?, turn),
            ether_type::IPV6 if let Some(query) = mld::query(payload) => {
                self.hear_query(&query, turn);
            }
            ether_type::IPV6 if let Some(group) = mld::heard_report_v1(payload) => {
                self.hear_listener(group, source);
            }
            ether_type::IPV6 => match nd::parse(payload) {
                Ok(Message::Solicitation(message)) => {
                    self.hear_solicitation(&message, source, turn);
                }
                Ok(Message::Advertisement(message)) => {
                    self.hear_advertisement(&message, source, turn);
                }
                // Of other kinds, what is about groups alone comes here: this says nothing that is valid.
                Ok(Message::Ignored) | Err(NdError::Other) => {}
                Err(error) => return Err(error.into()),
            },
            _ => {}
        }
        Ok(())
    }

    fn hear_arp(&mut self, arp: &Arp, turn: &mut Turn<'_>) {
        let (sender, target) = (IpAddr::V4(arp.sender_address), IpAddr::V4(arp.target_address));
        // Our own frame, come back.
        if arp.sender_mac == self.link.mac {
            return;
        }
        if self.link.owns(sender) {
            return self.defend(sender, arp.sender_mac, turn);
        }
        let is_for_us = self.link.owns(target);
        let is_request = arp.operation == Operation::Request;
        //= RFC 826: an entry of the sender is updated, whoever is asked; a new one is made only
        //= when we are.
        if self.table.get(sender).is_some() {
            self.hear_of_known(sender, arp.sender_mac, is_for_us && !is_request, turn);
        } else if is_for_us && is_request {
            self.hear_of_new(sender, arp.sender_mac, turn);
        }
        if is_for_us && is_request {
            let frame = arp.reply(self.link.mac).frame(arp.sender_mac).to_vec();
            turn.actions.push(Action::Transmit { port: self.link.port, frame });
        }
    }

    /// A known neighbor has told where it is; `is_reply`: to us alone.
    fn hear_of_known(
        &mut self,
        address: IpAddr,
        mac: MacAddress,
        is_reply: bool,
        turn: &mut Turn<'_>,
    ) {
        let Some(neighbor) = self.table.get(address) else { return };
        let is_same = neighbor.state.mac() == Some(mac);
        match neighbor.state.report() {
            Known::Permanent => {}
            Known::Incomplete | Known::Failed | Known::Probe => {
                // While it is probed, hearing from it is no news but for the answer.
                if is_reply || !is_same {
                    self.learn(address, mac, is_reply, turn);
                }
            }
            Known::Reachable | Known::Stale | Known::Delay => {
                if !is_same || is_reply {
                    self.learn(address, mac, is_reply && is_same, turn);
                }
            }
        }
    }

    /// Somebody who asks for us has told where it is.
    fn hear_of_new(&mut self, address: IpAddr, mac: MacAddress, turn: &mut Turn<'_>) {
        if self.link.is_connected(address) && self.make_room(FOR_TELLING, turn) {
            self.table.insert(address, Neighbor::new(State::Failed, turn.now, false));
            self.learn(address, mac, false, turn);
        }
    }

    fn hear_solicitation(&mut self, heard: &Solicitation, from: MacAddress, turn: &mut Turn<'_>) {
        let source = IpAddr::V6(heard.source);
        let mac = heard.source_mac.unwrap_or(from);
        if from == self.link.mac || mac == self.link.mac {
            return;
        }
        if self.link.owns(source) {
            return self.defend(source, mac, turn);
        }
        let target = IpAddr::V6(heard.target);
        if self.link.is_tentative(target) && heard.source.is_unspecified() {
            //= RFC 4862 §5.4.3: somebody else is about to take the address that we want.
            return self.give_up(target, from, turn);
        }
        if !self.link.owns(target) {
            return;
        }
        //= RFC 4861 §7.2.3: who asks for us is learned from the link-layer address it gives.
        match (self.table.get(source), heard.source_mac) {
            (_, None) => {}
            (Some(known), Some(mac)) => {
                let is_news = known.state.mac() != Some(mac);
                if is_news && !matches!(known.state, State::Permanent(_)) {
                    self.learn(source, mac, false, turn);
                }
            }
            (None, Some(mac)) => self.hear_of_new(source, mac, turn),
        }
        let answer = heard.answer(Some(self.link.mac));
        let destination =
            if heard.source.is_unspecified() { nd::group_mac(nd::ALL_NODES) } else { mac };
        if destination.is_station() || heard.source.is_unspecified() {
            let frame = answer.frame(self.link.mac, destination);
            turn.actions.push(Action::Transmit { port: self.link.port, frame });
        }
    }

    fn hear_advertisement(&mut self, heard: &Advertisement, from: MacAddress, turn: &mut Turn<'_>) {
        let target = IpAddr::V6(heard.target);
        let mac = heard.target_mac.unwrap_or(from);
        if from == self.link.mac || mac == self.link.mac {
            return;
        }
        if self.link.owns(target) {
            return self.defend(target, mac, turn);
        }
        if self.link.is_tentative(target) {
            //= RFC 4862 §5.4.4: somebody has the address that we want.
            return self.give_up(target, mac, turn);
        }
        //= RFC 4861 §7.2.5: an advertisement for somebody who is not known makes no entry.
        let Some(neighbor) = self.table.get(target) else { return };
        let known = neighbor.state.mac();
        //= RFC 4861 §7.2.5: one without a link-layer address says nothing of somebody whose
        //= address is not known, and that nothing has changed of others.
        let Some(mac) = heard.target_mac.or(known) else { return };
        match neighbor.state {
            State::Permanent(_) => {}
            State::Reachable(old) if mac != old && !heard.replace => {
                //= RFC 4861 §7.2.5: another address that must not replace ours makes us doubt.
                self.learn(target, old, false, turn);
            }
            _ if known.is_some_and(|old| mac != old) && !heard.replace => {}
            _ if heard.solicited || known != Some(mac) => {
                self.learn(target, mac, heard.solicited, turn);
            }
            _ => {}
        }
    }

    /// Somebody else uses an address of ours.
    fn defend(&mut self, address: IpAddr, mac: MacAddress, turn: &mut Turn<'_>) {
        //= RFC 5227 §2.4 (c): a host that keeps its address says so at most once in 10 seconds.
        let is_recent = |at: Nanos| turn.now.since(at) < DEFEND_INTERVAL;
        if self.defended_at.get(&address).copied().is_some_and(is_recent) {
            return;
        }
        self.defended_at.insert(address, turn.now);
        let port = self.link.port;
        turn.actions.push(Action::Notice(Notice::AddressConflict { port, address, mac }));
        let frame = self.link.announcement(address);
        turn.actions.push(Action::Transmit { port, frame });
    }
}
