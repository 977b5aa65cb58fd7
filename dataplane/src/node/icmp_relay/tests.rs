use super::*;
use etherparse::{IpNumber, Ipv4Header, Ipv6Header};
use proptest::prelude::*;

/// Headers by etherparse: an IPv4 packet of `payload`.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap();
    let header = Ipv4Header::new(len, 64, IpNumber(protocol), [192, 0, 2, 1], [203, 0, 113, 2]);
    let mut header = header.unwrap();
    header.dont_fragment = true;
    header.header_checksum = header.calc_header_checksum();
    [&header.to_bytes()[..], payload].concat()
}

fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let header = Ipv6Header {
        payload_length: u16::try_from(payload.len()).unwrap(),
        next_header: IpNumber(next_header),
        hop_limit: 64,
        source: [0x20; 16],
        destination: [0x21; 16],
        ..Ipv6Header::default()
    };
    [&header.to_bytes()[..], payload].concat()
}

#[test]
fn a_quote_says_what_was_inside_and_how_much_was_in_front() {
    let inner = ipv4(17, &[7; 100]);
    let outer = ipv4(4, &inner);
    let quote = Quote::of(&outer[..48]).unwrap();
    assert_eq!((quote.protocol, quote.total_len, quote.overhead), (4, 140, 20));
    assert_eq!(quote.inner, &inner[..28]);
    let inside = quote.inner().unwrap().unwrap();
    assert!(inside.is_enough && inside.dont_fragment && !inside.is_icmp_error);
    assert_eq!(inside.total_len, 120);
    assert!(!Quote::of(&outer[..47]).unwrap().inner().unwrap().unwrap().is_enough);
    assert_eq!(Quote::of(&outer[..39]).unwrap().inner(), Ok(None));
    assert_eq!(Quote::of(&outer[..19]), None);
}

#[test]
fn extension_headers_of_ours_are_overhead_and_those_of_fragments_are_not() {
    let inner = ipv6(17, &[7; 100]);
    let limit = [41, 0, 4, 1, 3, 1, 1, 0];
    let quoted = ipv6(60, &[&limit[..], &inner].concat());
    let quote = Quote::of(&quoted).unwrap();
    assert_eq!((quote.protocol, quote.overhead, quote.inner), (41, 48, &inner[..]));
    let first = ipv6(44, &[&[41, 0, 0, 1, 0, 0, 0, 9][..], &inner].concat());
    let quote = Quote::of(&first).unwrap();
    assert_eq!((quote.protocol, quote.overhead, quote.inner), (41, 40, &inner[..]));
    let later = ipv6(44, &[&[41, 0, 0, 8, 0, 0, 0, 9][..], &inner].concat());
    let quote = Quote::of(&later).unwrap();
    assert_eq!((quote.protocol, quote.inner()), (41, Ok(None)));
}

#[test]
fn the_family_inside_must_be_the_one_that_the_outer_header_names() {
    let quoted = ipv4(41, &ipv4(17, &[0; 30]));
    assert_eq!(Quote::of(&quoted).unwrap().inner(), Err(NotInside));
    let quoted = ipv4(4, &ipv6(17, &[0; 30]));
    assert_eq!(Quote::of(&quoted).unwrap().inner(), Err(NotInside));
}

#[test]
fn plateaus_are_the_next_size_below() {
    for (len, plateau) in [
        (65535, 32000),
        (1501, 1492),
        (1500, 1492),
        (1492, 1006),
        (300, 296),
        (69, 68),
        (68, 68),
        (0, 68),
    ] {
        assert_eq!(plateau_below(len), plateau, "{len}");
    }
}

proptest! {
    /// Strangers write these bytes.
    #[test]
    fn any_bytes_are_read_without_harm(
        message in proptest::collection::vec(any::<u8>(), 0..300), kind in 0_u8..13, code in 0_u8..16,
        version in prop_oneof![Just(4_u8), Just(6)], next in prop_oneof![Just(4_u8), Just(41), Just(60), any::<u8>()],
    ) {
        let mut message = message;
        if let Some(start) = message.get_mut(..2) {
            start.copy_from_slice(&[kind, code]);
        }
        if let Some(quoted) = message.get_mut(8..28) {
            quoted[0] = version << 4 | 5;
            quoted[if version == 4 { 9 } else { 6 }] = next;
        }
        for heard in [UnderlayError::of_icmp4(&message), UnderlayError::of_icmp6(&message)] {
            let Some(heard) = heard else { continue };
            prop_assert!(heard.quoted.len() + 8 <= message.len());
            let Some(quote) = Quote::of(heard.quoted) else { continue };
            prop_assert!(quote.inner.len() + usize::from(quote.overhead) <= heard.quoted.len());
            if let Ok(Some(inner)) = quote.inner() {
                let words = Words {
                    mtu: 1000, inherits_ttl: false, tells_prohibited: true, is_connected: false,
                };
                inner.error(heard.cause, words);
            }
        }
    }
}
