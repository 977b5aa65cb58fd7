//! The extension headers of an IPv6 packet, one by one, and the one option that tunnels look for
//! in them: the tunnel encapsulation limit (RFC 2473 §4.1.1).
//!
//! [`Ipv6::upper_layer`](crate::wire::ipv6::Ipv6::upper_layer) judges a packet on its way in; this
//! walk is for what needs the headers themselves. It stops at the first thing it can't read.

use crate::wire::ipv6::{EXTENSIONS_MAX, HEADER_LEN, offset};
use crate::wire::{protocol, read_u16};

/// One extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// What it is: a number of [`protocol`].
    pub kind: u8,
    /// Where it begins, from the start of the IPv6 header.
    pub at: usize,
    /// Its bytes.
    pub len: usize,
    /// What follows it.
    pub next: u8,
}

/// Walks over the extension headers of an IPv6 packet, at most [`EXTENSIONS_MAX`] of them. Ends
/// before a header that is none, that is cut short, or that can't be read (ESP); and behind the
/// fragment header of a fragment that is not the first, where a piece of something follows.
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    packet: &'a [u8],
    next: u8,
    named_at: usize,
    at: usize,
    left: usize,
    is_at_piece: bool,
}

impl<'a> Extensions<'a> {
    /// For the packet that begins with the IPv6 header.
    pub fn new(packet: &'a [u8]) -> Self {
        let next = packet.get(offset::NEXT_HEADER).copied().unwrap_or(protocol::NO_NEXT_HEADER);
        let named_at = offset::NEXT_HEADER;
        Self { packet, next, named_at, at: HEADER_LEN, left: EXTENSIONS_MAX, is_at_piece: false }
    }

    /// The number of the header that comes next: after the last item, of the upper layer.
    pub fn next_header(&self) -> u8 {
        self.next
    }

    /// Where that header begins.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Where the byte is that says what comes next.
    pub fn named_at(&self) -> usize {
        self.named_at
    }

    /// Whether the walk has come to the payload of a fragment that is not the first.
    pub fn is_at_piece(&self) -> bool {
        self.is_at_piece
    }
}

/// Whether a next header is an extension header that can be walked over.
pub const fn is_extension(kind: u8) -> bool {
    matches!(
        kind,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AH
            | protocol::DESTINATION_OPTIONS
    )
}

impl Iterator for Extensions<'_> {
    type Item = Extension;

    fn next(&mut self) -> Option<Extension> {
        let header = self.packet.get(self.at..)?;
        let &[next, len_field] = header.first_chunk::<2>()?;
        let len = match self.next {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                (usize::from(len_field) + 1) * 8
            }
            protocol::FRAGMENT => 8,
            //= RFC 4302 §2.2: the length of AH is in units of four bytes, less two.
            protocol::AH => (usize::from(len_field) + 2) * 4,
            _ => return None,
        };
        if self.left == 0 || self.is_at_piece || header.len() < len {
            return None;
        }
        self.is_at_piece = self.next == protocol::FRAGMENT && read_u16(header, 2) & 0xfff8 != 0;
        let found = Extension { kind: self.next, at: self.at, len, next };
        self.left -= 1;
        self.next = next;
        self.named_at = self.at;
        self.at += len;
        Some(found)
    }
}

/// What a packet says about being put into further tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncapLimit {
    /// Nothing.
    Absent,
    /// It may be encapsulated this many more times.
    Present {
        /// How many times.
        value: u8,
        /// Where the value is, from the start of the IPv6 header.
        pointer: u16,
    },
}

const OPTION_PAD_1: u8 = 0;
const OPTION_PAD_N: u8 = 1;
const OPTION_ENCAP_LIMIT: u8 = 4;
const OPTION_ROUTER_ALERT: u8 = 5;

/// Looks for the tunnel encapsulation limit of an IPv6 packet.
pub fn encap_limit(packet: &[u8]) -> EncapLimit {
    //= RFC 2473 §4.1.1: from left to right, until an encapsulation limit, another IPv6 header, a
    //= header that is no extension header, or one that can't be read.
    for extension in Extensions::new(packet) {
        if extension.kind != protocol::DESTINATION_OPTIONS {
            continue;
        }
        for option in Options::of(packet, extension) {
            let Ok(option) = option else { return EncapLimit::Absent };
            if option.kind != OPTION_ENCAP_LIMIT || option.len != 1 {
                continue;
            }
            if let (Some(&value), Ok(pointer)) =
                (packet.get(option.at + 2), u16::try_from(option.at + 2))
            {
                return EncapLimit::Present { value, pointer };
            }
        }
    }
    EncapLimit::Absent
}

/// An option that nobody here knows, and that forbids to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedOption {
    /// The packet is dropped in silence.
    Silent,
    /// Its sender is told where the option is, from the start of the IPv6 header.
    Reported(u16),
}

/// Looks for the first option that forbids to go on: among the hop-by-hop options alone, which
/// every node on the way reads, or for a packet to this node (`is_ours`) in all headers.
pub fn refused_option(packet: &[u8], is_ours: bool) -> Option<RefusedOption> {
    let is_group = packet.get(offset::DESTINATION) == Some(&0xff);
    for extension in Extensions::new(packet) {
        let has_options = extension.kind == protocol::HOP_BY_HOP
            || (is_ours && extension.kind == protocol::DESTINATION_OPTIONS);
        if !has_options {
            if is_ours {
                continue;
            }
            return None;
        }
        for option in Options::of(packet, extension) {
            let Ok(option) = option else { break };
            if matches!(option.kind, OPTION_PAD_N | OPTION_ENCAP_LIMIT | OPTION_ROUTER_ALERT) {
                continue;
            }
            //= RFC 8200 §4.2: the two highest bits say what a node does that does not know the
            //= option: skip it, discard, discard and report, the same unless sent to a group.
            match (option.kind >> 6, u16::try_from(option.at)) {
                (0, _) => {}
                (2, Ok(pointer)) => return Some(RefusedOption::Reported(pointer)),
                (3, Ok(pointer)) if !is_group => return Some(RefusedOption::Reported(pointer)),
                _ => return Some(RefusedOption::Silent),
            }
        }
    }
    None
}

/// An option reaches beyond its header.
struct Unreadable;

/// One option of a header.
struct OptionAt {
    kind: u8,
    at: usize,
    /// Bytes of its data.
    len: usize,
}

/// The options of a header, padding of one byte left out; the last is an error where they can't be
/// read to the end.
struct Options<'a> {
    packet: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Options<'a> {
    fn of(packet: &'a [u8], extension: Extension) -> Self {
        let end = extension.at.saturating_add(extension.len).min(packet.len());
        Self { packet, at: extension.at.saturating_add(2), end }
    }
}

impl Iterator for Options<'_> {
    type Item = Result<OptionAt, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        let header = self.packet.get(..self.end)?;
        while header.get(self.at) == Some(&OPTION_PAD_1) {
            self.at += 1;
        }
        let (at, kind) = (self.at, *header.get(self.at)?);
        let len = header.get(at + 1).map(|&len| usize::from(len));
        let Some(len) = len.filter(|len| at + 2 + len <= self.end) else {
            self.at = self.end;
            return Some(Err(Unreadable));
        };
        self.at = at + 2 + len;
        Some(Ok(OptionAt { kind, at, len }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An IPv6 packet of the header that `next` names and these bytes behind the fixed header.
    fn packet(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[0] = 0x60;
        bytes[4..6].copy_from_slice(&u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes[6] = next;
        bytes.extend(rest);
        bytes
    }

    /// RFC 2473 §5.1 figure: the option between two of padding, as tunnels send it.
    const LIMIT_4: [u8; 8] = [41, 0, 4, 1, 4, 1, 1, 0];

    #[test]
    fn the_limit_is_found_where_the_figure_of_rfc_2473_has_it() {
        let expected = EncapLimit::Present { value: 4, pointer: 44 };
        assert_eq!(encap_limit(&packet(60, &LIMIT_4)), expected);
    }

    #[test]
    fn the_limit_is_found_behind_hop_by_hop_routing_ah_and_the_header_of_a_first_fragment() {
        let hop_by_hop = [43, 0, 1, 4, 0, 0, 0, 0];
        let routing = [51, 0, 4, 0, 0, 0, 0, 0];
        let authentication = [44, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
        let first_fragment = [60, 0, 0, 1, 0, 0, 0, 9];
        let mut rest = [&hop_by_hop[..], &routing, &authentication, &first_fragment].concat();
        rest.extend([41, 0, 0, 0, 0, 4, 1, 7]);
        let expected = EncapLimit::Present { value: 7, pointer: 40 + 8 + 8 + 12 + 8 + 7 };
        assert_eq!(encap_limit(&packet(0, &rest)), expected);
    }

    #[test]
    fn a_limit_in_a_second_header_of_destination_options_is_found() {
        let rest = [&[60, 0, 1, 4, 0, 0, 0, 0][..], &LIMIT_4].concat();
        let expected = EncapLimit::Present { value: 4, pointer: 52 };
        assert_eq!(encap_limit(&packet(60, &rest)), expected);
    }

    #[test]
    fn a_limit_behind_what_can_not_be_read_is_not_looked_at() {
        let later_fragment = [60, 0, 0, 9, 0, 0, 0, 9];
        let last_fragment = [60, 0, 0, 8, 0, 0, 0, 9];
        let security_payload = [60, 0, 0, 1, 0, 0, 0, 1];
        for (name, next, front) in [
            ("a later fragment", 44, &later_fragment),
            ("the last fragment", 44, &last_fragment),
            ("ESP", 50, &security_payload),
        ] {
            let rest = [&front[..], &LIMIT_4].concat();
            assert_eq!(encap_limit(&packet(next, &rest)), EncapLimit::Absent, "{name}");
        }
        let inner = packet(60, &LIMIT_4);
        assert_eq!(encap_limit(&packet(41, &inner)), EncapLimit::Absent, "another IPv6 header");
    }

    #[test]
    fn options_of_another_length_or_cut_short_are_no_limit() {
        for wrong in [
            [41, 0, 4, 2, 4, 4, 1, 0], // length 2
            [41, 0, 4, 0, 1, 2, 0, 0], // length 0
            [41, 0, 1, 9, 4, 1, 4, 0], // padding that reaches beyond the header
            [41, 0, 1, 3, 0, 0, 0, 4], // the length is missing
            [41, 0, 1, 2, 0, 0, 4, 1], // the value is missing
            [41, 1, 4, 1, 4, 1, 1, 0], // the header is longer than the packet
        ] {
            assert_eq!(encap_limit(&packet(60, &wrong)), EncapLimit::Absent, "{wrong:?}");
        }
    }

    #[test]
    fn the_walk_ends_at_its_limit() {
        let rest = [60, 0, 1, 4, 0, 0, 0, 0].repeat(100);
        assert_eq!(Extensions::new(&packet(60, &rest)).count(), EXTENSIONS_MAX);
    }

    proptest! {
        #[test]
        fn a_pointer_always_points_at_the_value(
            next in prop::sample::select(vec![0_u8, 43, 44, 51, 60]),
            rest in proptest::collection::vec(prop::sample::select(vec![0_u8, 1, 4, 44, 60, 255]), 0..80),
        ) {
            let bytes = packet(next, &rest);
            if let EncapLimit::Present { value, pointer } = encap_limit(&bytes) {
                prop_assert_eq!(bytes[usize::from(pointer)], value);
                prop_assert_eq!(&bytes[usize::from(pointer) - 2..usize::from(pointer)], &[4, 1]);
            }
        }

        #[test]
        fn any_bytes_are_walked_within_the_packet(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for extension in Extensions::new(&bytes) {
                prop_assert!(extension.at + extension.len <= bytes.len());
            }
            encap_limit(&bytes);
        }
    }

    #[test]
    fn an_unknown_option_does_what_its_two_highest_bits_say() {
        let hop_by_hop = |kind| packet(protocol::HOP_BY_HOP, &[59, 0, kind, 4, 0, 0, 0, 0]);
        let to_group = |kind| {
            let mut bytes = hop_by_hop(kind);
            bytes[offset::DESTINATION] = 0xff;
            bytes
        };
        assert_eq!(refused_option(&hop_by_hop(0x1e), false), None);
        assert_eq!(refused_option(&hop_by_hop(0x5e), false), Some(RefusedOption::Silent));
        let reported = Some(RefusedOption::Reported(42));
        assert_eq!(refused_option(&hop_by_hop(0x9e), false), reported);
        assert_eq!(refused_option(&to_group(0x9e), false), reported);
        assert_eq!(refused_option(&hop_by_hop(0xde), false), reported);
        assert_eq!(refused_option(&to_group(0xde), false), Some(RefusedOption::Silent));
        for known in [OPTION_PAD_N, OPTION_ENCAP_LIMIT, OPTION_ROUTER_ALERT] {
            assert_eq!(refused_option(&hop_by_hop(known), false), None);
        }
        let destination = packet(protocol::DESTINATION_OPTIONS, &[59, 0, 0x9e, 4, 0, 0, 0, 0]);
        assert_eq!(refused_option(&destination, false), None);
        assert_eq!(refused_option(&destination, true), reported);
    }
}
