//! Packets with something behind the outer header that are nobody's: the fast path ends them as the stages would.

use adit_dataplane::node::rate_limit::Limits;

use super::appliance::{Blueprint, G_MAC, U, U_MAC};
use super::frames::{Ip, frame, ip, mend_ipv4};
use super::kinds::{PEERS, crowded};
use super::twins::{counted, run, twins};

const STRANGERS: [&str; 2] = ["203.0.113.77", "2001:db8:200::77"];

/// GRE with and without a key, and around a frame; UDP to ports of tunnels, and GRE in it.
fn payloads() -> Vec<(u8, Vec<u8>)> {
    let inner = ip("10.2.0.8", "10.1.0.5").udp(84);
    let mut payloads: Vec<(u8, Vec<u8>)> = [
        &[0, 0, 8, 0][..],
        &[0x20, 0, 8, 0, 0, 0, 0, 7],
        &[0x20, 0, 0x65, 0x58, 0, 0, 0, 7],
        &[0, 0, 0x65, 0x58],
    ]
    .map(|header| (47, [header, &inner].concat()))
    .to_vec();
    for port in [5555_u16, 5556, 6080, 4789, 6081] {
        for inside in [&[][..], &[0, 4, 0, 0], &[0, 47, 0, 0, 0, 0, 8, 0], &[0, 0, 8, 0]] {
            let len = u16::try_from(8 + inside.len() + inner.len()).unwrap();
            let header = [[0xc0, 7], port.to_be_bytes(), len.to_be_bytes(), [0, 0]].concat();
            payloads.push((17, [&header, inside, &inner].concat()));
        }
    }
    payloads
}

/// The packet says that it ends after `len` bytes behind its header; what follows is padding.
fn cut(packet: &mut [u8], len: usize) {
    let ipv4 = packet[0] >> 4 == 4;
    let (at, said) = if ipv4 { (2, 20 + len) } else { (4, len) };
    packet[at..at + 2].copy_from_slice(&u16::try_from(said).unwrap().to_be_bytes());
    if ipv4 {
        mend_ipv4(packet);
    }
}

fn alike(plan: &Blueprint, packets: impl IntoIterator<Item = Vec<u8>>) {
    let [mut fast, mut slow] = twins(plan, Limits::DEFAULT);
    for packet in packets {
        let frames = [(U, frame(U_MAC, G_MAC, &packet))];
        assert_eq!(run(&mut fast, &frames), run(&mut slow, &frames), "{packet:02x?}");
        assert_eq!(counted(&mut fast), counted(&mut slow), "{packet:02x?}");
    }
}

fn outer(family: usize, source: &str) -> Ip {
    ip(source, PEERS[family].0)
}

#[test]
fn headers_that_are_cut_short_count_as_such_whatever_the_padding_looks_like() {
    for (family, source) in STRANGERS.into_iter().enumerate() {
        for answers in [false, true] {
            let mut plan = crowded();
            plan.limits.answers_unmatched = answers;
            let packets = payloads().into_iter().flat_map(|(protocol, payload)| {
                (0..=32).map(move |len| {
                    let mut packet = outer(family, source).carrying(protocol, &payload);
                    cut(&mut packet, len);
                    if protocol == 17 && (8..=32).contains(&len) {
                        let at = packet.len() - payload.len() + 4;
                        packet[at..at + 2]
                            .copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
                    }
                    packet
                })
            });
            alike(&plan, packets);
        }
    }
}

#[test]
fn a_tunnel_of_the_same_addresses_is_seen_whatever_port_it_is_bound_to() {
    for family in 0..2 {
        for link in [None, Some(U)] {
            let mut plan = crowded();
            plan.tunnels[family].1 = link;
            let packets = payloads().into_iter().flat_map(|(protocol, payload)| {
                [PEERS[family].1, STRANGERS[family]]
                    .map(|source| outer(family, source).carrying(protocol, &payload))
            });
            alike(&plan, packets);
        }
    }
}
