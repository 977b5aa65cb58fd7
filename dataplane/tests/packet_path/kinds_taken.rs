//! What is made for a tunnel of every kind is the tunnel's: what its peer sends, and errors of the underlay about what
//! this node sent.

use adit_dataplane::counters::CounterSlot;
use adit_dataplane::tunnel::lookup::Protocols;
use adit_dataplane::tunnel::{DontFragment, TunnelSetup};
use adit_dataplane::wire::Family;

use super::appliance::{G_MAC, U, U_MAC};
use super::frames::{frame, ip};
use super::kinds::{KINDS, PEERS, crowded, ends, inside, wrapped};
use super::specimens::{host_behind, host_here};

/// What a tunnel carries from its peer, or to it, of the first family that it can.
fn carried(number: usize, setup: &TunnelSetup, is_ours: bool, len: usize) -> Vec<u8> {
    let behind = host_behind(if number < PEERS.len() { number } else { 0 });
    let family = usize::from(setup.protocols == Protocols::IPV6);
    let (far, near) = (behind[family].as_str(), host_here(number)[family]);
    let packet = if is_ours { ip(near, far) } else { ip(far, near) }.udp(len);
    inside(number, &packet)
}

#[test]
fn every_kind_of_tunnel_takes_what_its_peer_sends() {
    for number in 0..KINDS {
        let plan = crowded();
        let (local, remote) = ends(number);
        let inner = carried(number, &plan.tunnels[number].0, false, 100);
        let outer = wrapped(number, ip(remote, local), &inner);
        let mut appliance = plan.start();
        let sent = appliance.pass(U, &frame(U_MAC, G_MAC, &outer));
        let slot = CounterSlot(u32::try_from(number).unwrap());
        let traffic = appliance.shared.counters.tunnels.traffic(slot).unwrap();
        let taken = (traffic.rx_packets.get(), traffic.rx_bytes.get());
        assert_eq!(taken, (1, inner.len() as u64), "{number}: {:?}", appliance.moved());
        assert_eq!(sent.len(), 1, "{number}");
    }
}

#[test]
fn an_error_about_a_packet_of_any_kind_of_tunnel_is_believed() {
    for number in 0..KINDS {
        let plan = crowded();
        let (local, remote) = ends(number);
        let (setup, _) = &plan.tunnels[number];
        let quoted = wrapped(number, ip(local, remote), &carried(number, setup, true, 1400));
        let (router, kind) = match setup.outer {
            Family::Ipv4 => ("192.0.2.9", (3, 4)),
            Family::Ipv6 => ("2001:db8:300::9", (2, 0)),
        };
        let error = ip(router, local).icmp_error(kind.0, kind.1, 1300, &quoted[..548]);
        let mut appliance = plan.start();
        appliance.pass(U, &frame(U_MAC, G_MAC, &error));
        let moved = appliance.moved();
        // A packet that may be cut is nobody's reason to say so.
        let may_be_cut = setup.dont_fragment == DontFragment::No && setup.outer == Family::Ipv4;
        let expected = if may_be_cut { "if.pmtu_rejected" } else { "if.pmtu_updates" };
        assert!(moved.contains(&(expected, 1)), "{number}: {moved:?}");
    }
}
