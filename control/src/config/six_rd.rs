//! `6rd`: the domain that a tunnel of this mode belongs to.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::keys::known_entries;
use super::mistake::MistakeKind;
use super::read;
use super::report::{Field, Report};
use super::tunnel::SixRd;
use super::vocabulary;
use super::words::SixRdRole;
use crate::yaml::Value;

/// RFC 5969 §4: what is delegated is no longer than the half of an address that routers look at.
const DELEGATED_LEN_MAX: u8 = 64;
/// Border relays of one domain.
const RELAYS_MAX: usize = 64;

/// Reads the mapping. `None` if something in it is wrong.
pub(super) fn read(report: &mut Report, field: Field<'_, '_>) -> Option<SixRd> {
    if !matches!(field.node.value, Value::Map(_)) {
        report
            .field(field, MistakeKind::WrongType, "a mapping is expected")
            .advise("write 6rd: { prefix: \"2001:db8::/32\", border-relays: [192.0.2.1] }");
        return None;
    }
    let (mut prefix, mut relay_prefix) = (None, Some(Ipv4Net::default()));
    let (mut border_relays, mut role) = (Some(Vec::new()), Some(SixRdRole::Ce));
    for entry in known_entries(report, field, vocabulary::SIX_RD) {
        let place = field.place.key(&entry.key);
        let field = Field { place: &place, node: &entry.value };
        match &*entry.key {
            "prefix" => prefix = Some(ipv6_prefix(report, field)),
            "relay-prefix" => relay_prefix = ipv4_prefix(report, field),
            "border-relays" => border_relays = relays(report, field),
            _ => role = read::word(report, field),
        }
    }
    let Some(prefix) = prefix else {
        report
            .error(
                &field.place.key("prefix"),
                field.node.mark,
                MistakeKind::Missing,
                "there is no prefix",
            )
            .advise("write prefix: and the IPv6 prefix of the domain; 2002::/16 is 6to4");
        return None;
    };
    let (prefix, relay_prefix) = (prefix?, relay_prefix?);
    let embedded_len = 32 - relay_prefix.prefix_len();
    if prefix.prefix_len() + embedded_len > DELEGATED_LEN_MAX {
        //= RFC 5969 §4: the prefix and the IPv4 address behind it leave 64 bits for the net's hosts.
        let message = format!(
            "{prefix} and {embedded_len} bits of IPv4 addresses are more than {DELEGATED_LEN_MAX} bits"
        );
        report.field(field, MistakeKind::OutOfRange, message).advise(format!(
            "write a prefix of at most {} bits, or what the IPv4 addresses have in common as relay-prefix",
            DELEGATED_LEN_MAX - embedded_len
        ));
        return None;
    }
    Some(SixRd { prefix, relay_prefix, border_relays: border_relays?.into(), role: role? })
}

fn ipv6_prefix(report: &mut Report, field: Field<'_, '_>) -> Option<Ipv6Net> {
    match read::prefix(report, field)? {
        IpNet::V6(net) if (1..=DELEGATED_LEN_MAX).contains(&net.prefix_len()) => Some(net),
        IpNet::V6(net) => {
            let message = format!("{net} is no prefix of a domain");
            report
                .field(field, MistakeKind::OutOfRange, message)
                .advise("write one of 1 to 64 bits");
            None
        }
        IpNet::V4(net) => {
            report
                .field(field, MistakeKind::WrongFamily, format!("{net} is not IPv6"))
                .advise("write the IPv6 prefix of the domain; relay-prefix is that of IPv4");
            None
        }
    }
}

fn ipv4_prefix(report: &mut Report, field: Field<'_, '_>) -> Option<Ipv4Net> {
    match read::prefix(report, field)? {
        IpNet::V4(net) => Some(net),
        IpNet::V6(net) => {
            report
                .field(field, MistakeKind::WrongFamily, format!("{net} is not IPv4"))
                .advise("write what the IPv4 addresses of the domain begin with, as 10.0.0.0/8");
            None
        }
    }
}

/// A list of IPv4 addresses of routers.
pub(super) fn relays(report: &mut Report, field: Field<'_, '_>) -> Option<Vec<Ipv4Addr>> {
    let relays = read::list(report, field, |report, field| match read::address(report, field)? {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(address) => {
            report
                .field(field, MistakeKind::WrongFamily, format!("{address} is not IPv4"))
                .advise("write the IPv4 address of the router");
            None
        }
    })?;
    if relays.len() > RELAYS_MAX {
        let message = format!("a list of {} routers", relays.len());
        report
            .field(field, MistakeKind::OutOfRange, message)
            .advise(format!("write at most {RELAYS_MAX}; packets are shared among them by flow"));
        return None;
    }
    Some(relays)
}
