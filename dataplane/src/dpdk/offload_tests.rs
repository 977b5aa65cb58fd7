use super::*;

const INNERMOST: u64 = sys::SHIM_RSS_LEVEL_INNERMOST;
const TRANSMIT: u64 = sys::SHIM_TX_OFFLOAD_IPV4_CKSUM as u64;

/// A NIC that offers everything.
fn hardware() -> Terms {
    Terms {
        offloads: Offloads::Auto,
        rss: Rss::Auto,
        receive_queues: 4,
        hash: RSS_FIELDS | INNERMOST,
        receive: RECEIVE_CHECKSUM | u64::from(sys::SHIM_RX_OFFLOAD_SCATTER),
        transmit: TRANSMIT,
        is_software: false,
        is_tap: false,
    }
}

fn wish(hash: u64, receive: u64) -> Wish {
    Wish { hash, receive }
}

/// What the report says of one thing: used, and the note.
fn said(terms: &Terms, outcome: &Outcome, name: &str) -> (bool, String) {
    let report = terms.report(outcome);
    let row = report.into_iter().find(|row| row.name == name).expect("a row");
    (row.is_used, row.note)
}

fn not(note: &str) -> (bool, String) {
    (false, note.to_owned())
}

fn used() -> (bool, String) {
    (true, String::new())
}

#[test]
fn hardware_is_asked_for_everything_first_and_for_less_each_time_it_refuses() {
    let inner = RSS_FIELDS | INNERMOST;
    let check = RECEIVE_CHECKSUM;
    let expected = [
        wish(inner, check),
        wish(inner, 0),
        wish(RSS_FIELDS, check),
        wish(RSS_FIELDS, 0),
        wish(0, check),
        wish(0, 0),
    ];
    assert_eq!(hardware().wishes(), expected);
}

#[test]
fn only_what_is_offered_is_asked_for() {
    let terms = Terms { hash: sys::SHIM_RSS_IP, receive: 0, ..hardware() };
    assert_eq!(terms.wishes(), [wish(sys::SHIM_RSS_IP, 0), wish(0, 0)]);
    let bare = Terms { hash: 0, receive: 0, transmit: 0, ..hardware() };
    assert_eq!(bare.wishes(), [wish(0, 0)]);
    for row in bare.report(&Outcome::default()) {
        let is_rules = row.name == "rss-rules";
        assert_eq!((row.is_used, row.note == NOT_OFFERED), (false, !is_rules), "{}", row.name);
    }
}

#[test]
fn the_level_of_the_hash_is_nothing_without_fields() {
    let terms = Terms { hash: INNERMOST, ..hardware() };
    assert_eq!(terms.wishes(), [wish(0, RECEIVE_CHECKSUM), wish(0, 0)]);
}

#[test]
fn one_queue_needs_no_hash() {
    let terms = Terms { receive_queues: 1, ..hardware() };
    assert_eq!(terms.wishes(), [wish(0, RECEIVE_CHECKSUM), wish(0, 0)]);
    assert!(!terms.wants_rules(false));
    assert_eq!(said(&terms, &Outcome::default(), "rss-outer"), not(ONE_QUEUE));
}

#[test]
fn the_configuration_can_do_without() {
    let off = Terms { offloads: Offloads::Off, rss: Rss::Off, ..hardware() };
    assert_eq!(off.wishes(), [wish(0, 0)]);
    assert!(!off.wants_rules(false));
    for name in ["rss-inner", "rss-rules", "rss-outer", "rx-checksum"] {
        assert_eq!(said(&off, &Outcome::default(), name), not(SWITCHED_OFF), "{name}");
    }
    let outer = Terms { rss: Rss::Outer, offloads: Offloads::Off, ..hardware() };
    assert_eq!(outer.wishes(), [wish(RSS_FIELDS, 0), wish(0, 0)]);
    assert!(!outer.wants_rules(false));
    let outcome = Outcome { taken: wish(RSS_FIELDS, 0), hash: RSS_FIELDS, ..Outcome::default() };
    assert_eq!(said(&outer, &outcome, "rss-inner"), not(OUTER_WANTED));
    assert_eq!(said(&outer, &outcome, "rss-outer"), used());
}

#[test]
fn software_checks_no_checksum_and_takes_no_rule_unless_it_is_told_to() {
    let auto = Terms { is_software: true, ..hardware() };
    assert!(auto.wishes().iter().all(|wish| wish.receive == 0));
    assert_eq!(said(&auto, &Outcome::default(), "rx-checksum"), not(IN_SOFTWARE));
    assert!(!auto.wants_rules(false));
    let on = Terms { offloads: Offloads::On, rss: Rss::Inner, ..auto };
    assert_eq!(on.wishes().first().map(|wish| wish.receive), Some(RECEIVE_CHECKSUM));
    assert!(on.wants_rules(false));
}

#[test]
fn nobody_asks_a_tap_to_spread() {
    for rss in [Rss::Auto, Rss::Inner, Rss::Outer] {
        let tap = Terms { is_software: true, is_tap: true, rss, ..hardware() };
        assert!(tap.wishes().iter().all(|wish| wish.hash == 0));
        assert!(!tap.wants_rules(false));
        assert_eq!(said(&tap, &Outcome::default(), "rss-outer"), not(KERNEL));
    }
}

#[test]
fn a_device_that_takes_the_inner_hash_and_says_it_does_another_is_not_believed() {
    let (terms, taken) = (hardware(), wish(RSS_FIELDS | INNERMOST, 0));
    let honest = Outcome { taken, hash: taken.hash, ..Outcome::default() };
    assert_eq!(said(&terms, &honest, "rss-inner"), used());
    assert_eq!(said(&terms, &honest, "rss-outer"), not(DONE_INNER));
    assert!(!terms.wants_rules(honest.is_inner()));
    let vain = Outcome { hash: RSS_FIELDS, ..honest };
    assert_eq!(said(&terms, &vain, "rss-inner"), not(shortfall(true)));
    assert_eq!(said(&terms, &vain, "rss-outer"), used());
    assert!(terms.wants_rules(vain.is_inner()), "rules are tried instead");
    let idle = Outcome { hash: 0, ..vain };
    assert_eq!(said(&terms, &idle, "rss-outer"), not(shortfall(true)));
}

#[test]
fn what_a_device_refused_is_said() {
    let outcome = Outcome { taken: wish(RSS_FIELDS, 0), hash: RSS_FIELDS, ..Outcome::default() };
    for name in ["rss-inner", "rx-checksum"] {
        assert_eq!(said(&hardware(), &outcome, name), not(shortfall(false)), "{name}");
    }
    let rules = Rules { count: 0, is_offered: false, refusals: "refused: no".to_owned() };
    let refused = Outcome { rules, ..outcome.clone() };
    assert_eq!(said(&hardware(), &refused, "rss-rules"), not("refused: no"));
    let rules = Rules { count: 2, is_offered: true, refusals: "refused: some".to_owned() };
    let some = Outcome { rules, ..outcome };
    assert_eq!(said(&hardware(), &some, "rss-rules"), (true, "refused: some".to_owned()));
}

#[test]
fn sums_of_sent_headers_are_never_asked_for() {
    let outcome = Outcome::default();
    assert_eq!(said(&hardware(), &outcome, "tx-checksum"), not(PATCHED));
    assert_eq!(said(&hardware(), &outcome, "tx-outer-checksum"), not(NOT_OFFERED));
}
