//! Labels as tests write them: tables, and the entries of stacks, spelled out.

use std::sync::Arc;

use adit_dataplane::tables::labels::{LabelAction, LabelTable, Labels};
use adit_dataplane::wire::mpls::MplsLabel;

fn label(number: u32) -> MplsLabel {
    MplsLabel::new(number).unwrap()
}

pub(crate) fn labels(numbers: &[u32]) -> Labels {
    let numbers: Vec<MplsLabel> = numbers.iter().map(|&number| label(number)).collect();
    Labels::new(&numbers).unwrap()
}

pub(crate) fn table(entries: &[(u32, LabelAction)]) -> Arc<LabelTable> {
    Arc::new(entries.iter().map(|&(number, action)| (label(number), action)).collect())
}

/// An entry: label, class, bottom, TTL.
pub(crate) fn entry(number: u32, class: u8, is_bottom: bool, ttl: u8) -> [u8; 4] {
    (number << 12 | u32::from(class) << 9 | u32::from(is_bottom) << 8 | u32::from(ttl))
        .to_be_bytes()
}
