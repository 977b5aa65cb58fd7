//! The configuration as JSON in the words of the file, every default filled in: for `adit show config` and the
//! API. What it says can be loaded again and means the same.

use adit_dataplane::tables::labels::Labels;
use adit_dataplane::tunnel::erspan::Version;
use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::labels::{LabelAction, LabelEntry};
use super::minded::{Shape, why_idle};
use super::model::{Api, Config, Dataplane, Limits, Port, Route, RouteAction, Via};
use super::read::as_boolean;
use super::tunnel::{
    Encap, Family, InnerSource, Keys, Mirror, Overlay, Remotes, Settings, SixRd, Tunnel,
};
use super::vocabulary::{self, Support};
use super::words::{Direction, Mode};

/// The whole configuration.
pub fn describe(config: &Config) -> Value {
    let ports = config.ports.iter().map(|port| (port.name.to_string(), describe_port(port)));
    let tunnels =
        config.tunnels.iter().map(|tunnel| (tunnel.name.to_string(), describe_tunnel(tunnel)));
    let routes = config.routes.iter().filter(|route| !route.is_shorthand).map(describe_route);
    json!({
        "version": 1,
        "dataplane": describe_dataplane(&config.dataplane),
        "limits": describe_limits(&config.limits),
        "api": describe_api(&config.api),
        "ports": ports.collect::<Map<_, _>>(),
        "loopback": { "addresses": texts(&config.loopback.addresses) },
        "tunnels": tunnels.collect::<Map<_, _>>(),
        "routes": routes.collect::<Vec<_>>(),
    })
}

/// The section `dataplane`.
pub fn describe_dataplane(dataplane: &Dataplane) -> Value {
    let mut map = Map::new();
    if let Some(core) = dataplane.control_core {
        map.insert("control-core".into(), core.into());
    }
    if !dataplane.worker_cores.is_empty() {
        map.insert("worker-cores".into(), dataplane.worker_cores.clone().into());
    }
    map.insert("burst".into(), dataplane.burst.into());
    map.insert("idle".into(), dataplane.idle.as_str().into());
    map.insert("hugepages".into(), dataplane.hugepages.as_str().into());
    map.insert("mbufs".into(), dataplane.mbufs.into());
    map.insert("latency".into(), json!({ "sample": dataplane.latency_sample }));
    map.insert("eal-args".into(), dataplane.eal_args.clone().into());
    map.insert("spread".into(), dataplane.spread.as_str().into());
    Value::Object(map)
}

/// The section `limits`.
pub fn describe_limits(limits: &Limits) -> Value {
    json!({
        "icmp-errors": rate(limits.icmp_errors_per_second),
        "icmp-errors-per-source": rate(limits.icmp_errors_per_source_per_second),
        "icmp-too-big": rate(limits.icmp_too_big_per_second),
        "reassembly-memory": limits.reassembly_memory_bytes,
        "reassembly-memory-per-peer": limits.reassembly_memory_per_peer_bytes,
        "nested-encaps": limits.nested_encaps,
        "decap-depth": limits.decap_depth,
        "unmatched-icmp": limits.unmatched_icmp.as_str(),
    })
}

/// The section `api`.
pub fn describe_api(api: &Api) -> Value {
    json!({ "socket": api.socket.display().to_string() })
}

/// An entry of `ports`.
pub fn describe_port(port: &Port) -> Value {
    let mut map = Map::new();
    if let Some(device) = &port.device {
        map.insert("device".into(), device.as_str().into());
    }
    if port.mac_is_configured {
        map.insert("macaddress".into(), port.mac.to_string().into());
    }
    map.insert("mtu".into(), port.mtu.into());
    map.insert("queues".into(), number_or("auto", port.queues.map(u16::from)));
    map.insert("offloads".into(), port.offloads.as_str().into());
    map.insert("rss".into(), port.rss.as_str().into());
    // Duplicate address detection is the default that this version does not know yet.
    if !port.dad {
        map.insert("dad".into(), false.into());
    }
    map.insert("addresses".into(), texts(&port.addresses));
    let neighbors = port.neighbors.iter();
    let neighbors = neighbors
        .map(|neighbor| (neighbor.address.to_string(), neighbor.mac.to_string().into()))
        .collect::<Map<_, _>>();
    map.insert("neighbors".into(), Value::Object(neighbors));
    if let Some(labels) = &port.labels {
        map.insert("labels".into(), describe_labels(labels));
    }
    Value::Object(map)
}

/// An entry of `tunnels`. Settings that this version does not support yet are not in force and not shown.
pub fn describe_tunnel(tunnel: &Tunnel) -> Value {
    let mut map = Map::new();
    map.insert("profile".into(), tunnel.settings.profile.as_str().into());
    map.insert("mode".into(), tunnel.mode.as_str().into());
    if matches!(tunnel.mode, Mode::Sit | Mode::Any | Mode::Geneve) {
        map.insert("payload".into(), tunnel.payload.as_str().into());
    }
    let locals: Vec<String> = tunnel.locals().map(|local| local.to_string()).collect();
    match locals.as_slice() {
        [] => {}
        [local] => drop(map.insert("local".into(), local.as_str().into())),
        pool => drop(map.insert("local".into(), pool.into())),
    }
    if let Some(remote) = tunnel.remote {
        map.insert("remote".into(), remote.to_string().into());
    }
    if let Some(remotes) = tunnel.remotes.as_deref() {
        describe_remotes(&mut map, remotes);
    }
    describe_headers(&mut map, tunnel);
    if let Some(link) = &tunnel.link {
        map.insert("link".into(), (&**link).into());
    }
    if let Some(labels) = tunnel.labels.as_deref() {
        if !labels.arriving.is_empty() {
            map.insert("labels".into(), describe_labels(&labels.arriving));
        }
        if !labels.push.is_none() {
            map.insert("push".into(), numbers(&labels.push));
        }
    }
    map.insert("addresses".into(), texts(&tunnel.addresses));
    map.insert("routes".into(), texts(&tunnel.routes));
    map.insert("enabled".into(), tunnel.enabled.into());
    map.insert("latency".into(), tunnel.latency.into());
    map.insert("comment".into(), (&*tunnel.comment).into());
    let settings = outer_settings(tunnel, &tunnel.settings);
    let gre = if tunnel.mode.is_gre() { gre_settings(&tunnel.settings) } else { Vec::new() };
    let inner = inner_settings(&tunnel.settings);
    let inner = if tunnel.is_of_frames() { Vec::new() } else { inner };
    let always = common_settings(&tunnel.settings);
    let settings = settings.into_iter().chain(gre).chain(always).chain(inner);
    let shape = Shape::of(tunnel);
    let settings = settings.filter(|(key, _)| why_idle(key, shape).is_none());
    for (key, value) in settings.filter(|(key, value)| is_in_force(key, value)) {
        map.insert(key.into(), value);
    }
    Value::Object(map)
}

/// What stands between the outer header and what is inside, and says whose it is.
fn describe_headers(map: &mut Map<String, Value>, tunnel: &Tunnel) {
    match tunnel.keys.as_deref() {
        None => {}
        Some(Keys { input: Some(input), output }) if *output == Some(*input) => {
            map.insert("key".into(), (*input).into());
        }
        Some(Keys { input, output }) => {
            let named = [("input", input), ("output", output)];
            let said = named.into_iter().filter_map(|(name, key)| Some((name, (*key)?)));
            let said = said.map(|(name, key)| (name.to_owned(), key.into()));
            map.insert("keys".into(), Value::Object(said.collect()));
        }
    }
    if let Some(encap) = tunnel.encap.as_deref() {
        map.insert("encap".into(), describe_encap(encap));
    }
    if let Some(overlay) = tunnel.overlay.as_deref() {
        describe_overlay(map, tunnel.mode, overlay);
    }
    if let Some(port) = tunnel.attached_to() {
        map.insert("attach".into(), (&**port).into());
    }
    if let Some(version) = tunnel.erspan() {
        map.insert("erspan".into(), describe_erspan(version));
    }
    if let Some(mirror) = tunnel.mirror() {
        map.insert("mirror".into(), describe_mirror(mirror));
    }
    if let Some(domain) = tunnel.six_rd.as_deref() {
        map.insert("6rd".into(), describe_six_rd(domain));
    }
    if tunnel.mode == Mode::Isatap {
        let routers = tunnel.potential_routers.iter().map(|router| Value::from(router.to_string()));
        map.insert("potential-routers".into(), routers.collect());
    }
}

fn outer_settings(tunnel: &Tunnel, settings: &Settings) -> Vec<(&'static str, Value)> {
    let outer = tunnel.outer;
    let mut list = Vec::new();
    if settings.static_mtu {
        list.push(("static-mtu", settings.mtu.into()));
    } else {
        list.push(("mtu", number_or("auto", settings.mtu)));
        if outer == Family::Ipv4 {
            list.push(("dont-fragment", settings.dont_fragment.as_str().into()));
        }
    }
    list.push(("ttl", number_or("inherit", settings.ttl.map(u8::from))));
    list.push(("min-outer-ttl", u8::from(settings.min_outer_ttl).into()));
    list.push(("dscp", number_or("inherit", settings.dscp)));
    list.push(("dscp-decap", settings.dscp_decap.as_str().into()));
    list.push(("ecn", settings.ecn.as_str().into()));
    if outer == Family::Ipv6 {
        list.push(("encap-limit", number_or("none", settings.encap_limit)));
        list.push(("flow-label", number_or("hash", settings.flow_label)));
        list.push(("udp6-zero-tx", settings.udp6_zero_tx.into()));
        list.push(("udp6-zero-rx", settings.udp6_zero_rx.into()));
    }
    list
}

fn describe_overlay(map: &mut Map<String, Value>, mode: Mode, overlay: &Overlay) {
    map.insert("id".into(), overlay.id.into());
    map.insert("port".into(), overlay.port.into());
    map.insert("udp-checksum".into(), overlay.checksum.into());
    map.insert("l2-pmtu-reply".into(), overlay.tells_too_big.into());
    if mode == Mode::Vxlan {
        map.insert("strict-reserved".into(), overlay.is_strict.into());
        map.insert("vlan-tags".into(), overlay.takes_tags.into());
    }
}

fn describe_remotes(map: &mut Map<String, Value>, remotes: &Remotes) {
    let all = remotes.all.iter().map(|remote| Value::from(remote.to_string()));
    map.insert("remotes".into(), all.collect());
    if !remotes.fixed.is_empty() {
        let fixed = remotes.fixed.iter();
        let fixed = fixed.map(|(station, to)| (station.to_string(), to.to_string().into()));
        map.insert("fdb".into(), Value::Object(fixed.collect()));
    }
    map.insert("mac-learning".into(), remotes.learns.into());
}

fn describe_encap(encap: &Encap) -> Value {
    let mut map = Map::new();
    map.insert("type".into(), encap.kind.as_str().into());
    map.insert("port".into(), encap.port.into());
    map.insert("dport".into(), encap.dport.into());
    map.insert("sport".into(), number_or("auto", encap.sport));
    map.insert("checksum".into(), encap.checksum.into());
    if encap.variant != 0 {
        map.insert("variant".into(), encap.variant.into());
    }
    Value::Object(map)
}

/// Numbers that only one version has are left out where they are 0, so that another version can be said.
fn describe_erspan(version: Version) -> Value {
    let mut map = Map::new();
    let (number, session) = match version {
        Version::One => (0, None),
        Version::Two { session, .. } => (1, Some(session)),
        Version::Three { session, .. } => (2, Some(session)),
    };
    map.insert("version".into(), number.into());
    map.extend(session.map(|session| ("session".to_owned(), session.into())));
    match version {
        Version::Two { index, .. } if index != 0 => {
            map.insert("index".into(), index.into());
        }
        Version::Three { hardware_id, is_egress, .. } => {
            let direction = is_egress
                .map(|is_egress| if is_egress { Direction::Egress } else { Direction::Ingress });
            let direction = direction.map(|one| ("direction".to_owned(), one.as_str().into()));
            map.extend(direction);
            if hardware_id != 0 {
                map.insert("hardware-id".into(), hardware_id.into());
            }
        }
        _ => {}
    }
    Value::Object(map)
}

fn describe_mirror(mirror: &Mirror) -> Value {
    let mut map = Map::new();
    for (key, names) in [("ports", &mirror.ports), ("tunnels", &mirror.tunnels)] {
        if !names.is_empty() {
            map.insert(key.into(), names.iter().map(|name| Value::from(&**name)).collect());
        }
    }
    map.insert("direction".into(), mirror.direction.as_str().into());
    Value::Object(map)
}

fn describe_six_rd(domain: &SixRd) -> Value {
    let relays: Vec<String> = domain.border_relays.iter().map(ToString::to_string).collect();
    json!({
        "prefix": domain.prefix.to_string(),
        "relay-prefix": domain.relay_prefix.to_string(),
        "border-relays": relays,
        "role": domain.role.as_str(),
    })
}

fn describe_labels(labels: &[LabelEntry]) -> Value {
    let entry = |entry: &LabelEntry| {
        let mut map = Map::new();
        match &entry.action {
            LabelAction::Pop(pop) => drop(map.insert("pop".into(), pop.as_str().into())),
            LabelAction::Swap { labels, to } => {
                map.insert("swap".into(), numbers(labels));
                via(&mut map, to);
            }
        }
        (entry.label.to_string(), Value::Object(map))
    };
    Value::Object(labels.iter().map(entry).collect())
}

fn numbers(labels: &Labels) -> Value {
    labels.as_slice().iter().map(|label| Value::from(label.number())).collect()
}

fn gre_settings(settings: &Settings) -> Vec<(&'static str, Value)> {
    vec![
        ("checksum", settings.checksum.into()),
        ("require-checksum", settings.require_checksum.into()),
        ("sequence", settings.sequence.into()),
        ("receive-sequence", settings.receive_sequence.as_str().into()),
        ("require-sequence", settings.require_sequence.into()),
    ]
}

fn common_settings(settings: &Settings) -> Vec<(&'static str, Value)> {
    vec![
        ("fragment", settings.fragment.as_str().into()),
        ("reassembly", settings.reassembly.into()),
        ("reassembly-timeout", settings.reassembly_timeout.as_secs().into()),
        ("pmtu-expiry", settings.pmtu_expiry.as_secs().into()),
        ("pmtu-floor", settings.pmtu_floor.into()),
        ("clamp-tcp-mss", settings.clamp_tcp_mss.into()),
        ("mss-insert", settings.mss_insert.into()),
        ("unsafe-any-peer", settings.unsafe_any_peer.into()),
        ("outer-rpf", settings.outer_rpf.into()),
    ]
}

/// What is about the packets inside, and nothing for frames.
fn inner_settings(settings: &Settings) -> Vec<(&'static str, Value)> {
    let mut list = vec![
        ("multicast", settings.multicast.into()),
        ("hairpin", settings.hairpin.into()),
        ("inner-source", inner_source(&settings.inner_source)),
        ("icmp-relay", settings.icmp_relay.as_str().into()),
        ("relay-admin", settings.relay_admin.into()),
    ];
    if !settings.inner_destination.is_empty() {
        list.push(("inner-destination", texts(&settings.inner_destination)));
    }
    list
}

fn inner_source(source: &InnerSource) -> Value {
    match source {
        InnerSource::Feasible => "feasible".into(),
        InnerSource::Strict => "strict".into(),
        InnerSource::Loose => "loose".into(),
        InnerSource::Off => "off".into(),
        InnerSource::Prefixes(prefixes) => texts(prefixes),
    }
}

/// Whether this version does what the setting says; the vocabulary knows.
fn is_in_force(key: &str, value: &Value) -> bool {
    let Some(key) = vocabulary::TUNNEL.iter().find(|known| known.name == key) else { return false };
    let word = match value {
        Value::Bool(true) => Some("yes"),
        Value::Bool(false) => Some("no"),
        Value::String(text) => match as_boolean(text) {
            Some(true) => Some("yes"),
            Some(false) => Some("no"),
            None => Some(text.as_str()),
        },
        _ => None,
    };
    match key.support {
        Support::Full => true,
        Support::NotYet => false,
        Support::Except(words) => word.is_none_or(|word| !words.contains(&word)),
        Support::Only(words) => word.is_some_and(|word| words.contains(&word)),
    }
}

/// An entry of `routes`.
pub fn describe_route(route: &Route) -> Value {
    let mut map = Map::new();
    map.insert("to".into(), route.to.to_string().into());
    match &route.action {
        RouteAction::Blackhole => drop(map.insert("type".into(), "blackhole".into())),
        RouteAction::Unreachable => drop(map.insert("type".into(), "unreachable".into())),
        RouteAction::Prohibit => drop(map.insert("type".into(), "prohibit".into())),
        RouteAction::NextHops(hops) => match hops.as_slice() {
            [hop] => via(&mut map, &hop.via),
            hops => {
                let hops = hops.iter().map(|hop| {
                    let mut map = Map::new();
                    via(&mut map, &hop.via);
                    map.insert("weight".into(), u16::from(hop.weight).into());
                    Value::Object(map)
                });
                map.insert("next-hops".into(), hops.collect());
            }
        },
    }
    if route.metric != 0 {
        map.insert("metric".into(), route.metric.into());
    }
    Value::Object(map)
}

fn via(map: &mut Map<String, Value>, via: &Via) {
    match via {
        Via::Gateway { address, port } => {
            map.insert("via".into(), address.to_string().into());
            map.insert("port".into(), (&**port).into());
        }
        Via::Tunnel(name) => {
            map.insert("tunnel".into(), (&**name).into());
        }
        Via::Peer { tunnel, address } => {
            map.insert("via".into(), address.to_string().into());
            map.insert("tunnel".into(), (&**tunnel).into());
        }
    }
}

fn texts(nets: &[IpNet]) -> Value {
    nets.iter().map(|net| Value::from(net.to_string())).collect()
}

fn number_or<T: Into<Value>>(word: &str, number: Option<T>) -> Value {
    number.map_or_else(|| word.into(), Into::into)
}

fn rate(per_second: u32) -> String {
    format!("{per_second}/s")
}

#[cfg(test)]
mod tests {
    use super::super::read::as_word;
    use super::super::words::{Idle, Payload};
    use super::super::{Purpose, load_str};
    use super::*;

    #[test]
    fn words_read_back_as_what_they_describe() {
        assert_eq!(as_word::<Idle>(Idle::Sleep.as_str()), Some(Idle::Sleep));
        assert_eq!(as_word::<Payload>(Payload::Ip6ip.as_str()), Some(Payload::Ip6ip));
    }

    #[test]
    fn a_description_loads_as_the_configuration_it_describes() {
        let text = r#"
ports:
  wan: { device: net_tap0, mtu: 9000, queues: 2, offloads: on, rss: inner, dad: off, addresses: [198.51.100.1/24],
         neighbors: { 198.51.100.2: "02:00:00:00:00:02" } }
  six: { device: net_tap1, macaddress: "02:00:00:00:00:09", addresses: ["2001:db8:1::1/64"],
         labels: { 300: { swap: 100, tunnel: m } } }
dataplane: { control-core: 0, worker-cores: [1, 3], idle: sleep, latency: off, eal-args: [--no-pci] }
limits: { icmp-errors: 7/s, decap-depth: 2, unmatched-icmp: proto-unreach }
loopback: { addresses: [192.0.2.1/32] }
tunnels:
  a: { mode: ipip, local: 192.0.2.1, remote: 203.0.113.2, routes: [10.2.0.0/16], ttl: inherit }
  b: { mode: sit, profile: linux, remote: 203.0.113.3, static-mtu: 1300, inner-source: [10.0.0.0/8] }
  c: { mode: any, profile: linux, remote: "2001:db8:2::2", flow-label: 7, dscp: 46, link: six }
  e: { mode: ipip, local: [198.51.100.1, 192.0.2.1], remote: 203.0.113.9 }
  f: { mode: 6rd, local: 198.51.100.1,
       6rd: { prefix: "3fff:db8::/40", relay-prefix: 198.51.0.0/16, border-relays: [203.0.113.7], role: br } }
  m: { mode: mplsip, remote: 203.0.113.10, push: [100, 0],
       labels: { 200: { pop: ip }, 201: { pop: label }, 202: { swap: [7000, 16], via: 198.51.100.2, port: wan } } }
  d: { mode: ipip, profile: routeros, unsafe-any-peer: yes, enabled: no, comment: "yes" }
routes:
  - { to: default, via: 198.51.100.254 }
  - { to: "::/0", via: "fe80::1", port: six }
  - { to: 10.9.0.0/16, metric: 5, next-hops: [{ via: 198.51.100.2, weight: 3 }, { tunnel: a }] }
  - { to: 10.8.0.0/16, type: prohibit }
"#;
        let first = load_str("text", text, Purpose::Run).map_err(|m| m.to_string()).unwrap();
        let json = serde_json::to_string_pretty(&describe(&first.config)).unwrap();
        let again = load_str("json", &json, Purpose::Run).map_err(|m| m.to_string()).unwrap();
        assert_eq!(first.config, again.config);
    }
}
