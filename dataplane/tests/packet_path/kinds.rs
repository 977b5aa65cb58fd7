//! An appliance with a tunnel of every kind, and what the peer of each makes of a packet or a frame. Who wants
//! something of every kind goes through the numbers below [`KINDS`]: tunnels of packets, of frames, and sessions.

use std::net::IpAddr;
use std::sync::Arc;

use adit_dataplane::counters::Counter;
use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::tables::NextHop;
use adit_dataplane::tables::labels::{LabelAction, LabelHop, LabelTable};
use adit_dataplane::tables::soft_state::TunnelPath;
use adit_dataplane::tunnel::frames::FrameRules;
use adit_dataplane::tunnel::gre::Gre;
use adit_dataplane::tunnel::lookup::Protocols;
use adit_dataplane::tunnel::peers::Kind as PeerKind;
use adit_dataplane::tunnel::peers::six_rd::{SixRd, SixRdSetup};
use adit_dataplane::tunnel::remotes::{Remote, Remotes};
use adit_dataplane::tunnel::shim::{Kind, Shim};
use adit_dataplane::tunnel::udp::{Udp, UdpHeader};
use adit_dataplane::tunnel::vxlan::Vxlan;
use adit_dataplane::tunnel::{DontFragment, TunnelSetup};
use adit_dataplane::wire::ethernet::MacAddress;
use etherparse::checksum::Sum16BitWords;

use super::appliance::{A, Blueprint, G_MAC, GUE, H_MAC, L, U};
use super::frames::{Ip, Mac, folded, frame};
use super::label_stack::{entry, labels, table};
use super::sessions;

/// The peers, and what is behind each of their tunnels.
pub(crate) const PEERS: [(&str, &str, &str, &str); 21] = [
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
    // In FOU, one with GRE in it.
    ("198.51.100.1", "203.0.113.16", "10.17.0.0/16", "2001:db8:11::/48"),
    ("2001:db8:100::1", "2001:db8:200::10", "10.18.0.0/16", "2001:db8:12::/48"),
    // In GENEVE.
    ("198.51.100.1", "203.0.113.17", "10.19.0.0/16", "2001:db8:13::/48"),
    // The border relay of another 6rd domain, for whom this node is a customer.
    ("198.51.100.4", "203.0.113.18", "10.25.0.0/16", "3fff:cb8:700::/48"),
    // In GUE without a header.
    ("198.51.100.1", "203.0.113.19", "10.26.0.0/16", "2001:db8:14::/48"),
    // Behind labels alone.
    ("2001:db8:100::1", "2001:db8:200::14", "10.27.0.0/16", "2001:db8:15::/48"),
];

/// The ISATAP link.
pub(crate) const ISATAP: usize = 11;
/// Tunnels with labels and nothing else, over IPv4.
pub(crate) const LABELLED: usize = 12;
/// With labels in GRE, over IPv6.
pub(crate) const LABELLED_GRE: usize = 13;
const MINIMAL: usize = 14;
/// Where this node is a customer of a 6rd domain.
pub(crate) const CUSTOMER: usize = 18;
/// A host that is delegated to it.
pub(crate) const DELEGATED: &str = "3fff:cb8:64:400::5";

/// The ports of FOU.
const FOU_PORTS: [u16; 2] = [5600, 5601];
/// The network in GENEVE that carries packets.
const PACKETS_ID: u8 = 7;

/// The peers of tunnels that carry frames, each with a port of its own, see [`port_into`]; what comes out leaves
/// by port A.
pub(crate) const FRAME_PEERS: [(&str, &str); 7] = [
    // In GRE, VXLAN and GENEVE.
    ("198.51.100.1", "203.0.113.6"),
    ("198.51.100.1", "203.0.113.7"),
    ("2001:db8:100::1", "2001:db8:200::6"),
    // In VXLAN, one of several remotes.
    ("198.51.100.1", "203.0.113.20"),
    // The first three with the other family outside.
    ("2001:db8:100::1", "2001:db8:200::16"),
    ("2001:db8:100::1", "2001:db8:200::17"),
    ("198.51.100.1", "203.0.113.23"),
];

/// The remotes of the tunnel that has several.
const REMOTES: [&str; 3] = ["203.0.113.20", "203.0.113.21", "203.0.113.22"];
/// Where their paths are, behind those that tunnels are numbered by.
const REMOTE_PATHS: u32 = 40;

/// How many tunnels [`crowded`] has.
pub(crate) const KINDS: usize = PEERS.len() + FRAME_PEERS.len() + sessions::ALL.len();

/// Two stations, of which the second is the one that is configured to be behind a remote.
pub(crate) const STATIONS: [Mac; 2] = [[2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 2, 2]];

/// What a tunnel carries, as the number of it says.
#[derive(Clone, Copy)]
enum Carries {
    Packets,
    /// By their place among the tunnels of frames, and among sessions.
    Frames(usize),
    Copies(usize),
}

fn carries(number: usize) -> Carries {
    match number.checked_sub(PEERS.len()) {
        None => Carries::Packets,
        Some(number) if number < FRAME_PEERS.len() => Carries::Frames(number),
        Some(number) => Carries::Copies(number - FRAME_PEERS.len()),
    }
}

/// The outer addresses of a tunnel: ours, and the peer's.
pub(crate) fn ends(number: usize) -> (&'static str, &'static str) {
    match carries(number) {
        Carries::Packets => (PEERS[number].0, PEERS[number].1),
        Carries::Frames(number) => FRAME_PEERS[number],
        Carries::Copies(number) => sessions::ends(number),
    }
}

/// The port whose frames go into a tunnel, if it has one.
pub(crate) fn port_into(number: usize) -> Option<PortId> {
    let Carries::Frames(number) = carries(number) else { return None };
    Some(PortId(A.0 + u8::try_from(number).unwrap()))
}

/// A packet as a tunnel carries it: in a frame, if it carries frames.
pub(crate) fn inside(number: usize, packet: &[u8]) -> Vec<u8> {
    match carries(number) {
        Carries::Packets => packet.to_vec(),
        _ => frame(STATIONS[1], STATIONS[0], packet),
    }
}

/// The IP protocol of what a peer sends into a tunnel: packets of IPv4, if it sends them as they are.
pub(crate) fn protocol(number: usize) -> u8 {
    match header(number, &[0x45]) {
        Some((protocol, _)) => protocol,
        None if number == MINIMAL => 55,
        None => 4,
    }
}

/// What a peer makes of a packet or frame that it sends into its tunnel; this node would make the same of it,
/// from the other address.
pub(crate) fn wrapped(number: usize, outer: Ip, inner: &[u8]) -> Vec<u8> {
    let ihl = usize::from(inner.first().map_or(0, |first| first & 15)) * 4;
    if number == MINIMAL && (20..=inner.len()).contains(&ihl) && inner[0] >> 4 == 4 {
        let Ip { source, destination, .. } = outer;
        return folded(inner, &source.to_string(), &destination.to_string());
    }
    match header(number, inner) {
        Some((protocol, header)) => outer.carrying(protocol, &[&header, inner].concat()),
        None => outer.around(inner),
    }
}

/// The header that a peer puts between the outer one and what is inside, and its protocol.
fn header(number: usize, inner: &[u8]) -> Option<(u8, Vec<u8>)> {
    let is_ipv4 = inner.first().is_some_and(|first| first >> 4 == 4);
    let kind: u16 = if is_ipv4 { 0x0800 } else { 0x86dd };
    let (carried, [high, low]) = (if is_ipv4 { 4 } else { 41 }, kind.to_be_bytes());
    let in_udp = |port: u16, header: &[u8]| Some((17, udp(port, header, inner.len())));
    let gre = [0, 0, high, low];
    match carries(number) {
        Carries::Packets => match number {
            // With a key and a checksum.
            6 => Some((47, summed([0xa0, 0, high, low, 0, 0, 0, 0, 0, 0, 0, 7], inner))),
            7 => Some((47, gre.to_vec())),
            8 => in_udp(6080, &[0, carried, 0, 0]),
            9 => in_udp(6080, &[&[0, 47, 0, 0], &gre[..]].concat()),
            LABELLED => Some((137, [entry(101, 0, false, 64), entry(100, 3, true, 64)].concat())),
            LABELLED_GRE => Some((47, [[0, 0, 0x88, 0x47], entry(100, 0, true, 2)].concat())),
            15 => in_udp(FOU_PORTS[0], &[]),
            16 => in_udp(FOU_PORTS[1], &gre),
            17 => in_udp(6081, &[0, 0, high, low, 0, 0, PACKETS_ID, 0]),
            19 => in_udp(6080, &[]),
            20 => Some((137, entry(100, 0, true, 64).to_vec())),
            _ => None,
        },
        Carries::Frames(0 | 4) => Some((47, vec![0, 0, 0x65, 0x58])),
        Carries::Frames(number @ (1 | 3 | 5)) => {
            in_udp(4789, &[8, 0, 0, 0, 0, 0, network(number), 0])
        }
        Carries::Frames(number) => in_udp(6081, &[0, 0, 0x65, 0x58, 0, 0, network(number), 0]),
        Carries::Copies(number) => Some((47, sessions::header(number))),
    }
}

/// The network of a tunnel of frames in UDP.
fn network(number: usize) -> u8 {
    42 + u8::try_from(number).unwrap()
}

/// A UDP header without checksum, and what is behind it.
fn udp(port: u16, header: &[u8], inner_len: usize) -> Vec<u8> {
    let len = u16::try_from(8 + header.len() + inner_len).unwrap().to_be_bytes();
    [&[0xc0, 0], &port.to_be_bytes()[..], &len, &[0, 0], header].concat()
}

/// A GRE header with a checksum, which is over what follows, too.
fn summed(mut header: [u8; 12], inner: &[u8]) -> Vec<u8> {
    let sum = Sum16BitWords::new().add_slice(&header).add_slice(inner).ones_complement();
    header[4..6].copy_from_slice(&sum.to_ne_bytes());
    header.to_vec()
}

/// Tunnels of every kind, hosts that answer and hosts that don't, routes that lead nowhere.
pub(crate) fn crowded() -> Blueprint {
    let mut plan = Blueprint::bench();
    for (number, (local, remote, net4, net6)) in PEERS.into_iter().enumerate() {
        let id = plan.tunnel(local, remote);
        plan.route(net4, NextHop::Tunnel(id));
        plan.route(net6, NextHop::Tunnel(id));
        match number {
            10 => plan.put_six_rd(number, true),
            ISATAP => plan.put_isatap(number),
            CUSTOMER => put_customer(&mut plan),
            _ => make(number, plan.setup(number)),
        }
    }
    give_labels(&mut plan);
    plan.setup(1).encap_limit = Some(4);
    plan.setup(1).mtu = 1452;
    plan.own("192.168.50.1");
    plan.own("2001:db8:50::1");
    add_routes(&mut plan);
    for number in 0..FRAME_PEERS.len() {
        put_frames(&mut plan, number);
    }
    sessions::put_all(&mut plan);
    plan
}

/// Makes a tunnel that carries packets the kind that its number says.
fn make(number: usize, setup: &mut TunnelSetup) {
    let udp = |port, header| Udp { listens_at: port, sends_to: port, header, ..GUE };
    let fou = |at: usize, carries| udp(FOU_PORTS[at], UdpHeader::Fou { carries });
    let in_udp = |udp| Shim { udp: Some(udp), kind: Kind::None };
    let gre_in = |udp| Shim { udp: Some(udp), kind: Kind::Gre(Gre::default()) };
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
            let gre = Gre { output_key: key, input_key: key, has_checksum: true, ..Gre::default() };
            setup.put_shim(Kind::Gre(gre).into());
        }
        7 => setup.put_shim(Kind::Gre(Gre::default()).into()),
        8 => setup.put_shim(in_udp(Udp { has_checksum: true, ..GUE })),
        9 => setup.put_shim(gre_in(Udp { needs_no_checksum: true, ..GUE })),
        LABELLED => {
            setup.protocols = Protocols::MPLS;
            setup.put_labels(labels(&[100, 0]));
        }
        LABELLED_GRE => {
            setup.protocols = setup.protocols.with(Protocols::MPLS);
            setup.put_shim(Kind::Gre(Gre::default()).into());
        }
        MINIMAL => setup.put_minimal(),
        15 => {
            setup.protocols = Protocols::IPV4;
            setup.put_shim(in_udp(fou(0, 4)));
        }
        16 => setup.put_shim(gre_in(Udp { needs_no_checksum: true, ..fou(1, 47) })),
        17 => setup.put_shim(in_udp(udp(6081, UdpHeader::Geneve { id: PACKETS_ID.into() }))),
        19 => setup.put_shim(in_udp(udp(6080, UdpHeader::GueDirect))),
        20 => {
            setup.protocols = Protocols::MPLS;
            setup.put_labels(labels(&[100]));
        }
        _ => {}
    }
}

/// Makes this node a customer of the 6rd domain `3fff:cb8::/40`, whose customers are in 198.51.0.0/16; what is delegated
/// to it is on L.
fn put_customer(plan: &mut Blueprint) {
    let (local, relay, ..) = PEERS[CUSTOMER];
    let prefix = "3fff:cb8::/40";
    let domain = SixRd::new(&SixRdSetup {
        prefix: prefix.parse().unwrap(),
        relay_prefix: "198.51.0.0/16".parse().unwrap(),
        border_relays: Box::new([relay.parse().unwrap()]),
        is_relay: false,
        local: local.parse().unwrap(),
    });
    plan.put_peers(CUSTOMER, PeerKind::SixRd(domain), prefix);
    plan.route("3fff:cb8:64:400::/56", NextHop::Connected(L));
    plan.neighbor(L, DELEGATED, Some(H_MAC));
}

/// Adds a tunnel of frames, and the port whose frames go into it.
fn put_frames(plan: &mut Blueprint, number: usize) {
    let udp = |port, header| Shim {
        udp: Some(Udp { listens_at: port, sends_to: port, header, needs_no_checksum: true, ..GUE }),
        kind: Kind::None,
    };
    let id = u32::from(network(number));
    let shim = match number {
        0 | 4 => Kind::Gre(Gre::default()).into(),
        1 | 3 | 5 => udp(4789, UdpHeader::Vxlan(Vxlan { id, is_strict: false })),
        _ => udp(6081, UdpHeader::Geneve { id }),
    };
    let mut port = plan.ports[0].clone();
    port.mac = MacAddress([2, 0, 0, 0, 0, 0x0a + u8::try_from(number).unwrap()]);
    plan.ports.push(port);
    let (local, remote) = FRAME_PEERS[number];
    let id = plan.tunnel(local, remote);
    plan.attached.push((port_into(PEERS.len() + number).unwrap(), id));
    let (setup, _) = plan.tunnels.last_mut().unwrap();
    setup.protocols = Protocols::ETHERNET;
    setup.put_shim(shim);
    setup.mtu -= 14;
    let own_station = Some(Counter::VxlanSelfMac);
    let takes_tags = number != 1;
    let remotes = (number == 3).then(|| Box::new(remotes()));
    setup.remote = setup.remote.filter(|_| remotes.is_none());
    setup.frames = Some(FrameRules { takes_tags, own_station, remotes, ..FrameRules::any(A) });
}

/// Of a tunnel that learns where stations are, and knows it of one.
fn remotes() -> Remotes {
    let address = |remote: &str| -> IpAddr { remote.parse().unwrap() };
    let all = (REMOTE_PATHS..).zip(REMOTES);
    let all = all.map(|(path, remote)| Remote { address: address(remote), path: TunnelPath(path) });
    let fixed = [(MacAddress(STATIONS[1]), address(REMOTES[1]))];
    Remotes::new(all, fixed, Some(Arc::default()))
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
    // Another customer of the domain that this node is a customer of.
    plan.neighbor(U, "198.51.100.200", Some(G_MAC));
}

/// The tunnels with labels and port L know the same.
fn give_labels(plan: &mut Blueprint) {
    let host = plan.neighbor(L, "10.1.0.5", Some(H_MAC));
    let known = label_table(host);
    for number in [LABELLED, LABELLED_GRE, 20] {
        plan.setup(number).mpls.labels = Some(Arc::clone(&known));
    }
    plan.port_labels.push((L, known));
}

/// Labels that are popped, and those that lead to a host, into tunnels and nowhere.
fn label_table(host: NextHop) -> Arc<LabelTable> {
    let NextHop::Via(host) = host else { panic!("no host") };
    let swap = |hop| LabelAction::Swap(labels(&[16, 1000]), hop);
    let tunnel = |number: usize| LabelHop::Tunnel(TunnelId(u32::try_from(number).unwrap()));
    table(&[
        (100, LabelAction::PopIp),
        (101, LabelAction::PopLabel),
        (102, swap(LabelHop::Host(host))),
        (103, swap(tunnel(LABELLED))),
        (104, swap(tunnel(LABELLED_GRE))),
        (105, swap(tunnel(0))),
        (106, swap(LabelHop::Nowhere)),
    ])
}
