//! TCP and UDP at speed, and a file that arrives as it was.

use std::time::Duration;

use tempfile::TempDir;

use super::{Ends, MODES, Mode, shims};
use crate::network::{Namespace, until};
use crate::sites::{HOST1, HOST1_V6, Network};
use crate::traffic::iperf;
use crate::turn;

/// Of what may stand between the headers: kind and whether IPv6 is inside.
const SHIMS: [(&str, bool); 8] = [
    ("gre-all", false),
    ("ip6gre-all", true),
    ("fou-ipip", false),
    ("fou-sit", true),
    ("fou-gre-key", true),
    ("fou-ip6gre", false),
    ("gue-ipip", false),
    ("gue-gre", true),
];

const FILE_LEN: usize = 2_000_000;
const PORT: u16 = 7001;
const LISTEN_LIMIT: Duration = Duration::from_secs(10);

/// iperf3's own traffic, both ways: it has to get through, how fast is the emulated guest's matter.
fn iperf_both_ways(network: &Network, mode: Mode) {
    let target = mode.target();
    for options in ["-t 1", "-t 1 -R"] {
        let run = iperf(&network.host1, &network.host2, target, options);
        let rate = run.megabits_per_second;
        assert!(rate > 1.0, "{}: TCP {options}: {rate} Mbit/s", mode.name);
    }
    for options in ["-u -b 4M -l 1200 -t 1", "-u -b 4M -l 1200 -t 1 -R"] {
        let run = iperf(&network.host1, &network.host2, target, options);
        let (rate, lost) = (run.megabits_per_second, run.lost_percent);
        assert!(rate > 3.5 && lost < 1.0, "{}: {options}: {rate} Mbit/s, {lost} % lost", mode.name);
    }
}

/// Sends the file `sent` from one host to `address` on the other.
fn file_arrives(from: &Namespace, to: &Namespace, address: &str, folder: &TempDir, mode: Mode) {
    let (sent, received) = (folder.path().join("sent"), folder.path().join("received"));
    let writes = format!("dd of={} status=none", received.display());
    let listening = to.start(&format!("busybox nc -l -p {PORT} -e {writes}"));
    until(LISTEN_LIMIT, "listening nc", || {
        (!to.run(&format!("ss -Hltn sport = {PORT}")).trim().is_empty()).then_some(())
    });
    from.shell(&format!("busybox nc {address} {PORT} < {}", sent.display()));
    listening.finish();
    let read = |path| std::fs::read(path).expect("it was just written");
    assert!(read(&sent) == read(&received), "{}: a file to {address} arrives changed", mode.name);
}

/// A file of which no two words are alike, so that none can take the place of another.
fn folder_with_file() -> TempDir {
    let folder = TempDir::with_prefix("adit-live-").expect("a temporary folder");
    let bytes: Vec<u8> = (0_u64..)
        .flat_map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes())
        .take(FILE_LEN)
        .collect();
    std::fs::write(folder.path().join("sent"), bytes).expect("a temporary folder is writable");
    folder
}

#[test]
fn tcp_and_udp_run_both_ways_and_a_file_arrives_as_it_was() {
    let _turn = turn::shared();
    let network = Network::lay();
    let folder = folder_with_file();
    let mut ends = Ends::up(&network);
    for mode in MODES {
        ends.lay(mode, "", mode.plain_link());
        iperf_both_ways(&network, mode);
        let back = if mode.inner_v6 { HOST1_V6 } else { HOST1 };
        file_arrives(&network.host1, &network.host2, mode.target(), &folder, mode);
        file_arrives(&network.host2, &network.host1, back, &folder, mode);
    }
    ends.load_shims();
    // Linux 6.1 merges segments of TCP that arrive in GRE in UDP, and then refuses what it has made of them: its
    // UdpInErrors counts them, and what comes through is one lost packet a second. Not merged, they are right.
    ends.guest.run("ethtool -K eth0 gro off");
    for (capture, inner_v6) in SHIMS {
        let mode = shims::mode(capture, inner_v6);
        ends.lay(mode, "", mode.plain_link());
        let run = iperf(&network.host1, &network.host2, mode.target(), "-n 1M");
        let rate = run.megabits_per_second;
        assert!(rate > 1.0, "{}: TCP: {rate} Mbit/s", mode.name);
        let back = if mode.inner_v6 { HOST1_V6 } else { HOST1 };
        file_arrives(&network.host1, &network.host2, mode.target(), &folder, mode);
        file_arrives(&network.host2, &network.host1, back, &folder, mode);
    }
}
