//! The keys of tunnels that have several remotes, as they are written.

use std::net::IpAddr;

use adit_dataplane::tunnel::remotes::REMOTES_MAX;
use adit_dataplane::wire::ethernet::MacAddress;

use super::keys::distinct_entries;
use super::mistake::MistakeKind;
use super::read;
use super::report::{Field, Report};
use super::tunnel::Remotes;

/// The keys that are read here.
pub(super) const KEYS: [&str; 3] = ["remotes", "fdb", "mac-learning"];

/// Stations that the configuration of one tunnel can name.
const FIXED_MAX: usize = 4096;

/// What was written of them; `None` is not mentioned.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct WrittenRemotes {
    all: Option<Box<[IpAddr]>>,
    fixed: Option<Box<[(MacAddress, IpAddr)]>>,
    learns: Option<bool>,
}

impl WrittenRemotes {
    /// Reads one of [`KEYS`]. `None` if it is wrong.
    pub(super) fn read(
        &mut self,
        report: &mut Report,
        key: &str,
        field: Field<'_, '_>,
    ) -> Option<()> {
        match key {
            "remotes" => {
                let all = read::addresses(report, field, REMOTES_MAX, ("remotes", "addresses"))?;
                self.all = Some(all.into());
            }
            "fdb" => self.fixed = Some(stations(report, field)?),
            _ => self.learns = Some(read::boolean(report, field)?),
        }
        Some(())
    }

    /// The first of them, for the family that the tunnel has outside.
    pub(super) fn first(&self) -> Option<IpAddr> {
        self.all.as_deref()?.first().copied()
    }

    /// With what is said for all tunnels; `None`: there are none.
    pub(super) fn resolve(&self, defaults: Option<&Self>) -> Option<Box<Remotes>> {
        let learns = self.learns.or_else(|| defaults?.learns);
        Some(Box::new(Remotes {
            all: self.all.clone()?,
            fixed: self.fixed.clone().unwrap_or_default(),
            learns: learns.unwrap_or(false),
        }))
    }
}

/// Stations, and the remote that each is behind, in the order of their addresses.
fn stations(report: &mut Report, field: Field<'_, '_>) -> Option<Box<[(MacAddress, IpAddr)]>> {
    let mut all: Vec<(MacAddress, IpAddr)> = Vec::new();
    let mut is_right = true;
    let entries = distinct_entries(report, field);
    if entries.len() > FIXED_MAX {
        let message = format!("{} stations", entries.len());
        report
            .field(field, MistakeKind::OutOfRange, message)
            .advise(format!("write at most {FIXED_MAX}, and let the others be learnt"));
        return None;
    }
    for entry in entries {
        let place = field.place.key(&entry.key);
        let remote = read::address(report, Field { place: &place, node: &entry.value });
        let station = entry.key.parse().ok().filter(|station: &MacAddress| station.is_station());
        let wrong = match station {
            None => Some((MistakeKind::BadValue, "is not the address of a station")),
            // One address has several spellings.
            Some(station) if all.iter().any(|(other, _)| *other == station) => {
                Some((MistakeKind::Duplicate, "is here twice"))
            }
            Some(_) => None,
        };
        if let Some((kind, what)) = wrong {
            let message = format!("{} {what}", read::quoted(&entry.key));
            report
                .error(&place, entry.mark, kind, message)
                .advise("write STATION: REMOTE, as \"02:00:00:00:00:02\": 203.0.113.2");
        }
        match (station, remote) {
            (Some(station), Some(remote)) if wrong.is_none() => all.push((station, remote)),
            _ => is_right = false,
        }
    }
    all.sort_unstable_by_key(|(station, _)| *station);
    is_right.then(|| all.into())
}
