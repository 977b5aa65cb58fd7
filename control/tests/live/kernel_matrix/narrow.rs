//! Path MTU discovery with the kernel at one end: a link amid the underlay takes less than either end believes, and
//! nothing but ICMP errors tells. Clamping is off, so that nothing else helps.

use super::{Ends, IPIP, LINK_MTU, MODES, Mode, SIT, shims};
use crate::network::Namespace;
use crate::sites::{HOST1, HOST1_V6, Network};
use crate::traffic::iperf;
use crate::turn;

/// What the narrow link takes.
const NARROW: u16 = 1400;

/// Who sends, and what sends there: one way through the tunnel.
struct Way<'a> {
    sender: &'a Namespace,
    target: &'static str,
    options: &'static str,
}

fn ways(network: &Network, mode: Mode) -> [Way<'_>; 2] {
    let back = if mode.inner_v6 { HOST1_V6 } else { HOST1 };
    [
        Way { sender: &network.host1, target: mode.target(), options: "-t 1" },
        Way { sender: &network.host2, target: back, options: "-t 1 -R" },
    ]
}

/// Everybody forgets what was learnt, receivers too: they announce segments that fit what they know of the path.
fn forget(ends: &mut Ends<'_>) {
    const FLUSH: &str = "ip -4 route flush cache; ip -6 route flush cache";
    ends.network.host1.shell(FLUSH);
    ends.network.host2.shell(FLUSH);
    ends.guest.run(FLUSH);
    let cleared = ends.adit.client("clear pmtu far");
    assert!(cleared.status.success(), "{cleared:?}");
}

/// The path MTU that a host has learnt towards an address.
fn learnt(host: &Namespace, target: &str) -> Option<u16> {
    let route = host.run(&format!("ip route get {target}"));
    let mut words = route.split_whitespace().skip_while(|word| *word != "mtu");
    words.nth(1).and_then(|word| word.parse().ok())
}

/// Pieces that a router has cut packets into.
fn pieces_cut(router: &Namespace) -> u64 {
    // Names stand in one line, numbers in the same order in the next.
    let text = router.run("cat /proc/net/snmp");
    let mut ip = text.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (names, numbers) = (ip.next().unwrap_or_default(), ip.next().unwrap_or_default());
    let mut columns = names.split(' ').zip(numbers.split(' '));
    let column = columns.find(|(name, _)| *name == "FragCreates");
    column.and_then(|(_, number)| number.parse().ok()).expect("the kernel counts pieces")
}

#[test]
fn senders_on_both_sides_learn_what_a_link_amid_the_underlay_takes() {
    let _turn = turn::shared();
    let network = Network::lay();
    let far = network.narrow(NARROW);
    let mut ends = Ends::up(&network);
    ends.load_shims();
    let shims = [("gre-key", false), ("gue-any", true)];
    let shims = shims.map(|(capture, inner_v6)| shims::mode(capture, inner_v6));
    for mode in MODES.into_iter().chain(shims) {
        ends.lay(mode, ", clamp-tcp-mss: no", mode.plain_link());
        for way in ways(&network, mode) {
            forget(&mut ends);
            stream(&network, mode, &way);
            let (found, mtu) = (learnt(way.sender, way.target), NARROW - mode.overhead());
            assert_eq!(found, Some(mtu), "{}: what the sender to {} knows", mode.name, way.target);
        }
    }
    assert_eq!(pieces_cut(&network.internet) + pieces_cut(&far), 0, "pieces cut by routers");
}

#[test]
fn where_routers_may_cut_nobody_learns_of_it_and_the_far_end_puts_the_pieces_together() {
    let _turn = turn::shared();
    let network = Network::lay();
    let far = network.narrow(NARROW);
    let mut ends = Ends::up(&network);
    for mode in [IPIP, SIT] {
        ends.lay(mode, ", clamp-tcp-mss: no, dont-fragment: no", "ttl inherit nopmtudisc");
        for (way, router) in ways(&network, mode).iter().zip([&network.internet, &far]) {
            forget(&mut ends);
            let before = pieces_cut(router);
            stream(&network, mode, way);
            // Linux's ipip copies the DF bit, which TCP over IPv4 sets: there the path is learnt all the same.
            let is_cut = mode.inner_v6 || way.target == mode.target();
            let count = pieces_cut(router) - before;
            assert_eq!(count > 100, is_cut, "{}: {count} pieces to {}", mode.name, way.target);
            let underlay_mtu = if is_cut { LINK_MTU } else { NARROW };
            let (found, mtu) = (learnt(way.sender, way.target), underlay_mtu - mode.overhead());
            assert_eq!(found, Some(mtu), "{}: what the sender to {} knows", mode.name, way.target);
        }
    }
}

/// TCP one way, which its sender has to find the size for.
#[track_caller]
fn stream(network: &Network, mode: Mode, way: &Way<'_>) {
    let run = iperf(&network.host1, &network.host2, mode.target(), way.options);
    let rate = run.megabits_per_second;
    assert!(rate > 1.0, "{}: to {}: {rate} Mbit/s", mode.name, way.target);
}
