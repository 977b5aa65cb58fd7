//! `encap`: how a tunnel's packets go in UDP.

use super::keys::known_entries;
use super::mistake::MistakeKind;
use super::read::{self, WordOr};
use super::report::{Field, Report};
use super::tunnel::{Encap, Family};
use super::vocabulary;
use super::words::{Profile, UdpEncap};
use crate::yaml::Value;

/// IANA.
pub(super) const GUE_PORT: u16 = 6080;
const PORTS: std::ops::RangeInclusive<u64> = 1..=65_535;

/// As it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WrittenEncap {
    kind: UdpEncap,
    port: Option<u16>,
    dport: u16,
    sport: Option<u16>,
    checksum: Option<bool>,
    variant: u8,
}

/// Reads the mapping. `None` if something in it is wrong.
pub(super) fn read(report: &mut Report, field: Field<'_, '_>) -> Option<WrittenEncap> {
    if !matches!(field.node.value, Value::Map(_)) {
        report
            .field(field, MistakeKind::WrongType, "a mapping is expected")
            .advise("write encap: { type: gue }, or encap: { type: fou, dport: 5555 }");
        return None;
    }
    let (mut kind, mut port, mut dport) = (None, None, None);
    let (mut sport, mut checksum, mut variant) = (None, None, None);
    let mut variant_at = None;
    let mut is_right = true;
    for entry in known_entries(report, field, vocabulary::ENCAP) {
        let place = field.place.key(&entry.key);
        let field = Field { place: &place, node: &entry.value };
        is_right &= match &*entry.key {
            "type" => take(&mut kind, read::word(report, field)),
            "port" => take(&mut port, read::small(report, field, PORTS)),
            "dport" => take(&mut dport, read::small(report, field, PORTS)),
            "sport" => take(&mut sport, read::word_or_number(report, field, "auto", PORTS)),
            "checksum" => take(&mut checksum, read::boolean(report, field)),
            _ => {
                variant_at = Some(entry.mark);
                take(&mut variant, read::small(report, field, 0..=1))
            }
        };
    }
    if !is_right {
        return None;
    }
    let Some(kind) = kind else {
        report
            .error(
                &field.place.key("type"),
                field.node.mark,
                MistakeKind::Missing,
                "there is no type",
            )
            .advise("write type: fou, or type: gue");
        return None;
    };
    let dport = match (dport, kind) {
        (Some(dport), _) => dport,
        (None, UdpEncap::Gue) => GUE_PORT,
        (None, UdpEncap::Fou) => {
            report
                .error(&field.place.key("dport"), field.node.mark, MistakeKind::Missing, "there is no port to send to")
                .advise("write dport: and the port that the peer listens at; FOU has no number of its own");
            return None;
        }
    };
    if let (Some(mark), UdpEncap::Fou) = (variant_at, kind) {
        let place = field.place.key("variant");
        report
            .error(&place, mark, MistakeKind::DoesNotApply, "FOU has no variants")
            .advise("leave it out, or write type: gue");
        return None;
    }
    let (sport, variant) = (sport.and_then(WordOr::number), variant.unwrap_or(0));
    Some(WrittenEncap { kind, port, dport, sport, checksum, variant })
}

/// Puts a value in its place; false if there is none.
fn take<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    *place = value;
    place.is_some()
}

/// Whether datagrams have a checksum where the file does not say.
pub(super) fn usual_checksum(outer: Family, profile: Profile) -> bool {
    // Linux sends none over IPv4.
    profile != Profile::Linux || outer == Family::Ipv6
}

impl WrittenEncap {
    /// With what the profile says about the rest.
    pub(super) fn resolve(&self, outer: Family, profile: Profile) -> Encap {
        let Self { kind, port, dport, sport, checksum, variant } = *self;
        Encap {
            kind,
            port: port.unwrap_or(dport),
            dport,
            sport,
            checksum: checksum.unwrap_or_else(|| usual_checksum(outer, profile)),
            variant,
        }
    }
}
