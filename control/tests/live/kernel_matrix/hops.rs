//! TTL and hop limit: each end is one hop, whatever the outer header says and wherever that comes from (semantics B4).

use tempfile::TempDir;

use super::rows::{DIRECTIONS, Direction, Matrix, PROBE, Probe, Row, Seen, Wires};
use super::{Ends, MODES, Mode};
use crate::network::Namespace;
use crate::sites::{HOST1, HOST1_V6, Network};
use crate::turn;

const TTLS: [u8; 5] = [1, 2, 3, 64, 255];

/// Where an outer TTL comes from.
#[derive(Clone, Copy)]
enum Outer {
    Fixed(u8),
    Inherited,
}

struct Setting {
    keys: &'static str,
    adit: Outer,
    linux: Outer,
}

const SETTINGS: [Setting; 3] = [
    Setting { keys: "", adit: Outer::Fixed(64), linux: Outer::Fixed(33) },
    Setting { keys: ", ttl: 200", adit: Outer::Fixed(200), linux: Outer::Fixed(255) },
    Setting { keys: ", ttl: inherit", adit: Outer::Inherited, linux: Outer::Inherited },
];

/// What has to become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its time is over at the end that would encapsulate it.
    ExpiresBefore,
    /// Its outer header's time is over in the underlay, as the packet's own would be without a tunnel.
    ExpiresAmid,
    /// Its time is over behind the tunnel.
    ExpiresBehind,
    Arrives,
}

/// A request, what has to become of it, and the outer TTL where the underlay is captured.
fn row(direction: Direction, ttl: u8, outer: Outer) -> (Probe, (Fate, u8)) {
    // Between the guest and the capture is a router.
    let routers = u8::from(direction == Direction::FromLinux);
    let (fate, outer) = match (ttl, outer) {
        (1, _) => (Fate::ExpiresBefore, 0),
        (2, Outer::Inherited) => (Fate::ExpiresAmid, 1),
        (2, Outer::Fixed(outer)) => (Fate::ExpiresBehind, outer - routers),
        (_, Outer::Fixed(outer)) => (Fate::Arrives, outer - routers),
        (_, Outer::Inherited) => (Fate::Arrives, ttl - 1 - routers),
    };
    // Linux does not tell the sender of what its outer header met; adit does, in its own words.
    let is_lost = fate == Fate::ExpiresAmid && direction == Direction::FromLinux;
    (Probe { direction, ttl, is_lost, ..PROBE }, (fate, outer))
}

/// Addresses of the guest and of adit, as their errors name them: on the way to it, and out of the tunnel.
fn routers(mode: Mode, direction: Direction) -> [&'static str; 2] {
    match (direction, mode.inner_v6) {
        (Direction::ToLinux, false) => ["172.16.10.1", "192.168.50.2"],
        (Direction::ToLinux, true) => ["fd00:1::1", "fd00:50::2"],
        (Direction::FromLinux, false) => ["152.16.10.1", "192.168.50.1"],
        (Direction::FromLinux, true) => ["fd00:2::1", "fd00:50::1"],
    }
}

fn judge(row: &Row<(Fate, u8)>, seen: &Seen<'_>) -> Result<(), String> {
    let (fate, outer) = row.expected;
    let [before, behind] = routers(row.mode, row.probe.direction);
    let teller = match fate {
        Fate::ExpiresBefore => Some(before),
        Fate::ExpiresAmid => (!row.probe.is_lost).then_some(before),
        Fate::ExpiresBehind => Some(behind),
        Fate::Arrives => None,
    };
    let is_told = teller.is_none_or(|teller| {
        let words = format!("From {teller} icmp_seq=1 Time ");
        row.said.contains(&words)
    });
    if !is_told || row.is_answered() != (fate == Fate::Arrives) {
        return Err(format!("expected {fate:?}, told by {teller:?}"));
    }
    // The capture is between adit and the router: what dies in it on the way from Linux is not seen.
    let crosses = match (fate, row.probe.direction) {
        (Fate::ExpiresBefore, _) | (Fate::ExpiresAmid, Direction::FromLinux) => 0,
        _ => 1,
    };
    if seen.underlay.len() != crosses || seen.arrived.len() != usize::from(fate == Fate::Arrives) {
        return Err(format!("expected {fate:?}"));
    }
    let ttls: Vec<u8> =
        seen.underlay.iter().flat_map(|frame| &frame.layers).map(|layer| layer.ttl).collect();
    if crosses == 1 && ttls != [outer, row.probe.ttl - 1] {
        return Err(format!("TTLs {ttls:?} instead of {outer} outside"));
    }
    let left = seen.arrived.first().map(|frame| frame.layers[0].ttl);
    if left.is_some_and(|left| left != row.probe.ttl - 2) {
        return Err(format!("arrives with a TTL of {left:?}: each end is one hop"));
    }
    Ok(())
}

fn link(mode: Mode, outer: Outer) -> String {
    match (mode.outer_v6, outer) {
        (false, Outer::Fixed(ttl)) => format!("ttl {ttl}"),
        (false, Outer::Inherited) => "ttl inherit".to_owned(),
        (true, Outer::Fixed(ttl)) => format!("hoplimit {ttl} encaplimit none"),
        // As ip6tnl spells it.
        (true, Outer::Inherited) => "hoplimit 0 encaplimit none".to_owned(),
    }
}

/// The hops that traceroute lists.
fn traceroute(from: &Namespace, target: &str) -> Vec<String> {
    let text = from.run(&format!("busybox traceroute -n -q 1 -w 10 -m 6 {target}"));
    let hops = text.lines().filter(|line| line.starts_with(' '));
    hops.filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect()
}

#[test]
fn each_end_is_one_hop_and_the_outer_ttl_is_fixed_or_inherited() {
    let _turn = turn::shared();
    let network = Network::lay();
    let folder = TempDir::with_prefix("adit-live-").expect("a temporary folder");
    let mut ends = Ends::up(&network);
    // Errors come faster here than kernels like to send them.
    let unlimited =
        "echo 0 > /proc/sys/net/ipv4/icmp_ratelimit; echo 0 > /proc/sys/net/ipv6/icmp/ratelimit";
    ends.guest.run(unlimited);
    network.internet.shell(unlimited);
    let wires = Wires::listen(&network, folder.path());
    let mut matrix = Matrix::new();
    for mode in MODES {
        for setting in &SETTINGS {
            ends.lay(mode, setting.keys, &link(mode, setting.linux));
            let name = format!("keys \"{}\", link \"{}\"", setting.keys, link(mode, setting.linux));
            let ends_outer = DIRECTIONS.into_iter().zip([setting.adit, setting.linux]);
            let rows = ends_outer
                .flat_map(|(direction, outer)| TTLS.map(|ttl| row(direction, ttl, outer)));
            matrix.run(&network, mode, &name, rows);
        }
        ends.lay(mode, "", mode.plain_link());
        let back = if mode.inner_v6 { HOST1_V6 } else { HOST1 };
        let ways = [(&network.host1, mode.target()), (&network.host2, back)];
        for (direction, (host, target)) in DIRECTIONS.into_iter().zip(ways) {
            let [near, far] = routers(mode, direction);
            assert_eq!(traceroute(host, target), [near, far, target], "{mode:?} {direction:?}");
        }
    }
    matrix.judge(&wires.close(&network, MODES[MODES.len() - 1].target()), judge);
}
