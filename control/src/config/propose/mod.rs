//! A change of one tunnel or one route of the running configuration: from what is asked to edits that
//! are known to be right, or every mistake that the whole would have with it.
//!
//! The rules are those of files and are not written down again here: the entry is read as if it stood in a
//! file, beside an [`excerpt`] of what runs. So the cost is that of what the change has to do with,
//! not of the whole.

mod excerpt;
mod patch;
mod rest;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::diff::{Difference, route_difference, tunnel_difference};
use super::files::Text;
use super::mistake::{Mistake, Mistakes};
use super::model::{Name, Route};
use super::overlay;
use super::read::default_prefix;
use super::report::{REQUEST, RUNNING};
use super::store::{Edit, Store};
use super::tunnel::{Family, Tunnel};
use super::udp_encap::GUE_PORT;
use super::words::{Mode, Word as _};
use excerpt::Excerpt;
use rest::Rest;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Of which entry.
    pub subject: Subject,
    /// What becomes of it.
    pub verb: Verb,
}

/// An entry of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A tunnel, by its name.
    Tunnel(String),
    /// A route, by its destination as a file writes it, and its metric where it has to be told from
    /// others.
    Route(String, Option<u32>),
}

/// What becomes of an entry. Entries are as in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// It is this from now on, whether it was there or not.
    Put(Value),
    /// These keys of it change; `null` gives a key its default back (RFC 7396).
    Patch(Value),
    /// It goes.
    Remove,
}

/// A change that can be made.
#[derive(Debug)]
pub struct Proposal {
    /// What makes it; none if all is as asked already.
    pub edits: Vec<Edit>,
    /// The same for people.
    pub differences: Vec<Difference>,
    /// What is probably not meant about the entry.
    pub warnings: Vec<Mistake>,
    /// Whether the entry was not there before.
    pub is_new: bool,
}

/// Why a change can't be made.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no such entry.
    #[error("there is no {0}")]
    Missing(String),
    /// The request contradicts itself, or what runs.
    #[error("{0}")]
    Conflict(String),
    /// The configuration would be wrong.
    #[error("{0}")]
    Mistakes(#[from] Mistakes),
}

/// What an entry is going to be, as far as that can be told before it is read properly. What can't be
/// read here is a mistake there.
#[derive(Debug, Default)]
struct Wanted {
    locals: Vec<IpAddr>,
    remotes: Vec<IpAddr>,
    addresses: Vec<IpNet>,
    /// Destinations that lead there.
    routes: Vec<IpNet>,
    /// Tunnels and gateways that it names.
    tunnels: Vec<String>,
    gateways: Vec<IpAddr>,
    /// The UDP port that it listens at.
    udp_port: Option<u16>,
    /// The port that it is attached to.
    attach: Option<String>,
    /// Ports that its packets leave by.
    links: Vec<String>,
    /// Ports and tunnels that it mirrors.
    mirrored: Vec<String>,
}

impl Wanted {
    fn read(entry: &Value) -> Self {
        let mut wanted = Self::default();
        let Value::Object(entry) = entry else { return wanted };
        let address = |key| parsed::<IpAddr>(entry.get(key));
        let list = |key| entry.get(key).and_then(Value::as_array).into_iter().flatten();
        wanted.locals = list("local").filter_map(|item| parsed(Some(item))).collect();
        wanted.locals.extend(address("local"));
        wanted.remotes = list("remotes").filter_map(|item| parsed(Some(item))).collect();
        wanted.remotes.extend(address("remote"));
        wanted.udp_port = entry.get("encap").and_then(udp_port).or_else(|| overlay_port(entry));
        wanted.attach = entry.get("attach").and_then(Value::as_str).map(str::to_owned);
        wanted.addresses = list("addresses").filter_map(|item| parsed(Some(item))).collect();
        wanted.routes = list("routes").filter_map(|item| prefix(item.as_str()?)).collect();
        let mirror = entry.get("mirror").and_then(Value::as_object).into_iter();
        let mirrored = mirror.flat_map(|mirror| [mirror.get("ports"), mirror.get("tunnels")]);
        let mirrored = mirrored.flatten().filter_map(Value::as_array).flatten();
        wanted.mirrored = mirrored.filter_map(|name| Some(name.as_str()?.to_owned())).collect();
        let labels = entry.get("labels").and_then(Value::as_object).into_iter().flatten();
        let labels = labels.filter_map(|(_, entry)| entry.as_object());
        let next_hops = list("next-hops").filter_map(Value::as_object);
        for hop in std::iter::once(entry).chain(next_hops).chain(labels) {
            wanted.tunnels.extend(hop.get("tunnel").and_then(Value::as_str).map(str::to_owned));
            wanted.gateways.extend(parsed::<IpAddr>(hop.get("via")));
            let ports = [hop.get("link"), hop.get("port")].into_iter().flatten();
            wanted.links.extend(ports.filter_map(Value::as_str).map(str::to_owned));
        }
        wanted
    }
}

/// The port of an `encap`: what is not right is found wrong later.
fn udp_port(encap: &Value) -> Option<u16> {
    let number = |key| match encap.get(key)? {
        Value::String(text) => text.parse().ok(),
        number => u16::try_from(number.as_u64()?).ok(),
    };
    number("port").or_else(|| number("dport")).or(Some(GUE_PORT))
}

/// The port of a tunnel in VXLAN or GENEVE.
fn overlay_port(entry: &Map<String, Value>) -> Option<u16> {
    let mode = entry.get("mode").and_then(Value::as_str).and_then(Mode::from_word)?;
    let said = match entry.get("port") {
        Some(Value::String(text)) => text.parse().ok(),
        number => number.and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok()),
    };
    mode.is_overlay().then(|| said.unwrap_or(overlay::usual_port(mode)))
}

fn parsed<T: std::str::FromStr>(value: Option<&Value>) -> Option<T> {
    value?.as_str()?.parse().ok()
}

/// A destination; an address alone is one.
fn prefix(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Finds out what a change makes of the configuration in force.
///
/// # Errors
/// When there is no such entry, or the configuration would be wrong.
pub fn propose(store: &Store, change: &Change) -> Result<Proposal, Refused> {
    match &change.subject {
        Subject::Tunnel(name) => propose_tunnel(store, name, &change.verb),
        Subject::Route(to, metric) => propose_route(store, to, *metric, &change.verb),
    }
}

fn propose_tunnel(store: &Store, name: &str, verb: &Verb) -> Result<Proposal, Refused> {
    let id = store.tunnel_id(name);
    let before = store.tunnel_named(name);
    let missing = || Refused::Missing(format!("tunnel {name:?}"));
    let entry = match verb {
        Verb::Put(entry) => Some(entry.clone()),
        Verb::Patch(changes) => {
            Some(patch::tunnel(before.ok_or_else(missing)?, &store.base().tunnel_defaults, changes))
        }
        Verb::Remove => before.map(|_| None).ok_or_else(missing)?,
    };
    let rest = Rest { store, tunnel: id, route: None };
    let mut excerpt = Excerpt::new(rest);
    let mut wanted = entry.as_ref().map(Wanted::read).unwrap_or_default();
    let defaults =
        Wanted::read(store.base().tunnel_defaults.get("tunnels").unwrap_or(&Value::Null));
    if wanted.locals.is_empty() {
        wanted.locals = defaults.locals;
    }
    if wanted.remotes.is_empty() {
        wanted.remotes = defaults.remotes;
    }
    wanted.udp_port = wanted.udp_port.or(defaults.udp_port);
    wanted.links.extend(defaults.links);
    if entry.is_some() {
        excerpt.add_around_tunnel(&wanted);
    }
    if let Some(id) = id {
        excerpt.add_dependents(id, entry.is_none());
    }
    let nets = |tunnel: &Tunnel| -> Vec<IpNet> {
        tunnel.routes.iter().copied().chain(tunnel.addresses.iter().map(IpNet::trunc)).collect()
    };
    for to in before.map(nets).unwrap_or_default() {
        add_fallback(&mut excerpt, rest, to);
    }
    let mut leads_here = wanted.routes.clone();
    leads_here
        .extend(wanted.addresses.iter().map(IpNet::trunc).filter(|n| !rest::is_link_local(*n)));
    leads_here.extend(id.into_iter().flat_map(|id| store.routes_through(id)).map(|(to, _)| to));
    add_chain(&mut excerpt, rest, &leads_here);
    let entries = entry.map(|entry| json!({ "tunnels": { name: entry } }));
    let (mut read, warnings) = check(&excerpt, entries)?;
    let after = read.as_mut().and_then(|read| read.tunnels.pop());
    let is_same = before == after.as_ref();
    let edit = match &after {
        Some(tunnel) => Edit::PutTunnel(Box::new(tunnel.clone())),
        None => Edit::RemoveTunnel(Name::from(name)),
    };
    Ok(Proposal {
        edits: if is_same { Vec::new() } else { vec![edit] },
        differences: tunnel_difference(before, after.as_ref()),
        warnings,
        is_new: before.is_none(),
    })
}

fn propose_route(
    store: &Store,
    to: &str,
    metric: Option<u32>,
    verb: &Verb,
) -> Result<Proposal, Refused> {
    let entry = match verb {
        Verb::Put(entry) => Some(with_key(entry, to, metric)?),
        Verb::Patch(changes) => {
            let before = existing(store, to, metric)?;
            let changes = with_key(changes, to, Some(before.metric))?;
            Some(patch::route(before, &changes))
        }
        Verb::Remove => None,
    };
    let wanted = entry.as_ref().map(Wanted::read).unwrap_or_default();
    let key = match &entry {
        None => existing(store, to, metric).map(|before| Some((before.to, before.metric)))?,
        Some(entry) => {
            let metric = parsed_metric(entry).unwrap_or_default();
            destination(store, to, &wanted).map(|to| (to, metric))
        }
    };
    let before = key.and_then(|(to, metric)| store.route(to, metric));
    let before = before.filter(|route| !route.is_shorthand);
    let rest = Rest { store, tunnel: None, route: key.filter(|_| before.is_some()) };
    let mut excerpt = Excerpt::new(rest);
    excerpt.add_tunnels_named(&wanted.tunnels);
    excerpt.add_attached(&wanted.links);
    for gateway in &wanted.gateways {
        excerpt.add_owners(*gateway);
        for (net, _) in store.tunnel_nets().around(*gateway) {
            excerpt.add_tunnels(rest.holders(net).take(1));
        }
    }
    if let Some((to, metric)) = key {
        if entry.is_some() {
            excerpt.add_around_route(to, metric);
        }
        add_fallback(&mut excerpt, rest, to);
        if rest.best_to(to).is_none_or(|best| best.metric >= metric) {
            add_chain(&mut excerpt, rest, &[to]);
        }
    }
    let (read, warnings) = check(&excerpt, entry.map(|entry| json!({ "routes": [entry] })))?;
    let after = read.and_then(|read| read.routes.into_iter().rfind(|route| !route.is_shorthand));
    let edit = match (&after, key) {
        (Some(route), _) => Some(Edit::PutRoute(route.clone())),
        (None, Some((to, metric))) => Some(Edit::RemoveRoute(to, metric)),
        (None, None) => None,
    };
    Ok(Proposal {
        edits: edit.into_iter().filter(|_| before != after.as_ref()).collect(),
        differences: route_difference(before, after.as_ref()),
        warnings,
        is_new: before.is_none(),
    })
}

/// Where packets go that a destination no longer takes, and who is on their way.
fn add_fallback(excerpt: &mut Excerpt<'_>, rest: Rest<'_>, gone: IpNet) {
    excerpt.add_way(gone.network(), gone.prefix_len());
    let fallback = rest.way(gone.network(), gone.prefix_len());
    if matches!(fallback, Some((_, rest::Way::Net(_) | rest::Way::Route(_)))) {
        add_chain(excerpt, rest, &[gone]);
    }
}

/// The longest chain of tunnels that lead to these destinations.
fn add_chain(excerpt: &mut Excerpt<'_>, rest: Rest<'_>, destinations: &[IpNet]) {
    let most = usize::from(rest.store.base().limits.nested_encaps);
    excerpt.add_tunnels(rest.chain_above(destinations, most));
}

/// The destination that a text means; the family of `default` is that of what the route names.
fn destination(store: &Store, to: &str, wanted: &Wanted) -> Option<IpNet> {
    if to != "default" {
        return prefix(to);
    }
    let named = wanted.tunnels.first().and_then(|name| store.tunnel_named(name));
    let is_ipv4 = match (wanted.gateways.first(), named) {
        (Some(gateway), _) => gateway.is_ipv4(),
        (None, tunnel) => tunnel?.carries(Family::Ipv4),
    };
    Some(default_prefix(is_ipv4))
}

/// The route of the configuration that is meant. As reports have it, `default` is that of IPv4.
fn existing<'s>(store: &'s Store, to: &str, metric: Option<u32>) -> Result<&'s Route, Refused> {
    let prefix = if to == "default" { Some(default_prefix(true)) } else { prefix(to) };
    let all = prefix.into_iter().flat_map(|to| store.routes_to(to));
    let mut found: Vec<&Route> =
        all.filter(|route| metric.is_none_or(|metric| metric == route.metric)).collect();
    let Some(route) = found.pop() else {
        return Err(Refused::Missing(match metric {
            Some(metric) => format!("route to {to} of metric {metric}"),
            None => format!("route to {to}"),
        }));
    };
    if !found.is_empty() {
        let message =
            format!("there are {} routes to {to}: say which by its metric", found.len() + 1);
        return Err(Refused::Conflict(message));
    }
    if let Some(name) = route.tunnel_names().next().filter(|_| route.is_shorthand) {
        let message = format!("the route to {to} is one of tunnel {name}: change its `routes`");
        return Err(Refused::Conflict(message));
    }
    Ok(route)
}

fn parsed_metric(entry: &Value) -> Option<u32> {
    match entry.get("metric")? {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|number| u32::try_from(number).ok()),
    }
}

/// An entry of `routes` with the destination and the metric that it is asked for by.
fn with_key(entry: &Value, to: &str, metric: Option<u32>) -> Result<Value, Refused> {
    let Value::Object(entry) = entry else { return Ok(entry.clone()) };
    let mut entry: Map<String, Value> = entry.clone();
    let written = entry.insert("to".to_owned(), to.into());
    if let Some(other) = written.filter(|written| written.as_str() != Some(to)) {
        return Err(Refused::Conflict(format!("`to` is {other}, and the path says {to}")));
    }
    if let Some(metric) = metric {
        let written = entry.insert("metric".to_owned(), metric.into());
        if let Some(other) = written.filter(|written| written.as_u64() != Some(metric.into())) {
            return Err(Refused::Conflict(format!(
                "`metric` is {other}, and the route's is {metric}"
            )));
        }
    }
    Ok(Value::Object(entry))
}

/// Reads the entry beside what runs. Without an entry, what runs has to be right without it.
fn check(
    excerpt: &Excerpt<'_>,
    entry: Option<Value>,
) -> Result<(Option<super::Config>, Vec<Mistake>), Refused> {
    let (text, routes) = excerpt.write();
    let known = Text::new(Arc::clone(&RUNNING), text);
    let new = Text::new(Arc::clone(&REQUEST), entry.as_ref().map_or("{}".into(), Value::to_string));
    match super::load_beside(&known, &new) {
        Ok((config, mut warnings)) => {
            warnings.retain(|warning| warning.location.file == *REQUEST);
            name_routes(&mut warnings, &routes);
            Ok((entry.map(|_| config), warnings))
        }
        Err(mut mistakes) => {
            mistakes.warnings.clear();
            name_routes(&mut mistakes.mistakes, &routes);
            Err(mistakes.into())
        }
    }
}

/// Routes that run have no position that anybody knows, but a destination.
fn name_routes(mistakes: &mut [Mistake], routes: &[(IpNet, u32)]) {
    for mistake in mistakes {
        let Some((index, key)) =
            mistake.path.strip_prefix("routes[").and_then(|p| p.split_once(']'))
        else {
            continue;
        };
        let index = index.parse::<usize>().ok().filter(|_| mistake.location.file == *RUNNING);
        let route = index.and_then(|index| routes.get(index));
        mistake.path = match route {
            Some((to, 0)) => format!("routes.{to}{key}"),
            Some((to, metric)) => format!("routes.{to} metric {metric}{key}"),
            None => format!("route{key}"),
        };
    }
}

#[cfg(test)]
mod tests;
