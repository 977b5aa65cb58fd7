//! The section `tunnels`, entry by entry: what the file says, over what `defaults.tunnels` says, over what the
//! profile says. What tunnels have to do with each other and with ports is checked in `check`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::erspan::{self, WrittenErspan};
use super::gre_keys;
use super::keys::known_entries;
use super::labels::{self, TunnelLabels};
use super::minded::{MINDED, Shape, why_idle};
use super::mistake::MistakeKind;
use super::model::Name;
use super::overlay::{self, WrittenOverlay};
use super::payload;
use super::pieces::Written;
use super::read::{self, quoted};
use super::remotes::{self, WrittenRemotes};
use super::report::{Field, Part, Place, Report, Spot};
use super::sections::{Sections, set};
use super::settings::{Setting, SharedSettings};
use super::six_rd;
use super::tunnel::{Family, Frames, Keys, LOCALS_MAX, SixRd, Tunnel};
use super::udp_encap::{self, WrittenEncap};
use super::vocabulary::{self, NOT_IN_DEFAULTS};
use super::words::{Mode, Payload, Profile, Word as _};
use crate::yaml::{Mark, Value};

const COMMENT_LIMIT: usize = 1024;

/// A tunnel and where it was written.
#[derive(Debug)]
pub(super) struct TunnelDraft<'t> {
    pub(super) tunnel: Tunnel,
    pub(super) written: Written<'t>,
    /// Its mode or an end of it is wrong or missing, so that checks of them would only repeat that.
    pub(super) is_broken: bool,
}

/// Tunnels by name: positions in their list.
pub(super) type TunnelNames = FxHashMap<Name, usize>;

/// What was written for a tunnel, or for all of them; `None` is not mentioned.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Said {
    profile: Option<Profile>,
    mode: Option<Mode>,
    payload: Option<Payload>,
    local: Option<IpAddr>,
    more_locals: Box<[IpAddr]>,
    remote: Option<IpAddr>,
    remotes: Option<Box<WrittenRemotes>>,
    keys: Option<Box<Keys>>,
    encap: Option<Box<WrittenEncap>>,
    overlay: WrittenOverlay,
    attach: Option<Name>,
    erspan: WrittenErspan,
    six_rd: Option<Box<SixRd>>,
    potential_routers: Option<Box<[Ipv4Addr]>>,
    link: Option<Name>,
    labels: Option<Box<TunnelLabels>>,
    addresses: Box<[IpNet]>,
    routes: Box<[IpNet]>,
    enabled: Option<bool>,
    latency: Option<bool>,
    comment: Option<Box<str>>,
    settings: Vec<Setting>,
    /// A key that decides about others was refused.
    is_broken: bool,
    /// One bit for each of `MINDED`: it is there, right or wrong.
    minded: u64,
}

/// A tunnel as it was written.
#[derive(Debug)]
pub(super) struct WrittenTunnel<'t> {
    name: Name,
    said: Said,
    written: Written<'t>,
}

/// Puts together the tunnels of all files; `defaults` are what is said for all of them.
pub(super) fn resolve<'t>(
    report: &mut Report,
    defaults: &Defaults<'_>,
    files: Vec<Vec<WrittenTunnel<'t>>>,
) -> (Vec<TunnelDraft<'t>>, TunnelNames) {
    let mut shared = SharedSettings::new(&defaults.said.settings);
    let count = files.iter().map(Vec::len).sum();
    let mut drafts: Vec<TunnelDraft<'t>> = Vec::with_capacity(count);
    let mut names = TunnelNames::with_capacity_and_hasher(count, rustc_hash::FxBuildHasher);
    for written in files.into_iter().flatten() {
        if let Some(earlier) = names.get(&written.name).and_then(|index| drafts.get(*index)) {
            written.refuse_twin(report, &earlier.written);
            continue;
        }
        names.insert(written.name.clone(), drafts.len());
        drafts.push(written.resolve(report, &defaults.said, &mut shared));
    }
    defaults.warn_of_idle(report, &drafts);
    (drafts, names)
}

/// What is said for every tunnel.
pub(super) struct Defaults<'t> {
    said: Said,
    /// Keys that mean something to tunnels of some modes alone, and where they are.
    minded: Vec<(&'static str, &'t Arc<str>, Mark)>,
}

/// Reads what is said for every tunnel.
pub(super) fn read_defaults<'t>(report: &mut Report, sections: &Sections<'t>) -> Defaults<'t> {
    let mut defaults = Defaults { said: Said::default(), minded: Vec::new() };
    sections.settings(report, "defaults", vocabulary::DEFAULTS, |report, _, field| {
        for entry in known_entries(report, field, vocabulary::TUNNEL) {
            let place = field.place.key(&entry.key);
            if NOT_IN_DEFAULTS.contains(&&*entry.key) {
                let message = format!("{:?} can't be the same for every tunnel", entry.key);
                report
                    .error(&place, entry.mark, MistakeKind::DoesNotApply, message)
                    .advise("write it in each tunnel");
                continue;
            }
            defaults.said.read(report, &entry.key, Field { place: &place, node: &entry.value });
            let key = MINDED.iter().find(|key| **key == entry.key);
            let file = sections.file_named(field.place.file);
            defaults.minded.extend(key.zip(file).map(|(key, file)| (*key, file, entry.mark)));
        }
    });
    Setting::sort(&mut defaults.said.settings);
    defaults
}

impl Defaults<'_> {
    /// Points out what is meant for tunnels of a mode that no tunnel has.
    fn warn_of_idle(&self, report: &mut Report, drafts: &[TunnelDraft<'_>]) {
        for &(key, file, mark) in &self.minded {
            let is_meant =
                |draft: &TunnelDraft<'_>| why_idle(key, Shape::of(&draft.tunnel)).is_none();
            if drafts.is_empty() || drafts.iter().any(is_meant) {
                continue;
            }
            let root = Place::root(file);
            let (section, message) =
                (root.key("defaults"), "this means nothing for any tunnel here");
            report
                .warn(&section.key("tunnels").key(key), mark, MistakeKind::DoesNotApply, message)
                .advise("leave it out until a tunnel has a mode that takes it");
        }
    }
}

impl<'t> WrittenTunnel<'t> {
    /// Reads an entry.
    pub(super) fn read(report: &mut Report, spot: &Spot<'_>, written: Written<'t>) -> Self {
        let name = if let Part::Key(name) = spot.entry { name } else { "" };
        let root = Place::root(spot.file);
        let section = root.key("tunnels");
        let place = section.key(name);
        let mut said = Said::default();
        let entries =
            known_entries(report, Field { place: &place, node: spot.node }, vocabulary::TUNNEL);
        for entry in &entries {
            let place = place.key(&entry.key);
            said.read(report, &entry.key, Field { place: &place, node: &entry.value });
        }
        if said.settings.len() > 1 {
            Setting::sort(&mut said.settings);
        }
        said.settings.shrink_to_fit();
        for entry in spot.node.entries() {
            // A refused key is there all the same: it is not missing, and its default does not stand in.
            let is_refused = || !entries.iter().any(|known| known.key == entry.key);
            said.is_broken |= decides(&entry.key) && is_refused();
            said.mind(&entry.key);
        }
        Self { name: Name::from(name), said, written }
    }

    fn refuse_twin(&self, report: &mut Report, earlier: &Written<'_>) {
        let root = Place::root(&self.written.text.name);
        let section = root.key("tunnels");
        let message = format!(
            "{} is defined twice; the first time at {}",
            quoted(&self.name),
            earlier.location()
        );
        report
            .error(&section.key(&self.name), self.written.mark, MistakeKind::Duplicate, message)
            .advise("keep one of the two");
    }

    fn resolve(
        self,
        report: &mut Report,
        defaults: &Said,
        shared: &mut SharedSettings<'_>,
    ) -> TunnelDraft<'t> {
        let Self { name, said, written } = self;
        let explicit_mode = said.mode.or(defaults.mode);
        // A mode that is there but wrong has been reported.
        if explicit_mode.is_none() && !said.minds("mode") && !defaults.is_broken {
            miss_mode(report, &written.spot(report));
        }
        if let Some(mode) = explicit_mode.filter(|_| said.minds_more_than_mode()) {
            let outer = said.outer(defaults, mode);
            let profile = said.profile.or(defaults.profile).unwrap_or(Profile::Native);
            let payload = payload::resolve(mode, profile, said.payload.or(defaults.payload));
            let shape = Shape { mode, outer, payload };
            refuse_keys_of_other_modes(report, &said, &written, shape);
            payload::check(report, said.payload, &written, mode);
            refuse_static_mtu_with_others(report, &said, &written);
            refuse_key_with_keys(report, &said, &written);
        }
        let mut is_broken = said.is_broken || defaults.is_broken || explicit_mode.is_none();
        let has_id = said.overlay.id.is_some();
        if explicit_mode.is_some_and(Mode::is_overlay) && !has_id && !said.minds("id") {
            overlay::miss_id(report, &written.spot(report));
            is_broken = true;
        }
        let has_session = said.erspan.version.is_some();
        if explicit_mode.is_some_and(Mode::is_erspan) && !has_session && !said.minds("erspan") {
            erspan::miss_session(report, &written.spot(report));
            is_broken = true;
        }
        let mode = explicit_mode.unwrap_or(Mode::Ipip);
        let tunnel = said.resolve(defaults, shared, mode, name);
        if tunnel.settings.mss_insert && !tunnel.settings.clamp_tcp_mss {
            refuse_idle_mss_insert(report, &written);
        }
        TunnelDraft { tunnel, written, is_broken }
    }
}

fn miss_mode(report: &mut Report, spot: &Spot<'_>) {
    let names: Vec<_> = Mode::WORDS.iter().map(|(name, _)| *name).collect();
    spot.at("mode", |place, mark| {
        report
            .error(place, mark, MistakeKind::Missing, "the tunnel has no mode")
            .advise(format!("write mode: and one of {}", names.join(", ")));
    });
}

/// Whether a key tells the tunnel from others.
fn decides(key: &str) -> bool {
    overlay::KEYS.contains(&key)
        || remotes::KEYS.contains(&key)
        || erspan::KEYS.contains(&key)
        || matches!(
            key,
            "mode"
                | "payload"
                | "local"
                | "remote"
                | "link"
                | "key"
                | "keys"
                | "encap"
                | "attach"
                | "6rd"
        )
}

impl Said {
    fn read(&mut self, report: &mut Report, key: &str, field: Field<'_, '_>) {
        if decides(key) {
            self.is_broken |= self.read_identity(report, key, field).is_none();
            return;
        }
        match key {
            "profile" => self.profile = read::word(report, field),
            "addresses" => {
                let addresses = read::list_of_good(report, field, read::interface_address);
                set(&mut self.addresses, addresses.map(Vec::into_boxed_slice));
            }
            "routes" => {
                let routes = read::list_of_good(report, field, read::prefix);
                set(&mut self.routes, routes.map(Vec::into_boxed_slice));
            }
            "potential-routers" => {
                let routers = six_rd::relays(report, field).map(Vec::into_boxed_slice);
                self.potential_routers = routers;
            }
            "labels" => {
                let arriving = labels::read(report, field).unwrap_or_default();
                self.labels.get_or_insert_default().arriving = arriving;
            }
            "push" => {
                let push = labels::read_pushed(report, field).unwrap_or_default();
                self.labels.get_or_insert_default().push = push;
            }
            "enabled" => self.enabled = read::boolean(report, field),
            "latency" => self.latency = read::boolean(report, field),
            "comment" => self.comment = comment(report, field),
            _ => self.settings.extend(Setting::read(report, key, field)),
        }
    }

    /// What tells the tunnel from others. `None` if it is wrong.
    fn read_identity(
        &mut self,
        report: &mut Report,
        key: &str,
        field: Field<'_, '_>,
    ) -> Option<()> {
        match key {
            "mode" => self.mode = Some(read::word(report, field)?),
            "payload" => self.payload = Some(read::word(report, field)?),
            "local" => (self.local, self.more_locals) = read_locals(report, field)?,
            "remote" => self.remote = Some(read::address(report, field)?),
            "key" => self.keys = Some(Box::new(gre_keys::both(report, field)?)),
            "encap" => self.encap = Some(Box::new(udp_encap::read(report, field)?)),
            key if overlay::KEYS.contains(&key) => self.overlay.read(report, key, field)?,
            key if remotes::KEYS.contains(&key) => {
                self.remotes.get_or_insert_default().read(report, key, field)?;
            }
            key if erspan::KEYS.contains(&key) => self.erspan.read(report, key, field)?,
            "attach" => self.attach = Some(Arc::from(read::text(report, field)?)),
            "keys" => self.keys = Some(Box::new(gre_keys::each(report, field)?)),
            "6rd" => self.six_rd = Some(Box::new(six_rd::read(report, field)?)),
            _ => self.link = Some(Arc::from(read::text(report, field)?)),
        }
        Some(())
    }

    /// Notes that a key is there, right or wrong.
    fn mind(&mut self, key: &str) {
        if let Some(position) = MINDED.iter().position(|minded| *minded == key) {
            self.minded |= 1 << position;
        }
    }

    fn minds(&self, key: &str) -> bool {
        let position = MINDED.iter().position(|minded| *minded == key);
        position.is_some_and(|position| self.minded & 1 << position != 0)
    }

    fn minds_more_than_mode(&self) -> bool {
        self.minded > 1
    }

    /// The family of the outer header.
    fn outer(&self, defaults: &Self, mode: Mode) -> Family {
        let first = self.remotes.as_deref().and_then(WrittenRemotes::first);
        let remote = first.or(self.remote).or(defaults.remote);
        let end = remote.or(self.local).or(defaults.local);
        mode.outer().or(end.map(Family::of)).unwrap_or(Family::Ipv4)
    }

    /// The tunnel: what it says itself, else what is said for all, else what its profile says.
    fn resolve(
        self,
        defaults: &Self,
        shared: &mut SharedSettings<'_>,
        mode: Mode,
        name: Name,
    ) -> Tunnel {
        let profile = self.profile.or(defaults.profile).unwrap_or(Profile::Native);
        let payload = payload::resolve(mode, profile, self.payload.or(defaults.payload));
        let outer = self.outer(defaults, mode);
        let overlay = mode
            .is_overlay()
            .then(|| Box::new(self.overlay.resolve(&defaults.overlay, (mode, outer), profile)));
        let remotes = self.remotes.as_deref().filter(|_| mode == Mode::Vxlan);
        let remotes = remotes.and_then(|own| own.resolve(defaults.remotes.as_deref()));
        let has_many = mode.has_many_peers() || remotes.is_some();
        let (local, more_locals) = match self.local {
            Some(local) => (Some(local), self.more_locals),
            None => (defaults.local, defaults.more_locals.clone()),
        };
        Tunnel {
            name,
            mode,
            outer,
            payload,
            local,
            more_locals,
            // The peers of 6rd are no setting.
            remote: self.remote.or(defaults.remote).filter(|_| !has_many),
            remotes,
            keys: self.keys.or_else(|| defaults.keys.clone()).filter(|_| mode.is_gre()),
            encap: self
                .encap
                .or_else(|| defaults.encap.clone())
                .filter(|_| !mode.is_overlay() && !mode.is_erspan() && !mode.has_many_peers())
                .filter(|_| mode != Mode::Minimal)
                .map(|e| Box::new(e.resolve(outer, profile))),
            overlay,
            frames: (payload == Payload::Ethernet).then(|| {
                Box::new(Frames {
                    attach: self.attach.or_else(|| defaults.attach.clone()),
                    erspan: self.erspan.version.filter(|_| mode.is_erspan()),
                    mirror: self.erspan.mirror.filter(|_| mode.is_erspan()),
                })
            }),
            potential_routers: self
                .potential_routers
                .or_else(|| defaults.potential_routers.clone())
                .filter(|_| mode == Mode::Isatap)
                .unwrap_or_default(),
            six_rd: self.six_rd.or_else(|| defaults.six_rd.clone()).filter(|_| mode == Mode::SixRd),
            link: self.link.or_else(|| defaults.link.clone()),
            labels: self.labels,
            addresses: self.addresses,
            routes: self.routes,
            enabled: self.enabled.or(defaults.enabled).unwrap_or(true),
            latency: self.latency.or(defaults.latency).unwrap_or(false),
            comment: self.comment.or_else(|| defaults.comment.clone()).unwrap_or_default(),
            settings: {
                let rules = payload::rules(mode, outer, payload);
                shared.resolve(profile, (rules, outer), &self.settings)
            },
        }
    }
}

/// An address, or a list of some: the first, and the others.
fn read_locals(
    report: &mut Report,
    field: Field<'_, '_>,
) -> Option<(Option<IpAddr>, Box<[IpAddr]>)> {
    if !matches!(field.node.value, Value::List(_)) {
        return Some((Some(read::address(report, field)?), Box::default()));
    }
    let words = ("addresses to send from", "of them, or leave `local` out");
    let all = read::addresses(report, field, LOCALS_MAX, words)?;
    let (first, others) = all.split_first()?;
    Some((Some(*first), others.into()))
}

fn comment(report: &mut Report, field: Field<'_, '_>) -> Option<Box<str>> {
    if field.node.value == Value::Null {
        return Some(Box::default());
    }
    let text = read::text(report, field)?;
    if text.len() > COMMENT_LIMIT {
        let message = format!("the comment is longer than {COMMENT_LIMIT} bytes");
        report.field(field, MistakeKind::OutOfRange, message);
        return None;
    }
    Some(text.into())
}

/// Keys written for this tunnel that mean nothing for its mode. Defaults for all are exempt.
fn refuse_keys_of_other_modes(
    report: &mut Report,
    said: &Said,
    written: &Written<'_>,
    shape: Shape,
) {
    let mode = shape.mode;
    for key in MINDED.iter().filter(|key| said.minds(key)) {
        let Some(why) = why_idle(key, shape) else { continue };
        let spot = written.spot(report);
        let Some(entry) = spot.node.entry(key) else { continue };
        spot.at(key, |place, _| {
            let message = format!("{key:?} means nothing for mode {mode}{why}");
            report
                .error(place, entry.mark, MistakeKind::DoesNotApply, message)
                .advise("leave it out");
        });
    }
}

/// Defaults for all are exempt here, too.
fn refuse_idle_mss_insert(report: &mut Report, written: &Written<'_>) {
    let spot = written.spot(report);
    let Some(entry) = spot.node.entry("mss-insert") else { return };
    spot.at("mss-insert", |place, _| {
        report
            .error(
                place,
                entry.mark,
                MistakeKind::DoesNotApply,
                "`mss-insert` adds to `clamp-tcp-mss`, which is off",
            )
            .advise("write clamp-tcp-mss: yes, or leave it out");
    });
}

fn refuse_static_mtu_with_others(report: &mut Report, said: &Said, written: &Written<'_>) {
    if !said.minds("static-mtu") {
        return;
    }
    for other in ["mtu", "dont-fragment"].into_iter().filter(|other| said.minds(other)) {
        let spot = written.spot(report);
        let Some(entry) = spot.node.entry(other) else { continue };
        spot.at(other, |place, _| {
            let message = format!("`static-mtu` fixes {other:?} already");
            report
                .error(place, entry.mark, MistakeKind::DoesNotApply, message)
                .advise("leave one of the two out");
        });
    }
}

fn refuse_key_with_keys(report: &mut Report, said: &Said, written: &Written<'_>) {
    if !said.minds("key") || !said.minds("keys") {
        return;
    }
    let spot = written.spot(report);
    let Some(entry) = spot.node.entry("keys") else { return };
    spot.at("keys", |place, _| {
        report
            .error(place, entry.mark, MistakeKind::DoesNotApply, "`key` says both keys already")
            .advise("leave one of the two out");
    });
}
