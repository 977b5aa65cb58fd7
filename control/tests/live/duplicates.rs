//! Duplicate address detection against a Linux host at the other end of a veth.

use std::time::{Duration, Instant};

use crate::appliance::Appliance;
use crate::capture::Capture;
use crate::network::{Namespace, until};
use crate::traffic::ping;
use crate::turn;

/// Longer than the second that nobody objects in.
const NOTICE_LIMIT: Duration = Duration::from_secs(10);

const PORTS: &str = "ports:
  wan: { device: \"net_af_packet0,iface=eth0\", macaddress: \"02:00:00:00:00:01\",
         addresses: [198.51.100.1/24, \"2001:db8:a::1/64\"] }
";

/// A box whose eth0 is cabled to eth0 of a host that has `addresses`.
fn wire(addresses: &[&str]) -> (Namespace, Namespace) {
    let (own, host) = (Namespace::new("box"), Namespace::new("host"));
    // The kernel of the box would be a third station on the wire.
    own.sysctl("net/ipv6/conf/default/disable_ipv6", "1");
    own.cable("eth0", &host, "eth0");
    for (namespace, interface) in [(&own, "eth0"), (&host, "eth0")] {
        namespace.run(&format!("ethtool -K {interface} tx off tso off gso off gro off"));
    }
    for address in addresses {
        host.address("eth0", address);
    }
    (own, host)
}

#[test]
fn an_address_that_is_free_is_asked_for_and_then_answers() {
    let _turn = turn::shared();
    let (own, host) = wire(&["2001:db8:a::2/64"]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let capture = Capture::start(&host, folder.path(), "eth0", "ip6");
    let started = Instant::now();
    let appliance = Appliance::start(&own, PORTS);
    assert!(started.elapsed() > Duration::from_secs(1), "ready is when the address is used");
    ping(&host, "-c 3 -i 0.1 -w 10 2001:db8:a::1").all_answered();
    let lines = capture.lines();
    let at = |what: &str| {
        let found = lines.iter().position(|line| line.contains(what));
        found.unwrap_or_else(|| panic!("{what}: {lines:#?}"))
    };
    let asks = at(
        ":: > ff02::1:ff00:1: [icmp6 sum ok] ICMP6, neighbor solicitation, length 24, who has 2001:db8:a::1",
    );
    let report = at(
        ":: > ff02::16: HBH (rtalert: 0x0000) (padn) [icmp6 sum ok] ICMP6, multicast listener report v2",
    );
    assert!(report < asks, "{lines:#?}");
    assert!(asks < at("2001:db8:a::1 > ff02::1: [icmp6 sum ok] ICMP6, neighbor advertisement"));
    assert!(!appliance.show("ports").contains("unused"), "{}", appliance.show("ports"));
    assert_eq!(appliance.counter("/dataplane/nd.duplicate"), 0);
}

#[test]
fn an_address_that_linux_has_is_not_used_and_people_are_told() {
    let _turn = turn::shared();
    let (own, host) = wire(&["198.51.100.2/24", "2001:db8:a::1/64", "2001:db8:a::2/64"]);
    let appliance = Appliance::start(&own, PORTS);
    let told = until(NOTICE_LIMIT, "line in the log", || {
        appliance.log().lines().find(|line| line.contains("uses our address")).map(str::to_owned)
    });
    let mac = host.link_address("eth0");
    assert!(told.contains(&format!("port wan: {mac} uses our address 2001:db8:a::1")), "{told}");
    assert_eq!(appliance.counter("/dataplane/nd.duplicate"), 1);
    let expected = serde_json::json!([{ "address": "2001:db8:a::1", "state": "duplicate" }]);
    until(NOTICE_LIMIT, "other address in use", || {
        let ports = appliance.json("ports");
        (ports["ports"][0]["unused_addresses"] == expected).then_some(())
    });
    let shown = appliance.show("ports");
    let row = ["wan", "2001:db8:a::1", "duplicate"];
    assert!(shown.lines().any(|line| line.split_whitespace().eq(row)), "{shown}");
    // The others are, and Linux keeps its own.
    ping(&host, "-c 2 -i 0.1 -w 10 198.51.100.1").all_answered();
    assert!(!host.ip("-6 address show dev eth0").contains("dadfailed"));
    // When Linux has it no more, and the configuration has it anew, it is ours.
    host.ip("address del 2001:db8:a::1/64 dev eth0");
    for body in [PORTS.replace(", \"2001:db8:a::1/64\"", ""), PORTS.to_owned()] {
        appliance.rewrite(&body);
        let applied = appliance.client(&format!("apply {}", appliance.file().display()));
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    }
    until(NOTICE_LIMIT, "address in use", || {
        appliance.json("ports")["ports"][0].get("unused_addresses").is_none().then_some(())
    });
    ping(&host, "-c 2 -i 0.1 -w 10 2001:db8:a::1").all_answered();
}

#[test]
fn an_address_that_a_change_adds_is_asked_for_while_the_others_answer() {
    let _turn = turn::shared();
    let (own, host) = wire(&["2001:db8:a::2/64"]);
    let appliance = Appliance::start(&own, PORTS);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let asked = "icmp6 and ip6[40] == 135 and src host ::";
    let capture = Capture::start(&host, folder.path(), "eth0", asked);
    ping(&host, "-c 1 -w 10 2001:db8:a::1").all_answered();
    let pings = host.start("ping -n -q -i 0.01 -c 300 2001:db8:a::1");
    appliance.rewrite(&PORTS.replace("a::1/64\"", "a::1/64\", \"2001:db8:a::7/64\""));
    let applied = appliance.client(&format!("apply {}", appliance.file().display()));
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    until(NOTICE_LIMIT, "address in use", || {
        ping(&host, "-c 1 -W 1 2001:db8:a::7").received().eq(&1).then_some(())
    });
    let answered = pings.finish();
    assert!(answered.contains(" 300 received"), "{answered}");
    let lines = capture.lines();
    assert_eq!(lines.len(), 1, "nothing that stays is asked for again: {lines:#?}");
    assert!(lines[0].contains("who has 2001:db8:a::7"), "{lines:#?}");
}
