//! Which of several remotes a frame goes to, and what frames that arrive say about it.

use core::net::IpAddr;

use super::{Round, Verdict};
use crate::counters::Counter;
use crate::interface::TunnelId;
use crate::tunnel::remotes::{Remote, Remotes};
use crate::wire::ethernet::MacAddress;
use crate::witness::{Event, Witness};

/// The remote that a frame goes to: the one with this number, or else the one that its destination is behind.
///
/// # Errors
/// The verdict, when it goes to all of them.
pub(super) fn choose(
    frame: &[u8],
    id: TunnelId,
    remotes: &Remotes,
    number: Option<u16>,
    round: &Round<'_, impl Witness>,
) -> Result<Remote, Verdict> {
    if let Some(number) = number {
        return remotes.get(number).ok_or(Verdict::drop_in(Counter::IfTxNoRemote, id));
    }
    let station = frame.first_chunk().map_or(MacAddress::default(), |to| MacAddress(*to));
    let towards = remotes.towards(station, || hash_of(station, round), round.now);
    let remote = towards.one().and_then(|one| remotes.get(one));
    let (address, count) = (remote.map(|one| one.address), remotes.all().len());
    round.note(|| Event::Towards { tunnel: id, station, towards, remote: address, count });
    remote.ok_or(Verdict::Replicate(id))
}

/// A frame of `station` came from `remote`.
pub(super) fn hear(
    remotes: &Remotes,
    station: MacAddress,
    remote: IpAddr,
    round: &Round<'_, impl Witness>,
) {
    if remotes.hear(station, || hash_of(station, round), remote, round.now) {
        round.note(|| Event::Learnt { station, remote });
    }
}

/// One that strangers can't foretell, as they choose the addresses of stations.
fn hash_of(station: MacAddress, round: &Round<'_, impl Witness>) -> u64 {
    round.tables.flow.hash_address(station.number().into())
}
