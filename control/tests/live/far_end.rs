//! The far end of a tunnel in a Linux guest, on the wire of a site's port `wan`, where it is 198.51.100.9 and `2001:db8:a::9`: what
//! tests with the kernel's own devices have in common.
//!
//! `ADIT_KEEP_CAPTURES=FOLDER` keeps what the kernel sent at first, one file a kind: those in `control/tests/captures/linux` are such.

use std::ops::RangeInclusive;
use std::path::Path;

use tempfile::TempDir;

use crate::capture::{self, Capture};
use crate::guest::Guest;
use crate::network::Namespace;

/// One kind of tunnel: adit's words for it, and the guest's `ip link add`.
pub(crate) struct Kind {
    /// Its file among the captures.
    pub(crate) capture: &'static str,
    /// What of the configuration of adit's end differs from kind to kind.
    pub(crate) words: &'static str,
    pub(crate) link: &'static str,
    pub(crate) outer_v6: bool,
    /// Bytes in front of a packet.
    pub(crate) overhead: u16,
}

pub(crate) const fn kind(
    capture: &'static str,
    words: &'static str,
    link: &'static str,
    outer_v6: bool,
    overhead: u16,
) -> Kind {
    Kind { capture, words, link, outer_v6, overhead }
}

/// The outer addresses of adit and of the guest.
pub(crate) const fn ends(outer_v6: bool) -> (&'static str, &'static str) {
    if outer_v6 { ("2001:db8:a::1", "2001:db8:a::9") } else { ("198.51.100.1", "198.51.100.9") }
}

impl Kind {
    pub(crate) fn ends(&self) -> (&'static str, &'static str) {
        ends(self.outer_v6)
    }

    /// The largest packet that goes into it.
    pub(crate) fn mtu(&self) -> u16 {
        1500 - self.overhead
    }

    /// Makes the guest's device `far`, which is 10.9.0.2 and `fd00:9::2` on a segment.
    pub(crate) fn lay_segment(&self, guest: &mut Guest) {
        let (remote, local) = self.ends();
        // A device of GENEVE has no address of its own.
        let local =
            if self.words.starts_with("geneve") { String::new() } else { format!("local {local}") };
        guest.run(&format!(
            "set -e
             ip link del far 2>/dev/null || true
             ip link add far {} {local} remote {remote}
             ip link set far mtu {} up
             ip addr add 10.9.0.2/24 dev far
             ip -6 addr add fd00:9::2/64 dev far nodad",
            self.link,
            self.mtu(),
        ));
    }

    /// Keeps what the guest sends while both talk, so many frames, where it is asked for.
    pub(crate) fn keep(
        &self,
        site: &Namespace,
        counts: RangeInclusive<usize>,
        talk: impl FnOnce(),
    ) {
        let Some(folder) = std::env::var_os("ADIT_KEEP_CAPTURES") else { return };
        let work = TempDir::with_prefix("adit-live-").expect("a temporary folder");
        let (_, guest) = self.ends();
        // The guest's own talk with its neighbors is left out.
        let own = if self.outer_v6 { "ip6[6] == 58" } else { "icmp and not arp" };
        let filter = format!("src host {guest} and not {own}");
        let mut wire = Capture::start(site, work.path(), "guest", &filter);
        talk();
        wire.at_least(*counts.start());
        let frames: Vec<Vec<u8>> = wire.frames().into_iter().take(*counts.end()).collect();
        capture::write(&Path::new(&folder).join(format!("{}.pcap", self.capture)), &frames);
    }
}

/// Puts a tap for a guest on the wire of a port.
pub(crate) fn plug_tap(site: &Namespace, tap: &str, port: &str) {
    site.ip(&format!("tuntap add dev {tap} mode tap"));
    site.ip(&format!("link set {tap} addrgenmode none"));
    site.plug(tap, port);
}

/// A host behind port `lan` of a site, which has a tap for a guest on the wire of port `wan`.
pub(crate) fn lay() -> (Namespace, Namespace) {
    let (host1, site) = (Namespace::new("host1"), Namespace::new("a"));
    site.port("lan", &host1, "eth0");
    site.tap("wan");
    plug_tap(&site, "guest", "wan");
    (host1, site)
}

/// Boots a guest with these taps, of which the first is on the wire of `wan`. It runs `script` once it has its addresses
/// there, and then sees to it that adit is known to it.
pub(crate) fn boot(site: &Namespace, taps: &[&str], script: &str) -> Guest {
    let taps = taps.iter().map(|tap| format!("tap,ifname={tap},script=no,downscript=no"));
    let taps: Vec<String> = taps.collect();
    let mut guest = Guest::boot(site, &taps.iter().map(String::as_str).collect::<Vec<_>>());
    guest.run(&format!(
        "set -e
         echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
         ip addr add 198.51.100.9/24 dev eth0
         ip -6 addr add 2001:db8:a::9/64 dev eth0 nodad
         ip link set eth0 up
         {script}
         ping -n -q -c 1 -w 30 198.51.100.1
         ping -n -q -c 1 -w 30 2001:db8:a::1"
    ));
    guest
}
