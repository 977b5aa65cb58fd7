//! The section `routes`, entry by entry, and the shorthand routes of tunnels. Names and gateways are resolved
//! in `check`, once all of them are known.

use std::net::IpAddr;
use std::num::NonZeroU16;

use ipnet::IpNet;

use super::keys::known_entries;
use super::mistake::MistakeKind;
use super::pieces::Written;
use super::read;
use super::report::{Field, Place, Report};
use super::vocabulary::{self, Key};
use super::words::Refusal;
use crate::yaml::Mark;

/// Next hops of one route.
const NEXT_HOP_LIMIT: usize = 64;
const WEIGHT: std::ops::RangeInclusive<u64> = 1..=1000;

/// Where a route leads, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    Prefix(IpNet),
    /// `default`, whose family the next hop decides.
    Default,
}

/// A route as written.
#[derive(Debug)]
pub(super) struct RouteDraft<'t> {
    /// The route itself, or the tunnel that it is a shorthand of.
    pub(super) written: Written<'t>,
    pub(super) to: Destination,
    pub(super) metric: u32,
    pub(super) refusal: Option<Refusal>,
    /// Of a shorthand: none, it leads into its tunnel.
    pub(super) next_hops: Vec<NextHopDraft>,
    /// Its position in `tunnels.*.routes`.
    pub(super) shorthand: Option<usize>,
}

/// A next hop as written: at least one of the three is there.
#[derive(Debug)]
pub(super) struct NextHopDraft {
    pub(super) via: Option<IpAddr>,
    pub(super) port: Option<Box<str>>,
    pub(super) tunnel: Option<Box<str>>,
    pub(super) weight: NonZeroU16,
    /// Its position in `next-hops`.
    pub(super) index: Option<u16>,
}

impl<'t> RouteDraft<'t> {
    /// A shorthand route of the tunnel that is written there.
    pub(super) fn shorthand(written: Written<'t>, position: usize, to: IpNet) -> Self {
        Self {
            written,
            to: Destination::Prefix(to),
            metric: 0,
            refusal: None,
            next_hops: Vec::new(),
            shorthand: Some(position),
        }
    }

    /// Hands the place of a key of a next hop to `with`.
    pub(super) fn at_next_hop<R>(
        &self,
        report: &mut Report,
        hop: &NextHopDraft,
        key: &str,
        with: impl FnOnce(&mut Report, &Place<'_>, Mark) -> R,
    ) -> R {
        let spot = self.written.spot(report);
        let Some(index) = hop.index.map(usize::from) else {
            return spot.at(key, |place, mark| with(report, place, mark));
        };
        let mark = spot.mark_of_item("next-hops", index);
        let item = spot.node.entry("next-hops").and_then(|entry| entry.value.nth(index));
        let key_of_item = item.and_then(|(_, item)| item.entry(key));
        let mark = key_of_item.map_or(mark, |entry| entry.value.mark);
        spot.at_item("next-hops", index, |place, _| with(report, &place.key(key), mark))
    }

    /// Hands the place of the destination to `with`.
    pub(super) fn at_destination<R>(
        &self,
        report: &mut Report,
        with: impl FnOnce(&mut Report, &Place<'_>, Mark) -> R,
    ) -> R {
        let spot = self.written.spot(report);
        let with = |place: &Place<'_>, mark| with(report, place, mark);
        match self.shorthand {
            Some(position) => spot.at_shorthand(position, with),
            None => spot.at("to", with),
        }
    }
}

/// The keys of a route or next hop that say where packets go.
#[derive(Default)]
struct Way {
    via: Option<IpAddr>,
    port: Option<Box<str>>,
    tunnel: Option<Box<str>>,
    weight: Option<NonZeroU16>,
    is_broken: bool,
}

/// Reads a route of the section `routes`. `None` if it has a mistake.
pub(super) fn read<'t>(
    report: &mut Report,
    field: Field<'_, '_>,
    written: Written<'t>,
) -> Option<RouteDraft<'t>> {
    let mut to = None;
    let mut metric = Some(0);
    let mut refusal: Option<Option<Refusal>> = None;
    let mut next_hops = None;
    let mut way = Way::default();
    let entries = checked_entries(report, field, vocabulary::ROUTE)?;
    for entry in &entries {
        let place = field.place.key(&entry.key);
        let field = Field { place: &place, node: &entry.value };
        match &*entry.key {
            "to" => to = Some(destination(report, field)),
            "metric" => metric = read::small(report, field, 0..=u64::from(u32::MAX)),
            "type" => refusal = Some(read::word(report, field)),
            "next-hops" => next_hops = Some(read_next_hops(report, field)),
            _ => way.read(report, &entry.key, field),
        }
    }
    if to.is_none() && field.node.entry("to").is_none() {
        let message = "the route has no destination";
        report
            .error(&field.place.key("to"), written.mark, MistakeKind::Missing, message)
            .advise("write to: and a prefix, or to: default");
    }
    let is_unsupported = entries.len() < field.node.entries().len();
    let has_way = way.via.is_some() || way.port.is_some() || way.tunnel.is_some();
    let ways = usize::from(has_way || way.is_broken)
        + usize::from(refusal.is_some())
        + usize::from(next_hops.is_some());
    if ways != 1 {
        // A key that was refused may have been the way.
        if ways > 1 || !is_unsupported {
            refuse_ways(report, field, ways);
        }
        return None;
    }
    if way.is_broken {
        return None;
    }
    let next_hops = match next_hops {
        Some(next_hops) => next_hops?,
        None if has_way => vec![way.next_hop(None)],
        None => Vec::new(),
    };
    // A broken refusal is no route; none at all is one with next hops.
    let refusal = match refusal {
        Some(None) => return None,
        Some(refusal) => refusal,
        None => None,
    };
    Some(RouteDraft { written, to: to??, metric: metric?, refusal, next_hops, shorthand: None })
}

/// The entries of a mapping, or `None` if it is not one.
fn checked_entries<'t>(
    report: &mut Report,
    field: Field<'_, 't>,
    keys: &'static [Key],
) -> Option<Vec<&'t crate::yaml::Entry<'t>>> {
    if matches!(field.node.value, crate::yaml::Value::Map(_)) {
        return Some(known_entries(report, field, keys));
    }
    let message = format!("a mapping is expected here, not {}", field.node.kind());
    report
        .field(field, MistakeKind::WrongType, message)
        .advise("write { to: PREFIX, via: ADDRESS }");
    None
}

fn refuse_ways(report: &mut Report, field: Field<'_, '_>, ways: usize) {
    let (kind, message) = if ways == 0 {
        (MistakeKind::Missing, "the route does not say what happens with packets")
    } else {
        (MistakeKind::DoesNotApply, "the route says more than one thing about packets")
    };
    report
        .field(field, kind, message)
        .advise("write one of `via`, `tunnel`, `next-hops` and `type`");
}

impl Way {
    fn read(&mut self, report: &mut Report, key: &str, field: Field<'_, '_>) {
        let is_good = match key {
            "via" => {
                self.via = read::address(report, field);
                self.via.is_some()
            }
            "port" => {
                self.port = read::text(report, field).map(Box::from);
                self.port.is_some()
            }
            "tunnel" => {
                self.tunnel = read::text(report, field).map(Box::from);
                self.tunnel.is_some()
            }
            _ => {
                let weight = read::small(report, field, WEIGHT).and_then(NonZeroU16::new);
                self.weight = weight;
                weight.is_some()
            }
        };
        self.is_broken |= !is_good;
    }

    fn next_hop(self, index: Option<u16>) -> NextHopDraft {
        NextHopDraft {
            via: self.via,
            port: self.port,
            tunnel: self.tunnel,
            weight: self.weight.unwrap_or(NonZeroU16::MIN),
            index,
        }
    }
}

fn read_next_hops(report: &mut Report, field: Field<'_, '_>) -> Option<Vec<NextHopDraft>> {
    let items = read::items(report, field)?;
    if items.is_empty() || items.len() > NEXT_HOP_LIMIT {
        let message = format!("a route has 1 to {NEXT_HOP_LIMIT} next hops, not {}", items.len());
        report.field(field, MistakeKind::OutOfRange, message);
        return None;
    }
    let mut hops = Vec::with_capacity(items.len());
    for (index, node) in items.iter().enumerate() {
        let place = field.place.index(index);
        let field = Field { place: &place, node };
        let Some(entries) = checked_entries(report, field, vocabulary::NEXT_HOP) else { continue };
        let mut way = Way::default();
        for entry in entries {
            let place = place.key(&entry.key);
            way.read(report, &entry.key, Field { place: &place, node: &entry.value });
        }
        if way.is_broken {
            continue;
        }
        if way.via.is_none() && way.tunnel.is_none() && way.port.is_none() {
            report
                .field(field, MistakeKind::Missing, "the next hop does not say where it is")
                .advise("write `via` or `tunnel`");
            continue;
        }
        hops.push(way.next_hop(u16::try_from(index).ok()));
    }
    (hops.len() == items.len()).then_some(hops)
}

fn destination(report: &mut Report, field: Field<'_, '_>) -> Option<Destination> {
    if read::text(report, field)? == "default" {
        return Some(Destination::Default);
    }
    let prefix = read::prefix(report, field)?;
    if prefix.addr().is_multicast() {
        report
            .field(field, MistakeKind::BadValue, "multicast is not routed")
            .advise("leave the route out");
        return None;
    }
    Some(Destination::Prefix(prefix))
}
