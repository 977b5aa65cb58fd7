//! The Linux kernel's own 6rd (`ip tunnel 6rd`) as another router of the domain, a customer beside adit and one behind it; its 6to4, as another
//! site and as the relay; and its own ISATAP (`mode isatap`) as a host of the link whose router adit is.
//!
//! `host1 ── [adit] ── Linux guest`: both on one wire. The IPv4 addresses of the domain are those of the wire, and eight bits
//! of them are in a prefix: `fd00::/24` makes `fd00:1::/32` of 198.51.100.1, which is host1's net, and `fd00:9::/32` of the guest.

use std::path::Path;

use tempfile::TempDir;

use crate::appliance::Appliance;
use crate::capture::{self, Capture};
use crate::far_end::lay;
use crate::files::File;
use crate::guest::Guest;
use crate::network::Namespace;
use crate::sites::{HOST1_V6, address_host};
use crate::traffic::ping;
use crate::turn;

const FILE_LEN: usize = 1_000_000;

/// adit with a tunnel of this mode and these keys.
fn configuration(mode: &str, keys: &str) -> String {
    configuration_of("fd00:1::1/64", mode, keys)
}

/// The same with another address on the LAN.
fn configuration_of(own: &str, mode: &str, keys: &str) -> String {
    format!(
        "ports:
  lan: {{ device: \"net_tap0,iface=lan\", addresses: [172.16.10.1/24, \"{own}\"] }}
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

/// Pings both ways, and a file there and back by TCP.
fn try_with(host1: &Namespace, guest: &mut Guest, far: &str) {
    try_with_host(host1, HOST1_V6, guest, far);
}

/// The same where host1 has the address `near`.
fn try_with_host(host1: &Namespace, near: &str, guest: &mut Guest, far: &str) {
    ping(host1, &format!("-c 3 -i 0.2 -w 10 {far}")).all_answered();
    let text = guest.run(&format!("ping -n -c 3 -i 0.2 -w 10 -I {far} {near}"));
    assert!(text.contains(" 3 received"), "from {far}: {text}");
    File::new(FILE_LEN).crosses_to_guest(far, host1, guest, far);
}

/// The echo requests in protocol 41 that the guest sent.
fn requests(capture: &Capture<'_>) -> Vec<Vec<u8>> {
    let is_request = |frame: &Vec<u8>| {
        let from_guest = frame.get(26..30) != Some(&[198, 51, 100, 1]);
        from_guest && frame.get(23) == Some(&41) && frame.get(74) == Some(&128)
    };
    capture.frames().into_iter().filter(is_request).collect()
}

/// Keeps the first `count` requests that the guest sent, where it is asked for.
fn keep(wire: &Capture<'_>, name: &str, count: usize) {
    if let Some(folder) = std::env::var_os("ADIT_KEEP_CAPTURES") {
        let mut kept = requests(wire);
        assert!(kept.len() >= count, "{} requests", kept.len());
        kept.truncate(count);
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
    keep(&wire, "6rd.pcap", 3);
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

/// A 6to4 site; what is native IPv6 is behind the relay.
const SIX_TO_FOUR: &str = "6rd: { prefix: \"2002::/16\", border-relays: [192.88.99.1] }, \
                           routes: [\"2001:db8:99::/48\"]";
/// host1 in it: 198.51.100.1 is `c633:6401`.
const HOST1_OF_SITE: &str = "2002:c633:6401::2";

#[test]
fn a_6to4_site_and_a_6to4_relay_on_linux_reach_a_site_behind_adit() {
    let _turn = turn::shared();
    let (host1, site) = lay();
    address_host(&host1, "172.16.10", "2002:c633:6401:");
    let under = "routes: [{ to: 192.88.99.0/24, via: 198.51.100.9 }]\n";
    let text = configuration_of("2002:c633:6401::1/64", "6rd", SIX_TO_FOUR) + under;
    let appliance = Appliance::start(&site, &text);
    let mut guest = boot(&site);
    guest.run(
        "set -e
         ip addr add 192.88.99.1/32 dev lo
         ip tunnel add far mode sit remote any local 198.51.100.9 ttl 64
         ip link set far up
         ip -6 addr add 2002:c633:6409::8/16 dev far nodad
         ip tunnel add relay mode sit remote any local 192.88.99.1 ttl 64
         ip link set relay up
         ip -6 addr add 2001:db8:99::8/128 dev relay nodad",
    );
    let folder = TempDir::with_prefix("adit-live-").expect("a temporary folder");
    let wire = Capture::start(&site, folder.path(), "guest", "ip proto 41");
    try_with_host(&host1, HOST1_OF_SITE, &mut guest, "2002:c633:6409::8");
    // The relay has the site's net in its own tunnel, whose outer source is the anycast address.
    guest.run("ip -6 route add 2002:c633:6401::/48 dev relay");
    try_with_host(&host1, HOST1_OF_SITE, &mut guest, "2001:db8:99::8");
    keep(&wire, "6to4.pcap", 6);
    let spoofed = || appliance.counter("/tunnels/domain/rx_spoof_embedded");
    assert_eq!(spoofed(), 0, "{}", appliance.show("counters"));
    // What another site sends must have its own address inside, and nobody but the relay is one.
    guest.run(&format!(
        "ip -6 route del 2002:c633:6401::/48 dev relay
         ip -6 route add 2002:c633:6401::/48 dev far
         ping -n -c 2 -i 0.2 -w 1 -I 2001:db8:99::8 {HOST1_OF_SITE} || true"
    ));
    assert!(spoofed() >= 2, "{}", appliance.show("counters"));
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
    let folder = TempDir::with_prefix("adit-live-").expect("a temporary folder");
    let wire = Capture::start(&site, folder.path(), "guest", "ip proto 41");
    try_with(&host1, &mut guest, "fd00:50::200:5efe:198.51.100.9");
    // What is behind the guest goes there as to a router, and comes from it as from one.
    try_with(&host1, &mut guest, "fd00:99::9");
    keep(&wire, "isatap.pcap", 6);
    let spoofed = || appliance.counter("/tunnels/domain/rx_spoof_embedded");
    assert_eq!(spoofed(), 0);
    appliance.rewrite(&configuration("isatap", ALONE));
    appliance.apply();
    guest.run(&format!("ping -n -c 2 -i 0.2 -w 1 -I fd00:99::9 {HOST1_V6} || true"));
    assert!(spoofed() >= 2, "{}", appliance.show("counters"));
}
