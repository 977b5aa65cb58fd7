//! Packets as hosts send them, at random: mostly ordinary ones.

use proptest::prelude::*;

use super::frames::{Ip, ip};
use super::specimens::{ACK, SYN};

/// Addresses of hosts here and there, of both families, and some that are nobody's.
pub(crate) const HERE: [[&str; 2]; 5] = [
    ["10.1.0.5", "2001:db8:1::5"],
    ["10.1.0.77", "2001:db8:1::77"],
    ["203.0.113.9", "2001:db8:200::9"],
    ["172.16.0.1", "2001:db8:9999::1"],
    ["203.0.113.2", "2001:db8:200::2"],
];
pub(crate) const THERE: [[&str; 2]; 9] = [
    ["10.2.0.8", "2001:db8:2::8"],
    ["10.3.0.8", "2001:db8:3::8"],
    ["10.4.0.8", "2001:db8:4::8"],
    ["10.5.0.8", "2001:db8:5::8"],
    ["10.6.0.8", "2001:db8:6::8"],
    ["10.24.0.8", "2001:db8:24::8"],
    ["203.0.113.2", "2001:db8:200::2"],
    ["192.168.50.1", "2001:db8:50::1"],
    ["10.1.0.1", "2001:db8:1::1"],
];
const NOBODY: [[&str; 2]; 4] =
    [["0.0.0.0", "::"], ["127.0.0.1", "::1"], ["224.0.0.5", "ff02::5"], ["10.1.0.255", "fe80::5"]];

/// What is said in a header of an ordinary packet, by numbers that stand for the cases that count.
#[derive(Clone, Debug)]
pub(crate) struct Ordinary {
    family: usize,
    from: [&'static str; 2],
    to: [&'static str; 2],
    pub(crate) tos: u8,
    ttl: u8,
    dont_fragment: bool,
    len: usize,
    /// Flags and options of TCP; none: UDP.
    tcp: Option<(u8, &'static [u8])>,
}

/// Options of TCP: a size at an even offset, one at an odd, none, and what can't be read.
const OPTIONS: [&[u8]; 4] =
    [&[2, 4, 5, 0xb4], &[1, 2, 4, 5, 0xb4, 1, 1, 1], &[], &[2, 4, 5, 0xb4, 3, 0, 0, 0]];

fn address(usual: &'static [[&'static str; 2]]) -> impl Strategy<Value = [&'static str; 2]> {
    prop_oneof![
        12 => prop::sample::select(usual),
        1 => prop::sample::select(&HERE[..]),
        1 => prop::sample::select(&NOBODY[..]),
    ]
}

pub(crate) fn ordinary(
    from: &'static [[&'static str; 2]],
    to: &'static [[&'static str; 2]],
) -> impl Strategy<Value = Ordinary> {
    let ttl = prop_oneof![4 => Just(64), 1 => 0_u8..4, 1 => any::<u8>()];
    let sizes = [98, 99, 100, 101, 1420, 1421, 1452, 1453, 1460, 1461, 1480, 1481, 1500, 1501];
    let len = prop_oneof![48_usize..200, 0_usize..48, prop::sample::select(sizes.to_vec())];
    let tcp = (prop_oneof![Just(SYN), Just(SYN | ACK), Just(ACK), any::<u8>()], 0..OPTIONS.len());
    let tcp = prop::option::weighted(0.3, tcp.prop_map(|(flags, which)| (flags, OPTIONS[which])));
    let header =
        (0_usize..2, address(from), address(to), any::<u8>(), ttl, any::<bool>(), len, tcp);
    header.prop_map(|(family, from, to, tos, ttl, dont_fragment, len, tcp)| Ordinary {
        family,
        from,
        to,
        tos,
        ttl,
        dont_fragment,
        len,
        tcp,
    })
}

impl Ordinary {
    /// A packet, which is too short for its upper layer where it is to be.
    pub(crate) fn packet(&self) -> Vec<u8> {
        let header_len = if self.family == 0 { 20 } else { 40 };
        if let Some((flags, options)) = self.tcp {
            let data = vec![7; self.len.saturating_sub(header_len + 20 + options.len())];
            return self.header().tcp(flags, options, &data);
        }
        match self.len.saturating_sub(header_len) {
            len @ 0..8 => self.header().carrying(17, &[0x77; 8][..len]),
            _ => self.header().udp(self.len),
        }
    }

    fn header(&self) -> Ip {
        let header = ip(self.from[self.family], self.to[self.family]).tos(self.tos).ttl(self.ttl);
        if self.dont_fragment { header } else { header.may_be_cut() }
    }
}
