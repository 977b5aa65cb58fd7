//! The keys of GRE tunnels as they are written: `key` for both directions, `keys` for each.

use std::net::Ipv4Addr;

use super::keys::known_entries;
use super::mistake::MistakeKind;
use super::read::{self, quoted};
use super::report::{Field, Report};
use super::tunnel::Keys;
use super::vocabulary;
use crate::yaml::Value;

/// `key`.
pub(super) fn both(report: &mut Report, field: Field<'_, '_>) -> Option<Keys> {
    let key = Some(number(report, field)?);
    Some(Keys { input: key, output: key })
}

/// `keys`.
pub(super) fn each(report: &mut Report, field: Field<'_, '_>) -> Option<Keys> {
    if !matches!(field.node.value, Value::Map(_)) {
        report
            .field(field, MistakeKind::WrongType, "a mapping is expected")
            .advise("write keys: { input: 1, output: 2 }, or key: 1 for both");
        return None;
    }
    let mut keys = Keys::default();
    let mut is_right = true;
    for entry in known_entries(report, field, vocabulary::KEYS) {
        let place = field.place.key(&entry.key);
        let number = number(report, Field { place: &place, node: &entry.value });
        is_right &= number.is_some();
        match &*entry.key {
            "input" => keys.input = number,
            _ => keys.output = number,
        }
    }
    is_right.then_some(keys)
}

/// A number, or four bytes as an address is written.
fn number(report: &mut Report, field: Field<'_, '_>) -> Option<u32> {
    let text = read::text(report, field)?;
    if let Ok(quad) = text.parse::<Ipv4Addr>() {
        return Some(quad.into());
    }
    let looks_like_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if text.is_empty() || !looks_like_number {
        let message = format!("{} is not a key", quoted(text));
        report
            .field(field, MistakeKind::BadValue, message)
            .advise("write a number from 0 to 4294967295, or a dotted quad such as 0.0.0.7");
        return None;
    }
    read::small(report, field, 0..=u64::from(u32::MAX))
}
