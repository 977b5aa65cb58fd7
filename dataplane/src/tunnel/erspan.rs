//! ERSPAN: mirrored Ethernet frames in GRE, modes `erspan` and `ip6erspan`, of types I, II and III
//! (draft-foschiano-erspan-03).
//!
//! ```text
//!  0                        20 or 40
//! +------------------------+--------------------------+--------------------------------+-----------
//! | outer IPv4 or IPv6,    | GRE, 4 bytes (type I)    | none (type I), 8 bytes (II),   | Ethernet
//! | protocol 47            | or 8, with a number      | 12 or 20 bytes (III)           | frame …
//! +------------------------+--------------------------+--------------------------------+-----------
//! ```

use std::sync::Arc;

use super::lookup::{Class, Label};
use super::sequence::Sequences;
use super::shim::Contents;
use crate::counters::Counter;
use crate::wire::erspan::{self, Detail, ErspanError, Mirrored, Type};
use crate::wire::ethernet::{self, ether_type};
use crate::wire::gre::{self, Gre};
use crate::wire::{protocol, read_u16, write_u32};

/// GRE in front of types II and III: with a number.
const NUMBERED_LEN: usize = gre::HEADER_LEN + 4;

/// Nanoseconds in a unit of time stamps.
const TIMESTAMP_NS: u64 = 100_000;

/// What a tunnel puts into its headers. What arrives is judged by its session alone.
#[derive(Clone, Debug)]
pub struct Erspan {
    /// What is sent.
    pub version: Version,
    /// The numbers of what is sent, where it has any.
    pub sequences: Option<Arc<Sequences>>,
}

/// The types of ERSPAN, and what each says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// Type I: GRE in front of the frame, and nothing else.
    One,
    /// Type II.
    Two {
        /// Whose the frames are, 10 bits.
        session: u16,
        /// A number that means something to the far end, 20 bits.
        index: u32,
    },
    /// Type III.
    Three {
        /// Whose the frames are, 10 bits.
        session: u16,
        /// The part of this node that mirrors, 6 bits.
        hardware_id: u8,
        /// Where all frames are said to have been mirrored: where they were sent, or received; `None`: where it was.
        is_egress: Option<bool>,
    },
}

impl Version {
    /// Whose the frames are.
    pub const fn session(self) -> Option<u16> {
        match self {
            Self::One => None,
            Self::Two { session, .. } | Self::Three { session, .. } => Some(session),
        }
    }

    const fn protocol_type(self) -> u16 {
        match self {
            Self::One | Self::Two { .. } => ether_type::ERSPAN_II,
            Self::Three { .. } => ether_type::ERSPAN_III,
        }
    }
}

impl Erspan {
    /// The label of what arrives.
    pub(super) fn input_label(&self) -> Label {
        label(self.version.session())
    }

    /// Bytes that are put in front of a frame.
    pub(super) const fn len(&self) -> usize {
        match self.version {
            Version::One => gre::HEADER_LEN,
            Version::Two { .. } => NUMBERED_LEN + erspan::HEADER_LEN_II,
            Version::Three { .. } => NUMBERED_LEN + erspan::HEADER_LEN_III,
        }
    }

    /// Writes the headers to the start of `bytes`, whose rest is the frame.
    pub(super) fn write(&self, bytes: &mut [u8], contents: &Contents) {
        let flags = if self.version == Version::One { 0 } else { gre::SEQUENCE };
        write_u32(bytes, 0, u32::from(flags) << 16 | u32::from(self.version.protocol_type()));
        let Some(session) = self.version.session() else { return };
        let next = self.sequences.as_ref().map_or(0, |sequences| sequences.take());
        write_u32(bytes, gre::HEADER_LEN, next);
        let frame = bytes.get(self.len()..).unwrap_or(&[]);
        let (vlan, frame_len) = (vlan(frame), frame.len());
        // The upper half of the DSCP, which is the class selector.
        let class = contents.tos >> 5;
        let mirrored = Mirrored { session, vlan, class, is_cut: contents.is_cut };
        let bytes = bytes.get_mut(NUMBERED_LEN..).unwrap_or(&mut []);
        match self.version {
            Version::One => {}
            Version::Two { index, .. } => erspan::write_two(bytes, mirrored, index),
            Version::Three { hardware_id, is_egress, .. } => {
                let detail = Detail {
                    timestamp: timestamp(contents.now.0),
                    hardware_id,
                    is_egress: is_egress.unwrap_or(contents.is_egress),
                };
                erspan::write_three(bytes, mirrored, frame_len, detail);
            }
        }
    }

    /// Judges the headers at the start of `payload`, which [`read`] has seen. Returns their bytes.
    pub(super) fn judge(&self, payload: &[u8]) -> Result<usize, Counter> {
        let Found { len, is_unnumbered, .. } = read(payload)?.ok_or(Counter::TunProtoMismatch)?;
        if is_unnumbered && self.version != Version::One {
            return Err(Counter::IfRxSeqErr);
        }
        Ok(len)
    }

    /// See [`Shim::recognise`](super::shim::Shim::recognise).
    pub(super) fn recognise(&self, quoted: &[u8]) -> Option<(usize, u8)> {
        if quoted.len() < gre::HEADER_LEN {
            // A later piece of a packet, or nearly nothing.
            return quoted.is_empty().then_some((self.len(), protocol::NO_NEXT_HEADER));
        }
        let (flags, protocol_type) = gre::first_words(quoted);
        let expected = if self.version == Version::One { 0 } else { gre::SEQUENCE };
        let is_ours = flags == expected && protocol_type == self.version.protocol_type();
        // Minimal routers quote eight bytes, which are those of GRE.
        let header = quoted.get(NUMBERED_LEN..).filter(|header| header.len() >= 4);
        let is_session = header.is_none_or(|header| {
            self.version.session().is_none_or(|session| session == erspan::session(header))
        });
        (is_ours && is_session).then_some((self.len(), protocol::ETHERNET))
    }
}

/// What headers say that have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Bytes of GRE and of what is behind it.
    pub(super) len: usize,
    /// Whose the frame is.
    pub(super) label: Label,
    /// There is no number.
    is_unnumbered: bool,
}

/// Reads GRE and what is behind it at the start of `payload`. `None`: it is no ERSPAN, or GRE that can't be read.
///
/// # Errors
/// The drop counter, when they must be refused whatever tunnel they are for.
pub(super) fn read(payload: &[u8]) -> Result<Option<Found>, Counter> {
    let Some(kind) = kind(payload) else { return Ok(None) };
    let Ok(header) = Gre::parse(payload) else { return Ok(None) };
    if !header.is_right(payload) {
        return Err(Counter::GreBadCsum);
    }
    if header.key.is_some() {
        // Sessions are the keys here.
        return Err(Counter::GreBadFlags);
    }
    let is_unnumbered = header.sequence.is_none();
    if kind == Type::Two && is_unnumbered {
        return Ok(Some(Found { len: header.header_len, label: label(None), is_unnumbered }));
    }
    let behind = payload.get(header.header_len..).unwrap_or(&[]);
    let read = erspan::read(behind, kind).map_err(|error| match error {
        ErspanError::Short => Counter::TunShimShort,
        ErspanError::Version => Counter::ErspanBadVersion,
        ErspanError::FrameType => Counter::ErspanBadFt,
    })?;
    let len = header.header_len + read.len;
    Ok(Some(Found { len, label: label(Some(read.session)), is_unnumbered }))
}

/// The IP packet in the frame behind the headers at the start of `payload`, if there is one.
pub(super) fn inside(payload: &[u8]) -> Option<&[u8]> {
    let frame = payload.get(read(payload).ok()??.len..)?;
    frame.get(ethernet::ip_at(frame)?..)
}

/// Whether a quoted GRE header is one of these; then nobody knows its label.
pub(super) fn is_quoted(quoted: &[u8]) -> bool {
    kind(quoted).is_some()
}

/// The header that the GRE header at the start of `payload` announces.
#[inline]
fn kind(payload: &[u8]) -> Option<Type> {
    match gre::first_words(payload).1 {
        ether_type::ERSPAN_II => Some(Type::Two),
        ether_type::ERSPAN_III => Some(Type::Three),
        _ => None,
    }
}

/// Of a session, or of type I, which has none.
fn label(session: Option<u16>) -> Label {
    Label::new(Class::Erspan, 0, session.map(u32::from))
}

/// The number in the tag of a frame.
fn vlan(frame: &[u8]) -> Option<u16> {
    let at = ethernet::HEADER_LEN;
    let is_tagged = matches!(read_u16(frame, at - 2), ether_type::VLAN | ether_type::SERVICE_VLAN);
    (is_tagged && frame.len() >= at + ethernet::TAG_LEN).then(|| read_u16(frame, at) & 0xfff)
}

/// A time in nanoseconds as headers say it; it begins anew every five days.
fn timestamp(nanos: u64) -> u32 {
    u32::try_from((nanos / TIMESTAMP_NS) & u64::from(u32::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Nanos;

    const SESSION: u16 = 100;

    fn contents(tos: u8) -> Contents {
        Contents { protocol: protocol::ETHERNET, tos, now: Nanos(700_000), ..Contents::default() }
    }

    fn erspan(version: Version) -> Erspan {
        Erspan { version, sequences: Some(Arc::default()) }
    }

    fn written(erspan: &Erspan, frame: &[u8], contents: &Contents) -> Vec<u8> {
        let mut bytes = vec![0xee; erspan.len()];
        bytes.extend_from_slice(frame);
        erspan.write(&mut bytes, contents);
        bytes
    }

    #[test]
    fn each_type_has_its_headers_and_numbers_begin_with_zero() {
        let frame = [2; 60];
        let one = written(&erspan(Version::One), &frame, &contents(0));
        assert_eq!(one[..4], [0, 0, 0x88, 0xbe]);
        let two = erspan(Version::Two { session: SESSION, index: 7 });
        let tos = 46 << 2;
        for number in 0..2 {
            let bytes = written(&two, &frame, &contents(tos));
            let expected = [0x10, 0, 0x88, 0xbe, 0, 0, 0, number, 0x10, 0, 0xa0, 0x64, 0, 0, 0, 7];
            assert_eq!(bytes[..16], expected);
        }
        let version = Version::Three { session: SESSION, hardware_id: 3, is_egress: Some(true) };
        let three = written(&erspan(version), &frame, &contents(tos));
        assert_eq!(three[..8], [0x10, 0, 0x22, 0xeb, 0, 0, 0, 0]);
        assert_eq!(three[8..20], [0x20, 0, 0xa0, 0x64, 0, 0, 0, 7, 0, 0, 0x80, 0x38]);
    }

    #[test]
    fn a_tag_stays_in_the_frame_and_its_number_is_told() {
        let two = erspan(Version::Two { session: SESSION, index: 0 });
        for (kind, expected) in
            [(0x8100_u16, [0x1a, 0xbc, 0x18, 0x64]), (0x88a8, [0x1a, 0xbc, 0x18, 0x64])]
        {
            let frame = [&[2; 12][..], &kind.to_be_bytes(), &[0xfa, 0xbc], &[0; 50]].concat();
            assert_eq!(written(&two, &frame, &contents(0))[8..12], expected);
            let cut = &frame[..17];
            assert_eq!(written(&two, cut, &contents(0))[8..12], [0x10, 0, 0, 0x64], "no tag");
        }
    }

    #[test]
    fn where_the_direction_is_not_configured_it_is_that_of_the_frame() {
        for (configured, was, expected) in
            [(None, false, 0x80_00), (None, true, 0x80_08), (Some(false), true, 0x80_00)]
        {
            let version =
                Version::Three { session: SESSION, hardware_id: 0, is_egress: configured };
            let contents = Contents { is_egress: was, ..contents(0) };
            let bytes = written(&erspan(version), &[2; 60], &contents);
            assert_eq!(read_u16(&bytes, 18), expected, "{configured:?} {was}");
        }
    }

    #[test]
    fn what_one_end_writes_the_other_reads_and_a_cut_header_is_short() {
        let versions = [
            Version::One,
            Version::Two { session: SESSION, index: 7 },
            Version::Three { session: SESSION, hardware_id: 3, is_egress: None },
        ];
        for version in versions {
            let end = erspan(version);
            let bytes = written(&end, &[2; 60], &contents(0));
            let found = read(&bytes).unwrap().unwrap();
            assert_eq!((found.len, found.label), (end.len(), end.input_label()), "{version:?}");
            assert_eq!(end.judge(&bytes), Ok(end.len()));
            for len in NUMBERED_LEN..end.len() {
                assert_eq!(read(&bytes[..len]), Err(Counter::TunShimShort), "{len} bytes");
            }
            for len in (8..40).chain([0]) {
                let carried = if len == 0 { 59 } else { protocol::ETHERNET };
                assert_eq!(end.recognise(&bytes[..len]), Some((end.len(), carried)), "{len}");
            }
            assert_eq!(end.recognise(&[0, 0, 8, 0]), None);
        }
    }

    #[test]
    fn what_is_behind_gre_is_refused_for_its_own_reason() {
        let bytes = |text: &[u8], session: u8| [text, &[0x10, 0, 0, session], &[0; 40]].concat();
        for (header, expected) in [
            (bytes(&[0x30, 0, 0x88, 0xbe, 0, 0, 0, 0, 0, 0, 0, 0], 1), Err(Counter::GreBadFlags)),
            (bytes(&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 0], 1), Err(Counter::ErspanBadVersion)),
            (bytes(&[0x90, 0, 0x88, 0xbe, 0, 1, 0, 0, 0, 0, 0, 0], 1), Err(Counter::GreBadCsum)),
            (bytes(&[0x00, 0, 0x08, 0x00], 1), Ok(None)),
        ] {
            assert_eq!(read(&header), expected, "{header:02x?}");
        }
        let unnumbered = bytes(&[0, 0, 0x22, 0xeb, 0x20, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0x80, 0], 0);
        let end = erspan(Version::Three { session: 9, hardware_id: 0, is_egress: None });
        assert_eq!(read(&unnumbered).unwrap().unwrap().label, end.input_label());
        assert_eq!(end.judge(&unnumbered), Err(Counter::IfRxSeqErr));
    }
}
