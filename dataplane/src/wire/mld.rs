//! Multicast listener discovery, versions 1 (RFC 2710) and 2 (RFC 3810), as far as a node needs it that
//! listens to the solicited-node groups of its addresses: reports of them, and the queries that ask for
//! reports.
//!
//! Switches that snoop pass solicitations on to listeners alone, so a node that reports nothing can't
//! be found behind them. Who answers when, and in which version, is the state machine's of the control side.

use core::net::Ipv6Addr;
use core::time::Duration;

use super::ethernet::{self, MacAddress, ether_type};
use super::ipv6::{self, Ipv6, Ipv6Fields};
use super::{checksum, nd, protocol, read_u16, read_u128, write_u16};

/// `ff02::16`, where reports go: to all routers and switches that listen for them.
pub const REPORTS_TO: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// `ff02::2`
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// Groups in one report.
pub const RECORDS_MAX: usize = 9;

/// Sources of one group in one report.
pub const SOURCES_MAX: usize = 10;

/// The longest frame that is made here.
pub const FRAME_LEN_MAX: usize =
    ethernet::HEADER_LEN + ipv6::HEADER_LEN + ALERT.len() + HEADER_LEN + RECORDS_MAX * RECORD_LEN;

/// Bytes of a report without records.
const HEADER_LEN: usize = 8;
/// Bytes of a record without sources.
const RECORD_LEN: usize = 20;
/// Bytes of the shortest query of version 2.
const QUERY_LEN: usize = 28;
/// Bytes of a message of version 1.
const MESSAGE_V1_LEN: usize = 24;

const _: () = assert!(RECORD_LEN + SOURCES_MAX * 16 <= RECORDS_MAX * RECORD_LEN);

/// Messages don't leave the link.
const HOP_LIMIT: u8 = 1;

/// Hop-by-hop options: router alert (RFC 2711) with the value for these messages, and padding.
const ALERT: [u8; 8] = [protocol::ICMPV6, 0, 5, 2, 0, 0, 1, 0];

mod kind {
    pub(super) const QUERY: u8 = 130;
    pub(super) const REPORT_V1: u8 = 131;
    pub(super) const DONE_V1: u8 = 132;
    pub(super) const REPORT: u8 = 143;
}

/// The kind of a record that lists sources which are listened to.
const MODE_IS_INCLUDE: u8 = 1;

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
    frame(mac, source, REPORTS_TO, message)
}

/// The frame that says that of one group the packets of these sources are listened to, at most
/// [`SOURCES_MAX`]: the answer to who asks for sources.
pub fn report_sources(
    mac: MacAddress,
    source: Ipv6Addr,
    group: Ipv6Addr,
    sources: &[Ipv6Addr],
) -> Vec<u8> {
    let sources = sources.get(..SOURCES_MAX).unwrap_or(sources);
    let count = u16::try_from(sources.len()).unwrap_or(0).to_be_bytes();
    let mut message = vec![kind::REPORT, 0, 0, 0, 0, 0, 0, 1];
    message.extend([MODE_IS_INCLUDE, 0, count[0], count[1]]);
    message.extend(group.octets());
    for source in sources {
        message.extend(source.octets());
    }
    frame(mac, source, REPORTS_TO, message)
}

/// The frame of version 1 that says that `group` is listened to.
pub fn report_v1(mac: MacAddress, source: Ipv6Addr, group: Ipv6Addr) -> Vec<u8> {
    //= RFC 2710 §5: a report goes to the group that it is about.
    frame(mac, source, group, message_v1(kind::REPORT_V1, group))
}

/// The frame of version 1 that says that `group` is not listened to any more.
pub fn done_v1(mac: MacAddress, source: Ipv6Addr, group: Ipv6Addr) -> Vec<u8> {
    //= RFC 2710 §5: that goes to all routers.
    frame(mac, source, ALL_ROUTERS, message_v1(kind::DONE_V1, group))
}

fn message_v1(kind: u8, group: Ipv6Addr) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &group.octets()].concat()
}

/// The frame with a message whose checksum is still 0.
fn frame(
    mac: MacAddress,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    mut message: Vec<u8>,
) -> Vec<u8> {
    let fields = Ipv6Fields {
        traffic_class: 0,
        flow_label: 0,
        payload_len: u16::try_from(ALERT.len() + message.len()).unwrap_or(0),
        next_header: protocol::HOP_BY_HOP,
        hop_limit: HOP_LIMIT,
        source,
        destination,
    };
    let header = fields.header();
    let sum = sum(&header[ipv6::offset::SOURCE..], &message);
    write_u16(&mut message, 2, sum);
    let kind = ether_type::IPV6.to_be_bytes();
    let link = [&nd::group_mac(destination).0[..], &mac.0, &kind].concat();
    [&link[..], &header, &ALERT, &message].concat()
}

/// Which version of the protocol somebody speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 2710.
    One,
    /// RFC 3810.
    Two,
}

/// A valid query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// What the querier speaks.
    pub version: Version,
    /// The group that is asked for; `None`: all.
    pub group: Option<Ipv6Addr>,
    /// The sources of that group that are asked for; none: it does not matter who sends.
    pub sources: Vec<Ipv6Addr>,
    /// How long the answer may take at most.
    pub delay: Duration,
}

/// What the packet at an IPv6 header asks, if it is a valid query.
pub fn query(packet: &[u8]) -> Option<Query> {
    let (ip, message) = valid_message(packet)?;
    if message.first() != Some(&kind::QUERY) {
        return None;
    }
    //= RFC 3810 §8.1: 24 bytes are version 1, 28 or more version 2, and what is between is ignored.
    let version = match message.len() {
        MESSAGE_V1_LEN => Version::One,
        QUERY_LEN.. => Version::Two,
        _ => return None,
    };
    let group = Ipv6Addr::from(read_u128(message, 8));
    let count = if version == Version::Two { usize::from(read_u16(message, 26)) } else { 0 };
    let sources = message.get(QUERY_LEN..QUERY_LEN + count * 16);
    let sources = if count == 0 { &[] } else { sources? };
    let group = (!group.is_unspecified()).then_some(group);
    let is_sound = match group {
        //= RFC 3810 §5.1.10: who asks for all groups names no sources.
        None => count == 0,
        //= RFC 2710 §5, RFC 3810 §5.1.15: one group is asked for at the group itself, or by unicast.
        Some(group) => {
            let to = Ipv6Addr::from(ip.destination());
            group.is_multicast() && (to == group || to == nd::ALL_NODES || !to.is_multicast())
        }
    };
    let delay = match version {
        Version::One => Duration::from_millis(read_u16(message, 4).into()),
        Version::Two => response_delay(read_u16(message, 4)),
    };
    let (sources, _) = sources.as_chunks::<16>();
    let sources = sources.iter().map(|source| Ipv6Addr::from(*source)).collect();
    is_sound.then_some(Query { version, group, sources, delay })
}

/// The group that somebody listens to who reports it in version 1, if the packet at an IPv6 header is a
/// valid report.
pub fn heard_report_v1(packet: &[u8]) -> Option<Ipv6Addr> {
    let (ip, message) = valid_message(packet)?;
    let is_report = message.first() == Some(&kind::REPORT_V1) && message.len() >= MESSAGE_V1_LEN;
    let group = Ipv6Addr::from(read_u128(message, 8));
    (is_report && Ipv6Addr::from(ip.destination()) == group).then_some(group)
}

/// The message that the packet at an IPv6 header carries, if it is one of this protocol, whole and from
/// this link.
fn valid_message(packet: &[u8]) -> Option<(Ipv6<'_>, &[u8])> {
    let ip = Ipv6::parse(packet).ok()?;
    let payload = ip.bytes().get(ipv6::HEADER_LEN..)?;
    let (options, message) = payload.split_first_chunk::<{ ALERT.len() }>()?;
    //= RFC 3810 §6.2, RFC 2710 §3: from a link-local address, with hop limit 1 and a router alert.
    let is_alert = ip.next_header() == protocol::HOP_BY_HOP
        && options[..2] == ALERT[..2]
        && options[2..].windows(4).any(|option| option == &ALERT[2..6]);
    let is_near =
        ip.hop_limit() == HOP_LIMIT && Ipv6Addr::from(ip.source()).is_unicast_link_local();
    if !(is_alert && is_near && message.len() >= MESSAGE_V1_LEN) {
        return None;
    }
    let addresses = ip.bytes().get(ipv6::offset::SOURCE..ipv6::HEADER_LEN)?;
    (sum(addresses, message) == 0).then_some((ip, message))
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

    /// A general query of version 2, from its IPv6 header on.
    fn general_query(code: u16) -> Vec<u8> {
        let mut message = [0; QUERY_LEN];
        message[0] = kind::QUERY;
        message[4..6].copy_from_slice(&code.to_be_bytes());
        packet(nd::ALL_NODES, &message)
    }

    /// A query for one group and these sources.
    fn group_query(destination: Ipv6Addr, group: Ipv6Addr, sources: &[Ipv6Addr]) -> Vec<u8> {
        let mut message = vec![kind::QUERY, 0, 0, 0, 0x03, 0xe8, 0, 0];
        message.extend(group.octets());
        message.extend([2, 125, 0, u8::try_from(sources.len()).unwrap()]);
        for source in sources {
            message.extend(source.octets());
        }
        packet(destination, &message)
    }

    /// A message in a packet that says what those of this protocol say, its checksum made by etherparse.
    fn packet(destination: Ipv6Addr, message: &[u8]) -> Vec<u8> {
        let source = link_local();
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
        let payload_len = u16::try_from(ALERT.len() + message.len()).unwrap();
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
            let query = query(&general_query(code)).unwrap();
            assert_eq!(query.delay, Duration::from_millis(millis));
            assert_eq!((query.version, query.group, query.sources), (Version::Two, None, vec![]));
        }
        //= RFC 3810 §5.1.3: the most that can be said is 8387584 ms.
        let longest = query(&general_query(0xffff)).unwrap().delay;
        assert_eq!(longest, Duration::from_millis(8_387_584));
    }

    #[test]
    fn a_query_of_24_bytes_is_of_version_1_and_its_delay_is_milliseconds_whatever_it_is() {
        let general = [&[130, 0, 0, 0, 0xff, 0xff, 0, 0][..], &[0; 16]].concat();
        let query_of = |message: &[u8]| query(&packet(nd::ALL_NODES, message));
        let expected = Query {
            version: Version::One,
            group: None,
            sources: Vec::new(),
            delay: Duration::from_millis(65_535),
        };
        assert_eq!(query_of(&general), Some(expected));
        for len in [8, 16, 25, 26, 27] {
            let other: Vec<u8> = general.iter().copied().chain([0; 8]).take(len).collect();
            assert_eq!(query_of(&other), None, "{len} bytes are of no version");
        }
    }

    #[test]
    fn a_query_names_a_group_and_its_sources() {
        let group: Ipv6Addr = "ff02::1:ff00:1".parse().unwrap();
        let sources = ["2001:db8::1", "2001:db8::2"].map(|source| source.parse().unwrap());
        let read = query(&group_query(group, group, &sources)).unwrap();
        assert_eq!((read.group, &read.sources[..]), (Some(group), &sources[..]));
        assert_eq!(read.delay, Duration::from_secs(1));
        let read = query(&group_query(group, group, &[])).unwrap();
        assert_eq!((read.group, read.sources), (Some(group), vec![]));
        let other = "ff02::1:ff00:2".parse().unwrap();
        assert_eq!(query(&group_query(other, group, &[])), None, "at another group");
        assert!(query(&group_query(link_local(), group, &[])).is_some(), "at this node alone");
        let host = "2001:db8::1".parse().unwrap();
        assert_eq!(query(&group_query(nd::ALL_NODES, host, &[])), None, "a host is no group");
        let all = group_query(nd::ALL_NODES, Ipv6Addr::UNSPECIFIED, &sources);
        assert_eq!(query(&all), None, "sources of no group");
        let message = [&[130, 0, 0, 0, 0, 0, 0, 0][..], &group.octets(), &[0, 0, 0, 1]].concat();
        assert_eq!(query(&packet(group, &message)), None, "a source that is not there");
    }

    #[test]
    fn an_answer_about_sources_lists_them_as_figure_5_2_of_rfc_3810_says() {
        let group: Ipv6Addr = "ff02::1:ff00:1".parse().unwrap();
        let sources = [Ipv6Addr::LOCALHOST; SOURCES_MAX + 1];
        let frame = report_sources(MAC, link_local(), group, &sources[..2]);
        let header = Ipv6HeaderSlice::from_slice(&frame[14..]).unwrap();
        let message = Icmpv6Slice::from_slice(&frame[62..]).unwrap();
        assert!(message.is_checksum_valid(header.source(), header.destination()));
        assert_eq!(frame[66..74], [0, 0, 0, 1, 1, 0, 0, 2]);
        assert_eq!(frame[74..90], group.octets());
        assert_eq!(frame.len(), 90 + 32);
        assert!(report_sources(MAC, link_local(), group, &sources).len() <= FRAME_LEN_MAX);
    }

    #[test]
    fn reports_of_version_1_go_to_their_group_and_the_end_of_listening_to_all_routers() {
        let group: Ipv6Addr = "ff02::1:ff00:1".parse().unwrap();
        for (frame, kind, to, mac) in [
            (report_v1(MAC, link_local(), group), 131, group, [0x33, 0x33, 0xff, 0, 0, 1]),
            (done_v1(MAC, link_local(), group), 132, ALL_ROUTERS, [0x33, 0x33, 0, 0, 0, 2]),
        ] {
            assert_eq!(frame[..6], mac);
            let header = Ipv6HeaderSlice::from_slice(&frame[14..]).unwrap();
            assert_eq!((header.hop_limit(), header.destination_addr()), (1, to));
            assert_eq!(frame[54..62], [58, 0, 5, 2, 0, 0, 1, 0]);
            let message = Icmpv6Slice::from_slice(&frame[62..]).unwrap();
            assert!(message.is_checksum_valid(header.source(), header.destination()));
            assert_eq!(frame[62..64], [kind, 0]);
            assert_eq!(frame[66..], [&[0; 4][..], &group.octets()].concat());
            let heard = heard_report_v1(&frame[14..]);
            assert_eq!(heard, (kind == 131).then_some(group));
        }
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
            heard_report_v1(&bytes);
        }
    }
}
