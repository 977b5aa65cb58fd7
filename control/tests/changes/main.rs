//! Changes under load: what leaves the far port while tunnels and routes change over the API, and while
//! whole files are put in force. An independent receiver judges by the frames.

mod flow;
mod http;
mod judge;
mod rig;
mod script;
mod wire;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use flow::{Rules, Seen};
use http::Connection;
use judge::{Findings, Flow, Record};
use rig::{Rig, Size};
use script::Circle;
use serde_json::json;
use wire::Cable;

const SIZE: Size = Size { workers: 2, flows: 64, bystanders: 1000, hesitates_every: Some(200) };
const CLIENTS: u16 = 4;

/// How long a frame by a new rule may take to arrive on a machine with other work to do.
const EFFECT_LIMIT: Duration = Duration::from_secs(20);

/// Waits until the receiver has seen a frame by the rule that was confirmed last.
fn await_effect(rules: &Rules, rule: u16) {
    let deadline = Instant::now() + EFFECT_LIMIT;
    while rules.seen.load(Ordering::Acquire) != rule {
        assert!(Instant::now() < deadline, "no frame by rule {rule}");
        thread::yield_now();
    }
}

fn reload(api: &mut Connection, file: &Path) {
    let (status, answer) = api.ask("POST", "/v1/apply", &json!({ "path": file }));
    assert_eq!(status, 200, "{answer}");
    let count = answer["changes"].as_array().map(Vec::len);
    assert_eq!(count, Some(SIZE.bystanders as usize), "every bystander changes");
}

#[test]
fn single_changes_lose_nothing_and_no_frame_is_sent_by_a_rule_that_a_confirmed_one_replaced() {
    const ROUNDS: u16 = 12;
    let rig = Rig::start(SIZE);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let rig = &rig;
            scope.spawn(move || {
                let mut api = Connection::open(&rig.socket());
                let flows = (client..SIZE.flows).step_by(CLIENTS.into());
                let mut circles: Vec<Circle> = flows.clone().map(Circle::new).collect();
                for _ in 0..ROUNDS {
                    for (flow, circle) in flows.clone().zip(&mut circles) {
                        let rules = &rig.cable.rules[usize::from(flow)];
                        circle.go_on(rules, &mut api);
                        await_effect(rules, circle.rule);
                    }
                }
            });
        }
    });
    let record = rig.finish();
    assert_eq!(record.findings, Findings::default(), "{record:?}");
    let turns = u64::from(SIZE.flows * ROUNDS / 2);
    assert_eq!(record.turns, turns, "every second change re-aims a flow: {record:?}");
}

#[test]
fn reloads_lose_nothing_and_re_aim_nothing() {
    let rig = Rig::start(SIZE);
    let mut api = Connection::open(&rig.socket());
    for version in [1, 2, 1, 3] {
        let file = rig.write_file(version);
        reload(&mut api, &file);
    }
    let record = rig.finish();
    assert_eq!(record.findings, Findings::default(), "{record:?}");
    assert_eq!(record.turns, 0, "{record:?}");
}

/// Whoever judges has to see what is wrong.
#[test]
fn the_receiver_tells_loss_order_duplicates_and_stale_rules_apart() {
    let cable = Cable::new(2);
    cable.rules[1].asked.store(3, Ordering::Release);
    let (mut record, mut flow) = (Record::default(), Flow::default());
    for (number, rule, confirmed) in
        [(0, 1, 0), (2, 1, 1), (1, 1, 1), (1, 1, 1), (4, 2, 3), (5, 4, 3)]
    {
        let seen = Seen { flow: 1, number, rule, aimed_at: 1 };
        record.judge(&mut flow, seen, confirmed, &cable);
    }
    let expected =
        Findings { duplicated: 1, reordered: 1, stale: 1, misaimed: 1, ..Findings::default() };
    assert_eq!(record.findings, expected);
    assert_eq!(flow.missing.into_iter().collect::<Vec<_>>(), [3]);
    assert_eq!(record.turns, 3, "from rule 0 to 1, 2 and 4");
}
