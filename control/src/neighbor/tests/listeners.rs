//! Queries for groups, of both versions, and what is answered when.

use super::*;

/// The group of both addresses of WAN.
const GROUP: &str = "ff02::1:ff00:1";
const ALL_NODES: &str = "ff02::1";

/// A message about groups from the link-local address of a router, its checksum made by etherparse.
fn about_groups(destination: &str, message: &[u8]) -> Vec<u8> {
    let from = "fe80::77".parse::<Ipv6Addr>().unwrap().octets();
    let to = destination.parse::<Ipv6Addr>().unwrap().octets();
    let kind = etherparse::Icmpv6Type::Unknown {
        type_u8: message[0],
        code_u8: 0,
        bytes5to8: *message[4..].first_chunk().unwrap(),
    };
    let header = etherparse::Icmpv6Header::with_checksum(kind, from, to, &message[8..]).unwrap();
    let len = u8::try_from(message.len() + 8).unwrap();
    let mut frame = vec![0x33, 0x33, 0, 0, 0, 1];
    frame.extend(THEIRS.0);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, len, 0, 1]);
    frame.extend(from);
    frame.extend(to);
    frame.extend([58, 0, 5, 2, 0, 0, 1, 0]);
    frame.extend(header.to_bytes());
    frame.extend(&message[8..]);
    frame
}

fn group_of(text: &str) -> [u8; 16] {
    text.parse::<Ipv6Addr>().unwrap().octets()
}

/// A query of version 1 for one group, or for all (`::`).
fn old_query(group: &str, millis: u16) -> Vec<u8> {
    let [high, low] = millis.to_be_bytes();
    let message = [&[130, 0, 0, 0, high, low, 0, 0][..], &group_of(group)].concat();
    about_groups(if group == "::" { ALL_NODES } else { group }, &message)
}

/// The same of version 2, for sources of that group.
fn query_for(group: &str, sources: &[&str], millis: u16) -> Vec<u8> {
    let [high, low] = millis.to_be_bytes();
    let mut message = [&[130, 0, 0, 0, high, low, 0, 0][..], &group_of(group)].concat();
    message.extend([2, 125, 0, u8::try_from(sources.len()).unwrap()]);
    for source in sources {
        message.extend(group_of(source));
    }
    about_groups(if group == "::" { ALL_NODES } else { group }, &message)
}

fn query(millis: u16) -> Vec<u8> {
    query_for("::", &[], millis)
}

/// WAN with one more address, whose group is another.
fn two_groups() -> Lab {
    let mut setup = wan();
    setup.addresses.push("2001:db8:1::abcd:1234/64".parse().unwrap());
    Lab::with(NeighborLimits::default(), vec![setup], &[])
}

/// The group of that address.
const OTHER: &str = "ff02::1:ffcd:1234";

/// What is answered in version 2.
fn answer(at: &str, what: &str) -> String {
    format!("{at} fe80::ff:fe00:1 in {what}, to 33:33:00:00:00:16")
}

/// The same in version 1.
fn old_answer(at: u64, group: &str) -> String {
    let [.., a, b, c] = group_of(group);
    format!("{at} fe80::ff:fe00:1 has {group}, to 33:33:ff:{a:02x}:{b:02x}:{c:02x}")
}

#[test]
fn a_query_for_groups_is_answered_within_its_time_and_once_a_second_at_most() {
    let mut lab = Lab::new();
    lab.hear(&query(25_600));
    lab.run_to(30_000);
    // 10 seconds at most, and of them 2/256, as the MAC address says.
    assert_eq!(lab.said(), [answer("78", GROUP)]);
    for _ in 0..50 {
        lab.hear(&query(0));
    }
    lab.run_to(30_500);
    assert_eq!(lab.said(), [answer("30000", GROUP)]);
    lab.hear(&query(0));
    lab.run_to(40_000);
    assert_eq!(lab.said(), [answer("31000", GROUP)]);
}

#[test]
fn what_is_no_valid_query_is_not_answered_and_is_no_invalid_neighbor_discovery() {
    let mut lab = Lab::new();
    let mut between = old_query("::", 10_000)[62..].to_vec();
    between.extend([0; 2]);
    between[2..4].fill(0);
    let between = about_groups(ALL_NODES, &between);
    let mut from_afar = query(10_000);
    from_afar[21] = 64;
    let mut without_alert = query(10_000);
    without_alert[56] = 1;
    let mut from_nowhere = query(10_000);
    from_nowhere[22..38].fill(0);
    for frame in [between, from_afar, without_alert, from_nowhere] {
        assert_eq!(lab.hear_on(WAN, &frame), Ok(()));
    }
    lab.run_to(20_000);
    assert_eq!(lab.said(), [""; 0]);
}

#[test]
fn a_query_for_one_group_is_answered_for_that_group_alone_and_only_if_it_is_ours() {
    let mut lab = two_groups();
    lab.hear(&query_for(OTHER, &[], 1000));
    lab.hear(&query_for("ff02::1:ff00:77", &[], 1000));
    lab.run_to(5000);
    // 1000 ms, and of them (1 + 0x34 + 1)/256.
    assert_eq!(lab.said(), [answer("210", OTHER)]);
}

#[test]
fn sources_that_are_asked_for_are_told_of_together_and_all_if_they_are_too_many() {
    let mut lab = Lab::new();
    lab.hear(&query_for(GROUP, &["2001:db8::1"], 25_600));
    lab.run_to(10);
    lab.hear(&query_for(GROUP, &["2001:db8::2"], 25_600));
    lab.run_to(5000);
    let sources = "2001:db8::1 2001:db8::2";
    // The earlier of both times: 3/256 of ten seconds.
    let expected =
        format!("117 fe80::ff:fe00:1 from some in {GROUP} {sources}, to 33:33:00:00:00:16");
    assert_eq!(lab.said(), [expected]);
    let many: Vec<String> = (1..=11).map(|n| format!("2001:db8::{n:x}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    lab.hear(&query_for(GROUP, &many, 0));
    lab.run_to(10_000);
    assert_eq!(lab.said(), [answer("5000", GROUP)]);
    // Who asks for the group asks for all of its sources.
    lab.hear(&query_for(GROUP, &["2001:db8::1"], 25_600));
    lab.hear(&query_for(GROUP, &[], 25_600));
    lab.hear(&query_for(GROUP, &["2001:db8::2"], 25_600));
    lab.run_to(20_000);
    assert_eq!(lab.said(), [answer("10117", GROUP)]);
}

#[test]
fn an_answer_about_everything_that_comes_sooner_is_enough() {
    let mut lab = Lab::new();
    lab.hear(&query(100));
    lab.hear(&query_for(GROUP, &["2001:db8::1"], 25_600));
    lab.run_to(30_000);
    assert_eq!(lab.said(), [answer("0", GROUP)]);
}

#[test]
fn a_querier_of_version_1_is_answered_in_version_1_for_each_group_at_its_own_time() {
    let mut lab = two_groups();
    lab.hear(&old_query("::", 10_000));
    lab.run_to(10_000);
    // 10 s: 3/256 and 54/256 of them.
    assert_eq!(lab.said(), [old_answer(117, GROUP), old_answer(2109, OTHER)]);
    lab.hear(&old_query(OTHER, 1000));
    lab.hear(&old_query("ff02::1:ff00:77", 1000));
    lab.run_to(20_000);
    assert_eq!(lab.said(), [old_answer(10_210, OTHER)]);
}

#[test]
fn version_1_is_spoken_until_its_querier_has_been_silent_for_260_seconds() {
    let mut lab = Lab::new();
    lab.link_up();
    lab.run_to(5000);
    lab.said();
    // What was to be answered in version 2 is forgotten.
    lab.hear(&query(25_600));
    lab.hear(&old_query("::", 0));
    lab.run_to(6000);
    assert_eq!(lab.said(), [old_answer(5000, GROUP)]);
    // A query of version 2 is answered in version 1 meanwhile; changes are reported in it.
    lab.hear(&query(0));
    lab.run_to(100_000);
    assert_eq!(lab.said(), [old_answer(6000, GROUP)]);
    let mut setup = wan();
    setup.addresses.push("2001:db8:1::abcd:1234/64".parse().unwrap());
    lab.configure(vec![setup, lan()], &[]);
    assert_eq!(lab.said()[0], old_answer(100_000, OTHER));
    lab.run_to(110_000);
    lab.said();
    lab.configure(vec![wan(), lan()], &[]);
    let left = format!("110000 fe80::ff:fe00:1 has no more {OTHER}, to 33:33:00:00:00:02");
    assert_eq!(lab.said(), [left]);
    lab.run_to(265_000);
    assert_eq!(lab.neighbors.next_deadline(), None);
    lab.hear(&query(0));
    lab.run_to(266_000);
    assert_eq!(lab.said(), [answer("265000", GROUP)]);
}

#[test]
fn in_version_1_another_listener_of_a_group_answers_in_our_place() {
    let report = |group: &str| {
        let message = [&[131, 0, 0, 0, 0, 0, 0, 0][..], &group_of(group)].concat();
        about_groups(group, &message)
    };
    let mut lab = two_groups();
    lab.hear(&old_query("::", 10_000));
    lab.hear(&report(OTHER));
    lab.run_to(20_000);
    assert_eq!(lab.said(), [old_answer(117, GROUP)]);
    // In version 2 everybody answers.
    let mut lab = two_groups();
    lab.hear(&query(10_000));
    lab.hear(&report(OTHER));
    lab.run_to(20_000);
    assert_eq!(lab.said(), [answer("78", &format!("{GROUP}, in {OTHER}"))]);
}

#[test]
fn another_link_may_have_another_querier() {
    let mut lab = Lab::new();
    lab.link_up();
    lab.hear(&old_query("::", 10_000));
    lab.neighbors.link_down(lab.now, WAN, &mut lab.actions);
    lab.run_to(20_000);
    lab.said();
    lab.hear(&query(0));
    lab.run_to(21_000);
    assert_eq!(lab.said(), [answer("20000", GROUP)]);
}
