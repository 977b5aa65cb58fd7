//! A running appliance is told something new: by `adit apply`, by SIGHUP, and wrongly.

use std::process::Output;
use std::time::Duration;

use crate::network::until;
use crate::sites::{HOST2, IPIP, Sites, with};
use crate::traffic::{iperf, ping, read, start_ping};
use crate::turn;

const CHANGE_LIMIT: Duration = Duration::from_secs(5);

/// A tunnel to nowhere that changes nothing for anybody else.
fn spare(number: usize) -> String {
    format!(
        "spare{number}: {{ mode: ipip, local: 198.51.100.1, remote: 198.18.0.{number}, routes: [198.19.{number}.0/24] }}"
    )
}

fn words_of(output: &Output) -> String {
    (String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr)).into_owned()
}

#[test]
fn sighup_puts_the_changed_file_in_force_without_losing_a_ping() {
    let _turn = turn::shared();
    let sites = Sites::up(IPIP);
    ping(&sites.network.host1, &format!("-c 1 -w 10 {HOST2}")).all_answered();
    let running = start_ping(&sites.network.host1, &format!("-c 400 -i 0.005 -w 10 {HOST2}"));
    for number in 1..=10 {
        sites.a.rewrite(&with(&IPIP.site_a(), "tunnels", &spare(number)));
        sites.a.signal("HUP");
        until(CHANGE_LIMIT, "new tunnel", || {
            sites.a.names("tunnels").contains(&format!("spare{number}")).then_some(())
        });
    }
    read(400, &running.finish()).all_answered();
}

#[test]
fn apply_puts_a_file_in_force_without_losing_a_ping() {
    let _turn = turn::shared();
    let sites = Sites::up(IPIP);
    ping(&sites.network.host1, &format!("-c 1 -w 10 {HOST2}")).all_answered();
    let running = start_ping(&sites.network.host1, &format!("-c 400 -i 0.005 -w 10 {HOST2}"));
    for number in 1..=20 {
        sites.a.rewrite(&with(&IPIP.site_a(), "tunnels", &spare(number)));
        sites.a.apply();
        // Applied means in force: nothing needs to be waited for.
        let mut tunnels = sites.a.names("tunnels");
        tunnels.sort();
        assert_eq!(tunnels, ["far".to_owned(), format!("spare{number}")]);
    }
    read(400, &running.finish()).all_answered();
}

#[test]
fn tcp_goes_on_at_its_rate_while_tunnels_come_and_go() {
    let _turn = turn::shared();
    let sites = Sites::up(IPIP);
    let network = &sites.network;
    std::thread::scope(|scope| {
        let run = scope.spawn(|| iperf(&network.host1, &network.host2, HOST2, "-t 3 -b 20M"));
        let mut number = 0;
        while !run.is_finished() {
            number = number % 100 + 1;
            sites.a.rewrite(&with(&IPIP.site_a(), "tunnels", &spare(number)));
            sites.a.apply();
        }
        let run = run.join().expect("iperf3 ran to its end");
        assert!(run.megabits_per_second > 18.0, "{} of 20 Mbit/s", run.megabits_per_second);
    });
}

#[test]
fn a_new_address_answers_and_a_removed_one_does_not() {
    let _turn = turn::shared();
    let sites = Sites::up(IPIP);
    let host1 = &sites.network.host1;
    let extended = IPIP.site_a().replace("[172.16.10.1/24,", "[172.16.10.1/24, 172.16.10.9/24,");
    sites.a.rewrite(&extended);
    sites.a.apply();
    ping(host1, "-c 2 -i 0.01 -w 10 172.16.10.9").all_answered();
    sites.a.rewrite(&IPIP.site_a());
    sites.a.apply();
    assert_eq!(ping(host1, "-c 2 -i 0.01 -W 1 172.16.10.9").received(), 0);
    ping(host1, "-c 2 -i 0.01 -w 10 172.16.10.1").all_answered();
}

#[test]
fn a_tunnel_that_is_switched_off_and_on_again_carries_again() {
    let _turn = turn::shared();
    let sites = Sites::up(IPIP);
    let host1 = &sites.network.host1;
    ping(host1, &format!("-c 1 -w 10 {HOST2}")).all_answered();
    sites.a.rewrite(&IPIP.site_a().replace("mode: ipip,", "mode: ipip, enabled: no,"));
    sites.a.apply();
    ping(host1, &format!("-c 1 -W 1 {HOST2}")).refused_with("0 received");
    sites.a.rewrite(&IPIP.site_a());
    sites.a.apply();
    ping(host1, &format!("-c 2 -i 0.01 -w 10 {HOST2}")).all_answered();
}

#[test]
fn a_tunnel_whose_remote_moves_carries_to_the_new_one_and_takes_nothing_from_the_old() {
    let _turn = turn::shared();
    let sites = Sites::up(IPIP);
    let host1 = &sites.network.host1;
    ping(host1, &format!("-c 1 -w 10 {HOST2}")).all_answered();
    // B moves to a second address of its port; A still believes in the first one.
    let moved = IPIP.site_b().replace("[203.0.113.2/24,", "[203.0.113.2/24, 203.0.113.22/24,");
    sites.b.rewrite(&moved.replace("local: \"203.0.113.2\"", "local: \"203.0.113.22\""));
    sites.b.apply();
    assert_eq!(ping(host1, &format!("-c 3 -i 0.01 -W 1 {HOST2}")).received(), 0);
    sites.a.rewrite(&IPIP.site_a().replace("remote: \"203.0.113.2\"", "remote: \"203.0.113.22\""));
    sites.a.apply();
    ping(host1, &format!("-c 5 -i 0.01 -w 10 {HOST2}")).all_answered();
    assert!(sites.b.counter("/dataplane/tun.no_match") >= 3, "what A sent to the old address");
}

#[test]
fn a_tunnel_and_a_route_change_by_command_and_are_in_force_when_it_returns() {
    let _turn = turn::shared();
    let sites = Sites::up(IPIP);
    let host1 = &sites.network.host1;
    let change = |line: &str| {
        let output = sites.a.client(line);
        assert!(output.status.success(), "{line}: {}", words_of(&output));
    };
    let alone = |count: u32| ping(host1, &format!("-c {count} -i 0.01 -W 1 {HOST2}"));
    alone(1).all_answered();
    change("tunnel far down");
    alone(1).refused_with("0 received");
    change("tunnel far up");
    alone(2).all_answered();
    change(&format!("route {HOST2} replace type=blackhole"));
    alone(1).refused_with("0 received");
    let config = sites.a.show("config");
    assert!(config.contains("# 3 changes of tunnels and routes since"), "{config}");
    assert!(config.contains(&format!("- routes.{HOST2}/32")), "{config}");
    change(&format!("route {HOST2} delete"));
    alone(2).all_answered();
    change("tunnel far set-remote 203.0.113.77");
    alone(1).refused_with("0 received");
    sites.a.apply();
    alone(2).all_answered();
    let refused = sites.a.client("tunnel far set-remote 198.51.100.1");
    assert_eq!(refused.status.code(), Some(1));
    assert!(words_of(&refused).contains("is our own address"), "{}", words_of(&refused));
    alone(2).all_answered();
}

#[test]
fn a_wrong_file_is_refused_with_its_mistakes_and_nothing_changes() {
    let _turn = turn::shared();
    let mut sites = Sites::up(IPIP);
    ping(&sites.network.host1, &format!("-c 1 -w 10 {HOST2}")).all_answered();
    let wrong = with(&IPIP.site_a(), "tunnels", &spare(1))
        .replace("remote: \"203.0.113.2\"", "remote: \"203.0.113.300\"")
        .replace("mode: ipip, local: \"198", "mode: ipipip, local: \"198");
    sites.a.rewrite(&wrong);
    let output = sites.a.client(&format!("apply {}", sites.a.file().display()));
    let words = words_of(&output);
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(words.contains("tunnels.far.remote") && words.contains("tunnels.far.mode"), "{words}");
    assert!(words.contains("adit.yaml:"), "no file and line:\n{words}");
    // SIGHUP reads the same file, refuses it as well, and says so in the log.
    sites.a.signal("HUP");
    until(CHANGE_LIMIT, "mistake in the log", || {
        sites.a.log().contains("tunnels.far.remote").then_some(())
    });
    assert!(sites.a.is_running(), "a wrong file ended it");
    assert_eq!(sites.a.names("tunnels"), ["far"]);
    ping(&sites.network.host1, &format!("-c 5 -i 0.01 -w 10 {HOST2}")).all_answered();
}

#[test]
fn what_needs_a_restart_says_so_and_changes_nothing() {
    let _turn = turn::shared();
    let sites = Sites::up(IPIP);
    ping(&sites.network.host1, &format!("-c 1 -w 10 {HOST2}")).all_answered();
    let site_a = with(&IPIP.site_a(), "tunnels", &spare(1));
    let another_port =
        with(&site_a, "ports", "dmz: { device: \"net_null0,no-rx=1\", addresses: [10.66.0.1/24] }");
    for (what, dataplane, body) in [
        ("a new port", crate::appliance::SLEEPING, another_port.as_str()),
        ("another device", crate::appliance::SLEEPING, &site_a.replace("iface=lan", "iface=lan2")),
        ("more buffers", "{ idle: sleep, hugepages: off, mbufs: 16384 }", &site_a),
    ] {
        sites.a.rewrite_with(dataplane, body);
        let output = sites.a.client(&format!("apply {}", sites.a.file().display()));
        let words = words_of(&output);
        assert!(
            !output.status.success() && words.contains("restart"),
            "{what}: {}\n{words}",
            output.status
        );
        assert_eq!(sites.a.names("tunnels"), ["far"], "{what}");
    }
    ping(&sites.network.host1, &format!("-c 5 -i 0.01 -w 10 {HOST2}")).all_answered();
}
