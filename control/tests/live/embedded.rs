//! The Linux kernel's own 6rd (`ip tunnel 6rd`) as another router of the domain, a customer beside adit and one behind it; and its own ISATAP
//! (`mode isatap`) as a host of the link whose router adit is.
//!
//! `host1 ── [adit] ── Linux guest`: both on one wire. The IPv4 addresses of the domain are those of the wire, and eight bits
//! of them are in a prefix: `fd00::/24` makes `fd00:1::/32` of 198.51.100.1, which is host1's net, and `fd00:9::/32` of the guest.

use std::path::Path;

use tempfile::TempDir;

use crate::appliance::Appliance;
use crate::capture::{self, Capture};
use crate::far_end::lay;
use crate::guest::Guest;
use crate::network::Namespace;
use crate::sites::{HOST1_V6, address_host};
use crate::traffic::{iperf_to_guest, ping};
use crate::turn;

/// adit with a tunnel of this mode and these keys.
fn configuration(mode: &str, keys: &str) -> String {
    format!(
        "ports:
  lan: {{ device: \"net_tap0,iface=lan\", addresses: [172.16.10.1/24, \"fd00:1::1/64\"] }}
  wan: {{ device: \"net_tap1,iface=wan\", addresses: [198.51.100.1/24] }}
tunnels:
  domain: {{ mode: {mode}, local: 198.51.100.1, {keys} }}
"
    )
}

/// A customer's router: what is outside of the domain goes to the guest as its relay.
const CUSTOMER: &str = "6rd: { prefix: \"fd00::/24\", relay-prefix: 198.51.100.0/24, \
                        border-relays: [198.51.100.9] }, routes: [\"2001:db8:99::/48\"]";
/// The relay of another domain; host1 is outside of it.
const RELAY: &str = "6rd: { prefix: \"fd0a::/24\", relay-prefix: 198.51.100.0/24, role: br }";

/// Makes the guest a router of the domain with this prefix; `outside` is reached by way of adit.
fn lay_in(guest: &mut Guest, prefix: &str, own: &[&str], outside: Option<&str>) {
    let addresses: Vec<String> =
        own.iter().map(|own| format!("ip -6 addr add {own} dev far nodad")).collect();
    let relayed = outside
        .map(|to| format!("ip -6 route replace {to} via ::198.51.100.1 dev far"))
        .unwrap_or_default();
    guest.run(&format!(
        "set -e
         ip link del far 2>/dev/null || true
         ip tunnel add far mode sit local 198.51.100.9 ttl 64
         ip tunnel 6rd dev far 6rd-prefix {prefix} 6rd-relay_prefix 198.51.100.0/24
         ip link set far up
         {}
         {relayed}",
        addresses.join("\n"),
    ));
}

/// Pings both ways, and a TCP stream.
fn try_with(host1: &Namespace, guest: &mut Guest, far: &str) {
    ping(host1, &format!("-c 3 -i 0.2 -w 10 {far}")).all_answered();
    let text = guest.run(&format!("ping -n -c 3 -i 0.2 -w 10 -I {far} {HOST1_V6}"));
    assert!(text.contains(" 3 received"), "from {far}: {text}");
    let megabits = iperf_to_guest(host1, guest, far);
    assert!(megabits > 1.0, "{far}: {megabits} Mbit/s");
}

/// The echo requests in protocol 41 that the guest sent.
fn requests(capture: &Capture<'_>) -> Vec<Vec<u8>> {
    let is_request = |frame: &Vec<u8>| {
        let from_guest = frame.get(26..30) == Some(&[198, 51, 100, 9]);
        from_guest && frame.get(23) == Some(&41) && frame.get(74) == Some(&128)
    };
    capture.frames().into_iter().filter(is_request).take(3).collect()
}

/// Keeps what the guest sent, where it is asked for.
fn keep(wire: &Capture<'_>, name: &str) {
    if let Some(folder) = std::env::var_os("ADIT_KEEP_CAPTURES") {
        let kept = requests(wire);
        assert_eq!(kept.len(), 3);
        capture::write(&Path::new(&folder).join(name), &kept);
    }
}

fn lay_hosts() -> (Namespace, Namespace) {
    let (host1, site) = lay();
    address_host(&host1, "172.16.10", "fd00:1:");
    (host1, site)
}

/// The wire has IPv4 alone.
fn boot(site: &Namespace) -> Guest {
    let mut guest = Guest::boot(site, &["tap,ifname=guest,script=no,downscript=no"]);
    guest.run(
        "set -e
         ip addr add 198.51.100.9/24 dev eth0
         ip link set eth0 up
         ping -n -q -c 1 -w 30 198.51.100.1
         modprobe sit",
    );
    guest
}

#[test]
fn routers_of_a_6rd_domain_on_linux_reach_adit_as_customer_and_as_relay() {
    let _turn = turn::shared();
    let (host1, site) = lay_hosts();
    let appliance = Appliance::start(&site, &configuration("6rd", CUSTOMER));
    let mut guest = boot(&site);
    lay_in(&mut guest, "fd00::/24", &["fd00:9::8/24", "2001:db8:99::8/128"], None);
    let folder = TempDir::with_prefix("adit-live-").expect("a temporary folder");
    let wire = Capture::start(&site, folder.path(), "guest", "ip proto 41");
    // In the domain, and outside of it by way of a relay.
    try_with(&host1, &mut guest, "fd00:9::8");
    try_with(&host1, &mut guest, "2001:db8:99::8");
    keep(&wire, "6rd.pcap");
    // A neighbor's address inside, and none of the domain's from somebody who is no relay.
    let spoofed = || appliance.counter("/tunnels/domain/rx_spoof_embedded");
    assert_eq!(spoofed(), 0);
    guest.run(&format!(
        "ip -6 addr add fd00:7::7/128 dev far nodad; ping -n -c 2 -i 0.2 -w 1 -I fd00:7::7 {HOST1_V6} || true"
    ));
    assert!(spoofed() >= 2, "{}", appliance.show("counters"));

    appliance.rewrite(&configuration("6rd", RELAY));
    appliance.apply();
    lay_in(&mut guest, "fd0a::/24", &["fd0a:9::8/24"], Some("fd00:1::/64"));
    try_with(&host1, &mut guest, "fd0a:9::8");
}

/// adit as the router of an ISATAP link, which the guest is a host of.
const ROUTER: &str = "addresses: [\"fd00:50::200:5efe:198.51.100.1/64\"], \
                      routes: [\"fd00:99::/64\"], potential-routers: [198.51.100.9]";
/// The same without a router beside it.
const ALONE: &str = "addresses: [\"fd00:50::200:5efe:198.51.100.1/64\"]";

#[test]
fn a_host_of_an_isatap_link_on_linux_reaches_adit_and_what_is_behind_it() {
    let _turn = turn::shared();
    let (host1, site) = lay_hosts();
    let appliance = Appliance::start(&site, &configuration("isatap", ROUTER));
    let mut guest = boot(&site);
    guest.run(
        "set -e
         ip tunnel add far mode isatap local 198.51.100.9 ttl 64
         ip tunnel prl dev far prl-nodefault 198.51.100.1
         ip link set far up
         ip -6 addr add fd00:50::200:5efe:198.51.100.9/64 dev far nodad
         ip -6 addr add fd00:99::9/128 dev far nodad
         ip -6 route add fd00:1::/64 via fe80::200:5efe:198.51.100.1 dev far",
    );
    // The kernel has made an address of its own of the IPv4 address, and asks adit's whether it is there.
    let own = guest.run("ip -6 addr show dev far scope link");
    assert!(own.contains("fe80::200:5efe:c633:6409"), "{own}");
    let text = guest.run("ping -n -c 3 -i 0.2 -w 10 fe80::200:5efe:198.51.100.1%far");
    assert!(text.contains(" 3 received"), "{text}");
    try_with(&host1, &mut guest, "fd00:50::200:5efe:198.51.100.9");
    // What is behind the guest goes there as to a router, and comes from it as from one.
    try_with(&host1, &mut guest, "fd00:99::9");
    let spoofed = || appliance.counter("/tunnels/domain/rx_spoof_embedded");
    assert_eq!(spoofed(), 0);
    appliance.rewrite(&configuration("isatap", ALONE));
    appliance.apply();
    guest.run(&format!("ping -n -c 2 -i 0.2 -w 1 -I fd00:99::9 {HOST1_V6} || true"));
    assert!(spoofed() >= 2, "{}", appliance.show("counters"));
}
