//! Every key of the configuration language, and which of them this version supports: the one list to change
//! when a key begins to work. Values are here only where some of them are supported and some are not.

/// How far a key is supported.
#[derive(Debug, Clone, Copy)]
pub(super) enum Support {
    /// All of it.
    Full,
    /// Known, and refused.
    NotYet,
    /// Refused with one of these words; `yes` and `no` stand for all their spellings.
    Except(&'static [&'static str]),
    /// Refused but with one of these words.
    Only(&'static [&'static str]),
}

/// A key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) support: Support,
}

const fn key(name: &'static str) -> Key {
    Key { name, support: Support::Full }
}

const fn not_yet(name: &'static str) -> Key {
    Key { name, support: Support::NotYet }
}

const fn except(name: &'static str, words: &'static [&'static str]) -> Key {
    Key { name, support: Support::Except(words) }
}

const fn only(name: &'static str, words: &'static [&'static str]) -> Key {
    Key { name, support: Support::Only(words) }
}

pub(super) const TOP: &[Key] = &[
    key("version"),
    key("include"),
    key("defaults"),
    key("dataplane"),
    key("limits"),
    key("api"),
    key("ports"),
    key("loopback"),
    key("tunnels"),
    key("routes"),
    not_yet("steering"),
    not_yet("groups"),
];

pub(super) const DEFAULTS: &[Key] = &[key("tunnels")];

pub(super) const DATAPLANE: &[Key] = &[
    key("control-core"),
    key("worker-cores"),
    key("burst"),
    key("idle"),
    key("hugepages"),
    key("mbufs"),
    key("latency"),
    key("eal-args"),
    key("spread"),
];

pub(super) const DATAPLANE_LATENCY: &[Key] = &[key("sample")];

pub(super) const LIMITS: &[Key] = &[
    key("icmp-errors"),
    key("icmp-errors-per-source"),
    key("icmp-too-big"),
    key("reassembly-memory"),
    key("reassembly-memory-per-peer"),
    key("nested-encaps"),
    key("decap-depth"),
    key("unmatched-icmp"),
];

pub(super) const API: &[Key] =
    &[key("socket"), not_yet("metrics"), only("per-tunnel-metrics", &["no"])];

pub(super) const PORT: &[Key] = &[
    key("device"),
    key("macaddress"),
    key("mtu"),
    key("queues"),
    key("offloads"),
    key("rss"),
    key("dad"),
    key("addresses"),
    key("neighbors"),
    key("labels"),
];

pub(super) const LOOPBACK: &[Key] = &[key("addresses")];

pub(super) const ROUTE: &[Key] = &[
    key("to"),
    key("via"),
    key("port"),
    key("tunnel"),
    key("type"),
    key("metric"),
    key("next-hops"),
    not_yet("group"),
];

pub(super) const NEXT_HOP: &[Key] = &[key("via"), key("port"), key("tunnel"), key("weight")];

/// Modes of the vocabulary that this version does not terminate.
const LATER_MODES: &[&str] = &["vti", "vti6"];

pub(super) const TUNNEL: &[Key] = &[
    key("profile"),
    except("mode", LATER_MODES),
    key("payload"),
    key("local"),
    key("remote"),
    key("addresses"),
    key("routes"),
    key("link"),
    key("enabled"),
    key("comment"),
    key("latency"),
    key("mtu"),
    key("static-mtu"),
    key("ttl"),
    key("min-outer-ttl"),
    key("dscp"),
    key("dscp-decap"),
    key("ecn"),
    key("dont-fragment"),
    key("fragment"),
    key("reassembly"),
    key("reassembly-timeout"),
    key("pmtu-expiry"),
    key("pmtu-floor"),
    key("clamp-tcp-mss"),
    key("mss-insert"),
    except("multicast", &["yes"]),
    key("hairpin"),
    key("unsafe-any-peer"),
    key("relay-admin"),
    key("inner-source"),
    key("inner-destination"),
    key("outer-rpf"),
    key("icmp-relay"),
    key("encap-limit"),
    key("flow-label"),
    only("keepalive", &["no"]),
    not_yet("keepalive-target"),
    not_yet("keepalive-mode"),
    not_yet("keepalive-evidence"),
    key("key"),
    key("keys"),
    key("checksum"),
    key("require-checksum"),
    key("sequence"),
    key("receive-sequence"),
    key("require-sequence"),
    key("encap"),
    key("udp6-zero-tx"),
    key("udp6-zero-rx"),
    key("id"),
    key("port"),
    key("udp-checksum"),
    key("strict-reserved"),
    key("vlan-tags"),
    key("l2-pmtu-reply"),
    key("remotes"),
    key("fdb"),
    key("mac-learning"),
    key("erspan"),
    key("labels"),
    key("push"),
    key("6rd"),
    key("potential-routers"),
    key("attach"),
    key("mirror"),
    not_yet("ipsec-secret"),
];

/// Of `encap`.
pub(super) const ENCAP: &[Key] =
    &[key("type"), key("port"), key("dport"), key("sport"), key("checksum"), key("variant")];

/// Of `erspan`.
pub(super) const ERSPAN: &[Key] =
    &[key("version"), key("session"), key("index"), key("direction"), key("hardware-id")];

/// Of `mirror`.
pub(super) const MIRROR: &[Key] = &[key("ports"), key("tunnels"), key("direction")];

/// Of `6rd`.
pub(super) const SIX_RD: &[Key] =
    &[key("prefix"), key("relay-prefix"), key("border-relays"), key("role")];

/// Of an entry of `labels`.
pub(super) const LABEL: &[Key] = &[key("pop"), key("swap"), key("via"), key("port"), key("tunnel")];

/// Of `keys`.
pub(super) const KEYS: &[Key] = &[key("input"), key("output")];

/// Keys that every tunnel needs for itself and that `defaults.tunnels` therefore can't set.
pub(super) const NOT_IN_DEFAULTS: &[&str] = &[
    "addresses",
    "routes",
    "attach",
    "id",
    "remotes",
    "fdb",
    "labels",
    "push",
    "erspan",
    "mirror",
];

/// What other systems, or habit, call a key.
pub(super) const ELSEWHERE: &[(&str, &str)] = &[
    ("address", "addresses"),
    ("ip", "addresses"),
    ("allow-fast-path", "profile"),
    ("clamp-mss", "clamp-tcp-mss"),
    ("core", "worker-cores"),
    ("cores", "worker-cores"),
    ("workers", "worker-cores"),
    ("description", "comment"),
    ("dev", "link"),
    ("df", "dont-fragment"),
    ("disabled", "enabled"),
    ("encaplimit", "encap-limit"),
    ("flowlabel", "flow-label"),
    ("frag", "fragment"),
    ("gateway", "via"),
    ("gateway4", "via"),
    ("gw", "via"),
    ("hop-limit", "ttl"),
    ("hoplimit", "ttl"),
    ("interfaces", "ports"),
    ("ethernets", "ports"),
    ("lo", "loopback"),
    ("local-address", "local"),
    ("mac", "macaddress"),
    ("neighbours", "neighbors"),
    ("nexthop", "next-hops"),
    ("nexthops", "next-hops"),
    ("on", "link"),
    ("pci", "device"),
    ("pmtudisc", "dont-fragment"),
    ("remote-address", "remote"),
    ("tclass", "dscp"),
    ("tos", "dscp"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_section_lists_a_key_twice() {
        let sections =
            [TOP, DEFAULTS, DATAPLANE, LIMITS, API, PORT, LOOPBACK, ROUTE, NEXT_HOP, TUNNEL];
        for section in sections {
            let mut names: Vec<_> = section.iter().map(|key| key.name).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{names:?}");
        }
    }

    #[test]
    fn what_other_systems_call_a_key_leads_to_a_key_of_ours() {
        let all = [TOP, DATAPLANE, PORT, ROUTE, TUNNEL].concat();
        for (_, ours) in ELSEWHERE {
            assert!(all.iter().any(|key| key.name == *ours), "{ours}");
        }
    }

    #[test]
    fn the_reference_configuration_has_every_key_that_is_supported() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/reference.yaml");
        let text = std::fs::read_to_string(path).unwrap();
        let sections = [
            TOP, DEFAULTS, DATAPLANE, LIMITS, API, PORT, LOOPBACK, ROUTE, NEXT_HOP, TUNNEL, ENCAP,
            SIX_RD, LABEL, KEYS,
        ];
        let supported =
            sections.concat().into_iter().filter(|key| !matches!(key.support, Support::NotYet));
        let is_there = |name: &str| {
            let key = format!("{name}:");
            let at = text.match_indices(&key).map(|(at, _)| at);
            let mut before = at.map(|at| text[..at].chars().next_back());
            before.any(|char| char.is_none_or(|char| char.is_whitespace() || char == '{'))
        };
        let missing: Vec<_> =
            supported.map(|key| key.name).filter(|name| !is_there(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
