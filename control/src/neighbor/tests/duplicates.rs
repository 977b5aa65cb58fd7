//! Duplicate address detection: what is asked, who may object, and what becomes of the address.

use super::frames::{Nd, O, S};
use super::*;

/// WAN with detection, and only the address `2001:db8:1::1` beside its link-local one.
fn proving() -> PortSetup {
    let addresses = vec!["2001:db8:1::1/64".parse().unwrap()];
    PortSetup { addresses, proves_addresses: true, ..wan() }
}

fn lab() -> Lab {
    Lab::with(NeighborLimits::default(), vec![proving()], &[])
}

const GLOBAL: &str = "2001:db8:1::1";
const LINK_LOCAL: &str = "fe80::ff:fe00:1";
/// The group of both.
const GROUP: &str = "ff02::1:ff00:1";
/// What others send when they doubt the same address.
const ANYBODY: &str = "::";

/// What is asked for both addresses, behind the report of their group.
fn asked(at: u64) -> [String; 3] {
    let ns =
        |address| format!("{at} ns :: > {GROUP} for {address} from nowhere, to 33:33:ff:00:00:01");
    [format!("{at} :: joins {GROUP}, to 33:33:00:00:00:16"), ns(GLOBAL), ns(LINK_LOCAL)]
}

#[test]
fn addresses_are_asked_for_once_when_the_port_comes_up_and_used_a_second_later() {
    let mut lab = lab();
    assert_eq!(lab.said(), [""; 0], "no carrier yet");
    assert_eq!(lab.neighbors.unproved(&[proving()]).len(), 2);
    lab.link_up();
    assert_eq!(lab.said(), asked(0));
    assert!(lab.neighbors.is_proving());
    lab.run_to(999);
    assert_eq!(lab.said(), [""; 0]);
    lab.run_to(1000);
    let na = |address| {
        format!("1000 na {address} > ff02::1 R-O {address} at {OURS}, to 33:33:00:00:00:01")
    };
    let expected = [
        format!("1000 {GLOBAL} usable"),
        format!("1000 {LINK_LOCAL} usable"),
        format!("1000 {LINK_LOCAL} joins ff02::1:ff00:1, to 33:33:00:00:00:16"),
        na(GLOBAL),
        na(LINK_LOCAL),
    ];
    assert_eq!(lab.said(), expected);
    assert!(!lab.neighbors.is_proving());
    assert_eq!(lab.neighbors.unproved(&[proving()]), []);
    lab.run_to(100_000);
    assert_eq!(lab.said().len(), 3, "announced once more, and that is all");
}

#[test]
fn a_tentative_address_answers_nobody_and_asks_for_nobody() {
    let mut lab = lab();
    lab.link_up();
    lab.said();
    let peer = "2001:db8:1::9";
    lab.hear(&Nd::solicitation(THEIRS, peer, GROUP, GLOBAL).frame());
    assert_eq!(lab.said(), [""; 0], "RFC 4862 §5.4.3: who has an address of its own is ignored");
    lab.need(peer, 1);
    assert_eq!(lab.said(), [""; 0]);
    lab.run_to(1000);
    let said = lab.said();
    let expected =
        format!("1000 ns {GLOBAL} > ff02::1:ff00:9 for {peer} from {OURS}, to 33:33:ff:00:00:09");
    assert_eq!(said.last(), Some(&expected), "the request that was due then has a source");
    lab.hear(&Nd::solicitation(THEIRS, peer, GROUP, GLOBAL).frame());
    assert!(lab.said().iter().any(|line| line.contains("RSO")), "it is ours now");
    lab.clear(Filter::default());
}

#[test]
fn an_advertisement_for_a_tentative_address_makes_it_a_duplicate_and_leaves_the_others_alone() {
    let mut lab = lab();
    lab.link_up();
    lab.run_to(300);
    lab.said();
    lab.hear(&Nd::advertisement(THEIRS, GLOBAL, O).frame());
    let said = lab.said();
    assert!(
        said[0].starts_with(&format!("300 notice: {THEIRS} uses our address {GLOBAL}")),
        "{said:?}"
    );
    assert_eq!(
        said[1..],
        [format!("300 {GLOBAL} duplicate")],
        "the group is that of the other, too"
    );
    lab.run_to(1000);
    let said = lab.said();
    assert_eq!(said[0], format!("1000 {LINK_LOCAL} usable"));
    assert!(!said.iter().any(|line| line.contains(GLOBAL)), "{said:?}");
    assert_eq!(lab.neighbors.unproved(&[proving()]), [(WAN, GLOBAL.parse().unwrap())]);
    // It is somebody else's for good: nothing is said, however often the other tells.
    lab.hear(&Nd::advertisement(THEIRS, GLOBAL, O).frame());
    lab.hear(&Nd::solicitation(OTHERS, "2001:db8:1::9", GROUP, GLOBAL).frame());
    assert_eq!(lab.said(), [""; 0]);
    let own: Vec<_> =
        lab.neighbors.own(WAN).map(|(address, state)| (address, state.name())).collect();
    assert_eq!(own, [(ip(GLOBAL), "duplicate"), (ip(LINK_LOCAL), "usable")]);
}

#[test]
fn somebody_who_doubts_the_same_address_at_the_same_time_makes_it_a_duplicate() {
    let mut lab = lab();
    lab.link_up();
    lab.said();
    lab.hear(&Nd::solicitation(THEIRS, ANYBODY, GROUP, LINK_LOCAL).frame());
    let said = lab.said();
    assert!(said[0].contains("uses our address fe80::ff:fe00:1"), "{said:?}");
    lab.run_to(1000);
    let said = lab.said();
    assert!(said.iter().any(|line| line == &format!("1000 {GLOBAL} usable")), "{said:?}");
    lab.run_to(10_000);
    let reports: Vec<_> = lab.said().into_iter().filter(|line| line.contains("joins")).collect();
    assert_eq!(reports.len(), 1);
    assert!(reports[0].contains(" :: joins"), "there is no link-local address to report from");
}

#[test]
fn the_group_of_a_duplicate_is_left_if_no_other_address_has_it() {
    let mut setup = proving();
    setup.addresses[0] = "2001:db8:1::abcd:1234/64".parse().unwrap();
    let mut lab = Lab::with(NeighborLimits::default(), vec![setup], &[]);
    lab.link_up();
    lab.run_to(10);
    lab.said();
    lab.hear(&Nd::advertisement(THEIRS, "2001:db8:1::abcd:1234", S | O).frame());
    assert_eq!(lab.said().last().unwrap(), "10 :: leaves ff02::1:ffcd:1234, to 33:33:00:00:00:16");
}

#[test]
fn our_own_frame_that_comes_back_is_no_objection() {
    let mut lab = lab();
    lab.link_up();
    lab.said();
    lab.hear(&Nd::solicitation(OURS, ANYBODY, GROUP, GLOBAL).frame());
    lab.hear(&Nd::advertisement(OURS, GLOBAL, O).frame());
    lab.run_to(1000);
    assert!(lab.said().contains(&format!("1000 {GLOBAL} usable")));
}

#[test]
fn an_address_that_is_used_is_defended_when_somebody_doubts_it() {
    let mut lab = lab();
    lab.link_up();
    lab.run_to(10_000);
    lab.said();
    lab.hear(&Nd::solicitation(THEIRS, ANYBODY, GROUP, GLOBAL).frame());
    let expected =
        format!("10000 na {GLOBAL} > ff02::1 R-O {GLOBAL} at {OURS}, to 33:33:00:00:00:01");
    assert_eq!(lab.said(), [expected]);
}

#[test]
fn an_address_that_a_change_adds_is_asked_for_and_those_that_stay_are_not_disturbed() {
    let mut lab = lab();
    lab.link_up();
    lab.run_to(400);
    lab.said();
    // While the first two are still being asked for.
    let mut setup = proving();
    setup.addresses.push("2001:db8:1::2:2/64".parse().unwrap());
    assert_eq!(lab.neighbors.unproved(&[setup.clone()]).len(), 3);
    lab.configure(vec![setup.clone()], &[]);
    let group = "ff02::1:ff02:2";
    let expected = [
        format!("400 :: joins {group}, to 33:33:00:00:00:16"),
        format!("400 ns :: > {group} for 2001:db8:1::2:2 from nowhere, to 33:33:ff:02:00:02"),
    ];
    assert_eq!(lab.said(), expected);
    lab.run_to(1399);
    let said = lab.said();
    assert_eq!(said[..2], [format!("1000 {GLOBAL} usable"), format!("1000 {LINK_LOCAL} usable")]);
    lab.run_to(1400);
    assert_eq!(lab.said()[0], "1400 2001:db8:1::2:2 usable");
    lab.run_to(20_000);
    lab.said();
    // The same again, and another neighbor: nothing is asked for.
    setup.static_neighbors.push((ip("2001:db8:1::9"), THEIRS));
    lab.configure(vec![setup.clone()], &[]);
    assert_eq!(lab.said(), [format!("20000 2001:db8:1::9 at {THEIRS}")]);
    assert_eq!(lab.neighbors.unproved(&[setup]), []);
}

#[test]
fn a_port_that_comes_up_again_asks_for_all_addresses_and_for_duplicates_too() {
    let mut lab = lab();
    lab.link_up();
    lab.hear(&Nd::advertisement(THEIRS, GLOBAL, O).frame());
    lab.run_to(5000);
    lab.said();
    lab.neighbors.link_down(lab.now, WAN, &mut lab.actions);
    lab.take();
    assert_eq!(lab.said(), [""; 0], "what was used may be, by way of other ports");
    lab.run_to(9000);
    lab.link_up();
    let said = lab.said();
    assert_eq!(said[0], format!("9000 {LINK_LOCAL} tentative"));
    assert_eq!(said[1..], asked(9000));
    // The carrier goes before a second is over: nobody could have objected.
    lab.run_to(9500);
    lab.neighbors.link_down(lab.now, WAN, &mut lab.actions);
    lab.run_to(20_000);
    assert_eq!(lab.said(), [""; 0]);
    lab.link_up();
    assert_eq!(lab.said(), asked(20_000));
    lab.run_to(21_000);
    assert!(lab.said().contains(&format!("21000 {GLOBAL} usable")));
}

#[test]
fn next_hops_are_asked_for_as_soon_as_there_is_an_address_to_ask_from() {
    let gateway = "2001:db8:1::fe";
    let mut lab = Lab::with(NeighborLimits::default(), vec![proving()], &[(WAN, gateway)]);
    assert_eq!(lab.said(), [""; 0], "nobody is told that it can't be asked for");
    lab.link_up();
    lab.run_to(1000);
    let said = lab.said();
    let expected = format!(
        "1000 ns {GLOBAL} > ff02::1:ff00:fe for {gateway} from {OURS}, to 33:33:ff:00:00:fe"
    );
    assert!(said.contains(&expected), "{said:?}");
}

#[test]
fn without_detection_addresses_are_used_at_once() {
    let mut lab = lab();
    lab.link_up();
    lab.said();
    lab.configure(vec![PortSetup { proves_addresses: false, ..proving() }], &[]);
    let said = lab.said();
    assert!(said.iter().all(|line| line.starts_with("0 na ")), "{said:?}");
    assert_eq!(said.len(), 2);
    lab.run_to(900);
    lab.neighbors.link_down(lab.now, WAN, &mut lab.actions);
    lab.link_up();
    assert!(!lab.said().iter().any(|line| line.contains("ns ::")));
    assert_eq!(lab.neighbors.next_deadline(), Some(Nanos::from_millis(2900)));
}
