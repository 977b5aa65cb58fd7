//! One frame of every kind that matters, for the appliance with a tunnel of every kind.

use adit_dataplane::interface::PortId;
use adit_dataplane::packet::BURST_MAX;

use super::appliance::{A, G_MAC, H_MAC, L, L_MAC, U, U_MAC};
use super::frames::{Ip, as_piece, frame, frame_of, in_pieces, ip, with_extension, with_options};
use super::kinds::{
    CUSTOMER, DELEGATED, FRAME_PEERS, ISATAP, LABELLED, LABELLED_GRE, PEERS, STATIONS, ends,
    port_into, wrapped,
};
use super::label_stack::entry;
use super::sessions;

/// Frames with packets of both families in them, with a tag and without, of other types and too short.
fn inner_frames() -> Vec<Vec<u8>> {
    let (four, six) = (ip("10.1.0.5", "10.2.0.8"), ip("2001:db8:1::5", "2001:db8:2::8"));
    let [one, two] = STATIONS;
    let tagged = [&[0, 7, 8, 0][..], &four.udp(84)].concat();
    vec![
        frame(two, one, &four.udp(84)),
        frame(two, one, &four.tos(2).udp(1400)),
        frame(two, one, &four.tcp(SYN, &[2, 4, 5, 0xb4], &[])),
        frame(two, one, &six.udp(100)),
        frame(two, one, &six.tcp(SYN, &[2, 4, 5, 0xa0], &[])),
        frame_of(0x8100, two, one, &tagged),
        frame_of(0x0806, [0xff; 6], one, &[7; 46]),
        frame_of(0x0800, two, one, &[0x45, 0, 0, 9]),
        vec![2; 13],
    ]
}

/// What the peers of tunnels of frames send, and stations on the port of each.
fn frames_in_tunnels() -> Vec<(PortId, Vec<u8>)> {
    let mut all = Vec::new();
    for number in PEERS.len()..PEERS.len() + FRAME_PEERS.len() {
        for inner in inner_frames() {
            let packet = wrapped(number, outer(number), &inner);
            all.push((port_into(number).unwrap_or(A), inner));
            if packet.len() <= 1500 {
                all.push((U, frame(U_MAC, G_MAC, &packet)));
            }
        }
    }
    all
}

/// Packets with labels, large and small, behind stacks that are right and wrong.
fn labelled(inner: &[u8]) -> Vec<Vec<u8>> {
    let stacks = (99..=107).map(|number| vec![entry(number, 1, true, 64)]);
    let odd = [
        vec![entry(0, 0, true, 64)],
        vec![entry(2, 0, true, 64)],
        vec![entry(3, 0, true, 64)],
        vec![entry(101, 0, false, 64), entry(102, 0, true, 64)],
        vec![entry(101, 0, false, 64), entry(100, 0, true, 1)],
        vec![entry(100, 0, false, 64)],
        vec![entry(102, 7, true, 1)],
        vec![entry(0x45000, 0, true, 64)],
        vec![entry(0, 0, false, 64); 17],
    ];
    stacks.chain(odd).map(|stack| [stack.concat().as_slice(), inner].concat()).collect()
}

/// Flags of TCP.
pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;

/// Inner packets of both families from `host4`/`host6` to `there4`/`there6`, small and large.
fn payloads(from: [&str; 2], to: [&str; 2]) -> Vec<Vec<u8>> {
    let four = ip(from[0], to[0]);
    let six = ip(from[1], to[1]);
    let short = four.udp(84);
    let record_route = [7, 7, 4, 0, 0, 0, 0, 0];
    let stamp_and_copied = [0x83, 3, 4, 0x86, 4, 0, 1, 0];
    let options = with_extension(&six.udp(120), 60, &[0, 0, 4, 1, 3, 1, 1, 0]);
    vec![
        short.clone(),
        four.udp(1400),
        four.udp(1480),
        four.udp(1500),
        four.may_be_cut().udp(1500),
        four.ttl(1).udp(60),
        as_piece(&four.udp(1484), 0, true),
        as_piece(&short, 185, false),
        with_options(&short, &record_route),
        with_options(&four.may_be_cut().udp(1480), &stamp_and_copied),
        four.echo(&[7; 56]),
        four.tcp(SYN, &[2, 4, 5, 0xb4], &[]),
        four.tcp(SYN | ACK, &[1, 2, 4, 5, 0xb4, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0], &[]),
        four.tcp(SYN, &[3, 0, 1, 1], &[]),
        four.tcp(SYN, &[], &[]),
        four.tcp(ACK, &[], &[7; 40]),
        four.carrying(1, &[&[3, 1, 0xfc, 0xfe, 0, 0, 0, 0], &short[..28]].concat()),
        six.udp(100),
        six.udp(1280),
        six.udp(1460),
        six.udp(1500),
        six.ttl(1).udp(100),
        six.echo(&[7; 56]),
        options,
        six.tcp(SYN, &[1, 2, 4, 5, 0xa0], &[]),
        six.tcp(SYN, &[], &[]),
        with_extension(&six.tcp(SYN, &[2, 4, 5, 0xa0], &[]), 0, &[0, 0, 1, 4, 0, 0, 0, 0]),
        with_extension(&six.udp(100), 0, &[0, 0, 1, 4, 0, 0, 0, 0]),
        with_extension(&six.udp(100), 44, &[0, 0, 0, 1, 0, 0, 0, 9]),
        with_extension(&six.udp(100), 44, &[0, 0, 0, 0, 0, 0, 0, 9]),
        with_extension(&six.udp(100), 43, &[0, 0, 0, 0, 0, 0, 0, 0]),
        with_extension(&six.udp(100), 60, &[0, 31, 1, 4, 0, 0, 0, 0]),
    ]
}

/// A host behind a tunnel, by its addresses of both families.
pub(crate) fn host_behind(number: usize) -> [String; 2] {
    let (_, remote, net4, net6) = PEERS[number];
    let host6 = match number {
        // The router itself; what is behind it is reached by way of another.
        ISATAP => format!("3fff:db8:5efe::5efe:{remote}"),
        _ => net6.replace("::/48", "::8"),
    };
    [net4.replace("0.0/16", "0.8"), host6]
}

/// A host on L that the peer of a tunnel may send to.
pub(crate) fn host_here(number: usize) -> [&'static str; 2] {
    ["10.1.0.5", if number == CUSTOMER { DELEGATED } else { "2001:db8:1::5" }]
}

fn outer(number: usize) -> Ip {
    let (local, remote) = ends(number);
    ip(remote, local)
}

/// Where hosts on L send packets besides: to peers that are in the address, to us, and to nowhere.
const DESTINATIONS: [[&str; 2]; 13] = [
    ["10.12.0.9", "3fff:db8:ff::8"],
    ["10.13.0.8", "3fff:db8:700::8"],
    ["10.13.0.9", "3fff:db8:5efe::5efe:203.0.113.9"],
    ["10.13.0.10", "3fff:db8:5efe::9"],
    ["10.25.0.9", "3fff:cb8:64:c800::8"],
    ["10.24.0.8", "2001:db8:24::8"],
    ["203.0.113.9", "2001:db8:200::9"],
    ["10.1.0.1", "2001:db8:1::1"],
    ["192.168.50.1", "2001:db8:50::1"],
    ["10.1.0.77", "2001:db8:1::77"],
    ["10.20.0.1", "2001:db8:21::1"],
    ["10.22.0.1", "2001:db8:9999::1"],
    ["10.21.0.1", "2001:db8:9999::2"],
];

/// Frames of hosts on L and of everybody on U, of every kind.
pub(crate) fn specimens() -> Vec<(PortId, Vec<u8>)> {
    let mut all = Vec::new();
    let on_l = |packet: &[u8]| (L, frame(L_MAC, H_MAC, packet));
    let on_u = |packet: &[u8]| (U, frame(U_MAC, G_MAC, packet));
    let here = ["10.1.0.5", "2001:db8:1::5"];
    for number in 0..PEERS.len() {
        let [four, six] = host_behind(number);
        all.extend(payloads(here, [&four, &six]).iter().map(|p| on_l(p)));
    }
    for there in DESTINATIONS {
        all.extend(payloads(here, there).iter().map(|p| on_l(p)));
    }
    for number in 0..PEERS.len() {
        let [far4, far6] = host_behind(number);
        for to in [host_here(number), ["192.168.50.1", "2001:db8:50::1"]] {
            for inner in payloads([&far4, &far6], to) {
                // What a peer may send is what fits into a frame.
                let packet = wrapped(number, outer(number), &inner);
                if packet.len() <= 1500 {
                    all.push(on_u(&packet));
                } else {
                    let pieces = in_pieces(&packet, &[1024], u32::try_from(number).unwrap());
                    all.extend(pieces.iter().map(|piece| on_u(piece)));
                }
            }
        }
        let inner = ip(&far4, "10.1.0.5").udp(84);
        let small = wrapped(number, outer(number), &inner);
        all.push(on_u(&wrapped(number, outer(number).tos(3), &inner)));
        all.push(on_u(&wrapped(number, outer(number), &small)));
        if small[0] >> 4 == 4 {
            all.push(on_u(&as_piece(&small, 0, true)));
            all.push(on_u(&as_piece(&small, 4, false)));
            all.push(on_u(&with_options(&small, &[1, 1, 1, 0])));
            all.push(on_u(&with_options(&small, &[0x83, 7, 4, 1, 2, 3, 4, 0])));
        } else {
            all.push(on_u(&with_extension(&small, 60, &[0, 0, 4, 1, 4, 1, 1, 0])));
            all.push(on_u(&with_extension(&small, 44, &[0, 0, 0, 1, 0, 0, 0, 9])));
            all.push(on_u(&with_extension(&small, 44, &[0, 0, 0, 0, 0, 0, 0, 9])));
            all.push(on_u(&with_extension(&small, 43, &[0, 0, 0, 1, 0, 0, 0, 0])));
        }
    }
    all.extend(label_frames());
    all.extend(link_frames());
    all.extend(frames_in_tunnels());
    all.extend(sessions::copies_in_sessions());
    let numbered = [0x30, 0, 8, 0, 0, 0, 0, 7, 0, 0, 0, 1];
    let routed = ip("3fff:db8:700::8", "2001:db8:1::5").udp(100);
    all.push(on_u(&wrapped(ISATAP, outer(ISATAP), &routed)));
    let inner = ip("10.8.0.8", "10.1.0.5").udp(84);
    all.push(on_u(&outer(6).carrying(47, &[&numbered[..], &inner].concat())));
    all
}

/// Labels on L, and out of both tunnels that know some.
fn label_frames() -> Vec<(PortId, Vec<u8>)> {
    let mut all = Vec::new();
    let on_u = |packet: &[u8]| (U, frame(U_MAC, G_MAC, packet));
    let from = ip("10.14.0.8", "10.1.0.5");
    for inner in [from.udp(84), from.udp(1480)] {
        for packet in labelled(&inner) {
            all.push((L, frame_of(0x8847, L_MAC, H_MAC, &packet)));
            all.push(on_u(&outer(LABELLED).tos(3).carrying(137, &packet)));
            let behind = [&[0, 0, 0x88, 0x47][..], &packet].concat();
            all.push(on_u(&outer(LABELLED_GRE).carrying(47, &behind)));
        }
    }
    all
}

/// What is not forwarded: ARP, neighbor discovery, groups, strange types.
fn link_frames() -> Vec<(PortId, Vec<u8>)> {
    let request =
        [&[0, 1, 8, 0, 6, 4, 0, 1][..], &G_MAC, &[198, 51, 100, 254], &[0; 6], &[198, 51, 100, 1]]
            .concat();
    let group = [0x33, 0x33, 0xff, 0, 0, 1];
    let solicitation = ip("2001:db8:100::fe", "ff02::1:ff00:1").ttl(255).carrying(
        58,
        &[&[135, 0, 0, 0, 0, 0, 0, 0][..], &super::appliance::v6("2001:db8:100::1").octets()]
            .concat(),
    );
    let stray = ip("10.1.0.5", "224.0.0.9").udp(60);
    vec![
        (U, frame_of(0x0806, [0xff; 6], G_MAC, &request)),
        (U, frame_of(0x0806, U_MAC, G_MAC, &[0; 300])),
        (U, frame(group, G_MAC, &solicitation)),
        (L, frame([0xff; 6], H_MAC, &ip("10.1.0.5", "10.1.0.255").udp(60))),
        (L, frame([1, 0, 0x5e, 0, 0, 9], H_MAC, &stray)),
        (L, frame([2, 9, 9, 9, 9, 9], H_MAC, &stray)),
        (L, frame_of(0x88cc, L_MAC, H_MAC, &[0; 46])),
        (L, vec![0; 13]),
        (L, Vec::new()),
    ]
}

const _: () = assert!(BURST_MAX >= 32);
