//! Reads a frame into named fields: for a failure that a person can read, and to check every checksum
//! and length of every frame that the appliance sends.

use std::fmt::Write;

use crate::frames::internet_checksum;

/// One field of a frame: where it is, what it says, and whether it breaks a rule by itself.
pub(crate) struct Field {
    pub(crate) at: usize,
    pub(crate) len: usize,
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) fault: bool,
}

/// The fields of an Ethernet frame, outer to inner.
pub(crate) fn fields(frame: &[u8]) -> Vec<Field> {
    let mut walk = Walk { frame, fields: Vec::new(), layer: String::new(), trusted: true };
    walk.ethernet();
    walk.fields
}

/// What is wrong with a frame by its own account: checksums, lengths, cut headers.
pub(crate) fn faults(frame: &[u8]) -> Vec<String> {
    let broken = fields(frame).into_iter().filter(|field| field.fault);
    broken.map(|field| format!("{}: {}", field.name, field.value)).collect()
}

struct Walk<'a> {
    frame: &'a [u8],
    fields: Vec<Field>,
    /// Prefix of the field names: "ip", "ip.ip", …
    layer: String,
    /// Not inside an ICMP quote or a fragment, where lengths and checksums need not fit.
    trusted: bool,
}

impl Walk<'_> {
    /// Records `len` bytes at `at`; `None` ends the walk where the frame is too short.
    fn field(&mut self, at: usize, len: usize, name: &str) -> Option<u64> {
        let raw = self.frame.get(at..at + len);
        let value = raw.map_or_else(|| "cut short".to_owned(), hex);
        let fault = raw.is_none() && self.trusted;
        let name = format!("{}{name}", self.layer);
        self.fields.push(Field { at, len, name, value, fault });
        raw.map(|raw| raw.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)))
    }

    fn note(&mut self, text: &str) {
        if let Some(field) = self.fields.last_mut() {
            write!(field.value, "  {text}").unwrap();
        }
    }

    fn blame(&mut self, text: &str) {
        self.note(text);
        if let Some(field) = self.fields.last_mut() {
            field.fault |= self.trusted;
        }
    }

    fn ethernet(&mut self) -> Option<()> {
        self.field(0, 6, "eth.dst")?;
        self.field(6, 6, "eth.src")?;
        match self.field(12, 2, "eth.type")? {
            0x0800 => self.ipv4(14, self.frame.len()),
            0x86dd => self.ipv6(14, self.frame.len()),
            0x0806 => self.arp(14),
            _ => self.rest(14, self.frame.len()),
        }
    }

    fn arp(&mut self, at: usize) -> Option<()> {
        let layout = [
            ("arp.htype", 2),
            ("arp.ptype", 2),
            ("arp.hlen", 1),
            ("arp.plen", 1),
            ("arp.op", 2),
            ("arp.sender_mac", 6),
            ("arp.sender_ip", 4),
            ("arp.target_mac", 6),
            ("arp.target_ip", 4),
        ];
        let mut at = at;
        for (name, len) in layout {
            self.field(at, len, name)?;
            at += len;
        }
        self.rest(at, self.frame.len())
    }

    fn rest(&mut self, at: usize, end: usize) -> Option<()> {
        if end > at {
            self.field(at, end - at, "data")?;
        }
        Some(())
    }

    fn sum(&mut self, at: usize, name: &str, right: bool) -> Option<()> {
        self.field(at, 2, name)?;
        if right {
            self.note("ok");
        } else {
            self.blame("WRONG");
        }
        Some(())
    }

    fn ipv4(&mut self, at: usize, end: usize) -> Option<()> {
        let header_len = usize::try_from(self.field(at, 1, "ip.ver_ihl")? & 15).ok()? * 4;
        if self.frame[at] >> 4 != 4 || header_len < 20 {
            self.blame("no IPv4 header");
            return None;
        }
        self.field(at + 1, 1, "ip.tos")?;
        let total = usize::try_from(self.field(at + 2, 2, "ip.total")?).ok()?;
        self.note(&total.to_string());
        if at + total != end {
            self.blame(&format!("but {} bytes follow", end - at));
        }
        self.field(at + 4, 2, "ip.id")?;
        let flags = self.field(at + 6, 2, "ip.frag")?;
        self.field(at + 8, 1, "ip.ttl")?;
        let protocol = self.field(at + 9, 1, "ip.proto")?;
        let header = self.frame.get(at..at + header_len)?;
        self.sum(at + 10, "ip.checksum", internet_checksum(&[header]) == 0)?;
        self.address(at + 12, 4, "ip.src")?;
        self.address(at + 16, 4, "ip.dst")?;
        if header_len > 20 {
            self.field(at + 20, header_len - 20, "ip.options")?;
        }
        let end = end.min(at + total);
        let pseudo = [&self.frame[at + 12..at + 20]].concat();
        if flags & 0x3fff != 0 {
            return self.rest(at + header_len, end);
        }
        self.upper(protocol, at + header_len, end, &pseudo)
    }

    fn address(&mut self, at: usize, len: usize, name: &str) -> Option<()> {
        self.field(at, len, name)?;
        let raw = &self.frame[at..at + len];
        let text = match (<[u8; 4]>::try_from(raw), <[u8; 16]>::try_from(raw)) {
            (Ok(four), _) => std::net::Ipv4Addr::from(four).to_string(),
            (_, Ok(sixteen)) => std::net::Ipv6Addr::from(sixteen).to_string(),
            _ => String::new(),
        };
        self.note(&text);
        Some(())
    }

    fn ipv6(&mut self, at: usize, end: usize) -> Option<()> {
        let first = self.field(at, 4, "ip6.ver_tc_flow")?;
        if first >> 28 != 6 {
            self.blame("no IPv6 header");
            return None;
        }
        let payload = usize::try_from(self.field(at + 4, 2, "ip6.payload")?).ok()?;
        self.note(&payload.to_string());
        if at + 40 + payload != end {
            self.blame(&format!("but {} bytes follow", end.saturating_sub(at + 40)));
        }
        let mut next = self.field(at + 6, 1, "ip6.next")?;
        self.field(at + 7, 1, "ip6.hops")?;
        self.address(at + 8, 16, "ip6.src")?;
        self.address(at + 24, 16, "ip6.dst")?;
        let pseudo = self.frame[at + 8..at + 40].to_vec();
        let end = end.min(at + 40 + payload);
        let mut at = at + 40;
        while let 0 | 43 | 44 | 60 = next {
            let kind = next;
            next = self.field(at, 1, "ip6.ext.next")?;
            let words = usize::try_from(self.field(at + 1, 1, "ip6.ext.len")?).ok()?;
            let len = if kind == 44 { 8 } else { (words + 1) * 8 };
            let offset = self.field(at + 2, 2, "ip6.ext.word")?;
            self.field(at + 4, len - 4, "ip6.ext.data")?;
            at += len;
            if kind == 44 && offset & 0xfff9 != 0 {
                return self.rest(at, end);
            }
        }
        self.upper(next, at, end, &pseudo)
    }

    fn upper(&mut self, protocol: u64, at: usize, end: usize, pseudo: &[u8]) -> Option<()> {
        let whole = self.frame.get(at..end)?;
        let len = u32::try_from(whole.len()).ok()?.to_be_bytes();
        let number = [0, 0, 0, u8::try_from(protocol).ok()?];
        let summed = internet_checksum(&[pseudo, &len, &number, whole]) == 0;
        let four = pseudo.len() == 8;
        match protocol {
            4 | 41 => {
                self.layer.push('>');
                let inner = if protocol == 4 { self.ipv4(at, end) } else { self.ipv6(at, end) };
                self.layer.pop();
                inner
            }
            1 if four => self.icmp(at, end, internet_checksum(&[whole]) == 0, true),
            58 if !four => self.icmp(at, end, summed, false),
            17 => self.udp(at, end, summed, four),
            6 => {
                self.field(at, 4, "tcp.ports")?;
                self.field(at + 4, 8, "tcp.seq_ack")?;
                self.field(at + 12, 4, "tcp.flags_window")?;
                self.sum(at + 16, "tcp.checksum", summed)?;
                self.rest(at + 18, end)
            }
            _ => self.rest(at, end),
        }
    }

    fn udp(&mut self, at: usize, end: usize, summed: bool, may_be_zero: bool) -> Option<()> {
        self.field(at, 2, "udp.sport")?;
        self.field(at + 2, 2, "udp.dport")?;
        self.field(at + 4, 2, "udp.len")?;
        let absent = may_be_zero && self.frame.get(at + 6..at + 8)? == [0, 0];
        self.sum(at + 6, "udp.checksum", summed || absent)?;
        self.rest(at + 8, end)
    }

    fn icmp(&mut self, at: usize, end: usize, summed: bool, four: bool) -> Option<()> {
        let kind = self.field(at, 1, "icmp.type")?;
        self.field(at + 1, 1, "icmp.code")?;
        self.sum(at + 2, "icmp.checksum", summed)?;
        self.field(at + 4, 4, "icmp.word")?;
        let quotes = if four { matches!(kind, 3 | 4 | 5 | 11 | 12) } else { kind < 128 };
        if !quotes || at + 8 == end {
            return self.rest(at + 8, end);
        }
        let trusted = std::mem::replace(&mut self.trusted, false);
        self.layer.push('"');
        if four {
            self.ipv4(at + 8, end)
        } else {
            self.ipv6(at + 8, end)
        };
        self.layer.pop();
        self.trusted = trusted;
        Some(())
    }
}

fn hex(bytes: &[u8]) -> String {
    let shown = bytes.iter().take(24).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    if bytes.len() > 24 { format!("{shown}… ({} bytes)", bytes.len()) } else { shown }
}

/// Expected and actual side by side: the fields, those that differ marked, then the bytes that differ.
pub(crate) fn compare(expected: &[u8], actual: &[u8]) -> String {
    let mut text = String::new();
    let others = fields(actual);
    for field in fields(expected) {
        let range = field.at..field.at + field.len;
        let same = expected.get(range.clone()) == actual.get(range);
        let mark = if same { ' ' } else { '!' };
        write!(text, "  {mark} {:4} {:18} {}", field.at, field.name, field.value).unwrap();
        if !same {
            let other =
                others.iter().find(|other| other.at == field.at && other.name == field.name);
            write!(text, "  <> {}", other.map_or("absent", |other| &other.value)).unwrap();
        }
        text.push('\n');
    }
    writeln!(text, "  expected {} bytes, actual {} bytes", expected.len(), actual.len()).unwrap();
    for at in (0..expected.len().max(actual.len())).step_by(16) {
        let (left, right) = (line(expected, at), line(actual, at));
        if left != right {
            writeln!(text, "    {at:04x} - {left}\n    {at:04x} + {right}").unwrap();
        }
    }
    text
}

/// A frame that nobody expected, or that did not come.
pub(crate) fn describe(frame: &[u8]) -> String {
    let shown = fields(frame).into_iter();
    shown.fold(String::new(), |mut text, field| {
        let mark = if field.fault { '!' } else { ' ' };
        writeln!(text, "  {mark} {:4} {:18} {}", field.at, field.name, field.value).unwrap();
        text
    })
}

fn line(bytes: &[u8], at: usize) -> String {
    let slice = bytes.get(at..bytes.len().min(at + 16)).unwrap_or(&[]);
    slice.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x} ").unwrap();
        text
    })
}

#[test]
fn the_decoder_finds_a_wrong_checksum_in_every_layer() {
    use crate::addresses::{H, R};
    use crate::frames::{IPIP, encap4, to_gateway, udp4};
    let good = to_gateway(encap4(IPIP, udp4(H, R, 84)));
    assert_eq!(faults(&good), Vec::<String>::new());
    for (at, name) in [(24, "ip.checksum"), (44, ">ip.checksum"), (60, ">udp.checksum")] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let found = faults(&bad);
        assert!(found.len() == 1 && found[0].starts_with(name), "{at}: {found:?}");
    }
}
