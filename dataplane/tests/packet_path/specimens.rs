//! One frame of every kind that matters, and an appliance with a tunnel of every kind for them.

use std::sync::Arc;

use adit_dataplane::counters::Counter;
use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::packet::BURST_MAX;
use adit_dataplane::tables::NextHop;
use adit_dataplane::tables::labels::{LabelAction, LabelHop, LabelTable};
use adit_dataplane::tunnel::DontFragment;
use adit_dataplane::tunnel::frames::FrameRules;
use adit_dataplane::tunnel::gre::Gre;
use adit_dataplane::tunnel::lookup::Protocols;
use adit_dataplane::tunnel::shim::{Kind, Shim};
use adit_dataplane::tunnel::udp::{Udp, UdpHeader};
use adit_dataplane::tunnel::vxlan::Vxlan;
use adit_dataplane::wire::ethernet::MacAddress;

use super::appliance::{A, Blueprint, G_MAC, GUE, H_MAC, L, L_MAC, U, U_MAC};
use super::frames::{
    Ip, as_piece, folded, frame, frame_of, in_pieces, ip, with_extension, with_options,
};
use super::label_stack::{entry, labels, table};
use super::sessions;

/// The peers, and what is behind each of their tunnels.
pub(crate) const PEERS: [(&str, &str, &str, &str); 15] = [
    ("198.51.100.1", "203.0.113.2", "10.2.0.0/16", "2001:db8:2::/48"),
    ("2001:db8:100::1", "2001:db8:200::2", "10.3.0.0/16", "2001:db8:3::/48"),
    // Cut after encapsulation, DF clear, larger than the underlay.
    ("198.51.100.1", "203.0.113.3", "10.4.0.0/16", "2001:db8:4::/48"),
    ("2001:db8:100::1", "2001:db8:200::3", "10.5.0.0/16", "2001:db8:5::/48"),
    // Inside the first two.
    ("198.51.100.1", "10.2.9.9", "10.6.0.0/16", "2001:db8:6::/48"),
    ("2001:db8:100::1", "2001:db8:3::9", "10.7.0.0/16", "2001:db8:7::/48"),
    // Behind a GRE header.
    ("198.51.100.1", "203.0.113.4", "10.8.0.0/16", "2001:db8:8::/48"),
    ("2001:db8:100::1", "2001:db8:200::4", "10.9.0.0/16", "2001:db8:9::/48"),
    // In GUE, one with GRE in it.
    ("198.51.100.1", "203.0.113.5", "10.10.0.0/16", "2001:db8:a::/48"),
    ("2001:db8:100::1", "2001:db8:200::5", "10.11.0.0/16", "2001:db8:b::/48"),
    // A customer of a 6rd domain.
    ("198.51.100.2", "203.0.113.6", "10.12.0.0/16", "3fff:db8:6::/48"),
    // The router of an ISATAP link.
    ("198.51.100.3", "203.0.113.1", "10.13.0.0/16", "3fff:db8:700::/48"),
    // Behind labels, one with a GRE header in front of them.
    ("198.51.100.1", "203.0.113.14", "10.14.0.0/16", "2001:db8:e::/48"),
    ("2001:db8:100::1", "2001:db8:200::e", "10.15.0.0/16", "2001:db8:f::/48"),
    // Minimal encapsulation, of IPv4 alone.
    ("198.51.100.1", "203.0.113.15", "10.16.0.0/16", "2001:db8:10::/48"),
];

/// The peers of tunnels that carry frames: in GRE, VXLAN and GENEVE. All frames leave by port A, and those that arrive
/// there go into the first.
pub(crate) const FRAME_PEERS: [(&str, &str); 3] = [
    ("198.51.100.1", "203.0.113.6"),
    ("198.51.100.1", "203.0.113.7"),
    ("2001:db8:100::1", "2001:db8:200::6"),
];

/// Adds the tunnels of frames, and port A.
fn put_frames(plan: &mut Blueprint) {
    let udp = |port, header| Shim {
        udp: Some(Udp { listens_at: port, sends_to: port, header, needs_no_checksum: true, ..GUE }),
        kind: Kind::None,
    };
    let shims = [
        Kind::Gre(Gre::default()).into(),
        udp(4789, UdpHeader::Vxlan(Vxlan { id: 42, is_strict: false })),
        udp(6081, UdpHeader::Geneve { id: 42 }),
    ];
    let mut port = plan.ports[0].clone();
    port.mac = MacAddress([2, 0, 0, 0, 0, 0x0a]);
    plan.ports.push(port);
    for (number, ((local, remote), shim)) in FRAME_PEERS.into_iter().zip(shims).enumerate() {
        let id = plan.tunnel(local, remote);
        let (setup, _) = plan.tunnels.last_mut().unwrap();
        setup.protocols = Protocols::ETHERNET;
        setup.put_shim(shim);
        setup.mtu -= 14;
        let own_station = Some(Counter::VxlanSelfMac);
        let takes_tags = number != 1;
        setup.frames = Some(FrameRules { takes_tags, own_station, ..FrameRules::any(A) });
        if number == 0 {
            plan.attached.push((A, id));
        }
    }
    sessions::put_session(plan);
}

/// Frames with packets of both families in them, with a tag and without, of other types and too short.
fn inner_frames() -> Vec<Vec<u8>> {
    let (four, six) = (ip("10.1.0.5", "10.2.0.8"), ip("2001:db8:1::5", "2001:db8:2::8"));
    let (one, two) = ([2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 2, 2]);
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

/// What the peers of tunnels of frames send, and stations on port A.
fn frames_in_tunnels() -> Vec<(PortId, Vec<u8>)> {
    let mut all: Vec<_> = inner_frames().into_iter().map(|inner| (A, inner)).collect();
    for (number, (local, remote)) in FRAME_PEERS.into_iter().enumerate() {
        for inner in inner_frames() {
            let len = u16::try_from(16 + inner.len()).unwrap().to_be_bytes();
            let udp = |port: [u8; 2]| [0xc0, 0, port[0], port[1], len[0], len[1], 0, 0];
            let (protocol, header) = match number {
                0 => (47, vec![0, 0, 0x65, 0x58]),
                1 => (17, [udp([0x12, 0xb5]), [8, 0, 0, 0, 0, 0, 42, 0]].concat()),
                _ => (17, [udp([0x17, 0xc1]), [0, 0, 0x65, 0x58, 0, 0, 42, 0]].concat()),
            };
            let packet = ip(remote, local).carrying(protocol, &[header, inner].concat());
            if packet.len() <= 1500 {
                all.push((U, frame(U_MAC, G_MAC, &packet)));
            }
        }
    }
    all
}

/// The header that a peer puts between the outer one and a packet inside, and its protocol; a GRE header
/// with a key and a number, or with nothing.
fn shim(number: usize, inner: &[u8]) -> Option<(u8, Vec<u8>)> {
    let kind: u16 = if inner[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
    let [high, low] = kind.to_be_bytes();
    match number {
        6 => Some((47, vec![0x30, 0, high, low, 0, 0, 0, 7, 0, 0, 0, 1])),
        7 => Some((47, vec![0, 0, high, low])),
        8 => Some((17, gue(if high == 8 { 4 } else { 41 }, &[], inner.len()))),
        9 => Some((17, gue(47, &[0, 0, high, low], inner.len()))),
        12 => Some((137, [entry(101, 0, false, 64), entry(100, 3, true, 64)].concat())),
        13 => Some((47, [[0, 0, 0x88, 0x47], entry(100, 0, true, 2)].concat())),
        _ => None,
    }
}

/// A UDP header without checksum, one of GUE, and what `more` is.
fn gue(carried: u8, more: &[u8], inner_len: usize) -> Vec<u8> {
    let len = u16::try_from(12 + more.len() + inner_len).unwrap().to_be_bytes();
    let mut bytes = vec![0xc0, 0, 0x17, 0xc0, len[0], len[1], 0, 0, 0, carried, 0, 0];
    bytes.extend(more);
    bytes
}

/// What a peer makes of a packet that it sends into its tunnel.
fn wrapped(number: usize, outer: Ip, inner: &[u8]) -> Vec<u8> {
    if number == 14 && inner[0] >> 4 == 4 {
        let Ip { source, destination, .. } = outer;
        return folded(inner, &source.to_string(), &destination.to_string());
    }
    match shim(number, inner) {
        Some((protocol, header)) => outer.carrying(protocol, &[&header, inner].concat()),
        None => outer.around(inner),
    }
}

/// Tunnels of every kind, hosts that answer and hosts that don't, routes that lead nowhere.
pub(crate) fn crowded() -> Blueprint {
    let mut plan = Blueprint::bench();
    for (number, (local, remote, net4, net6)) in PEERS.into_iter().enumerate() {
        let id = plan.tunnel(local, remote);
        plan.route(net4, NextHop::Tunnel(id));
        plan.route(net6, NextHop::Tunnel(id));
        let setup = plan.setup(number);
        match number {
            2 | 3 => {
                setup.dont_fragment = DontFragment::No;
                setup.fragments_outer = true;
                setup.mtu = 1500;
            }
            4 => (setup.underlay, setup.mtu) = (NextHop::Tunnel(TunnelId(0)), 1460),
            5 => (setup.underlay, setup.mtu) = (NextHop::Tunnel(TunnelId(1)), 1420),
            6 => {
                let key = Some(7);
                let gre =
                    Gre { output_key: key, input_key: key, has_checksum: true, ..Gre::default() };
                setup.put_shim(Kind::Gre(gre).into());
            }
            7 => setup.put_shim(Kind::Gre(Gre::default()).into()),
            8 => {
                let udp = Udp { has_checksum: true, ..GUE };
                setup.put_shim(Shim { udp: Some(udp), kind: Kind::None });
            }
            9 => {
                let udp = Udp { needs_no_checksum: true, ..GUE };
                setup.put_shim(Shim { udp: Some(udp), kind: Kind::Gre(Gre::default()) });
            }
            10 => plan.put_six_rd(number, true),
            11 => plan.put_isatap(number),
            12 => {
                setup.protocols = Protocols::MPLS;
                setup.put_labels(labels(&[100, 0]));
            }
            13 => {
                setup.protocols = setup.protocols.with(Protocols::MPLS);
                setup.put_shim(Kind::Gre(Gre::default()).into());
            }
            14 => setup.put_minimal(),
            _ => {}
        }
    }
    give_labels(&mut plan);
    plan.setup(1).encap_limit = Some(4);
    plan.setup(1).mtu = 1452;
    plan.own("192.168.50.1");
    plan.own("2001:db8:50::1");
    add_routes(&mut plan);
    put_frames(&mut plan);
    plan
}

/// To hosts that don't answer, to nowhere, and by two tunnels.
fn add_routes(plan: &mut Blueprint) {
    plan.neighbor(L, "10.1.0.77", None);
    let silent = plan.neighbor(U, "198.51.100.77", None);
    plan.route("10.20.0.0/16", silent);
    plan.route("10.21.0.0/16", NextHop::Blackhole);
    plan.route("10.22.0.0/16", NextHop::Unreachable);
    plan.route("10.23.0.0/16", NextHop::Prohibit);
    plan.route("2001:db8:21::/48", NextHop::Prohibit);
    let ways = [(NextHop::Tunnel(TunnelId(0)), 1), (NextHop::Tunnel(TunnelId(1)), 2)];
    let group = plan.group(&ways);
    plan.route("10.24.0.0/16", group);
    plan.route("2001:db8:24::/48", group);
}

/// Two tunnels and port L know the same labels.
fn give_labels(plan: &mut Blueprint) {
    let host = plan.neighbor(L, "10.1.0.5", Some(H_MAC));
    let known = label_table(host);
    for number in [10, 11] {
        plan.setup(number).mpls.labels = Some(Arc::clone(&known));
    }
    plan.port_labels.push((L, known));
}

/// Labels that are popped, and those that lead to a host, into tunnels and nowhere.
fn label_table(host: NextHop) -> Arc<LabelTable> {
    let NextHop::Via(host) = host else { panic!("no host") };
    let swap = |hop| LabelAction::Swap(labels(&[16, 1000]), hop);
    table(&[
        (100, LabelAction::PopIp),
        (101, LabelAction::PopLabel),
        (102, swap(LabelHop::Host(host))),
        (103, swap(LabelHop::Tunnel(TunnelId(10)))),
        (104, swap(LabelHop::Tunnel(TunnelId(11)))),
        (105, swap(LabelHop::Tunnel(TunnelId(0)))),
        (106, swap(LabelHop::Nowhere)),
    ])
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
    let (.., net4, net6) = PEERS[number];
    [net4.replace("0.0/16", "0.8"), net6.replace("::/48", "::8")]
}

fn outer(number: usize) -> Ip {
    let (local, remote, ..) = PEERS[number];
    ip(remote, local)
}

/// Where hosts on L send packets: behind every tunnel, to us, and to nowhere.
const DESTINATIONS: [[&str; 2]; 25] = [
    ["10.2.0.8", "2001:db8:2::8"],
    ["10.3.0.8", "2001:db8:3::8"],
    ["10.4.0.8", "2001:db8:4::8"],
    ["10.5.0.8", "2001:db8:5::8"],
    ["10.6.0.8", "2001:db8:6::8"],
    ["10.7.0.8", "2001:db8:7::8"],
    ["10.8.0.8", "2001:db8:8::8"],
    ["10.9.0.8", "2001:db8:9::8"],
    ["10.10.0.8", "2001:db8:a::8"],
    ["10.11.0.8", "2001:db8:b::8"],
    ["10.12.0.8", "3fff:db8:6::8"],
    ["10.12.0.9", "3fff:db8:ff::8"],
    ["10.13.0.8", "3fff:db8:700::8"],
    ["10.13.0.9", "3fff:db8:5efe::5efe:203.0.113.9"],
    ["10.13.0.10", "3fff:db8:5efe::9"],
    ["10.14.0.8", "2001:db8:e::8"],
    ["10.15.0.8", "2001:db8:f::8"],
    ["10.16.0.8", "2001:db8:10::8"],
    ["10.24.0.8", "2001:db8:24::8"],
    ["203.0.113.9", "2001:db8:200::9"],
    ["10.1.0.1", "2001:db8:1::1"],
    ["192.168.50.1", "2001:db8:50::1"],
    ["10.1.0.77", "2001:db8:1::77"],
    ["10.20.0.1", "2001:db8:21::1"],
    ["10.22.0.1", "2001:db8:9999::1"],
];

/// Frames of hosts on L and of everybody on U, of every kind.
pub(crate) fn specimens() -> Vec<(PortId, Vec<u8>)> {
    let mut all = Vec::new();
    let on_l = |packet: &[u8]| (L, frame(L_MAC, H_MAC, packet));
    let on_u = |packet: &[u8]| (U, frame(U_MAC, G_MAC, packet));
    for there in DESTINATIONS {
        all.extend(payloads(["10.1.0.5", "2001:db8:1::5"], there).iter().map(|p| on_l(p)));
    }
    for number in 0..PEERS.len() {
        let [far4, far6] = host_behind(number);
        for to in [["10.1.0.5", "2001:db8:1::5"], ["192.168.50.1", "2001:db8:50::1"]] {
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
    all
}

/// Labels on L, and out of both tunnels that know some.
fn label_frames() -> Vec<(PortId, Vec<u8>)> {
    let mut all = Vec::new();
    let on_u = |packet: &[u8]| (U, frame(U_MAC, G_MAC, packet));
    for inner in [ip("10.12.0.8", "10.1.0.5").udp(84), ip("10.12.0.8", "10.1.0.5").udp(1480)] {
        for packet in labelled(&inner) {
            all.push((L, frame_of(0x8847, L_MAC, H_MAC, &packet)));
            all.push(on_u(&outer(10).tos(3).carrying(137, &packet)));
            let behind = [&[0, 0, 0x88, 0x47][..], &packet].concat();
            all.push(on_u(&outer(11).carrying(47, &behind)));
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
