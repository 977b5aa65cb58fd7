//! The keys of tunnels in VXLAN and GENEVE, as they are written.

use super::mistake::MistakeKind;
use super::read;
use super::report::{Field, Report};
use super::tunnel::{Family, Overlay};
use super::words::{Mode, Profile};

/// 24 bits.
const IDS: std::ops::RangeInclusive<u64> = 0..=0x00ff_ffff;
const PORTS: std::ops::RangeInclusive<u64> = 1..=65_535;

/// The keys that are read here.
pub(super) const KEYS: [&str; 6] =
    ["id", "port", "udp-checksum", "strict-reserved", "vlan-tags", "l2-pmtu-reply"];

/// What was written of them; `None` is not mentioned.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct WrittenOverlay {
    pub(super) id: Option<u32>,
    pub(super) port: Option<u16>,
    checksum: Option<bool>,
    is_strict: Option<bool>,
    takes_tags: Option<bool>,
    tells_too_big: Option<bool>,
}

impl WrittenOverlay {
    /// Reads one of [`KEYS`]. `None` if it is wrong.
    pub(super) fn read(
        &mut self,
        report: &mut Report,
        key: &str,
        field: Field<'_, '_>,
    ) -> Option<()> {
        match key {
            "id" => self.id = Some(read::small(report, field, IDS)?),
            "port" => self.port = Some(read::small(report, field, PORTS)?),
            "udp-checksum" => self.checksum = Some(read::boolean(report, field)?),
            "l2-pmtu-reply" => self.tells_too_big = Some(read::boolean(report, field)?),
            "strict-reserved" => self.is_strict = Some(read::boolean(report, field)?),
            _ => self.takes_tags = Some(read::boolean(report, field)?),
        }
        Some(())
    }

    /// With what is said for all tunnels, and what mode and profile say about the rest.
    pub(super) fn resolve(
        &self,
        defaults: &Self,
        (mode, outer): (Mode, Family),
        profile: Profile,
    ) -> Overlay {
        let port = self.port.or(defaults.port);
        let checksum = self.checksum.or(defaults.checksum);
        let takes_tags = self.takes_tags.or(defaults.takes_tags);
        Overlay {
            // Without one, the configuration is wrong.
            id: self.id.unwrap_or_default(),
            port: port.unwrap_or(usual_port(mode)),
            checksum: checksum.unwrap_or_else(|| usual_checksum(mode, outer, profile)),
            tells_too_big: self.tells_too_big.or(defaults.tells_too_big).unwrap_or(false),
            is_strict: self.is_strict.or(defaults.is_strict).unwrap_or(profile == Profile::Linux),
            takes_tags: takes_tags.unwrap_or(mode != Mode::Vxlan || profile == Profile::Linux),
        }
    }
}

/// Reports a tunnel that does not say whose network it is of.
pub(super) fn miss_id(report: &mut Report, spot: &super::report::Spot<'_>) {
    spot.at("id", |place, mark| {
        report
            .error(place, mark, MistakeKind::Missing, "the tunnel has no network identifier")
            .advise("write id: and a number from 0 to 16777215, the same as the peer's");
    });
}

/// IANA's.
pub(super) const fn usual_port(mode: Mode) -> u16 {
    match mode {
        Mode::Geneve => 6081,
        _ => 4789,
    }
}

/// Whether datagrams have a checksum where the file does not say.
pub(super) const fn usual_checksum(mode: Mode, outer: Family, profile: Profile) -> bool {
    match (outer, mode) {
        (Family::Ipv6, _) => true,
        //= RFC 7348 §5: the checksum should be zero; Linux has one.
        (Family::Ipv4, Mode::Vxlan) => matches!(profile, Profile::Linux),
        //= RFC 8926 §3.3: there should be one; Linux has none.
        (Family::Ipv4, _) => !matches!(profile, Profile::Linux),
    }
}
