//! What a device could save by looking after IPv4 header checksums, and what it costs to ask it: the
//! ground for `dataplane/README.md`, "Offloads".
//!
//! `cargo bench -p benches --no-default-features --bench checksums`. Buffers are laid out as DPDK
//! does: a descriptor of two cache lines, then the frame. Each round takes one burst of them, writes
//! the descriptor's first line and reads of the header, as every packet costs anyway; what is
//! printed comes on top of that. `hot` buffers are as many as a pool keeps for a worker; with the queues of a
//! NIC more go round; `cold` ones fit no cache.

use core::hint::black_box;

use adit_dataplane::wire::checksum::{checksum, update};
use adit_dataplane::wire::ipv4::{self, Ipv4};
use benches::case::BURST;
use benches::measure::{Cost, measure};

/// Bytes from one buffer to the next, as in the pools of the appliance.
const STRIDE: usize = 2304;
const FRAME_AT: usize = 256;
const HEADER_AT: usize = FRAME_AT + 14;
/// Where a descriptor has its flags, and in its second line the lengths that a device needs.
const FLAGS_AT: usize = 24;
const LENGTHS_AT: usize = 64 + 8;

struct Buffers {
    bytes: Vec<u8>,
    count: usize,
    next: usize,
}

impl Buffers {
    fn new(count: usize) -> Self {
        let mut header = vec![0x45, 0, 0, 60, 0, 1, 0, 0, 64, 4, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        let sum = checksum(&header);
        header[ipv4::offset::CHECKSUM..][..2].copy_from_slice(&sum.to_be_bytes());
        let mut bytes = vec![0; count * STRIDE];
        for buffer in bytes.chunks_mut(STRIDE) {
            buffer[HEADER_AT..][..header.len()].copy_from_slice(&header);
        }
        Self { bytes, count, next: 0 }
    }

    /// One burst, what every packet costs anyway, and `more`.
    fn round(&mut self, mut more: impl FnMut(&mut [u8])) {
        for _ in 0..BURST {
            let start = self.next * STRIDE;
            self.next = if self.next + 1 < self.count { self.next + 1 } else { 0 };
            let Some(buffer) = self.bytes.get_mut(start..start + STRIDE) else { return };
            buffer[16..18].copy_from_slice(&128_u16.to_le_bytes());
            // A write here would make a wider read that follows wait, as no packet does.
            black_box(buffer[HEADER_AT]);
            more(black_box(buffer));
        }
    }
}

/// The sum for two fields that were zero in the prebuilt header: total length and identification.
fn patch(buffer: &mut [u8]) {
    let sum = &mut buffer[HEADER_AT + ipv4::offset::CHECKSUM..][..2];
    let built = u16::from_be_bytes([sum[0], sum[1]]);
    let [total_len, identification] = black_box([60, 1]);
    let patched = update(update(built, 0, total_len), 0, identification);
    sum.copy_from_slice(&patched.to_be_bytes());
}

/// What a driver wants to be told: flags, lengths of the headers, and a sum of zero.
fn ask(buffer: &mut [u8]) {
    buffer[HEADER_AT + 10..HEADER_AT + 12].fill(0);
    buffer[FLAGS_AT..FLAGS_AT + 8].copy_from_slice(&(5_u64 << 54).to_le_bytes());
    buffer[LENGTHS_AT..LENGTHS_AT + 8].copy_from_slice(&((20_u64 << 7) + 14).to_le_bytes());
}

fn show(name: &str, cost: Cost, plain: Cost) {
    println!("{name:<44} {:>6.1} {:>6.1}", cost.least - plain.least, cost.median - plain.median);
}

fn run(name: &str, count: usize) {
    let mut buffers = Buffers::new(count);
    let plain = measure(|| buffers.round(|_| {}));
    println!("{name}: clocks per packet on top of {:.1}, least and median", plain.least);
    let parse = |good: bool| {
        move |buffer: &mut [u8]| {
            let _ =
                black_box(Ipv4::parse_received(&buffer[HEADER_AT..HEADER_AT + 60], good).is_ok());
        }
    };
    let summed = measure(|| buffers.round(parse(black_box(false))));
    let spared = measure(|| buffers.round(parse(black_box(true))));
    show("  received: header checked, sum and all", summed, plain);
    show("  received: header checked, sum spared", spared, plain);
    show("  sent: sum patched", measure(|| buffers.round(patch)), plain);
    show("  sent: device asked for it", measure(|| buffers.round(ask)), plain);
}

fn main() {
    run("hot (512 buffers)", 512);
    run("two queues of 1024 (2560 buffers)", 2560);
    run("cold (65536 buffers)", 65_536);
}
