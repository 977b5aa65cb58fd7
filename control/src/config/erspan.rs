//! The keys of mirror sessions as they are written: `erspan` says how frames are sent, `mirror` which.

use std::sync::Arc;

use adit_dataplane::tunnel::erspan::Version;
use adit_dataplane::wire::erspan::{HARDWARE_ID_MAX, INDEX_MAX, SESSION_MAX};

use super::keys::known_entries;
use super::mistake::MistakeKind;
use super::model::Name;
use super::read::{self, quoted};
use super::report::{Field, Report, Spot};
use super::tunnel::Mirror;
use super::vocabulary;
use super::words::{Direction, Mirrored};
use crate::yaml::Value;

/// The keys that are read here.
pub(super) const KEYS: [&str; 2] = ["erspan", "mirror"];

/// What was written of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct WrittenErspan {
    pub(super) version: Option<Version>,
    pub(super) mirror: Option<Mirror>,
}

impl WrittenErspan {
    /// Reads one of [`KEYS`]. `None` if it is wrong.
    pub(super) fn read(
        &mut self,
        report: &mut Report,
        key: &str,
        field: Field<'_, '_>,
    ) -> Option<()> {
        match key {
            "erspan" => self.version = Some(read_version(report, field)?),
            _ => self.mirror = Some(read_mirror(report, field)?),
        }
        Some(())
    }
}

/// Reports a tunnel that does not say whose its frames are.
pub(super) fn miss_session(report: &mut Report, spot: &Spot<'_>) {
    spot.at("erspan", |place, mark| {
        report
            .error(place, mark, MistakeKind::Missing, "the tunnel has no session")
            .advise("write erspan: { session: 1 }, the same number as the peer's");
    });
}

/// What `erspan` says, as far as it is written.
#[derive(Default)]
struct Parts {
    version: Option<u64>,
    session: Option<u16>,
    index: Option<u32>,
    direction: Option<Direction>,
    hardware_id: Option<u8>,
}

fn read_version(report: &mut Report, field: Field<'_, '_>) -> Option<Version> {
    if !matches!(field.node.value, Value::Map(_)) {
        report
            .field(field, MistakeKind::WrongType, "a mapping is expected")
            .advise("write erspan: { version: 1, session: 1 }");
        return None;
    }
    let mut parts = Parts::default();
    let mut is_right = true;
    for entry in known_entries(report, field, vocabulary::ERSPAN) {
        let place = field.place.key(&entry.key);
        let part = Field { place: &place, node: &entry.value };
        is_right &= parts.read(report, &entry.key, part).is_some();
    }
    is_right.then(|| parts.put_together(report, field)).flatten()
}

impl Parts {
    fn read(&mut self, report: &mut Report, key: &str, field: Field<'_, '_>) -> Option<()> {
        match key {
            "version" => self.version = Some(read::number(report, field, 0..=2)?),
            "session" => {
                self.session = Some(read::small(report, field, 0..=u64::from(SESSION_MAX))?);
            }
            "index" => self.index = Some(read::small(report, field, 0..=u64::from(INDEX_MAX))?),
            "direction" => self.direction = Some(read::word(report, field)?),
            _ => {
                let range = 0..=u64::from(HARDWARE_ID_MAX);
                self.hardware_id = Some(read::small(report, field, range)?);
            }
        }
        Some(())
    }

    fn put_together(&self, report: &mut Report, field: Field<'_, '_>) -> Option<Version> {
        let version = self.version.unwrap_or(1);
        let idle = [
            ("session", self.session.is_some(), version != 0, "types II and III have one"),
            ("index", self.index.is_some(), version == 1, "type II, which is version 1, has one"),
            ("direction", self.direction.is_some(), version == 2, OF_TYPE_III),
            ("hardware-id", self.hardware_id.is_some(), version == 2, OF_TYPE_III),
        ];
        let mut is_right = true;
        for (key, _, _, who) in idle.into_iter().filter(|(_, said, fits, _)| *said && !fits) {
            let Some(entry) = field.node.entry(key) else { continue };
            let message = format!("{key:?} means nothing for version {version}: {who}");
            report
                .error(&field.place.key(key), entry.mark, MistakeKind::DoesNotApply, message)
                .advise("leave it out");
            is_right = false;
        }
        if version != 0 && self.session.is_none() {
            let message = format!("version {version} has sessions, and none is said");
            report
                .error(&field.place.key("session"), field.node.mark, MistakeKind::Missing, message)
                .advise("write session: and a number from 0 to 1023, the same as the peer's");
            is_right = false;
        }
        let session = self.session.unwrap_or(0);
        is_right.then(|| match version {
            0 => Version::One,
            1 => Version::Two { session, index: self.index.unwrap_or(0) },
            _ => Version::Three {
                session,
                hardware_id: self.hardware_id.unwrap_or(0),
                is_egress: self.direction.map(|direction| direction == Direction::Egress),
            },
        })
    }
}

const OF_TYPE_III: &str = "type III, which is version 2, has one";

fn read_mirror(report: &mut Report, field: Field<'_, '_>) -> Option<Mirror> {
    if !matches!(field.node.value, Value::Map(_)) {
        report
            .field(field, MistakeKind::WrongType, "a mapping is expected")
            .advise("write mirror: { ports: [lan] }");
        return None;
    }
    let (mut ports, mut tunnels) = (Some(Vec::new()), Some(Vec::new()));
    let mut direction = Some(Mirrored::Both);
    for entry in known_entries(report, field, vocabulary::MIRROR) {
        let place = field.place.key(&entry.key);
        let part = Field { place: &place, node: &entry.value };
        match &*entry.key {
            "ports" => ports = names(report, part),
            "tunnels" => tunnels = names(report, part),
            _ => direction = read::word(report, part),
        }
    }
    let (ports, tunnels) = (ports?, tunnels?);
    if ports.is_empty() && tunnels.is_empty() {
        report
            .field(field, MistakeKind::Missing, "nothing is mirrored")
            .advise("write ports: or tunnels: and a list of names, or leave it out");
        return None;
    }
    Some(Mirror { ports: ports.into(), tunnels: tunnels.into(), direction: direction? })
}

/// A list of names, each of them once.
fn names(report: &mut Report, field: Field<'_, '_>) -> Option<Vec<Name>> {
    let names: Vec<Name> =
        read::list(report, field, |report, field| Some(Arc::from(read::text(report, field)?)))?;
    let Value::List(items) = &field.node.value else { return Some(names) };
    let mut is_right = true;
    for (index, (name, node)) in names.iter().zip(items).enumerate() {
        if !names.iter().take(index).any(|earlier| earlier == name) {
            continue;
        }
        let place = field.place.index(index);
        let message = format!("{} is in the list twice", quoted(name));
        report
            .field(Field { place: &place, node }, MistakeKind::Duplicate, message)
            .advise("keep one of the two");
        is_right = false;
    }
    is_right.then_some(names)
}
