//! The Linux kernel as the other end, case by case: every mode with every size around an MTU, every codepoint and TTL,
//! both ways. The far end is a kernel's own tunnel, so nothing of ours makes what we are compared with.
//!
//! `host1 ── [adit] ── internet ── [Linux guest] ── host2`
//!
//! The guest stands where site B of `sites` has its appliance. One boot of it serves a whole test: a case is a `Row`,
//! many rows run in one shell, and what became of each is read from captures of the three wires afterwards.

mod frames;
mod hops;
mod marks;
mod narrow;
mod rows;
mod shims;
mod sizes;
mod streams;

use crate::appliance::Appliance;
use crate::guest::Guest;
use crate::sites::{HOST2, HOST2_V6, Network, Tunnel};
use crate::traffic::ping;

/// What every link takes.
const LINK_MTU: u16 = 1500;
/// An underlay that leaves less than the 1280 bytes which every IPv6 packet may have.
const SMALL_UNDERLAY_MTU: u16 = 1290;

/// UDP ports at which both ends take FOU, with the protocol that each stands for.
const FOU_PORTS: [(u16, u8); 3] = [(5004, 4), (5041, 41), (5047, 47)];
/// Those of GUE: IANA's, and one for an end that listens elsewhere.
const GUE_PORTS: [u16; 2] = [6080, 7777];
const GENEVE_PORT: u16 = 6081;
/// Linux counts the header of a frame among what its GENEVE adds, also where packets are carried.
const GENEVE_SPARE_LEN: u16 = 14;

/// One mode as both ends call it.
#[derive(Clone, Copy, Debug)]
struct Mode {
    /// Of adit, with the keys that say what is between the headers.
    name: &'static str,
    /// What follows `ip link add far`, less the addresses.
    link: &'static str,
    outer_v6: bool,
    inner_v6: bool,
    /// Bytes between the outer and the inner IP header.
    shim_len: u16,
}

const IPIP: Mode =
    Mode { name: "ipip", link: "type ipip", outer_v6: false, inner_v6: false, shim_len: 0 };
const SIT: Mode = Mode { name: "sit", link: "type sit", inner_v6: true, ..IPIP };
const IPIP6: Mode = Mode { name: "ipip6", link: "type ip6tnl mode ipip6", outer_v6: true, ..IPIP };
const IP6IP6: Mode =
    Mode { name: "ip6ip6", link: "type ip6tnl mode ip6ip6", outer_v6: true, ..SIT };

const MODES: [Mode; 4] = [IPIP, SIT, IPIP6, IP6IP6];

impl Mode {
    /// Bytes in front of the inner packet.
    fn overhead(self) -> u16 {
        self.shim_len + if self.outer_v6 { 40 } else { 20 }
    }

    /// The address of host2 that the tunnel leads to.
    fn target(self) -> &'static str {
        if self.inner_v6 { HOST2_V6 } else { HOST2 }
    }

    fn tunnel(self, keys: &'static str) -> Tunnel {
        Tunnel { mode: self.name, outer_v6: self.outer_v6, keys }
    }

    /// Options of the guest's tunnel: alike in both families, though iproute2 names them differently.
    fn plain_link(self) -> &'static str {
        if !self.outer_v6 || self.is_geneve() {
            "ttl 64"
        } else if self.name.contains("encap-limit") {
            // The limit is the kernel's default.
            "hoplimit 64"
        } else {
            "hoplimit 64 encaplimit none"
        }
    }

    fn is_geneve(self) -> bool {
        self.name.starts_with("geneve")
    }
}

/// Both ends of the tunnel under test. The network outlives them.
struct Ends<'a> {
    adit: Appliance,
    guest: Guest,
    network: &'a Network,
    /// What both ends believe that the underlay takes.
    underlay_mtu: u16,
}

impl<'a> Ends<'a> {
    /// Boots the guest and starts adit.
    fn up(network: &'a Network) -> Self {
        let site = &network.box_b;
        for (tap, port) in [("far-wan", "wan"), ("far-lan", "lan")] {
            site.ip(&format!("tuntap add dev {tap} mode tap"));
            site.ip(&format!("link set {tap} addrgenmode none"));
            site.plug(tap, port);
        }
        let adit = Appliance::start(&network.box_a, &configuration(IPIP.tunnel(""), LINK_MTU));
        let netdevs =
            ["far-wan", "far-lan"].map(|name| format!("tap,ifname={name},script=no,downscript=no"));
        let mut guest = Guest::boot(site, &netdevs.each_ref().map(String::as_str));
        guest.run(
            "set -e
             echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
             echo 1 > /proc/sys/net/ipv4/ip_forward
             echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
             ip addr add 203.0.113.2/24 dev eth0
             ip addr add 2001:db8:b::2/64 dev eth0 nodad
             ip addr add 152.16.10.1/24 dev eth1
             ip addr add fd00:2::1/64 dev eth1 nodad
             ip link set eth0 up
             ip link set eth1 up
             ip route add default via 203.0.113.254
             ip -6 route add default via 2001:db8:b::fe
             modprobe ipip; modprobe sit; modprobe ip6_tunnel
             ping -n -q -c 1 -w 30 203.0.113.254
             ping -n -q -c 1 -w 30 2001:db8:b::fe
             ping -n -q -c 1 -w 30 152.16.10.2
             ping -n -q -c 1 -w 30 fd00:2::2",
        );
        Self { adit, guest, network, underlay_mtu: LINK_MTU }
    }

    /// Loads what GRE, FOU, GUE and GENEVE need in the guest, and opens their UDP ports.
    fn load_shims(&mut self) {
        self.guest
            .run("modprobe ip_gre; modprobe ip6_gre; modprobe fou; modprobe fou6; modprobe geneve");
        let fou = FOU_PORTS.map(|(port, carried)| format!("{port} ipproto {carried}"));
        for port in fou.into_iter().chain(GUE_PORTS.map(|port| format!("{port} gue"))) {
            self.guest.run(&format!("set -e; ip fou add port {port}; ip -6 fou add port {port}"));
        }
    }

    /// Lays a tunnel of `mode` between the two: `keys` are adit's, `link` the guest's options. Tried with a ping.
    #[track_caller]
    fn lay(&mut self, mode: Mode, keys: &'static str, link: &str) {
        let tunnel = mode.tunnel(keys);
        self.adit.rewrite(&configuration(tunnel, self.underlay_mtu));
        self.adit.apply();
        let (local, remote) = tunnel.ends();
        // A device that takes less than 1280 bytes has no IPv6.
        let families = [
            (tunnel.carries_v4(), "192.168.50.2/30", "172.16.10.0/24"),
            (tunnel.carries_v6(), "fd00:50::2/64 nodad", "fd00:1::/64"),
        ];
        let carried = families.into_iter().filter(|family| family.0);
        let addressing: Vec<String> = carried
            .map(|(_, address, route)| {
                format!("ip addr add dev far {address}; ip route replace {route} dev far")
            })
            .collect();
        // A device of GENEVE has no address of its own, and an MTU that is set.
        let (own, mtu) = if mode.is_geneve() {
            (
                String::new(),
                format!("mtu {}", self.underlay_mtu - mode.overhead() - GENEVE_SPARE_LEN),
            )
        } else {
            (format!("local {remote}"), String::new())
        };
        self.guest.run(&format!(
            "set -e
             ip link del far 2>/dev/null || true
             ip link add far {} {own} remote {local} {link}
             ip link set far {mtu} up
             {}",
            mode.link,
            addressing.join("\n"),
        ));
        // ping would choose any number, that of a row perhaps.
        let once = format!("-c 1 -w 10 -e {} {}", rows::BETWEEN, mode.target());
        let pings = ping(&self.network.host1, &once);
        let is_answered = pings.received() > 0;
        let seen = if is_answered { String::new() } else { self.guest.run("ip -s link show far") };
        assert!(is_answered, "{}: no ping came back:\n{}{seen}", mode.name, pings.text);
    }

    /// Makes both ends believe that the underlay takes no more than this.
    fn narrow(&mut self, underlay_mtu: u16) {
        if self.underlay_mtu == underlay_mtu {
            return;
        }
        self.underlay_mtu = underlay_mtu;
        self.guest.run(&format!("ip link set eth0 mtu {underlay_mtu}"));
        // The MTU of a port changes with a restart alone.
        self.adit.rewrite(&configuration(IPIP.tunnel(""), underlay_mtu));
        self.adit.signal("TERM");
        assert!(self.adit.wait().success(), "adit ended badly:\n{}", self.adit.log());
        self.adit.restart(&self.network.box_a);
    }
}

/// Site A, whose port to the underlay takes `underlay_mtu`.
fn configuration(tunnel: Tunnel, underlay_mtu: u16) -> String {
    tunnel.site_a().replace("iface=wan\"", &format!("iface=wan\", mtu: {underlay_mtu}"))
}
