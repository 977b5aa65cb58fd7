//! The table against pieces of every kind: whole packets hold the right bytes, limits hold, and nothing is
//! ever missing.

use super::*;
use crate::packet::MemoryPool;
use crate::wire::ipv4;
use etherparse::{IpFragOffset, IpNumber, Ipv4Header};
use proptest::prelude::*;

const TERMS: Terms = Terms { seconds: 2, is_own: false };

/// The byte at a place of the payload of a packet.
fn byte(identification: u16, at: usize) -> u8 {
    let value = at * 7 + at / 256 + usize::from(identification) * 31;
    u8::try_from(value % 256).unwrap()
}

/// A piece of the packet of a peer: `start..end` of its payload in units of eight bytes, and `odd` bytes
/// more at the end of the last one.
fn fragment(peer: u8, identification: u16, (start, end): (u16, u16), last: Option<u16>) -> Vec<u8> {
    let end = usize::from(end) * 8 + usize::from(last.unwrap_or(0));
    let payload: Vec<u8> =
        (usize::from(start) * 8..end).map(|at| byte(identification, at)).collect();
    let mut header = Ipv4Header::new(
        u16::try_from(payload.len()).unwrap(),
        64,
        IpNumber(4),
        [192, 0, 2, peer],
        [198, 51, 100, 1],
    )
    .unwrap();
    header.identification = identification;
    header.dont_fragment = false;
    header.more_fragments = last.is_none();
    header.fragment_offset = IpFragOffset::try_new(start).unwrap();
    header.header_checksum = header.calc_header_checksum();
    [&header.to_bytes()[..], &payload].concat()
}

/// A reassembler over buffers, and what came out of it.
struct Lab {
    pool: MemoryPool,
    reassembler: Reassembler,
    now: Nanos,
    whole: Vec<Vec<u8>>,
    losses: Vec<Counter>,
}

const BUFFERS: usize = 400;

impl Lab {
    fn new(pieces: u32, pieces_per_peer: u32) -> Self {
        let reassembler = Reassembler::new(Limits { pieces, pieces_per_peer }, 7);
        let pool = MemoryPool::new(BUFFERS, 2560);
        Self { pool, reassembler, now: Nanos(0), whole: Vec::new(), losses: Vec::new() }
    }

    fn take(&mut self, bytes: &[u8]) {
        let packet = self.pool.allocate_with(bytes).unwrap();
        let Ok(piece) = Piece::read(packet.data(), 0) else { return self.pool.release(packet) };
        self.reassembler.begin_burst();
        match self.reassembler.take(packet, &piece, TERMS, 2000, self.now) {
            Taken::Held => {}
            Taken::Whole(packet) => {
                self.whole.push(packet.data().to_vec());
                self.pool.release(packet);
            }
            Taken::Duplicate(packet) => self.pool.release(packet),
            Taken::Lost(packet, counter) => {
                self.losses.push(counter);
                self.pool.release(packet);
            }
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(left) = self.reassembler.next_left() {
            self.losses.extend(left.loss);
            self.pool.release(left.packet);
        }
        let (packets, pieces, peers) = self.reassembler.counts();
        let limits = self.reassembler.limits();
        assert_eq!(self.pool.total() - self.pool.free_count(), pieces as usize);
        assert!(pieces <= limits.pieces && packets <= limits.pieces && peers <= packets);
    }

    fn pass(&mut self, nanos: u64) {
        self.now = Nanos(self.now.0 + nanos);
        while self.reassembler.is_due(self.now) && self.reassembler.expire(self.now) {
            self.settle();
        }
        assert!(self.reassembler.next_deadline().is_none_or(|deadline| deadline > self.now));
    }

    /// Every whole packet is what was cut.
    fn check_whole(&self) {
        for whole in &self.whole {
            let (header, payload) = Ipv4Header::from_slice(whole).unwrap();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            assert!(!header.is_fragmenting_payload());
            assert_eq!(usize::from(header.total_len), whole.len());
            for (at, value) in payload.iter().enumerate() {
                assert_eq!(*value, byte(header.identification, at), "at {at}");
            }
        }
    }
}

#[test]
fn of_the_memory_a_worker_has_its_share_and_of_all_buffers_a_quarter() {
    let limits = |memory, buffers, workers| Limits::new(memory, (buffers, 4096), workers);
    let default = (64 << 20, 4 << 20);
    let of = |pieces, pieces_per_peer| Limits { pieces, pieces_per_peer };
    assert_eq!(limits(default, 1 << 20, 1), of(16_384, 1024));
    assert_eq!(limits(default, 1 << 20, 4), of(4096, 1024));
    assert_eq!(limits(default, 8192, 2), of(1024, 1024));
    assert_eq!(limits((64 << 10, 64 << 10), 8192, 9), of(2, 2));
}

/// A piece with so many words of options in its header.
fn with_options(piece: &[u8], words: u8) -> Vec<u8> {
    let mut changed = [&piece[..20], &vec![1; usize::from(words) * 4], &piece[20..]].concat();
    changed[0] = 0x45 + words;
    let len = u16::try_from(changed.len()).unwrap();
    changed[2..4].copy_from_slice(&len.to_be_bytes());
    changed
}

#[test]
fn a_piece_that_is_there_already_does_no_harm_to_a_packet_of_as_many_pieces_as_there_may_be() {
    let mut lab = Lab::new(200, 200);
    // One more than may be held, and all of them but one in the middle, without which the packet waits.
    let last = u16::from(PIECES_MAX) + 1;
    for number in (1..=last).filter(|&number| number != 9) {
        let is_last = (number == last).then_some(0);
        lab.take(&fragment(1, 9, (number * 3 - 3, number * 3), is_last));
    }
    let held = |lab: &Lab| lab.reassembler.counts().1;
    assert_eq!(held(&lab), PIECES_MAX.into());
    for (start, end) in [(0, 3), (27, 30), (189, 192)] {
        lab.take(&fragment(1, 9, (start, end), None));
    }
    assert_eq!((held(&lab), &lab.losses[..]), (PIECES_MAX.into(), &[][..]));
    lab.take(&fragment(1, 9, (24, 27), None));
    assert!(lab.whole.is_empty() && lab.losses.contains(&Counter::ReasmLimit));
}

#[test]
fn a_packet_of_as_many_pieces_as_there_may_be_is_put_together() {
    let mut lab = Lab::new(200, 200);
    let last = u16::from(PIECES_MAX);
    for number in (1..=last).rev() {
        let is_last = (number == last).then_some(0);
        lab.take(&fragment(1, 9, (number * 3 - 3, number * 3), is_last));
    }
    assert_eq!((lab.whole.len(), lab.losses.len()), (1, 0));
    lab.check_whole();
}

#[test]
fn how_long_a_whole_packet_may_be_is_up_to_the_header_of_its_first_piece() {
    // 20 + 1976 bytes fit 2000, whatever later pieces have in front of them; with options in the first, no more.
    for (words, fits) in [(0, true), (1, true), (2, false)] {
        let mut lab = Lab::new(200, 200);
        lab.take(&with_options(&fragment(1, 9, (100, 247), Some(0)), 10));
        lab.take(&with_options(&fragment(1, 9, (0, 100), None), words));
        assert_eq!(lab.whole.len() == 1, fits, "{words} words of options");
        assert!(fits || lab.losses.contains(&Counter::ReasmOversize));
    }
}

proptest! {
    #[test]
    fn packets_in_any_pieces_in_any_order_come_out_once_each(
        packets in proptest::collection::vec(
            (proptest::collection::btree_set(3_u16..240, 0..8), 240_u16..246, 0_u16..8), 1..12),
        seed: u64,
        doubles in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut all = Vec::new();
        for (number, (cuts, end, odd)) in (0..).zip(&packets) {
            let cuts: Vec<u16> = cuts.iter().copied().collect();
            let starts = core::iter::once(0).chain(cuts.iter().copied());
            let ends = cuts.iter().copied().chain([*end]);
            for (start, end) in starts.zip(ends) {
                let last = (end >= 240).then_some(*odd);
                all.push(fragment(u8::try_from(number % 3).unwrap(), number, (start, end), last));
            }
        }
        let mut order: Vec<usize> = (0..all.len()).collect();
        let mut state = seed;
        for at in (1..order.len()).rev() {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            order.swap(at, (state >> 33) as usize % (at + 1));
        }
        let doubles = doubles.iter().map(|double| double.index(all.len()));
        let mut lab = Lab::new(200, 200);
        // What comes twice comes in front, so that nothing begins anew.
        let doubled: Vec<usize> = doubles.collect();
        for at in doubled.iter().chain(&order) {
            lab.take(&all[*at]);
        }
        lab.check_whole();
        // A packet that was whole before its pieces came again is there twice, with nothing left over, or waits.
        let identifications: std::collections::BTreeSet<[u8; 2]> =
            lab.whole.iter().map(|whole| [whole[4], whole[5]]).collect();
        let expected = packets.iter().filter(|(cuts, ..)| !cuts.is_empty()).count();
        prop_assert!(identifications.len() >= expected);
        prop_assert!(lab.losses.is_empty(), "{:?}", lab.losses);
        lab.pass(3_000_000_000);
        prop_assert_eq!(lab.reassembler.counts(), (0, 0, 0));
        prop_assert_eq!(lab.pool.free_count(), BUFFERS);
    }

    #[test]
    fn whatever_pieces_come_limits_hold_and_no_wrong_byte_comes_out(
        steps in proptest::collection::vec(
            (0_u8..4, 0_u16..4, 0_u16..30, 1_u16..12, 0_u8..4, 0_u64..700_000_000), 0..400),
        pieces in 2_u32..40, per_peer in 2_u32..20,
    ) {
        let mut lab = Lab::new(pieces, per_peer.min(pieces));
        let mut taken = 0;
        for (peer, identification, start, len, last, nanos) in steps {
            lab.pass(nanos * u64::from(nanos % 3 == 0));
            let last = (last == 0).then_some(0);
            lab.take(&fragment(peer, identification, (start, start + len), last));
            taken += 1;
        }
        lab.check_whole();
        lab.pass(3_000_000_000);
        prop_assert_eq!(lab.reassembler.counts(), (0, 0, 0));
        prop_assert_eq!(lab.pool.free_count(), BUFFERS);
        prop_assert!(lab.losses.len() <= taken);
    }
}

#[test]
fn a_whole_packet_that_fits_no_buffer_is_too_large() {
    let mut lab = Lab::new(8, 8);
    lab.pool = MemoryPool::new(BUFFERS, 1024);
    lab.take(&fragment(1, 5, (0, 80), None));
    lab.take(&fragment(1, 5, (80, 160), Some(0)));
    assert_eq!(lab.losses, [Counter::ReasmOversize; 2]);
    assert_eq!(lab.reassembler.counts(), (0, 0, 0));
}

#[test]
fn a_longer_time_is_not_in_the_way_of_a_shorter_one() {
    let mut lab = Lab::new(8, 8);
    for (identification, seconds) in [(1, 60), (2, 2), (3, 5), (4, 2)] {
        let bytes = fragment(1, identification, (0, 8), None);
        let packet = lab.pool.allocate_with(&bytes).unwrap();
        let piece = Piece::read(packet.data(), 0).unwrap();
        let terms = Terms { seconds, is_own: false };
        let taken = lab.reassembler.take(packet, &piece, terms, 2000, lab.now);
        assert!(matches!(taken, Taken::Held));
        lab.now = Nanos(lab.now.0 + 1);
    }
    let mut waiting = Vec::new();
    for at in [1_999_999_999, 2_000_000_001, 2_000_000_003, 5_000_000_002, 60_000_000_000] {
        lab.pass(at - lab.now.0);
        waiting.push(lab.reassembler.counts().0);
    }
    assert_eq!(waiting, [4, 3, 2, 1, 0]);
}

#[test]
fn a_piece_that_comes_after_its_time_begins_anew_even_before_the_old_ones_are_given_up() {
    let mut lab = Lab::new(8, 8);
    lab.take(&fragment(1, 5, (0, 80), None));
    lab.now = Nanos::from_secs(2);
    lab.take(&fragment(1, 5, (80, 90), Some(3)));
    assert_eq!((lab.losses.as_slice(), lab.whole.len()), (&[Counter::ReasmTimeout][..], 0));
    assert_eq!(lab.reassembler.counts(), (1, 1, 1));
    lab.take(&fragment(1, 5, (0, 80), None));
    assert_eq!(lab.whole.len(), 1);
    assert_eq!(lab.whole[0].len(), ipv4::HEADER_LEN + 723);
}
