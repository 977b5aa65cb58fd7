//! Single values: from the text of a scalar to its type, each with the sentence that says what was expected.
//! `None` means that the value is wrong and has been reported.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use adit_dataplane::wire::ethernet::MacAddress;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::keys::nearest;
use super::mistake::MistakeKind;
use super::report::{Field, Report};
use super::words::Word;
use crate::yaml::{Node, Value};

/// A value as a sentence shows it: in quotes, never longer than a line.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 48;
    if text.chars().count() <= SHOWN {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("{start:?}…")
}

/// What YAML 1.1 and people call a boolean.
pub(super) fn as_boolean(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => Some(true),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Any single value as text.
pub(super) fn text<'a>(report: &mut Report, field: Field<'_, 'a>) -> Option<&'a str> {
    match &field.node.value {
        Value::Scalar(text) => Some(text),
        Value::Null => {
            report
                .field(field, MistakeKind::WrongType, "there is no value")
                .advise("write one, or leave the key out");
            None
        }
        Value::List(_) | Value::Map(_) => {
            let message = format!("a single value is expected, not {}", field.node.kind());
            report.field(field, MistakeKind::WrongType, message);
            None
        }
    }
}

/// The items of a list.
pub(super) fn items<'a>(report: &mut Report, field: Field<'_, 'a>) -> Option<&'a [Node<'a>]> {
    match &field.node.value {
        Value::List(items) => Some(items),
        Value::Null => Some(&[]),
        Value::Scalar(text) => {
            report
                .field(field, MistakeKind::WrongType, "a list is expected, not a single value")
                .advise(format!("write [{text}]"));
            None
        }
        Value::Map(_) => {
            report.field(field, MistakeKind::WrongType, "a list is expected, not a mapping");
            None
        }
    }
}

/// The items of a list that `read` accepts; the others have been reported.
pub(super) fn list_of_good<T>(
    report: &mut Report,
    field: Field<'_, '_>,
    mut read: impl FnMut(&mut Report, Field<'_, '_>) -> Option<T>,
) -> Option<Vec<T>> {
    let items = items(report, field)?;
    let mut values = Vec::with_capacity(items.len());
    for (index, node) in items.iter().enumerate() {
        let place = field.place.index(index);
        values.extend(read(report, Field { place: &place, node }));
    }
    Some(values)
}

/// The items of a list, all of which `read` accepts.
pub(super) fn list<T>(
    report: &mut Report,
    field: Field<'_, '_>,
    read: impl FnMut(&mut Report, Field<'_, '_>) -> Option<T>,
) -> Option<Vec<T>> {
    let values = list_of_good(report, field, read)?;
    let count = if let Value::List(items) = &field.node.value { items.len() } else { 0 };
    (values.len() == count).then_some(values)
}

pub(super) fn boolean(report: &mut Report, field: Field<'_, '_>) -> Option<bool> {
    let text = text(report, field)?;
    let value = as_boolean(text);
    if value.is_none() {
        let message = format!("{} is neither yes nor no", quoted(text));
        report.field(field, MistakeKind::WrongType, message).advise("write yes or no");
    }
    value
}

/// A whole number within `range`.
pub(super) fn number(
    report: &mut Report,
    field: Field<'_, '_>,
    range: RangeInclusive<u64>,
) -> Option<u64> {
    let text = text(report, field)?;
    number_in(report, field, text, range, "a number")
}

/// A number where a word would do as well: `expected` says which.
pub(super) fn number_in(
    report: &mut Report,
    field: Field<'_, '_>,
    text: &str,
    range: RangeInclusive<u64>,
    expected: &str,
) -> Option<u64> {
    let (low, high) = (*range.start(), *range.end());
    let advice = format!("write {expected} from {low} to {high}");
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        let message = format!("{} is not a whole number", quoted(text));
        report.field(field, MistakeKind::WrongType, message).advise(advice);
        return None;
    }
    if digits.len() > 1 && digits.starts_with('0') {
        let message = format!("{} could be octal or decimal", quoted(text));
        report
            .field(field, MistakeKind::BadValue, message)
            .advise("write it without the zero in front");
        return None;
    }
    let value = text.parse().ok().filter(|value| range.contains(value));
    if value.is_none() {
        let message = format!("{text} is outside {low} to {high}");
        report.field(field, MistakeKind::OutOfRange, message).advise(advice);
    }
    value
}

/// A number that fits its type by its range.
pub(super) fn small<T: TryFrom<u64>>(
    report: &mut Report,
    field: Field<'_, '_>,
    range: RangeInclusive<u64>,
) -> Option<T> {
    number(report, field, range).and_then(|value| T::try_from(value).ok())
}

/// A value that is either a certain word or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WordOr<T> {
    Word,
    Number(T),
}

impl<T> WordOr<T> {
    pub(super) fn number(self) -> Option<T> {
        match self {
            Self::Word => None,
            Self::Number(number) => Some(number),
        }
    }
}

/// `word`, or else a number.
pub(super) fn word_or_number<T: TryFrom<u64>>(
    report: &mut Report,
    field: Field<'_, '_>,
    word: &str,
    range: RangeInclusive<u64>,
) -> Option<WordOr<T>> {
    let text = text(report, field)?;
    if text == word {
        return Some(WordOr::Word);
    }
    let value = number_in(report, field, text, range, &format!("{word}, or a number"))?;
    T::try_from(value).ok().map(WordOr::Number)
}

/// One of the words of `W`. Where one looks like a boolean, every spelling of that boolean is the word.
pub(super) fn word<W: Word>(report: &mut Report, field: Field<'_, '_>) -> Option<W> {
    let text = text(report, field)?;
    let value = as_word(text);
    if value.is_none() {
        let names: Vec<_> = W::WORDS.iter().map(|(name, _)| *name).collect();
        let message = format!("{} is not one of {}", quoted(text), names.join(", "));
        let note = report.field(field, MistakeKind::BadValue, message);
        if let Some(name) = nearest(&text.to_lowercase(), names.iter().copied()) {
            note.advise(format!("did you mean {name}?"));
        }
    }
    value
}

/// The same without a report.
pub(super) fn as_word<W: Word>(text: &str) -> Option<W> {
    W::from_word(text).or_else(|| {
        let meaning = as_boolean(text)?;
        W::WORDS.iter().find(|(name, _)| as_boolean(name) == Some(meaning)).map(|(_, value)| *value)
    })
}

pub(super) fn address(report: &mut Report, field: Field<'_, '_>) -> Option<IpAddr> {
    let text = text(report, field)?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let message = format!("{} is not an IP address", quoted(text));
    let note = report.field(field, MistakeKind::BadValue, message);
    match text.split_once('/') {
        Some((address, _)) if address.parse::<IpAddr>().is_ok() => {
            note.advise(format!("write it without the prefix length: {address}"));
        }
        _ => note.advise("write an address such as 203.0.113.2 or \"2001:db8::2\""),
    }
    None
}

/// An address with the prefix length of its net.
pub(super) fn interface_address(report: &mut Report, field: Field<'_, '_>) -> Option<IpNet> {
    let text = text(report, field)?;
    if let Ok(net) = text.parse() {
        return Some(net);
    }
    let note;
    if let Ok(address) = text.parse::<IpAddr>() {
        let message = format!("{} has no prefix length", quoted(text));
        note = report.field(field, MistakeKind::BadValue, message);
        let example = if address.is_ipv4() { 24 } else { 64 };
        note.advise(format!("write the length of its net as well: {address}/{example}"));
    } else {
        let message = format!("{} is not an address with its prefix length", quoted(text));
        note = report.field(field, MistakeKind::BadValue, message);
        note.advise("write an address such as 192.0.2.1/24 or \"2001:db8::1/64\"");
    }
    None
}

/// A prefix whose host bits are zero; an address alone is a prefix of full length.
pub(super) fn prefix(report: &mut Report, field: Field<'_, '_>) -> Option<IpNet> {
    let text = text(report, field)?;
    let Some(net) = as_net(text) else {
        let message = format!("{} is not a prefix", quoted(text));
        report
            .field(field, MistakeKind::BadValue, message)
            .advise("write a prefix such as 10.2.0.0/16 or \"2001:db8:2::/48\"");
        return None;
    };
    if net.trunc() == net {
        return Some(net);
    }
    let message = format!("{} has bits set behind its prefix length", quoted(text));
    report.field(field, MistakeKind::BadValue, message).advise(format!(
        "write {}, or {}/{}",
        net.trunc(),
        net.addr(),
        net.max_prefix_len()
    ));
    None
}

/// A prefix, or an address alone.
fn as_net(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Whether `prefix` would take the text.
pub(super) fn is_prefix(text: &str) -> bool {
    as_net(text).is_some_and(|net| net.trunc() == net)
}

/// Both default prefixes.
pub(super) fn default_prefix(is_ipv4: bool) -> IpNet {
    if is_ipv4 { IpNet::V4(Ipv4Net::default()) } else { IpNet::V6(Ipv6Net::default()) }
}

/// A list of different addresses, `max` at most; `what` they are, and what to write where they are none or too many.
pub(super) fn addresses(
    report: &mut Report,
    field: Field<'_, '_>,
    max: usize,
    (what, advice): (&str, &str),
) -> Option<Vec<IpAddr>> {
    let all = list(report, field, address)?;
    if all.is_empty() || all.len() > max {
        let message = format!("a list of {} {what}", all.len());
        report
            .field(field, MistakeKind::OutOfRange, message)
            .advise(format!("write 1 to {max} {advice}"));
        return None;
    }
    let mut is_right = true;
    for (index, address) in all.iter().enumerate() {
        let (Value::List(items), true) = (&field.node.value, all[..index].contains(address)) else {
            continue;
        };
        let (place, node) = (field.place.index(index), items.get(index).unwrap_or(field.node));
        let message = format!("{address} is in the list twice");
        report
            .field(Field { place: &place, node }, MistakeKind::Duplicate, message)
            .advise("keep one of the two");
        is_right = false;
    }
    is_right.then_some(all)
}

/// The address of one station.
pub(super) fn mac(report: &mut Report, field: Field<'_, '_>) -> Option<MacAddress> {
    let text = text(report, field)?;
    let Ok(mac) = text.parse::<MacAddress>() else {
        let message = format!("{} is not a MAC address", quoted(text));
        report
            .field(field, MistakeKind::BadValue, message)
            .advise("write six bytes such as \"02:00:00:00:00:01\"");
        return None;
    };
    if mac.is_station() {
        return Some(mac);
    }
    let message = if mac.is_group() {
        format!("{mac} is a group address: the lowest bit of its first byte is set")
    } else {
        format!("{mac} is no station's address")
    };
    report
        .field(field, MistakeKind::BadValue, message)
        .advise("write a unicast address such as \"02:00:00:00:00:01\"");
    None
}

/// Events per second.
pub(super) fn rate(report: &mut Report, field: Field<'_, '_>) -> Option<u32> {
    const HIGHEST: u64 = 10_000_000;
    let text = text(report, field)?;
    let advice = "write a number per second, as 1000/s";
    let Some(count) = text.strip_suffix("/s") else {
        let message = format!("{} is not a rate", quoted(text));
        report.field(field, MistakeKind::WrongType, message).advise(advice);
        return None;
    };
    let value = number_in(report, field, count.trim_end(), 0..=HIGHEST, "a rate per second")?;
    u32::try_from(value).ok()
}

/// Bytes.
pub(super) fn size(
    report: &mut Report,
    field: Field<'_, '_>,
    range: RangeInclusive<u64>,
) -> Option<u64> {
    const UNITS: [(&str, u64); 7] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("B", 1),
    ];
    let text = text(report, field)?;
    let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (count, bytes) = unit.unwrap_or((text, 1));
    let value = count.trim_end().parse::<u64>().ok().and_then(|count| count.checked_mul(bytes));
    let Some(value) = value else {
        let message = format!("{} is not a size", quoted(text));
        report
            .field(field, MistakeKind::WrongType, message)
            .advise("write a number of KiB, MiB or GiB, as 64MiB");
        return None;
    };
    if range.contains(&value) {
        return Some(value);
    }
    let (low, high) = (range.start(), range.end());
    let message = format!("{} is outside {low} to {high} bytes", quoted(text));
    report.field(field, MistakeKind::OutOfRange, message);
    None
}

/// A time; seconds without a unit.
pub(super) fn duration(
    report: &mut Report,
    field: Field<'_, '_>,
    range: RangeInclusive<Duration>,
) -> Option<Duration> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let text = text(report, field)?;
    let unit = UNITS.iter().find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, *ms)));
    let (count, ms) = unit.unwrap_or((text, 1000));
    let value = count.trim_end().parse::<u64>().ok().and_then(|count| count.checked_mul(ms));
    let Some(value) = value.map(Duration::from_millis) else {
        let message = format!("{} is not a time", quoted(text));
        report
            .field(field, MistakeKind::WrongType, message)
            .advise("write a number of ms, s, m or h, as 10s");
        return None;
    };
    if range.contains(&value) {
        return Some(value);
    }
    let message = format!("{} is outside {:?} to {:?}", quoted(text), range.start(), range.end());
    report.field(field, MistakeKind::OutOfRange, message);
    None
}
