//! Who carries labels (A.3, A.4, A.5): `sit` and `any` beside IP and alone, as `payload` says, and who takes what from whom.

use crate::addresses::{H, H6, L, P, R, R6, U};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    datagram, encap4, encap6, from_gateway, from_host, peer4, peer6, to_gateway, to_host, udp4,
    udp6,
};
use crate::icmp::{UNREACHABLE_NET, error4};
use crate::mpls::{MPLS, behind, entry, forwarded, from_peer, inner, mplsip, pushing};
use crate::run::check;

/// `sit` and `any` that carry labels and nothing else.
fn labels_alone(bench: Bench) -> Bench {
    bench.set("tunnels.m0.payload", "mplsip")
}

#[test]
fn sit_and_any_carry_labels_alone_where_the_payload_says_so() {
    let sit = || labels_alone(pushing("500").set("tunnels.m0.mode", "sit"));
    let any = || {
        labels_alone(pushing("500").set("tunnels.m0.mode", "any"))
            .set("tunnels.m0.local", r#""2001:db8:100::1""#)
            .set("tunnels.m0.remote", r#""2001:db8:200::2""#)
    };
    let stack = behind(&[entry(100, 0, 1, 64)], inner());
    let sent = |inner: Vec<u8>| behind(&[entry(500, 0, 1, 255)], inner);
    let (four, six) = (udp4(H, R, 84), udp6(H6, R6, 100));
    let (four_on, six_on) = (four.clone().ttl(63).bytes(), six.clone().hop_limit(63).bytes());
    let no_push = sit().unset("tunnels.m0.push").unset("tunnels.m0.addresses");
    let refused = to_host(error4(L, H, UNREACHABLE_NET, 0, four.clone().ttl(63)));
    let fixed_df = sit().set("tunnels.m0.profile", "routeros").set("tunnels.m0.push", "[500, 501]");
    let two = behind(&[entry(500, 0, 0, 255), entry(501, 0, 1, 255)], four_on.clone());
    let fou = sit().set("tunnels.m0.encap", "{ type: fou, dport: 6635 }");
    let in_fou = datagram((P.into(), U.into()), (50000, 6635), &stack);
    run_all([
        Case::new("A.3 sit, popped", sit())
            .input("u", from_peer(stack.clone()))
            .expect("l", forwarded())
            .tunnel_accepts("m0", 84),
        Case::new("A.3 sit, pushed", sit())
            .input("l", from_host(four.clone()))
            .expect("u", to_gateway(encap4(MPLS, sent(four_on.clone()))))
            .tunnel_sends("m0", 84),
        Case::new("A.3 sit, pushed in front of IPv6", sit())
            .input("l", from_host(six.clone()))
            .expect("u", to_gateway(encap4(MPLS, sent(six_on))))
            .tunnel_sends("m0", 100),
        Case::new("A.3 sit takes no IPv4", sit())
            .input("u", from_gateway(peer4(4, inner())))
            .counts("tun.proto_mismatch"),
        Case::new("A.3 sit takes no IPv6", sit())
            .input("u", from_gateway(peer4(41, udp6(R6, H6, 100))))
            .counts("tun.proto_mismatch"),
        Case::new("A.3 IP enters behind labels alone", no_push)
            .input("l", from_host(four.clone()))
            .expect("l", Expected::error4(refused, 14))
            .tunnel_counts("m0", "tx_payload_unsupported")
            .counts("icmp.tx"),
        Case::new("C-086 DF with profile routeros, sit", fixed_df)
            .input("l", from_host(four.clone().dont_fragment(true)))
            .expect("u", to_gateway(encap4(MPLS, two)))
            .tunnel_sends("m0", 84),
        Case::new("A.8 sit in FOU", fou)
            .input("u", from_gateway(peer4(17, in_fou)))
            .expect("l", forwarded())
            .tunnel_accepts("m0", 84),
        Case::new("A.4 any, popped", any())
            .input("u", from_gateway(peer6(MPLS, stack)))
            .expect("l", forwarded())
            .tunnel_accepts("m0", 84),
        Case::new("A.4 any, pushed", any())
            .input("l", from_host(four))
            .expect("u", Expected::any_flow_label(to_gateway(encap6(MPLS, sent(four_on)))))
            .tunnel_sends("m0", 84),
        Case::new("A.4 any takes no IP", any())
            .input("u", from_gateway(peer6(4, inner())))
            .counts("tun.proto_mismatch"),
    ]);
}

#[test]
fn labels_are_of_their_tunnel_alone_and_ambiguous_tunnels_are_refused() {
    let any = Bench::any4().set("tunnels.a4.labels", "{ 100: { pop: ip } }");
    run_all([
        Case::new("A.5 a tunnel of IP takes no labels", Bench::ipip())
            .input("u", from_peer(behind(&[entry(0, 0, 1, 64)], inner())))
            .counts("tun.proto_mismatch"),
        Case::new("A.5 a tunnel of labels takes no IP", mplsip())
            .input("u", from_gateway(peer4(4, inner())))
            .counts("tun.proto_mismatch"),
        Case::new("A.3 payload any takes labels", any)
            .input("u", from_peer(behind(&[entry(100, 0, 1, 64)], inner())))
            .expect("l", forwarded())
            .tunnel_accepts("a4", 84),
        Case::new("A.4 payload any takes labels", {
            Bench::any6().set("tunnels.n6.labels", "{ 100: { pop: ip } }")
        })
        .input("u", from_gateway(peer6(MPLS, behind(&[entry(100, 0, 1, 64)], inner()))))
        .expect("l", forwarded())
        .tunnel_accepts("n6", 84),
    ]);
    let twin = mplsip()
        .tunnel("twin", "sit", "198.51.100.1", "203.0.113.2")
        .set("tunnels.twin.payload", "any");
    let (code, said) = check(&twin.yaml());
    assert_eq!(code, 2);
    assert!(said.contains("can't be told from what belongs to tunnel"), "{said}");
    let beside = mplsip().tunnel("beside", "ipip", "198.51.100.1", "203.0.113.2");
    let (code, said) = check(&beside.yaml());
    assert_eq!(code, 0, "{said}");
}
