//! Nothing is lost: received + created = sent + dropped + consumed + held, and each side of it is what
//! the ports and the drop counters say. Holds after every replay whatsoever.

use crate::run::Outcome;

/// Counters that accompany packets; all others end one (section 0.5).
const EVENTS: [&str; 25] = [
    "vxlan.reserved_nonzero",
    "icmp.tx",
    "icmp.ratelimited",
    "icmp.suppressed",
    "ip4.frag_created",
    "reasm.ok",
    "tun.id_reuse",
    "nd.duplicate",
    "rx_packets",
    "rx_bytes",
    "tx_packets",
    "tx_bytes",
    "rx_ecn_log",
    "mss_clamped",
    "mss_malformed",
    "tx_inner_frag",
    "tx_outer_frag",
    "tx_trunc",
    "tx_softstate_icmp",
    "pmtu_updates",
    "pmtu_rejected",
    "icmp_relayed",
    "icmp_relay_short",
    "icmp_relay_rejected",
    "if.icmp_relay_rejected",
];

fn sum(outcome: &Outcome, wanted: impl Fn(&str) -> bool) -> u64 {
    outcome.counters.iter().filter(|(name, _)| wanted(name)).map(|(_, count)| count).sum()
}

/// Frames that ended in a drop counter.
pub(crate) fn dropped(outcome: &Outcome) -> u64 {
    sum(outcome, |name| {
        let below = name.strip_prefix("tunnels.").and_then(|rest| rest.split_once('.'));
        let name = below.map(|(_, name)| name).or_else(|| name.strip_prefix("dataplane."));
        name.is_some_and(|name| !EVENTS.contains(&name))
    })
}

/// Frames in and frames out over all ports.
pub(crate) fn crossed(outcome: &Outcome) -> (u64, u64) {
    let over_ports =
        |end: &str| sum(outcome, |name| name.starts_with("ports.") && name.ends_with(end));
    (over_ports(".rx_packets"), over_ports(".tx_packets"))
}

/// What does not add up; empty when everything does.
pub(crate) fn complaints(outcome: &Outcome) -> Vec<String> {
    let of = |name: &str| outcome.counter(&format!("balance.{name}"));
    let (received, sent) = crossed(outcome);
    let written: usize = outcome.sent.values().map(Vec::len).sum();
    let gained = of("received") + of("created");
    let fates = of("sent") + of("dropped") + of("consumed") + of("held");
    let accounts = [
        ("received + created, and what became of it", gained, fates),
        ("frames received by the balance and by the ports", of("received"), received),
        ("frames sent by the balance and by the ports", of("sent"), sent),
        ("frames sent by the ports and in the captures", sent, written as u64),
        ("drops of the balance and of all drop counters", of("dropped"), dropped(outcome)),
    ];
    let broken = accounts.into_iter().filter(|(_, left, right)| left != right);
    broken.map(|(what, left, right)| format!("{what}: {left} and {right}")).collect()
}
