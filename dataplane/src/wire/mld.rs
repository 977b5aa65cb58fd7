//! Multicast listener discovery, version 2 (RFC 3810), as far as a node needs it that listens to the
//! solicited-node groups of its addresses: reports of them, and the queries that ask for reports.
//!
//! Switches that snoop pass solicitations on to listeners alone, so a node that reports nothing can't
//! be found behind them. Queries of version 1 are not answered.

use core::net::Ipv6Addr;
use core::time::Duration;

use super::ethernet::{self, MacAddress, ether_type};
use super::ipv6::{self, Ipv6, Ipv6Fields};
use super::{checksum, nd, protocol, read_u16, write_u16};

/// `ff02::16`, where reports go: to all routers and switches that listen for them.
pub const REPORTS_TO: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// Groups in one report.
pub const RECORDS_MAX: usize = 9;

/// The longest frame that is made here.
pub const FRAME_LEN_MAX: usize =
    ethernet::HEADER_LEN + ipv6::HEADER_LEN + ALERT.len() + HEADER_LEN + RECORDS_MAX * RECORD_LEN;

/// Bytes of a report without records.
const HEADER_LEN: usize = 8;
/// Bytes of a record without sources.
const RECORD_LEN: usize = 20;
/// Bytes of the shortest query of version 2; those of version 1 have 24.
const QUERY_LEN: usize = 28;

/// Messages don't leave the link.
const HOP_LIMIT: u8 = 1;

/// Hop-by-hop options: router alert (RFC 2711) with the value for these messages, and padding.
const ALERT: [u8; 8] = [protocol::ICMPV6, 0, 5, 2, 0, 0, 1, 0];

mod kind {
    pub(super) const QUERY: u8 = 130;
    pub(super) const REPORT: u8 = 143;
}

/// What is reported of a group. We listen to all sources or to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Record {
    /// As before: it is listened to. The answer to a query.
    Listening = 2,
    /// It is not listened to any more.
    Left = 3,
    /// It is listened to from now on.
    Joined = 4,
}

/// The frame, from station `mac` and its link-local address `source`, that says this about the first
/// [`RECORDS_MAX`] of `groups`.
pub fn report(mac: MacAddress, source: Ipv6Addr, record: Record, groups: &[Ipv6Addr]) -> Vec<u8> {
    let groups = groups.get(..RECORDS_MAX).unwrap_or(groups);
    let count = u16::try_from(groups.len()).unwrap_or(0);
    let mut message = vec![kind::REPORT, 0, 0, 0, 0, 0];
    message.extend(count.to_be_bytes());
    for group in groups {
        message.extend([record as u8, 0, 0, 0]);
        message.extend(group.octets());
    }
    let fields = Ipv6Fields {
        traffic_class: 0,
        flow_label: 0,
        payload_len: u16::try_from(ALERT.len() + message.len()).unwrap_or(0),
        next_header: protocol::HOP_BY_HOP,
        hop_limit: HOP_LIMIT,
        source,
        destination: REPORTS_TO,
    };
    let header = fields.header();
    let sum = sum(&header[ipv6::offset::SOURCE..], &message);
    write_u16(&mut message, 2, sum);
    let kind = ether_type::IPV6.to_be_bytes();
    let link = [&nd::group_mac(REPORTS_TO).0[..], &mac.0, &kind].concat();
    [&link[..], &header, &ALERT, &message].concat()
}

/// Whether the packet at an IPv6 header is a valid query of version 2, and how long the answer may
/// take at most.
pub fn query(packet: &[u8]) -> Option<Duration> {
    let ip = Ipv6::parse(packet).ok()?;
    let payload = ip.bytes().get(ipv6::HEADER_LEN..)?;
    let (options, message) = payload.split_first_chunk::<{ ALERT.len() }>()?;
    //= RFC 3810 §6.2: a query comes from a link-local address, with hop limit 1 and a router alert.
    let is_alert = ip.next_header() == protocol::HOP_BY_HOP
        && options[..2] == ALERT[..2]
        && options[2..].windows(4).any(|option| option == &ALERT[2..6]);
    let is_near =
        ip.hop_limit() == HOP_LIMIT && Ipv6Addr::from(ip.source()).is_unicast_link_local();
    let is_query = message.first() == Some(&kind::QUERY) && message.len() >= QUERY_LEN;
    if !(is_alert && is_near && is_query) {
        return None;
    }
    let addresses = ip.bytes().get(ipv6::offset::SOURCE..ipv6::HEADER_LEN)?;
    (sum(addresses, message) == 0).then(|| response_delay(read_u16(message, 4)))
}

/// The delay that a code of 16 bits says.
fn response_delay(code: u16) -> Duration {
    //= RFC 3810 §5.1.3: from 32768 on, a floating-point number of milliseconds: 3 bits of exponent, 12
    //= of mantissa.
    let millis = match u32::from(code) {
        code @ 0..0x8000 => code,
        code => (code & 0xfff | 0x1000) << ((code >> 12 & 7) + 3),
    };
    Duration::from_millis(millis.into())
}

/// The checksum over addresses and message: what to write, or 0 when the written one is right.
fn sum(addresses: &[u8], message: &[u8]) -> u16 {
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let start = checksum::pseudo_header(addresses, protocol::ICMPV6, len);
    !checksum::fold(checksum::sum(start, message))
}

#[cfg(test)]
mod tests {
    use etherparse::{Icmpv6Slice, Ipv6HeaderSlice};
    use proptest::prelude::*;

    use super::*;

    const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

    fn link_local() -> Ipv6Addr {
        nd::link_local(MAC)
    }

    #[test]
    fn a_report_is_what_figure_5_1_of_rfc_3810_says_and_its_checksum_is_right() {
        let groups = ["ff02::1:ff00:1", "ff02::1:ff00:2"].map(|group| group.parse().unwrap());
        let frame = report(MAC, link_local(), Record::Joined, &groups);
        assert_eq!(frame[..14], [0x33, 0x33, 0, 0, 0, 0x16, 2, 0, 0, 0, 0, 1, 0x86, 0xdd]);
        let header = Ipv6HeaderSlice::from_slice(&frame[14..]).unwrap();
        assert_eq!((header.hop_limit(), header.next_header().0), (1, 0));
        assert_eq!((header.source_addr(), header.destination_addr()), (link_local(), REPORTS_TO));
        assert_eq!(usize::from(header.payload_length()), frame.len() - 54);
        assert_eq!(frame[54..62], [58, 0, 5, 2, 0, 0, 1, 0]);
        let message = Icmpv6Slice::from_slice(&frame[62..]).unwrap();
        assert!(message.is_checksum_valid(header.source(), header.destination()));
        assert_eq!(frame[62..64], [143, 0]);
        assert_eq!(frame[66..70], [0, 0, 0, 2]);
        assert_eq!(frame[70..74], [4, 0, 0, 0]);
        assert_eq!(frame[74..90], groups[0].octets());
        assert_eq!(frame[94..], groups[1].octets());
    }

    #[test]
    fn a_report_has_as_many_groups_as_fit_and_no_more() {
        let groups = [Ipv6Addr::LOCALHOST; RECORDS_MAX + 3];
        let frame = report(MAC, link_local(), Record::Listening, &groups);
        assert_eq!((frame.len(), frame[69]), (FRAME_LEN_MAX, 9));
    }

    /// A general query, from its IPv6 header on.
    fn general_query(code: u16) -> Vec<u8> {
        let mut message = [0; QUERY_LEN];
        message[0] = kind::QUERY;
        message[4..6].copy_from_slice(&code.to_be_bytes());
        let (source, destination) = (link_local(), nd::ALL_NODES);
        let icmp = etherparse::Icmpv6Header::with_checksum(
            etherparse::Icmpv6Type::Unknown {
                type_u8: message[0],
                code_u8: 0,
                bytes5to8: *message[4..].first_chunk().unwrap(),
            },
            source.octets(),
            destination.octets(),
            &message[8..],
        );
        let icmp = icmp.unwrap().to_bytes();
        let payload_len = u16::try_from(ALERT.len() + QUERY_LEN).unwrap();
        let (traffic_class, flow_label, hop_limit) = (0, 0, 1);
        let next_header = protocol::HOP_BY_HOP;
        let fields = Ipv6Fields {
            traffic_class,
            flow_label,
            payload_len,
            next_header,
            hop_limit,
            source,
            destination,
        };
        [&fields.header()[..], &ALERT, &icmp, &message[8..]].concat()
    }

    #[test]
    fn a_query_tells_how_long_the_answer_may_take() {
        for (code, millis) in [(0, 0), (10_000, 10_000), (0x7fff, 32_767), (0x8000, 32_768)] {
            assert_eq!(query(&general_query(code)), Some(Duration::from_millis(millis)));
        }
        //= RFC 3810 §5.1.3: the most that can be said is 8387584 ms.
        assert_eq!(query(&general_query(0xffff)), Some(Duration::from_millis(8_387_584)));
    }

    #[test]
    fn what_is_no_valid_query_is_none() {
        let good = general_query(1000);
        for (at, value, what) in [
            (7, 2, "hop limit"),
            (8, 0x20, "source"),
            (6, 58, "no hop-by-hop options"),
            (42, 1, "no router alert"),
            (48, 131, "kind"),
            (53, 1, "checksum"),
        ] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(query(&bad), None, "{what}");
        }
        assert_eq!(query(&good[..good.len() - 1]), None, "cut short");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_within_the_packet(mut bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Some(first) = bytes.first_mut() {
                *first = 0x60;
            }
            query(&bytes);
        }
    }
}
