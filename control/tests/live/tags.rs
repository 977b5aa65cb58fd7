//! Frames with VLAN tags and with marked packets through gretap, VXLAN and GENEVE, with the kernel's own devices as the far end.
//!
//! `near, eth1 ── lan [adit] wan ── eth0, far`: the guest is both stations, one of them in a namespace of its own, as the
//! kernel that runs the tests may know no VLANs. What both wires carry is read from captures.

use std::time::Duration;

use tempfile::TempDir;

use crate::appliance::Appliance;
use crate::capture::Capture;
use crate::far_end::{Kind, boot, kind, lay, plug_tap};
use crate::files::crosses_in_guest;
use crate::guest::Guest;
use crate::network::until;
use crate::segments::configuration;
use crate::turn;

/// adit's mode with its keys, and the guest's `ip link add`.
#[rustfmt::skip]
const KINDS: [Kind; 6] = [
    kind("gretap", "gretap", "type gretap ttl 64 tos inherit", false, 38),
    kind("ip6gretap", "ip6gretap", "type ip6gretap encaplimit none tclass inherit", true, 58),
    kind("vxlan", "vxlan, id: 42, vlan-tags: yes", "type vxlan id 42 dstport 4789 tos inherit", false, 50),
    kind("vxlan-v6", "vxlan, id: 42, vlan-tags: yes", "type vxlan id 42 dstport 4789 tos inherit", true, 70),
    kind("geneve", "geneve, id: 7", "type geneve id 7 tos inherit", false, 50),
    kind("geneve-v6", "geneve, id: 7", "type geneve id 7 tos inherit", true, 70),
];

const TAG_LEN: u16 = 4;
const FILE_LEN: usize = 300_000;
const CAPTURE_LIMIT: Duration = Duration::from_secs(10);

const ECT: u8 = 2;
const CE: u8 = 3;
const ECHO_REPLY: u8 = 0;

/// Pings whose packets have `tos`, in or without the VLAN, and what an answer has where it arrives.
struct Marked {
    tos: u8,
    is_tagged: bool,
    /// Where congestion is marked: on what comes to Linux, or on what comes from it.
    hook: Option<&'static str>,
    ecn: u8,
}

/// Each with a DSCP of its own, which tells them apart. Linux answers with the TOS it is asked with. It passes no mark on to
/// a packet behind a tag (6.1), so what is marked on the way to it is tried without tags alone.
const MARKED: [Marked; 5] = [
    Marked { tos: 8 << 2 | ECT, is_tagged: false, hook: None, ecn: ECT },
    Marked { tos: 16 << 2 | ECT, is_tagged: false, hook: Some("ingress"), ecn: CE },
    Marked { tos: 24 << 2 | ECT, is_tagged: false, hook: Some("egress"), ecn: CE },
    Marked { tos: 32 << 2 | ECT, is_tagged: true, hook: None, ecn: ECT },
    Marked { tos: 40 << 2 | ECT, is_tagged: true, hook: Some("egress"), ecn: CE },
];

/// Addresses without a tag and with it.
const FAR: [&str; 2] = ["10.9.0.2", "10.9.7.2"];
const FAR_V6: &str = "fd00:97::2";

/// The devices of both ends take what fits with a tag, or without.
fn lay_vlans(kind: &Kind, guest: &mut Guest) {
    kind.lay_segment(guest);
    let (mtu, tagged) = (kind.mtu(), kind.mtu() - TAG_LEN);
    guest.run(&format!(
        "set -e
         ip link add link far name far.7 type vlan id 7
         ip link set far.7 mtu {tagged} up
         ip addr add {}/24 dev far.7
         ip -6 addr add {FAR_V6}/64 dev far.7 nodad
         ip -n near link set eth1 mtu {mtu}
         ip -n near link set eth1.7 mtu {tagged}
         ip -n near neigh flush all",
        FAR[1]
    ));
}

/// Pings from `near` with these words of ping's command line, all answered.
#[track_caller]
fn ping_near(guest: &mut Guest, name: &str, line: &str) {
    let text = guest.run(&format!("ip netns exec near ping -n -c 3 -i 0.05 -w 20 {line}"));
    assert!(text.contains(" 3 received"), "{name}: {line}: {text}");
}

/// The TOS or traffic class of the outer header.
fn outer_tos(frame: &[u8]) -> u8 {
    if frame[14] >> 4 == 6 { frame[14] << 4 | frame[15] >> 4 } else { frame[15] }
}

/// Whether a frame has the tag of VLAN 7, and the TOS of the echo reply in it.
fn reply(frame: &[u8]) -> Option<(bool, u8)> {
    let is_tagged = frame.get(12..16)? == [0x81, 0, 0, 7];
    let packet = frame.get(if is_tagged { 18 } else { 14 }..)?;
    let is_reply = packet.first()? >> 4 == 4 && packet[9] == 1 && packet[20] == ECHO_REPLY;
    is_reply.then_some((is_tagged, packet[1]))
}

/// Sends what `MARKED` lists and holds both wires against it.
fn try_marks(kind: &Kind, guest: &mut Guest, wan: &Capture<'_>, lan: &Capture<'_>) {
    for Marked { tos, is_tagged, hook, ecn } in MARKED {
        let name = format!("{}: TOS {tos:#04x}, tagged: {is_tagged}, {hook:?}", kind.capture);
        guest.run("tc filter del dev eth0 ingress; tc filter del dev eth0 egress");
        if let Some(hook) = hook {
            guest.mark_congestion(hook, "0x2/0x3");
        }
        ping_near(guest, &name, &format!("-Q {tos} {}", FAR[usize::from(is_tagged)]));
        let answers = until(CAPTURE_LIMIT, "answers in the capture", || {
            let frames = lan.frames();
            let replies = frames.iter().filter_map(|frame| reply(frame));
            let of_these: Vec<_> = replies.filter(|reply| reply.1 >> 2 == tos >> 2).collect();
            (of_these.len() >= 3).then_some(of_these)
        });
        assert_eq!(answers, [(is_tagged, tos & !3 | ecn); 3], "{name}");
        let outer = wan.frames().iter().filter(|frame| outer_tos(frame) == tos).count();
        assert_eq!(outer, 3, "{name}: outer headers");
    }
    guest.run("tc filter del dev eth0 egress");
}

#[test]
fn tagged_frames_and_marked_packets_cross_as_the_kernel_has_them() {
    let _turn = turn::shared();
    let (_host1, site) = lay();
    plug_tap(&site, "guest1", "lan");
    let appliance = Appliance::start(&site, &configuration(&KINDS[0]));
    let script = "ethtool -K eth0 gro off tx off; ethtool -K eth1 gro off tx off
         modprobe ip_gre; modprobe ip6_gre; modprobe vxlan; modprobe geneve; modprobe 8021q
         ip netns add near
         ip link set eth1 netns near
         ip -n near link set eth1 up
         ip -n near addr add 10.9.0.1/24 dev eth1
         ip -n near link add link eth1 name eth1.7 type vlan id 7
         ip -n near link set eth1.7 up
         ip -n near addr add 10.9.7.1/24 dev eth1.7
         ip -n near -6 addr add fd00:97::1/64 dev eth1.7 nodad";
    let mut guest = boot(&site, &["guest", "guest1"], script);
    guest.load_marks();
    for kind in &KINDS {
        lay_vlans(kind, &mut guest);
        appliance.rewrite(&configuration(kind));
        appliance.apply();
        let name = kind.capture;
        let largest = kind.mtu() - TAG_LEN;
        ping_near(&mut guest, name, &format!("-s {} -M do {}", largest - 28, FAR[1]));
        ping_near(&mut guest, name, &format!("-s {} -M do {FAR_V6}", largest - 48));
        for far in [FAR[1], FAR_V6] {
            crosses_in_guest(&mut guest, "near", FILE_LEN, far);
        }
        let folder = TempDir::with_prefix("adit-live-").expect("a temporary folder");
        let (local, _) = kind.ends();
        let wan = Capture::start(&site, folder.path(), "guest", &format!("src host {local}"));
        let lan = Capture::start(&site, folder.path(), "guest1", "icmp or (vlan and icmp)");
        try_marks(kind, &mut guest, &wan, &lan);
    }
}
