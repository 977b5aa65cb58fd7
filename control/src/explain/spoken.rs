//! Frames that the control side has sent: ARP and neighbor discovery, as far as it takes to tell whom
//! they were sent for.

use std::fmt;
use std::net::IpAddr;

use adit_dataplane::wire::arp::{Arp, Operation};
use adit_dataplane::wire::ethernet::{self, ether_type};
use adit_dataplane::wire::nd::{self, Message};
use adit_dataplane::wire::read_u16;

/// What such a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// Who has this address?
    Asks(IpAddr),
    /// This address is here.
    Tells(IpAddr),
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asks(address) => write!(f, "who has {address}?"),
            Self::Tells(address) => write!(f, "{address} is here"),
        }
    }
}

/// Reads a frame; `None`: it is neither question nor answer.
pub(super) fn read(frame: &[u8]) -> Option<Said> {
    let packet = frame.get(ethernet::HEADER_LEN..)?;
    match read_u16(frame, 12) {
        ether_type::ARP => {
            let arp = Arp::parse(packet).ok()?;
            Some(match arp.operation {
                Operation::Request => Said::Asks(arp.target_address.into()),
                Operation::Reply => Said::Tells(arp.sender_address.into()),
            })
        }
        ether_type::IPV6 => match nd::parse(packet).ok()? {
            Message::Solicitation(asked) => Some(Said::Asks(asked.target.into())),
            Message::Advertisement(told) => Some(Said::Tells(told.target.into())),
            Message::Ignored => None,
        },
        _ => None,
    }
}
