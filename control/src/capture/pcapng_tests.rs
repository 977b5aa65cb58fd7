//! Tests of the pcapng reader, on blocks written after the draft.

use super::super::Capture;
use super::*;

/// Writes the words of one byte order.
#[derive(Clone, Copy)]
struct Order(bool);

impl Order {
    fn u16(self, value: u16) -> Vec<u8> {
        if self.0 { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }

    fn u32(self, value: u32) -> Vec<u8> {
        if self.0 { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }

    fn i64(self, value: i64) -> Vec<u8> {
        if self.0 { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let len = u32::try_from(12 + padded).unwrap();
        let padding = vec![0; padded - body.len()];
        [self.u32(kind), self.u32(len), body.to_vec(), padding, self.u32(len)].concat()
    }

    fn section(self) -> Vec<u8> {
        let body = [self.u32(0x1a2b_3c4d), self.u16(1), self.u16(0), self.i64(-1)].concat();
        self.block(0x0a0d_0d0a, &body)
    }

    fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
        let len = u16::try_from(value.len()).unwrap();
        [self.u16(code), self.u16(len), value.to_vec(), padding].concat()
    }

    fn interface(self, link_type: u16, snap_len: u32, options: &[Vec<u8>]) -> Vec<u8> {
        let fixed = [self.u16(link_type), self.u16(0), self.u32(snap_len)].concat();
        self.block(1, &[fixed, options.concat()].concat())
    }

    fn enhanced(self, interface: u32, ticks: u64, original_len: u32, data: &[u8]) -> Vec<u8> {
        let words = [
            interface,
            u32::try_from(ticks >> 32).unwrap(),
            u32::try_from(ticks & 0xffff_ffff).unwrap(),
            u32::try_from(data.len()).unwrap(),
            original_len,
        ];
        let fixed: Vec<u8> = words.into_iter().flat_map(|word| self.u32(word)).collect();
        let flags = self.option(2, &self.u32(1));
        let padding = vec![0; data.len().next_multiple_of(4) - data.len()];
        self.block(6, &[fixed, data.to_vec(), padding, flags, self.option(0, &[])].concat())
    }
}

const ORDERS: [Order; 2] = [Order(false), Order(true)];

fn frames(blocks: &[Vec<u8>]) -> Vec<(u64, Vec<u8>)> {
    let capture = Capture::parse(blocks.concat()).unwrap();
    capture.frames().map(|(time, data)| (time.0, data.to_vec())).collect()
}

fn error(blocks: &[Vec<u8>]) -> FormatError {
    Capture::parse(blocks.concat()).unwrap_err()
}

#[test]
fn every_interface_has_its_own_clock() {
    for order in ORDERS {
        let blocks = [
            order.section(),
            order.interface(1, 0, &[]),
            order.interface(1, 0, &[order.option(9, &[9])]),
            order.interface(1, 0, &[order.option(2, b"eth2"), order.option(9, &[0x8a])]),
            order.interface(1, 0, &[order.option(14, &order.i64(-100)), order.option(9, &[3])]),
            order.enhanced(0, 1_500_000, 3, b"abc"),
            order.enhanced(1, 1_500_000, 60, b"defg"),
            order.enhanced(2, 1024 + 512, 0, b""),
            order.enhanced(3, 100_250, 5, b"hijkl"),
        ];
        let expected = [
            (1_500_000_000, b"abc".to_vec()),
            (1_500_000, b"defg".to_vec()),
            (1_500_000_000, b"".to_vec()),
            (250_000_000, b"hijkl".to_vec()),
        ];
        assert_eq!(frames(&blocks), expected);
    }
}

#[test]
fn times_beyond_32_bits_of_seconds_keep_their_nanoseconds() {
    let order = Order(false);
    let time = 9_000_000_000_123_456_789;
    let blocks = [
        order.section(),
        order.interface(1, 0, &[order.option(9, &[9])]),
        order.enhanced(0, time, 1, b"x"),
    ];
    assert_eq!(frames(&blocks), [(time, b"x".to_vec())]);
    let late = [order.section(), order.interface(1, 0, &[]), order.enhanced(0, time, 1, b"x")];
    assert_eq!(error(&late).message, "a time before 1970 or after 2554");
}

#[test]
fn a_new_section_forgets_the_interfaces_and_may_change_the_byte_order() {
    let (little, big) = (Order(false), Order(true));
    let first = [little.section(), little.interface(1, 0, &[]), little.enhanced(0, 1, 1, b"a")];
    let second = [big.section(), big.interface(1, 0, &[]), big.enhanced(0, 2, 1, b"b")];
    let both = [first.concat(), second.concat()];
    assert_eq!(frames(&both), [(1000, b"a".to_vec()), (2000, b"b".to_vec())]);
    let forgotten = [first.concat(), big.section(), big.enhanced(0, 2, 1, b"b")];
    assert_eq!(error(&forgotten).message, "a frame of interface 0, which is not described");
}

#[test]
fn frames_of_older_blocks_and_foreign_blocks_between_are_no_problem() {
    let order = Order(false);
    let simple = order.block(3, &[order.u32(9), b"abcdef\0\0".to_vec()].concat());
    let words: Vec<u8> = [0_u32, 0, 8, 2, 2].into_iter().flat_map(|w| order.u32(w)).collect();
    let obsolete = order.block(2, &[words, b"gh".to_vec()].concat());
    let blocks = [
        order.section(),
        order.block(5, &[0; 12]),
        order.interface(1, 6, &[]),
        order.enhanced(0, 7, 2, b"ab"),
        simple,
        order.block(0x0bad, b"custom!!"),
        obsolete,
    ];
    let expected = [(7000, b"ab".to_vec()), (7000, b"abcdef".to_vec()), (8000, b"gh".to_vec())];
    assert_eq!(frames(&blocks), expected);
}

#[test]
fn a_frame_check_sequence_is_not_part_of_the_frame() {
    let order = Order(true);
    let interface = order.interface(1, 0, &[order.option(13, &[4])]);
    let blocks = [order.section(), interface, order.enhanced(0, 0, 8, b"abcdFFFF")];
    assert_eq!(frames(&blocks), [(0, b"abcd".to_vec())]);
}

#[test]
fn another_link_type_matters_only_when_it_has_frames() {
    let order = Order(false);
    let start = [order.section(), order.interface(113, 0, &[]), order.interface(1, 0, &[])];
    let good = [start.concat(), order.enhanced(1, 0, 1, b"x")];
    assert_eq!(frames(&good).len(), 1);
    let bad = error(&[start.concat(), order.enhanced(0, 0, 1, b"x")]);
    assert!(bad.message.contains("interface 0, which has link type 113"), "{bad}");
}

#[test]
fn lengths_that_lie_are_refused_where_they_stand() {
    let order = Order(false);
    let start = [order.section(), order.interface(1, 0, &[])].concat();
    let frame = order.enhanced(0, 0, 4, b"abcd");
    let with = |offset: usize, value: u32| {
        let mut changed = frame.clone();
        changed[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        error(&[start.clone(), changed])
    };
    assert_eq!(with(4, 13).offset, start.len() + 4);
    assert_eq!(with(4, 8).offset, start.len() + 4);
    assert!(with(4, 4000).message.contains("only 48 are there"));
    assert!(with(frame.len() - 4, 44).message.contains("whose end says 44"));
    assert!(with(20, 100).message.contains("a frame of 100 bytes in a block with 16"));
    assert!(with(20, u32::MAX).message.contains("more than 262144"));
    for len in 28..start.len() + frame.len() {
        let whole = [start.clone(), frame.clone()].concat();
        if let Err(error) = Capture::parse(whole[..len].to_vec()) {
            assert!(error.offset <= len, "{len}: {error}");
        } else {
            assert!(len == 28 || len == start.len(), "{len}");
        }
    }
}
