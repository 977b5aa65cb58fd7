//! What goes into a tunnel here comes out of it at the far end as it was, but for what the rules
//! change. Both ends are the code under test; what is between them is checked against etherparse.

use std::sync::Arc;

use adit_dataplane::interface::{Interface, TunnelId};
use adit_dataplane::tables::mirrors::Sessions;
use adit_dataplane::tunnel::ecn::EcnEncap;
use adit_dataplane::tunnel::erspan::Version;
use adit_dataplane::tunnel::gre::Gre;
use adit_dataplane::tunnel::shim::{Kind, Shim};
use proptest::prelude::*;

use super::appliance::{A, Blueprint, G_MAC, H_MAC, L, L_MAC, U, U_MAC};
use super::frames::{Ip, frame, ip, mend_ipv4, one_hop_on};
use super::sessions::{put_erspan, version_two};

const ENDS: [(&str, &str); 2] =
    [("198.51.100.1", "203.0.113.2"), ("2001:db8:100::1", "2001:db8:200::2")];
const HOSTS: [(&str, &str); 2] = [("10.1.0.5", "10.2.0.8"), ("2001:db8:1::5", "2001:db8:2::8")];

const NOT_ECT: u8 = 0;
const ECT_1: u8 = 1;
const ECT_0: u8 = 2;
const CE: u8 = 3;

/// RFC 6040, figure 4: rows are the inner field (Not-ECT, ECT(0), ECT(1), CE), columns the outer
/// one in the same order. 9 is "drop".
const FIGURE_4: [[u8; 4]; 4] = [
    [NOT_ECT, NOT_ECT, NOT_ECT, 9],
    [ECT_0, ECT_0, ECT_1, CE],
    [ECT_1, ECT_1, ECT_1, CE],
    [CE, CE, CE, CE],
];

/// The place of a field in that figure.
fn place(field: u8) -> usize {
    [0, 2, 1, 3][usize::from(field)]
}

#[derive(Clone, Debug)]
struct Case {
    outer: usize,
    inner: usize,
    packet: Ip,
    len: usize,
    ecn: EcnEncap,
    dscp: Option<u8>,
    ttl: Option<u8>,
    copies_dscp: bool,
    encap_limit: Option<u8>,
    /// With a GRE header: a checksum, a key, a number.
    gre: Option<(bool, Option<u32>, bool)>,
    /// What a congested router makes of the outer ECN field.
    mark: Option<u8>,
}

prop_compose! {
    fn case()(
        outer in 0_usize..2, inner in 0_usize..2, tos: u8, ttl in 2_u8..=255, len in 60_usize..=1436,
        dont_fragment: bool, flow_label in 0_u32..1 << 20,
        ecn in prop::sample::select(vec![EcnEncap::Normal, EcnEncap::Compat, EcnEncap::Rfc3168]),
        dscp in prop::option::of(0_u8..64), outer_ttl in prop::option::of(1_u8..=255),
        copies_dscp: bool, encap_limit: Option<u8>, mark in prop::option::of(0_u8..4),
        gre: Option<(bool, Option<u32>, bool)>,
    ) -> Case {
        let packet = ip(HOSTS[inner].0, HOSTS[inner].1);
        let packet = Ip { ttl, tos, dont_fragment, flow_label, ..packet };
        Case {
            outer, inner, packet, len, ecn, dscp, ttl: outer_ttl, copies_dscp, encap_limit, gre, mark,
        }
    }
}

impl Case {
    fn plan(&self, mut plan: Blueprint) -> Blueprint {
        let setup = plan.setup(0);
        setup.ecn = self.ecn;
        setup.dscp = self.dscp;
        setup.ttl = self.ttl;
        setup.copies_dscp = self.copies_dscp;
        setup.encap_limit = self.encap_limit.filter(|_| self.outer == 1);
        if let Some((has_checksum, key, has_sequence)) = self.gre {
            setup.put_shim(Shim::from(Kind::Gre(Gre {
                output_key: key,
                input_key: key,
                has_checksum,
                has_sequence,
                sequences: Some(Arc::default()),
                ..Gre::default()
            })));
        }
        plan
    }

    /// The outer header as the rules say it, around `inner`. The flow label, a hash, is `label`.
    fn outer_packet(&self, inner: &[u8], label: u32) -> Vec<u8> {
        let field = match (self.ecn, self.packet.tos & 3) {
            (EcnEncap::Compat, _) => NOT_ECT,
            (EcnEncap::Rfc3168, CE) => ECT_0,
            (_, field) => field,
        };
        let dscp = self.dscp.unwrap_or(self.packet.tos >> 2);
        let (local, remote) = ENDS[self.outer];
        let header = Ip {
            tos: dscp << 2 | field,
            ttl: self.ttl.unwrap_or(self.packet.ttl - 1),
            identification: 0,
            dont_fragment: true,
            flow_label: label,
            ..ip(local, remote)
        };
        let (protocol, payload) = match self.gre {
            Some(options) => (47, self.behind_gre(options, inner)),
            None => (if self.inner == 0 { 4 } else { 41 }, inner.to_vec()),
        };
        match self.encap_limit {
            Some(limit) if self.outer == 1 => {
                let options = [protocol, 0, 4, 1, limit, 1, 1, 0];
                header.carrying(60, &[&options[..], &payload].concat())
            }
            _ => header.carrying(protocol, &payload),
        }
    }

    /// RFC 2784 §2 and RFC 2890 §2, field by field.
    fn behind_gre(
        &self,
        (has_checksum, key, has_sequence): (bool, Option<u32>, bool),
        inner: &[u8],
    ) -> Vec<u8> {
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let bits = flag(has_checksum, 0x80) | flag(key.is_some(), 0x20) | flag(has_sequence, 0x10);
        let kind = if self.inner == 0 { [8, 0] } else { [0x86, 0xdd] };
        let mut bytes = vec![bits, 0, kind[0], kind[1]];
        bytes.extend(has_checksum.then_some([0; 4]).into_iter().flatten());
        bytes.extend(key.map(u32::to_be_bytes).into_iter().flatten());
        bytes.extend(has_sequence.then_some([0; 4]).into_iter().flatten());
        bytes.extend(inner);
        if has_checksum {
            let sum = etherparse::checksum::Sum16BitWords::new().add_slice(&bytes);
            bytes[4..6].copy_from_slice(&sum.ones_complement().to_be().to_be_bytes());
        }
        bytes
    }
}

/// Sets the ECN field of an outer header.
fn mark(packet: &mut [u8], field: u8) {
    if packet[0] >> 4 == 4 {
        packet[1] = packet[1] & !3 | field;
        mend_ipv4(packet);
    } else {
        packet[1] = packet[1] & 0xcf | field << 4;
    }
}

fn ecn_of(packet: &[u8]) -> u8 {
    if packet[0] >> 4 == 4 { packet[1] & 3 } else { packet[1] >> 4 & 3 }
}

fn set_tos(packet: &mut [u8], tos: u8) {
    if packet[0] >> 4 == 4 {
        packet[1] = tos;
        mend_ipv4(packet);
    } else {
        packet[0] = 0x60 | tos >> 4;
        packet[1] = packet[1] & 0x0f | tos << 4;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_was_encapsulated_is_decapsulated_to_what_it_was(case in case()) {
        let (local, remote) = ENDS[case.outer];
        let mut near = case.plan(Blueprint::with_t0(local, remote)).start();
        let mut far = case.plan(Blueprint::far_end(local, remote)).start();
        let packet = case.packet.udp(case.len);

        let sent = near.pass(L, &frame(L_MAC, H_MAC, &packet));
        prop_assert_eq!(sent.len(), 1, "{:?}", near.moved());
        prop_assert_eq!(sent[0].port, U);
        let inside = one_hop_on(&packet);
        let label = if case.outer == 1 {
            let word = u32::from_be_bytes(sent[0].bytes[14..18].try_into().unwrap());
            prop_assert_ne!(word & 0xf_ffff, 0, "no flow label");
            word & 0xf_ffff
        } else {
            0
        };
        let mut outer = case.outer_packet(&inside, label);
        prop_assert_eq!(&sent[0].bytes, &frame(G_MAC, U_MAC, &outer));

        if let Some(field) = case.mark {
            mark(&mut outer, field);
        }
        let arrived = far.pass(U, &frame(U_MAC, G_MAC, &outer));
        let field = FIGURE_4[place(case.packet.tos & 3)][place(ecn_of(&outer))];
        if field == 9 {
            prop_assert!(arrived.is_empty());
            prop_assert_eq!(far.moved(), vec![("if.rx_ecn_drop", 1)]);
            return Ok(());
        }
        let mut expected = one_hop_on(&inside);
        let dscp = if case.copies_dscp { case.dscp } else { None };
        set_tos(&mut expected, dscp.map_or(case.packet.tos & !3, |dscp| dscp << 2) | field);
        if case.packet.ttl == 2 {
            // One hop too many: the error goes back into the tunnel.
            prop_assert_eq!(arrived.len(), 1);
            prop_assert_eq!(arrived[0].port, U);
            return Ok(());
        }
        prop_assert_eq!(arrived.len(), 1, "{:?}", far.moved());
        prop_assert_eq!(arrived[0].port, L);
        prop_assert_eq!(&arrived[0].bytes, &frame(H_MAC, L_MAC, &expected));
    }

    #[test]
    fn a_mirrored_frame_comes_out_of_its_session_as_it_was_on_the_port(
        ends in prop::sample::select(&ENDS[..]), host in 0_usize..2, len in 60_usize..=1400,
        version in 0_usize..3, is_egress: bool,
    ) {
        let (local, remote) = ends;
        let three = Version::Three { session: 9, hardware_id: 3, is_egress: None };
        let version = [Version::One, version_two(9), three][version];
        let mut plan = Blueprint::with_t0(local, remote);
        put_erspan(plan.setup(0), version, None);
        let session: Box<[TunnelId]> = Box::new([TunnelId(0)]);
        let (of, sessions) = if is_egress {
            (U, Sessions { egress: session, ..Sessions::default() })
        } else {
            (L, Sessions { ingress: session, ..Sessions::default() })
        };
        plan.mirrors.push((Interface::port(of), sessions));
        let mut near = plan.start();
        let mut plan = Blueprint::far_end(local, remote);
        put_erspan(plan.setup(0), version, Some(A));
        plan.ports.push(plan.ports[1].clone());
        let mut far = plan.start();

        // To the router, without a tunnel.
        let (source, destination) = [("10.1.0.5", "203.0.113.66"), ("2001:db8:1::5", "2001:db8:200::66")][host];
        let came = frame(L_MAC, H_MAC, &ip(source, destination).udp(len));
        let sent = near.pass(L, &came);
        prop_assert_eq!(sent.len(), 2, "{:?}", near.moved());
        let at = if remote.contains(':') { 20 } else { 23 };
        let (copies, others): (Vec<_>, Vec<_>) =
            sent.into_iter().partition(|one| one.bytes[at] == 47 && one.bytes.len() > came.len());
        prop_assert_eq!((copies.len(), others.len()), (1, 1));
        let mut outer = copies[0].bytes.clone();
        outer[..12].copy_from_slice(&[U_MAC, G_MAC].concat());
        let arrived = far.pass(U, &outer);
        prop_assert_eq!(arrived.len(), 1, "{:?}", far.moved());
        prop_assert_eq!(arrived[0].port, A);
        prop_assert_eq!(&arrived[0].bytes, if is_egress { &others[0].bytes } else { &came });
    }
}
