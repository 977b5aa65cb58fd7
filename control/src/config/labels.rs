//! `labels` and `push`: what becomes of packets with MPLS labels that a tunnel or a port takes, and the labels in front
//! of IP packets that are routed into a tunnel. Whether next hops exist is checked in `check`.

use std::net::IpAddr;

use adit_dataplane::tables::labels::{LABELS_MAX, Labels, PUSHED_MAX};
use adit_dataplane::wire::mpls::{FIRST_FREE, LABEL_MAX, MplsLabel};

use super::keys::{distinct_entries, known_entries};
use super::mistake::MistakeKind;
use super::model::{Name, Via};
use super::read::{self, quoted};
use super::report::{Field, Report};
use super::vocabulary;
use super::words::Pop;
use crate::yaml::{Entry, Value};

/// A label that may arrive, and what becomes of packets with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelEntry {
    /// The label.
    pub label: MplsLabel,
    /// What becomes of the packet.
    pub action: LabelAction,
}

/// What becomes of a packet with a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelAction {
    /// The label goes.
    Pop(Pop),
    /// Others take its place, and the packet goes on.
    Swap {
        /// They.
        labels: Labels,
        /// Where to.
        to: Via,
    },
}

impl LabelAction {
    /// Where packets go that keep labels.
    pub const fn via(&self) -> Option<&Via> {
        match self {
            Self::Pop(_) => None,
            Self::Swap { to, .. } => Some(to),
        }
    }
}

/// The tunnels that labels lead into.
pub(super) fn hops<'l>(
    entries: impl IntoIterator<Item = &'l LabelEntry>,
) -> impl Iterator<Item = &'l Name> {
    entries.into_iter().filter_map(|entry| match entry.action.via()? {
        Via::Tunnel(name) => Some(name),
        Via::Gateway { .. } | Via::Peer { .. } => None,
    })
}

/// The labels of a tunnel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TunnelLabels {
    /// Those that may arrive.
    pub arriving: Box<[LabelEntry]>,
    /// Those in front of IP packets that are routed into it, the outermost first.
    pub push: Labels,
}

/// Reads `labels`. `None` if the whole of it is wrong; entries that are wrong are left out.
pub(super) fn read(report: &mut Report, field: Field<'_, '_>) -> Option<Box<[LabelEntry]>> {
    if !matches!(field.node.value, Value::Map(_) | Value::Null) {
        report
            .field(field, MistakeKind::WrongType, "a mapping is expected")
            .advise("write labels: { 100: { pop: ip } }");
        return None;
    }
    let mut labels: Vec<LabelEntry> = Vec::new();
    for entry in distinct_entries(report, field) {
        labels.extend(read_entry(report, field, entry));
    }
    if labels.len() > LABELS_MAX {
        let message = format!("there are {} labels, and {LABELS_MAX} are the most", labels.len());
        report.field(field, MistakeKind::OutOfRange, message).advise(format!(
            "write at most {LABELS_MAX}, and the others at another port or tunnel"
        ));
        return None;
    }
    Some(labels.into())
}

fn read_entry(report: &mut Report, table: Field<'_, '_>, entry: &Entry<'_>) -> Option<LabelEntry> {
    let place = table.place.key(&entry.key);
    let Some(label) = own_label(&entry.key) else {
        let reserved = entry.key.parse::<u32>().is_ok_and(|number| number < FIRST_FREE);
        let (message, advice) = if reserved {
            (
                format!("label {} is reserved (RFC 3032 \u{a7}2.1)", entry.key),
                format!(
                    "write one from {FIRST_FREE} to {LABEL_MAX}; explicit null, 0 and 2, is always taken off"
                ),
            )
        } else {
            (
                format!("{} is not a label", quoted(&entry.key)),
                format!("write a number from {FIRST_FREE} to {LABEL_MAX}"),
            )
        };
        report.error(&place, entry.mark, MistakeKind::OutOfRange, message).advise(advice);
        return None;
    };
    let field = Field { place: &place, node: &entry.value };
    if !matches!(field.node.value, Value::Map(_)) {
        report
            .field(field, MistakeKind::WrongType, "a mapping is expected")
            .advise("write { pop: ip }, { swap: LABEL, tunnel: NAME } or { swap: LABEL, via: ADDRESS, port: NAME }");
        return None;
    }
    let action = Written::read(report, field)?.action(report, field)?;
    Some(LabelEntry { label, action })
}

/// A label that an operator gives, in its one spelling.
fn own_label(text: &str) -> Option<MplsLabel> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let label = MplsLabel::new(text.parse().ok().filter(|_| is_decimal)?).ok()?;
    (!label.is_reserved()).then_some(label)
}

/// An entry as it was written.
#[derive(Default)]
struct Written {
    pop: Option<Pop>,
    swap: Option<Labels>,
    via: Option<IpAddr>,
    port: Option<Name>,
    tunnel: Option<Name>,
}

impl Written {
    /// `None` if a value is wrong.
    fn read(report: &mut Report, field: Field<'_, '_>) -> Option<Self> {
        let mut written = Self::default();
        let mut is_right = true;
        let entries = known_entries(report, field, vocabulary::LABEL);
        is_right &= entries.len() == field.node.entries().len();
        for entry in entries {
            let place = field.place.key(&entry.key);
            let field = Field { place: &place, node: &entry.value };
            is_right &= match &*entry.key {
                "pop" => take(&mut written.pop, read::word(report, field)),
                "swap" => take(&mut written.swap, read_pushed(report, field)),
                "via" => take(&mut written.via, read::address(report, field)),
                "port" => take(&mut written.port, read::text(report, field).map(Name::from)),
                _ => take(&mut written.tunnel, read::text(report, field).map(Name::from)),
            };
        }
        is_right.then_some(written)
    }

    /// What it means; `None` if that is nothing, or too much.
    fn action(self, report: &mut Report, field: Field<'_, '_>) -> Option<LabelAction> {
        let (kind, message, advice) = match self {
            Self { pop: Some(pop), swap: None, via: None, port: None, tunnel: None } => {
                return Some(LabelAction::Pop(pop));
            }
            Self { swap: Some(labels), pop: None, via: None, port: None, tunnel: Some(name) } => {
                return Some(LabelAction::Swap { labels, to: Via::Tunnel(name) });
            }
            Self {
                swap: Some(labels),
                pop: None,
                via: Some(address),
                port: Some(port),
                tunnel: None,
            } => {
                let to = Via::Gateway { address, port };
                return Some(LabelAction::Swap { labels, to });
            }
            Self { pop: None, swap: None, .. } => (
                MistakeKind::Missing,
                "nothing is said about packets with this label",
                "write pop: ip, pop: label, or swap: and another label",
            ),
            Self { pop: Some(_), swap: Some(_), .. } => (
                MistakeKind::DoesNotApply,
                "a label is either popped or swapped",
                "leave one of the two out",
            ),
            Self { pop: Some(_), .. } => (
                MistakeKind::DoesNotApply,
                "what a popped label leaves goes where its own header, or its next label, says",
                "leave `via`, `port` and `tunnel` out",
            ),
            Self { tunnel: Some(_), .. } => (
                MistakeKind::DoesNotApply,
                "a packet goes either into a tunnel or to a router on a port",
                "write `tunnel`, or `via` and `port`",
            ),
            Self { via: Some(_), .. } => (
                MistakeKind::Missing,
                "the port is missing that the next router is on",
                "write port: and its name",
            ),
            _ => (
                MistakeKind::Missing,
                "there is no next hop",
                "write tunnel: NAME, or via: ADDRESS and port: NAME",
            ),
        };
        report.field(field, kind, message).advise(advice);
        None
    }
}

fn take<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    *place = value;
    place.is_some()
}

/// Reads labels that packets get: one, or a list of some, the outermost first.
pub(super) fn read_pushed(report: &mut Report, field: Field<'_, '_>) -> Option<Labels> {
    let labels = match field.node.value {
        Value::List(_) => read::list(report, field, read_label)?,
        _ => vec![read_label(report, field)?],
    };
    let wrong = match Labels::new(&labels) {
        Ok(labels) if !labels.is_none() => return Some(labels),
        Ok(_) => "the list is empty".to_owned(),
        Err(_) => format!("{} labels are too many", labels.len()),
    };
    let advice = format!("write 1 to {PUSHED_MAX} labels, the outermost first");
    report.field(field, MistakeKind::OutOfRange, wrong).advise(advice);
    None
}

/// A label that stands in packets that we send.
fn read_label(report: &mut Report, field: Field<'_, '_>) -> Option<MplsLabel> {
    let label: u32 = read::small(report, field, 0..=u64::from(LABEL_MAX))?;
    let label = MplsLabel::new(label).ok()?;
    if label == MplsLabel::IMPLICIT_NULL {
        report
            .field(field, MistakeKind::BadValue, "label 3, implicit null, stands in no packet")
            .advise("write 0 or 2, explicit null, or ask the peer for a label of its own");
        return None;
    }
    let is_null = label == MplsLabel::IPV4_NULL || label == MplsLabel::IPV6_NULL;
    if label.is_reserved() && !is_null {
        let message = format!("label {label} is reserved (RFC 3032 \u{a7}2.1)");
        report
            .field(field, MistakeKind::OutOfRange, message)
            .advise(format!("write one from {FIRST_FREE} to {LABEL_MAX}"));
        return None;
    }
    Some(label)
}
