//! The first loop: which frames of a burst are plain, and what they are.

use super::header::{self, Carried, IPV4_END, IPV6_END, PlainIpv4, PlainIpv6};
use super::{Arrival, FastPath, Transit};
use crate::packet::{Flags, Packet};
use crate::tables::local::LocalAddresses;
use crate::tables::{NextHop, Port};
use crate::tunnel::lookup::Protocols;
use crate::wire::ethernet;

impl FastPath {
    /// Sorts the packets of a burst into the lists. Not plain is what is in none.
    #[inline]
    pub(super) fn sort(&mut self, packets: &[Packet], port: &Port, local: &LocalAddresses) {
        self.transit4.clear();
        self.transit6.clear();
        self.arrivals4.clear();
        self.arrivals6.clear();
        let own = header::mac_word(port.mac);
        for (at, packet) in (0_u16..).zip(packets) {
            let frame = packet.data();
            let Some(start) = frame.first_chunk::<IPV4_END>() else { continue };
            match header::carried(start, own) {
                Carried::Ipv4 if !packet.meta.flags.has(Flags::BAD_CHECKSUM) => {
                    self.sort_ipv4(at, frame, local);
                }
                Carried::Ipv6 => self.sort_ipv6(at, frame, local),
                _ => {}
            }
        }
    }

    #[inline]
    fn sort_ipv4(&mut self, at: u16, frame: &[u8], local: &LocalAddresses) {
        let header = frame.first_chunk::<IPV4_END>().and_then(|start| start.last_chunk());
        let room = frame.len() - ethernet::HEADER_LEN;
        let Some(plain) = header.and_then(|header| PlainIpv4::read(header, room)) else { return };
        let is_between_hosts = plain.is_between_hosts() & (plain.ttl > 1);
        let PlainIpv4 { total_len, protocol, source, destination, .. } = plain;
        if Protocols::of(protocol) != Protocols::NONE && !plain.is_fragment() {
            let PlainIpv4 { tos, ttl, .. } = plain;
            let (local, remote) = (destination, source);
            return self.arrivals4.push(Arrival {
                at,
                total_len,
                protocol,
                tos,
                ttl,
                is_between_hosts,
                local,
                remote,
            });
        }
        if is_between_hosts && !local.contains_ipv4(source) {
            self.transit4.push(Transit { at, total_len, destination, next_hop: NextHop::NoRoute });
        }
    }

    #[inline]
    fn sort_ipv6(&mut self, at: u16, frame: &[u8], local: &LocalAddresses) {
        let header = frame.first_chunk::<IPV6_END>().and_then(|start| start.last_chunk());
        let room = frame.len() - ethernet::HEADER_LEN;
        let Some(plain) = header.and_then(|header| PlainIpv6::read(header, room)) else { return };
        let is_between_hosts = plain.is_between_hosts() & (plain.hop_limit > 1);
        let PlainIpv6 { total_len, source, destination, .. } = plain;
        if Protocols::of(plain.next_header) != Protocols::NONE {
            let PlainIpv6 { next_header: protocol, traffic_class: tos, hop_limit: ttl, .. } = plain;
            let (local, remote) = (destination, source);
            return self.arrivals6.push(Arrival {
                at,
                total_len,
                protocol,
                tos,
                ttl,
                is_between_hosts,
                local,
                remote,
            });
        }
        if is_between_hosts && !local.contains_ipv6(source) {
            self.transit6.push(Transit { at, total_len, destination, next_hop: NextHop::NoRoute });
        }
    }
}
