//! Reads and writes capture files, so that the suite does not lean on the reader and writer under test:
//! classic pcap in both byte orders and both resolutions, and enough of pcapng to feed the replay.

use std::path::Path;

/// Nanoseconds since the epoch.
pub(crate) type Time = u64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) time: Time,
    pub(crate) frame: Vec<u8>,
    /// The length on the wire, more than `frame.len()` where the capture was cut.
    pub(crate) wire_len: usize,
}

impl Record {
    pub(crate) fn new(time: Time, frame: Vec<u8>) -> Self {
        let wire_len = frame.len();
        Self { time, frame, wire_len }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    Micro,
    Nano,
}

impl Resolution {
    const fn magic(self) -> u32 {
        match self {
            Self::Micro => 0xa1b2_c3d4,
            Self::Nano => 0xa1b2_3c4d,
        }
    }

    const fn nanos(self) -> u64 {
        match self {
            Self::Micro => 1000,
            Self::Nano => 1,
        }
    }
}

/// Appends integers in one byte order.
struct Sink {
    order: Order,
    bytes: Vec<u8>,
}

impl Sink {
    fn u16(&mut self, value: u16) {
        match self.order {
            Order::Little => self.bytes.extend(value.to_le_bytes()),
            Order::Big => self.bytes.extend(value.to_be_bytes()),
        }
    }

    fn u32(&mut self, value: u32) {
        match self.order {
            Order::Little => self.bytes.extend(value.to_le_bytes()),
            Order::Big => self.bytes.extend(value.to_be_bytes()),
        }
    }

    fn len(&mut self, value: usize) {
        self.u32(u32::try_from(value).unwrap());
    }

    fn padded(&mut self, data: &[u8]) {
        self.bytes.extend(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A classic pcap file of Ethernet frames.
pub(crate) fn pcap(records: &[Record], order: Order, resolution: Resolution) -> Vec<u8> {
    let mut sink = Sink { order, bytes: Vec::new() };
    sink.u32(resolution.magic());
    sink.u16(2);
    sink.u16(4);
    sink.u32(0);
    sink.u32(0);
    sink.u32(262_144);
    sink.u32(1);
    for record in records {
        sink.u32(u32::try_from(record.time / 1_000_000_000).unwrap());
        sink.u32(u32::try_from(record.time % 1_000_000_000 / resolution.nanos()).unwrap());
        sink.len(record.frame.len());
        sink.len(record.wire_len);
        sink.bytes.extend(&record.frame);
    }
    sink.bytes
}

/// One interface of a pcapng file: its `if_tsresol` option, absent where `None` (microseconds then).
pub(crate) struct Interface {
    pub(crate) resolution: Option<u8>,
}

impl Interface {
    /// Ticks of this interface's clock since the epoch.
    fn ticks(&self, time: Time) -> u64 {
        let raw = self.resolution.unwrap_or(6);
        let per_second =
            if raw & 0x80 == 0 { 10u128.pow(u32::from(raw)) } else { 1u128 << (raw & 0x7f) };
        u64::try_from(u128::from(time) * per_second / 1_000_000_000).unwrap()
    }
}

/// A pcapng file; each record names its interface. Unknown blocks and options are sprinkled in, as a
/// reader has to step over them.
pub(crate) fn pcapng(
    interfaces: &[Interface],
    records: &[(usize, Record)],
    order: Order,
) -> Vec<u8> {
    let mut sink = Sink { order, bytes: Vec::new() };
    block(&mut sink, 0x0a0d_0d0a, |body| {
        body.u32(0x1a2b_3c4d);
        body.u16(1);
        body.u16(0);
        body.u32(u32::MAX);
        body.u32(u32::MAX);
    });
    for interface in interfaces {
        block(&mut sink, 1, |body| {
            body.u16(1);
            body.u16(0);
            body.u32(0);
            option(body, 2, b"some-name");
            if let Some(resolution) = interface.resolution {
                option(body, 9, &[resolution]);
            }
            option(body, 0, &[]);
        });
    }
    // A block type of the private range: has to be skipped by its length.
    block(&mut sink, 0x8000_0abc, |body| body.padded(b"not a packet"));
    for (interface, record) in records {
        let ticks = interfaces[*interface].ticks(record.time);
        block(&mut sink, 6, |body| {
            body.len(*interface);
            body.u32(u32::try_from(ticks >> 32).unwrap());
            body.u32(u32::try_from(ticks & 0xffff_ffff).unwrap());
            body.len(record.frame.len());
            body.len(record.wire_len);
            body.padded(&record.frame);
            option(body, 1, b"a comment");
            option(body, 0, &[]);
        });
    }
    sink.bytes
}

fn option(body: &mut Sink, code: u16, value: &[u8]) {
    body.u16(code);
    body.u16(u16::try_from(value.len()).unwrap());
    body.padded(value);
}

fn block(sink: &mut Sink, kind: u32, fill: impl FnOnce(&mut Sink)) {
    let mut body = Sink { order: sink.order, bytes: Vec::new() };
    fill(&mut body);
    let total = body.bytes.len() + 12;
    sink.u32(kind);
    sink.len(total);
    sink.bytes.extend(body.bytes);
    sink.len(total);
}

/// What the header of a pcap file says, and its frames.
pub(crate) struct Capture {
    pub(crate) order: Order,
    pub(crate) resolution: Resolution,
    pub(crate) link_type: u32,
    pub(crate) records: Vec<Record>,
}

pub(crate) fn read(path: &Path) -> Capture {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    parse(&bytes).unwrap_or_else(|| panic!("{} is no pcap file", path.display()))
}

fn parse(bytes: &[u8]) -> Option<Capture> {
    let magic: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
    let (order, resolution) = [Order::Little, Order::Big]
        .into_iter()
        .flat_map(|order| [(order, Resolution::Micro), (order, Resolution::Nano)])
        .find(|(order, resolution)| word(&magic, 0, *order) == Some(resolution.magic()))?;
    let link_type = word(bytes, 20, order)?;
    let mut records = Vec::new();
    let mut at = 24;
    while at < bytes.len() {
        let seconds = u64::from(word(bytes, at, order)?);
        let fraction = u64::from(word(bytes, at + 4, order)?);
        let len = usize::try_from(word(bytes, at + 8, order)?).ok()?;
        let wire_len = usize::try_from(word(bytes, at + 12, order)?).ok()?;
        let frame = bytes.get(at + 16..at + 16 + len)?.to_vec();
        let time = seconds * 1_000_000_000 + fraction * resolution.nanos();
        records.push(Record { time, frame, wire_len });
        at += 16 + len;
    }
    Some(Capture { order, resolution, link_type, records })
}

fn word(bytes: &[u8], at: usize, order: Order) -> Option<u32> {
    let raw: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(match order {
        Order::Little => u32::from_le_bytes(raw),
        Order::Big => u32::from_be_bytes(raw),
    })
}

#[test]
fn the_suites_own_pcap_writer_and_reader_agree_in_every_order_and_resolution() {
    let records = vec![Record::new(1_700_000_000_123_456_000, vec![7; 60])];
    for order in [Order::Little, Order::Big] {
        for resolution in [Resolution::Micro, Resolution::Nano] {
            let back = parse(&pcap(&records, order, resolution)).unwrap();
            assert_eq!((back.order, back.resolution), (order, resolution));
            assert_eq!(back.records, records);
        }
    }
}
