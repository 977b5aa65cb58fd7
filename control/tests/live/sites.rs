//! The classic picture, which most tests stand on:
//!
//! `host1 ── [adit A] ── internet ── [adit B] ── host2`
//!
//! The internet is a Linux router that knows the two WAN networks and nothing else. Both families everywhere.

use crate::appliance::Appliance;
use crate::network::Namespace;

pub(crate) const HOST1: &str = "172.16.10.2";
pub(crate) const HOST2: &str = "152.16.10.2";
pub(crate) const HOST1_V6: &str = "fd00:1::2";
pub(crate) const HOST2_V6: &str = "fd00:2::2";

/// The namespaces of the picture, cabled and addressed; no appliance runs yet.
pub(crate) struct Network {
    pub(crate) host1: Namespace,
    pub(crate) box_a: Namespace,
    pub(crate) internet: Namespace,
    pub(crate) box_b: Namespace,
    pub(crate) host2: Namespace,
}

impl Network {
    pub(crate) fn lay() -> Self {
        let network = Self {
            host1: Namespace::new("host1"),
            box_a: Namespace::new("a"),
            internet: Namespace::new("internet"),
            box_b: Namespace::new("b"),
            host2: Namespace::new("host2"),
        };
        network.box_a.port("lan", &network.host1, "eth0");
        network.box_a.port("wan", &network.internet, "to-a");
        network.box_b.port("lan", &network.host2, "eth0");
        network.box_b.port("wan", &network.internet, "to-b");
        address_host(&network.host1, "172.16.10", "fd00:1:");
        address_host(&network.host2, "152.16.10", "fd00:2:");
        network.internet.address("to-a", "198.51.100.254/24");
        network.internet.address("to-a", "2001:db8:a::fe/64");
        network.internet.address("to-b", "203.0.113.254/24");
        network.internet.address("to-b", "2001:db8:b::fe/64");
        network.internet.sysctl("net/ipv4/ip_forward", "1");
        network.internet.sysctl("net/ipv6/conf/all/forwarding", "1");
        network
    }
}

impl Network {
    /// Puts a second router into the underlay, behind a link that takes no more than `mtu`; both ends stay what they are:
    /// `[A] ── internet ══ mtu ══ far ── [B]`.
    pub(crate) fn narrow(&self, mtu: u16) -> Namespace {
        let (internet, far) = (&self.internet, Namespace::new("far"));
        internet.ip(&format!("link set to-b netns {}", far.name()));
        far.address("to-b", "203.0.113.254/24");
        far.address("to-b", "2001:db8:b::fe/64");
        internet.cable("narrow", &far, "narrow");
        for (router, own) in [(internet, 1), (&far, 2)] {
            router.address("narrow", &format!("10.255.0.{own}/30"));
            router.address("narrow", &format!("fd00:ff::{own}/64"));
            router.ip(&format!("link set narrow mtu {mtu}"));
        }
        internet.ip("route add 203.0.113.0/24 via 10.255.0.2");
        internet.ip("route add 2001:db8:b::/64 via fd00:ff::2");
        far.ip("route add 198.51.100.0/24 via 10.255.0.1");
        far.ip("route add 2001:db8:a::/64 via fd00:ff::1");
        far.sysctl("net/ipv4/ip_forward", "1");
        far.sysctl("net/ipv6/conf/all/forwarding", "1");
        far
    }
}

/// A host with `PREFIX.2` and `PREFIX::2` on eth0, whose router is `.1`.
pub(crate) fn address_host(host: &Namespace, v4: &str, v6: &str) {
    host.address("eth0", &format!("{v4}.2/24"));
    host.address("eth0", &format!("{v6}:2/64"));
    host.ip(&format!("route add default via {v4}.1"));
    host.ip(&format!("route add default via {v6}:1"));
}

/// The picture with both appliances forwarding.
pub(crate) struct Sites {
    // Fields are dropped in this order: the appliances go before the namespaces they stand in.
    pub(crate) a: Appliance,
    pub(crate) b: Appliance,
    pub(crate) network: Network,
}

/// What differs from test to test in the tunnel of the picture.
#[derive(Clone, Copy)]
pub(crate) struct Tunnel {
    /// `ipip`, `sit`, …, perhaps with keys that belong to it: `gre, key: 7`.
    pub(crate) mode: &'static str,
    /// Is the outer packet IPv6?
    pub(crate) outer_v6: bool,
    /// More keys of the tunnel: `, ttl: inherit`.
    pub(crate) keys: &'static str,
}

pub(crate) const IPIP: Tunnel = Tunnel { mode: "ipip", outer_v6: false, keys: "" };

/// Both families in IPv4: what ip-link(8) calls sit mode any.
pub(crate) const BOTH: Tunnel = Tunnel { mode: "sit", outer_v6: false, keys: ", payload: any" };

impl Tunnel {
    pub(crate) fn carries_v4(self) -> bool {
        matches!(self.word(), "ipip" | "ipip6" | "any" | "gre" | "ip6gre" | "geneve")
            || [self.mode, self.keys].iter().any(|text| text.contains("payload: any"))
    }

    pub(crate) fn carries_v6(self) -> bool {
        matches!(self.word(), "sit" | "ip6ip6" | "any" | "gre" | "ip6gre" | "geneve")
    }

    /// The mode less its keys.
    fn word(self) -> &'static str {
        self.mode.split(',').next().unwrap_or_default()
    }

    fn prefixes(self, v4: &str, v6: &str) -> String {
        let v4 = self.carries_v4().then_some(v4);
        let v6 = self.carries_v6().then_some(v6);
        v4.into_iter()
            .chain(v6)
            .map(|prefix| format!("\"{prefix}\""))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The configuration of site A from `ports:` on.
    pub(crate) fn site_a(self) -> String {
        let (local, remote) = self.ends();
        let addresses = self.prefixes("192.168.50.1/30", "fd00:50::1/64");
        let routes = self.prefixes("152.16.10.0/24", "fd00:2::/64");
        site("172.16.10", "fd00:1:", "198.51.100", "1", "2001:db8:a:")
            + &format!(
                "tunnels:\n  far: {{ mode: {}, local: \"{local}\", remote: \"{remote}\", \
                 addresses: [{addresses}], routes: [{routes}]{} }}\n",
                self.mode, self.keys
            )
    }

    /// The configuration of site B.
    pub(crate) fn site_b(self) -> String {
        let (local, remote) = self.ends();
        let addresses = self.prefixes("192.168.50.2/30", "fd00:50::2/64");
        let routes = self.prefixes("172.16.10.0/24", "fd00:1::/64");
        site("152.16.10", "fd00:2:", "203.0.113", "2", "2001:db8:b:")
            + &format!(
                "tunnels:\n  far: {{ mode: {}, local: \"{remote}\", remote: \"{local}\", \
                 addresses: [{addresses}], routes: [{routes}]{} }}\n",
                self.mode, self.keys
            )
    }

    /// The outer addresses of A and B.
    pub(crate) fn ends(self) -> (&'static str, &'static str) {
        if self.outer_v6 {
            ("2001:db8:a::1", "2001:db8:b::2")
        } else {
            ("198.51.100.1", "203.0.113.2")
        }
    }
}

/// `configuration` with one more entry in `section` (`routes`, `tunnels`).
pub(crate) fn with(configuration: &str, section: &str, entry: &str) -> String {
    configuration.replacen(&format!("{section}:\n"), &format!("{section}:\n  {entry}\n"), 1)
}

/// Ports and underlay routes of one site.
fn site(lan: &str, lan_v6: &str, wan: &str, wan_host: &str, wan_v6: &str) -> String {
    format!(
        "ports:
  lan: {{ device: \"net_tap0,iface=lan\", addresses: [{lan}.1/24, \"{lan_v6}:1/64\"] }}
  wan: {{ device: \"net_tap1,iface=wan\", addresses: [{wan}.{wan_host}/24, \"{wan_v6}:{wan_host}/64\"] }}
loopback: {{ addresses: [192.0.2.{wan_host}/32, \"2001:db8:ff::{wan_host}/128\"] }}
routes:
  - {{ to: default, via: {wan}.254 }}
  - {{ to: \"::/0\", via: \"{wan_v6}:fe\" }}
"
    )
}

impl Sites {
    /// Lays the network and starts both appliances with `tunnel` between them.
    pub(crate) fn up(tunnel: Tunnel) -> Self {
        Self::up_with(&tunnel.site_a(), &tunnel.site_b())
    }

    /// As `up`, with configurations of the test's own.
    pub(crate) fn up_with(site_a: &str, site_b: &str) -> Self {
        let network = Network::lay();
        let a = Appliance::start(&network.box_a, site_a);
        let b = Appliance::start(&network.box_b, site_b);
        Self { a, b, network }
    }
}
