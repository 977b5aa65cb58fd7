//! MPLS labels: what the top one of a packet asks for.

use adit_dataplane::counters::Counter;
use adit_dataplane::tables::labels::Labels;
use adit_dataplane::wire::mpls::Entry;
use adit_dataplane::witness::LabelStep;
use serde_json::{Value, json};

use super::super::names::Names;
use super::super::step::Told;
use super::way::hop_values;

pub(super) fn label(entry: Entry, step: Result<LabelStep, Counter>, names: Names<'_>) -> Told {
    let Entry { label, class, is_bottom, ttl } = entry;
    let (does, words) = match step {
        Ok(LabelStep::Null) => ("pop", "explicit null: it goes".to_owned()),
        Ok(LabelStep::PopIp) => ("pop-ip", "popped, and IP is behind it".to_owned()),
        Ok(LabelStep::PopLabel) => {
            ("pop-label", "popped, and the next one is looked up".to_owned())
        }
        Ok(LabelStep::Swap(labels, hop)) => {
            let words = format!("becomes {}, {}", in_words(&labels), names.hop(hop));
            ("swap", words)
        }
        Err(Counter::MplsNoLabel) => ("none", "nobody gave it where the packet came in".to_owned()),
        Err(Counter::MplsTtlExpired) => ("none", "its TTL is used up".to_owned()),
        Err(_) => ("none", "it may not stand in a packet".to_owned()),
    };
    let place = if is_bottom { "the last one" } else { "others follow" };
    let words = format!("{label} (class {class}, TTL {ttl}, {place}): {words}");
    let mut values = match step {
        Ok(LabelStep::Swap(labels, hop)) => {
            let mut values = hop_values(hop, names);
            values["labels"] = numbers(&labels);
            values
        }
        _ => json!({}),
    };
    values["label"] = label.number().into();
    values["class"] = class.into();
    values["ttl"] = ttl.into();
    values["bottom"] = is_bottom.into();
    values["does"] = does.into();
    Told::new("label", "label", values, words)
}

/// Labels as iproute2 writes them, the outermost first.
pub(super) fn in_words(labels: &Labels) -> String {
    let labels: Vec<String> = labels.as_slice().iter().map(ToString::to_string).collect();
    labels.join("/")
}

pub(super) fn numbers(labels: &Labels) -> Value {
    labels.as_slice().iter().map(|label| Value::from(label.number())).collect()
}
