//! The section `routes`, entry by entry, and the shorthand routes of tunnels. Names and gateways are resolved
//! in `check`, once all of them are known.

use std::net::IpAddr;
use std::num::NonZeroU16;

use ipnet::IpNet;

use super::keys::known_entries;
use super::mistake::MistakeKind;
use super::read;
use super::report::{Field, Part, Place, Report, Spot};
use super::sections::Sections;
use super::tunnels::TunnelDraft;
use super::vocabulary::{self, Key};
use super::words::Refusal;

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
    pub(super) spot: Spot<'t>,
    pub(super) to: Destination,
    pub(super) metric: u32,
    pub(super) refusal: Option<Refusal>,
    pub(super) next_hops: Vec<NextHopDraft<'t>>,
    /// Its position in `tunnels.*.routes`.
    pub(super) shorthand: Option<usize>,
}

/// A next hop as written: at least one of the three is there.
#[derive(Debug)]
pub(super) struct NextHopDraft<'t> {
    pub(super) via: Option<IpAddr>,
    pub(super) port: Option<&'t str>,
    pub(super) tunnel: Option<&'t str>,
    pub(super) weight: NonZeroU16,
    /// Its position in `next-hops`.
    pub(super) index: Option<usize>,
}

impl RouteDraft<'_> {
    /// Hands the place of a key of a next hop to `with`.
    pub(super) fn at_next_hop<R>(
        &self,
        hop: &NextHopDraft<'_>,
        key: &str,
        with: impl FnOnce(&Place<'_>, crate::yaml::Mark) -> R,
    ) -> R {
        let Some(index) = hop.index else { return self.spot.at(key, with) };
        let mark = self.spot.mark_of_item("next-hops", index);
        let items = self.spot.node.entry("next-hops").map(|entry| &entry.value.value);
        let item = match items {
            Some(crate::yaml::Value::List(items)) => items.get(index),
            _ => None,
        };
        let mark = item.and_then(|item| item.entry(key)).map_or(mark, |entry| entry.value.mark);
        self.spot.at_item("next-hops", index, |place, _| with(&place.key(key), mark))
    }

    /// Hands the place of the destination to `with`.
    pub(super) fn at_destination<R>(
        &self,
        with: impl FnOnce(&Place<'_>, crate::yaml::Mark) -> R,
    ) -> R {
        match self.shorthand {
            Some(position) => self.spot.at_shorthand(position, with),
            None => self.spot.at("to", with),
        }
    }
}

/// Reads every route of the section `routes`.
pub(super) fn read<'t>(report: &mut Report, sections: &Sections<'t>) -> Vec<RouteDraft<'t>> {
    let mut drafts = Vec::new();
    for section in sections.named("routes") {
        let root = Place::root(section.file);
        let place = root.key("routes");
        let field = Field { place: &place, node: &section.entry.value };
        let Some(items) = read::items(report, field) else { continue };
        for (index, node) in items.iter().enumerate() {
            let place = place.index(index);
            let spot = Spot {
                file: section.file,
                section: "routes",
                entry: Part::Index(index),
                mark: node.mark,
                node,
            };
            drafts.extend(read_route(report, Field { place: &place, node }, spot));
        }
    }
    drafts
}

/// The shorthand routes of tunnels.
pub(super) fn shorthand<'t>(tunnels: &[TunnelDraft<'t>]) -> Vec<RouteDraft<'t>> {
    let mut drafts = Vec::new();
    for draft in tunnels {
        let Part::Key(name) = draft.spot.entry else { continue };
        for (index, to) in draft.tunnel.routes.iter().enumerate() {
            drafts.push(RouteDraft {
                spot: draft.spot,
                to: Destination::Prefix(*to),
                metric: 0,
                refusal: None,
                next_hops: vec![NextHopDraft {
                    via: None,
                    port: None,
                    tunnel: Some(name),
                    weight: NonZeroU16::MIN,
                    index: None,
                }],
                shorthand: Some(index),
            });
        }
    }
    drafts
}

/// The keys of a route or next hop that say where packets go.
#[derive(Default)]
struct Way<'t> {
    via: Option<IpAddr>,
    port: Option<&'t str>,
    tunnel: Option<&'t str>,
    weight: Option<NonZeroU16>,
    is_broken: bool,
}

fn read_route<'t>(
    report: &mut Report,
    field: Field<'_, 't>,
    spot: Spot<'t>,
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
        spot.at("to", |place, mark| {
            report
                .error(place, mark, MistakeKind::Missing, "the route has no destination")
                .advise("write to: and a prefix, or to: default");
        });
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
    Some(RouteDraft { spot, to: to??, metric: metric?, refusal, next_hops, shorthand: None })
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

impl<'t> Way<'t> {
    fn read(&mut self, report: &mut Report, key: &str, field: Field<'_, 't>) {
        let is_good = match key {
            "via" => {
                self.via = read::address(report, field);
                self.via.is_some()
            }
            "port" => {
                self.port = read::text(report, field);
                self.port.is_some()
            }
            "tunnel" => {
                self.tunnel = read::text(report, field);
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

    fn next_hop(self, index: Option<usize>) -> NextHopDraft<'t> {
        NextHopDraft {
            via: self.via,
            port: self.port,
            tunnel: self.tunnel,
            weight: self.weight.unwrap_or(NonZeroU16::MIN),
            index,
        }
    }
}

fn read_next_hops<'t>(report: &mut Report, field: Field<'_, 't>) -> Option<Vec<NextHopDraft<'t>>> {
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
        hops.push(way.next_hop(Some(index)));
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
