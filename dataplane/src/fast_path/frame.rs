//! Frames in tunnels, as far as they are plain: without a tag, around an IPv4 packet without options or an IPv6
//! packet without extension headers, perhaps with bytes behind that. Nobody here forwards the packet: what its header
//! says counts for the outer one, and its checksum, TTL and addresses are the business of others.

use super::header::{self, Carried, IPV4_END, IPV6_END, PlainIpv4, PlainIpv6};
use crate::stage::Round;
use crate::tunnel::plain::Facts;
use crate::tunnel::rewrite::TosAndFlags;
use crate::tunnel::{MssClamp, Tunnel};
use crate::wire::ethernet;

/// What counts of a plain frame.
#[derive(Clone, Copy)]
pub(super) struct PlainFrame {
    /// Bytes up to the end of the packet.
    pub(super) packet_end: usize,
    /// Bytes up to the end of the IP header.
    header_end: usize,
    protocol: u8,
    pub(super) is_ipv4: bool,
    /// No flags if it is IPv6.
    pub(super) tos_and_flags: TosAndFlags,
    pub(super) ttl: u8,
}

impl PlainFrame {
    /// Reads a frame, if it is plain.
    #[inline]
    pub(super) fn read(frame: &[u8]) -> Option<Self> {
        let start = frame.first_chunk::<IPV4_END>()?;
        let room = frame.len() - ethernet::HEADER_LEN;
        match header::kind(start) {
            Carried::Ipv4 => {
                let plain = PlainIpv4::of(header::behind_ethernet(start));
                plain.fits(room).then(|| Self {
                    packet_end: ethernet::HEADER_LEN + usize::from(plain.total_len()),
                    header_end: IPV4_END,
                    protocol: plain.protocol(),
                    is_ipv4: true,
                    tos_and_flags: plain.tos_and_flags(),
                    ttl: plain.ttl(),
                })
            }
            Carried::Ipv6 => {
                let plain =
                    PlainIpv6::of(header::behind_ethernet(frame.first_chunk::<IPV6_END>()?));
                plain.is_sound(room).then(|| Self {
                    packet_end: IPV6_END + usize::from(plain.payload_len()),
                    header_end: IPV6_END,
                    protocol: plain.next_header(),
                    is_ipv4: false,
                    tos_and_flags: TosAndFlags::new(plain.traffic_class(), 0),
                    ttl: plain.hop_limit(),
                })
            }
            Carried::Other => None,
        }
    }

    /// Whether the packet opens a TCP connection through a tunnel that has something to say to that.
    #[inline]
    pub(super) fn opens_connection(self, frame: &[u8], tunnel: &Tunnel) -> bool {
        header::opens_connection(frame, self.header_end, self.protocol, tunnel)
    }

    /// The hash of the packet's flow.
    #[inline]
    pub(super) fn hash(self, frame: &[u8], round: &Round<'_>) -> u64 {
        let flow = &round.tables.flow;
        let packet = frame.get(ethernet::HEADER_LEN..).unwrap_or(&[]);
        if self.is_ipv4 { flow.hash_ipv4(packet) } else { flow.hash_ipv6(packet) }
    }
}

/// Whether what stands behind packets is cut off: where options may be put into them.
#[inline]
pub(super) fn loses_padding(tunnel: &Tunnel) -> bool {
    tunnel.plain.facts.has(Facts::CLAMPS_MSS) && tunnel.setup.mss == MssClamp::LowerOrInsert
}
