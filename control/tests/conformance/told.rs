//! Every replay of the suite is explained as well: the watched run must have sent as many frames as long
//! as the other, and each dropped packet must end with the counter that moved.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::conserve::dropped;
use crate::run::{Outcome, Replay, said};

/// Frames beyond which it would take longer than it is worth.
const FRAMES_MAX: usize = 400;

/// Explains what was replayed, and compares.
pub(crate) fn told_alike(replay: &Replay, outcome: &Outcome) {
    let frames: usize = replay.inputs.iter().map(|(_, records)| records.len()).sum();
    if frames > FRAMES_MAX {
        return;
    }
    let output = replay.explain(&["--json"]);
    assert!(output.status.success(), "adit explain: {}", said(&output));
    let tree: Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = |list: &str| tree[list].as_array().unwrap().clone();
    let told = all("frames");
    assert_eq!(told.len(), frames, "frames that are explained");
    for frame in &told {
        ends(frame);
    }
    let of_frames = told.iter().flat_map(|frame| frame["steps"].as_array().unwrap().clone());
    let steps: Vec<Value> = of_frames.chain(all("asides")).collect();
    sent_alike(&steps, outcome);
    dropped_alike(&steps, outcome);
}

/// A frame has one end: it is the last that is told of it, and a drop is told of once.
fn ends(frame: &Value) {
    let steps = frame["steps"].as_array().unwrap();
    let own: Vec<&Value> = steps.iter().filter(|step| step["packet"] == 0).collect();
    let drops = own.iter().filter(|step| step["event"] == "dropped").count();
    let last = own.last().unwrap();
    assert_eq!(drops, usize::from(last["event"] == "dropped"), "{frame:#}");
    assert_eq!(frame["outcome"], last["event"]);
}

fn sent_alike(steps: &[Value], outcome: &Outcome) {
    for (port, records) in &outcome.sent {
        let mut sent: Vec<usize> = records.iter().map(|record| record.frame.len()).collect();
        let of_port = steps.iter().filter(|s| s["event"] == "sent" && s["port"] == **port);
        let length = |step: &Value| usize::try_from(step["length"].as_u64().unwrap()).unwrap();
        let mut told: Vec<usize> = of_port.map(length).collect();
        sent.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, sent, "lengths of frames sent on {port}");
    }
}

fn dropped_alike(steps: &[Value], outcome: &Outcome) {
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    for step in steps.iter().filter(|step| step["event"] == "dropped") {
        let counter = step["counter"].as_str().unwrap();
        let path = match counter.strip_prefix("if.") {
            Some(name) => format!("tunnels.{}.{name}", step["tunnel"].as_str().unwrap()),
            None => format!("dataplane.{counter}"),
        };
        *told.entry(path).or_default() += 1;
    }
    for (path, count) in &told {
        assert_eq!(outcome.counter(path), *count, "{path}");
    }
    assert_eq!(told.values().sum::<u64>(), dropped(outcome), "drops that are told of: {told:?}");
}
