//! Reassembly alone: any pieces of a few packets of a few peers, in any order, at any times. What comes out
//! whole has the bytes that went in, limits hold, and in the end nothing is held.
#![no_main]
#![expect(clippy::unwrap_used, reason = "what can't be is a find")]

use std::cell::RefCell;

use adit_dataplane::clock::Nanos;
use adit_dataplane::packet::{MemoryPool, Packet};
use adit_dataplane::reassembly::{Limits, Piece, Reassembler, SECONDS_MAX, Taken, Terms};
use libfuzzer_sys::fuzz_target;

const BUFFERS: usize = 128;
const SIZE_MAX: usize = 2000;

/// Bytes of a step: who and which packet, when, where, how long and how.
const STEP_LEN: usize = 6;

/// The byte at a place of the payload of a packet.
fn byte(identification: u8, at: usize) -> u8 {
    u8::try_from((at * 7 + at / 256 + usize::from(identification) * 31) % 256).unwrap()
}

/// A fragment as a peer would send it, or nearly so.
struct Fragment {
    peer: u8,
    identification: u8,
    is_ipv6: bool,
    start: usize,
    len: usize,
    more: bool,
    tos: u8,
}

impl Fragment {
    fn bytes(&self) -> Vec<u8> {
        let payload: Vec<u8> =
            (self.start..self.start + self.len).map(|at| byte(self.identification, at)).collect();
        let mut packet = if self.is_ipv6 { self.header6() } else { self.header4() };
        packet.extend(payload);
        packet
    }

    fn header4(&self) -> Vec<u8> {
        let total = u16::try_from(20 + self.len).unwrap().to_be_bytes();
        let field = u16::try_from(self.start / 8).unwrap() | u16::from(self.more) << 13;
        let field = field.to_be_bytes();
        // The checksum has been looked at by whoever calls.
        let mut header = vec![0x45, self.tos, total[0], total[1], 0, self.identification];
        header.extend([field[0], field[1], 64, 4, 0, 0, 192, 0, 2, self.peer, 198, 51, 100, 1]);
        header
    }

    fn header6(&self) -> Vec<u8> {
        let len = u16::try_from(8 + self.len).unwrap().to_be_bytes();
        let mut header = vec![0x60, self.tos << 4, 0, 0, len[0], len[1], 44, 64];
        header.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, self.peer]);
        header.extend([0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let field = u16::try_from(self.start).unwrap() | u16::from(self.more);
        header.extend([41, 0]);
        header.extend(field.to_be_bytes());
        header.extend([0, 0, 0, self.identification]);
        header
    }
}

struct Lab {
    pool: MemoryPool,
    reassembler: Reassembler,
    now: Nanos,
}

impl Lab {
    fn step(&mut self, step: [u8; STEP_LEN]) {
        let [who, later, start, len, how, tos] = step;
        self.pass(u64::from(later) * u64::from(later) * 1_000_000);
        let more = how & 1 == 0;
        let odd = if more && how & 2 == 0 { 0 } else { usize::from(how >> 5) };
        let fragment = Fragment {
            peer: who & 3,
            identification: who >> 2 & 7,
            is_ipv6: who & 0x80 != 0,
            start: usize::from(start) * 8,
            len: usize::from(len % 128) * 8 + odd,
            more,
            tos: if how & 4 == 0 { 0 } else { tos & 3 },
        };
        let packet = self.pool.allocate_with(&fragment.bytes()).unwrap();
        let Ok(piece) = Piece::read(packet.data(), 0) else { return self.pool.release(packet) };
        let terms = Terms { seconds: who % 5 + 1, is_own: how & 8 != 0 };
        if how & 16 != 0 {
            self.reassembler.begin_burst();
        }
        match self.reassembler.take(packet, &piece, terms, SIZE_MAX, self.now) {
            Taken::Held => {}
            Taken::Whole(packet) => {
                check_whole(&packet, fragment.identification);
                self.pool.release(packet);
            }
            Taken::Duplicate(packet) | Taken::Lost(packet, _) => self.pool.release(packet),
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(left) = self.reassembler.next_left() {
            self.pool.release(left.packet);
        }
        let (packets, pieces, peers) = self.reassembler.counts();
        assert_eq!(self.pool.total() - self.pool.free_count(), pieces as usize);
        assert!(packets <= self.reassembler.limits().pieces && peers <= packets);
        assert!(pieces <= self.reassembler.limits().pieces);
    }

    fn pass(&mut self, nanos: u64) {
        self.now = Nanos(self.now.0 + nanos);
        while self.reassembler.is_due(self.now) && self.reassembler.expire(self.now) {
            self.settle();
        }
        assert!(self.reassembler.next_deadline().is_none_or(|deadline| deadline > self.now));
    }
}

/// A whole packet carries the bytes of its packet from the first on, and its header says how many.
fn check_whole(packet: &Packet, identification: u8) {
    let bytes = packet.data();
    let front = if bytes[0] >> 4 == 4 {
        assert_eq!(usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), bytes.len());
        assert_eq!(bytes[6..8], [0, 0]);
        20
    } else {
        assert_eq!(usize::from(u16::from_be_bytes([bytes[4], bytes[5]])) + 40, bytes.len());
        assert_eq!(bytes[6], 41);
        40
    };
    assert!(bytes.len() <= SIZE_MAX);
    for (at, value) in bytes[front..].iter().enumerate() {
        assert_eq!(*value, byte(identification, at), "at {at}");
    }
}

thread_local! {
    static LAB: RefCell<Lab> = RefCell::new(Lab {
        pool: MemoryPool::new(BUFFERS, 2560),
        reassembler: Reassembler::new(Limits { pieces: 24, pieces_per_peer: 10 }, 7),
        now: Nanos(0),
    });
}

fuzz_target!(|data: &[u8]| {
    LAB.with_borrow_mut(|lab| {
        lab.now = Nanos(0);
        for step in data.chunks_exact(STEP_LEN).take(256) {
            lab.step(step.try_into().unwrap());
        }
        lab.pass(u64::from(SECONDS_MAX) * 1_000_000_000);
        assert_eq!(lab.reassembler.counts(), (0, 0, 0));
        assert_eq!(lab.pool.free_count(), BUFFERS);
    });
});
