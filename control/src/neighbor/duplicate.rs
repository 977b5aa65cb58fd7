//! Duplicate address detection (RFC 4862 §5.4): whether an IPv6 address that this node was given is nobody
//! else's. Ports call it when they come up or get addresses, and when they hear that somebody objects.
//!
//! One solicitation is sent, behind the report of the group that answers come to, and a second is waited. A
//! node that doubts an address of ours at the same time has the same MAC address as we only if that is
//! wrong as well: what comes from our own is our own frame.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use adit_dataplane::clock::Nanos;
use adit_dataplane::wire::ethernet::MacAddress;
use adit_dataplane::wire::mld::Record;

use super::link::Own;
use super::port::Port;
use super::setup::ANNOUNCE_INTERVAL;
use super::{Action, AddressState, Notice, Turn};

/// How long others have to object to one solicitation, which is all there are.
//= RFC 4862 §5.1, §5.4: DupAddrDetectTransmits 1, RetransTimer (RFC 4861 §10) 1 second.
const PROOF_TIME: Duration = Duration::from_secs(1);

impl Port {
    /// The port may be on another link than before: nothing is known of any address.
    pub(super) fn doubt_all(&mut self, turn: &mut Turn<'_>) {
        //= RFC 4862 §5.3: an interface that comes back after a failure starts as one that is new.
        if !self.proves_addresses {
            return;
        }
        let port = self.link.port;
        for own in self.link.all_mut() {
            let IpAddr::V6(address) = own.address() else { continue };
            let was_usable = own.is_usable();
            (own.state, own.proved_at) = (AddressState::Tentative, None);
            if was_usable {
                turn.actions.push(Action::Address { port, address, state: own.state });
            }
        }
    }

    /// Asks for the addresses that nobody has been asked for yet; the groups of theirs have been
    /// reported. The port is up.
    pub(super) fn prove(&mut self, turn: &mut Turn<'_>) {
        let ends_at = turn.now + PROOF_TIME;
        let mut asked = Vec::new();
        for own in self.link.all_mut() {
            let is_new = own.state == AddressState::Tentative && own.proved_at.is_none();
            if is_new && let IpAddr::V6(address) = own.address() {
                own.proved_at = Some(ends_at);
                asked.push(address);
            }
        }
        let port = self.link.port;
        let doubts = asked.into_iter().map(|address| self.link.doubt(address));
        turn.actions.extend(doubts.map(|frame| Action::Transmit { port, frame }));
    }

    /// When the next address has waited long enough.
    pub(super) fn proof_ends_at(&self) -> Option<Nanos> {
        self.link.all().iter().filter_map(|own| own.proved_at).min()
    }

    /// Takes the addresses into use that nobody has objected to in time.
    pub(super) fn end_proofs(&mut self, turn: &mut Turn<'_>) {
        let (port, now) = (self.link.port, turn.now);
        let mut proved: Vec<Ipv6Addr> = Vec::new();
        for own in self.link.all_mut() {
            let is_over = own.proved_at.is_some_and(|at| at <= now);
            if is_over && let IpAddr::V6(address) = own.address() {
                (own.state, own.proved_at) = (AddressState::Usable, None);
                proved.push(address);
            }
        }
        if proved.is_empty() {
            return;
        }
        let state = AddressState::Usable;
        let used = proved.iter().map(|&address| Action::Address { port, address, state });
        turn.actions.extend(used);
        if proved.iter().any(Ipv6Addr::is_unicast_link_local) {
            //= RFC 3590 §4: reports from `::` are made again from the link-local address.
            self.report(Record::Joined, &self.link.groups(), turn);
        }
        for &address in &proved {
            let frame = self.link.announcement(address.into());
            turn.actions.push(Action::Transmit { port, frame });
        }
        self.announce_at = Some(now + ANNOUNCE_INTERVAL);
    }

    /// Without a carrier nobody can object: what was asked for is asked for again when it is back.
    pub(super) fn stop_proofs(&mut self) {
        self.link.all_mut().iter_mut().for_each(|own| own.proved_at = None);
    }

    /// The station `mac` has an address that we were about to use.
    pub(super) fn give_up(&mut self, address: IpAddr, mac: MacAddress, turn: &mut Turn<'_>) {
        let (port, before) = (self.link.port, self.link.groups());
        let own = self.link.all_mut().iter_mut().find(|own: &&mut Own| own.address() == address);
        let (Some(own), IpAddr::V6(duplicate)) = (own, address) else { return };
        (own.state, own.proved_at) = (AddressState::Duplicate, None);
        let state = AddressState::Duplicate;
        turn.actions.push(Action::Notice(Notice::DuplicateAddress { port, address, mac }));
        turn.actions.push(Action::Address { port, address: duplicate, state });
        let left = before.difference(&self.link.groups()).copied().collect();
        self.report(Record::Left, &left, turn);
    }
}
