//! Under which outer addresses the tunnel of a blueprint is looked up: each of its own with each of its peers.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::tables::Operation;
use adit_dataplane::tunnel::TunnelSetup;
use adit_dataplane::tunnel::lookup::{Entry, Pair};
use adit_dataplane::wire::Family;

/// The changes of the tables that say it.
pub(super) fn lookups(
    setup: &TunnelSetup,
    link: Option<PortId>,
    tunnel: TunnelId,
) -> Vec<Operation> {
    let any = match setup.outer {
        Family::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    let several = setup.frames.as_ref().and_then(|rules| rules.remotes.as_deref());
    let remotes = match several {
        Some(remotes) => remotes.all().iter().map(|remote| remote.address).collect(),
        None => vec![setup.remote.unwrap_or(any)],
    };
    let first = setup.local.unwrap_or(any);
    let locals: Vec<_> = core::iter::once(first).chain(setup.more_locals.iter().copied()).collect();
    let (protocols, patience) = (setup.protocols, setup.reassembly_seconds);
    let label = setup.shim.input_label();
    let entry = |local, remote| match (local, remote) {
        (IpAddr::V4(local), IpAddr::V4(remote)) => {
            let pair = Pair { local: local.into(), remote: remote.into(), label };
            Operation::AddLookup4(Entry { pair, protocols, link, tunnel, patience })
        }
        (IpAddr::V6(local), IpAddr::V6(remote)) => {
            let pair = Pair { local: local.into(), remote: remote.into(), label };
            Operation::AddLookup6(Entry { pair, protocols, link, tunnel, patience })
        }
        _ => panic!("ends of two families"),
    };
    let of_remote = |remote| locals.iter().map(move |&local| entry(local, remote));
    remotes.into_iter().flat_map(of_remote).collect()
}
