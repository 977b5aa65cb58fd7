//! TCP and UDP at speed, and a file that arrives as it was.

use super::{Ends, MODES, Mode, shims};
use crate::files::File;
use crate::sites::Network;
use crate::traffic::iperf;
use crate::turn;

const FILE_LEN: usize = 2_000_000;
/// Of the kinds of GRE, FOU and GUE: there are many.
const SHORT_FILE_LEN: usize = 300_000;

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

#[test]
fn tcp_and_udp_run_both_ways_and_a_file_arrives_as_it_was() {
    let _turn = turn::shared();
    let network = Network::lay();
    let file = File::new(FILE_LEN);
    let mut ends = Ends::up(&network);
    for mode in MODES {
        ends.lay(mode, "", mode.plain_link());
        iperf_both_ways(&network, mode);
        file.crosses(mode.name, &network.host1, &network.host2, mode.target());
    }
}

#[test]
fn tcp_runs_through_gre_fou_and_gue_with_every_field_and_a_file_arrives_as_it_was() {
    let _turn = turn::shared();
    let network = Network::lay();
    let file = File::new(SHORT_FILE_LEN);
    let mut ends = Ends::up(&network);
    ends.load_shims();
    // Linux 6.1 merges segments of TCP that arrive in GRE in UDP, and then refuses what it has made of them: its
    // UdpInErrors counts them, and what comes through is one lost packet a second. Not merged, they are right.
    ends.guest.run("ethtool -K eth0 gro off");
    for modes in shims::modes() {
        let mode = modes[0];
        ends.lay(mode, "", mode.plain_link());
        let run = iperf(&network.host1, &network.host2, mode.target(), "-n 1M");
        let rate = run.megabits_per_second;
        assert!(rate > 1.0, "{}: TCP: {rate} Mbit/s", mode.name);
        for mode in modes {
            file.crosses(mode.name, &network.host1, &network.host2, mode.target());
        }
    }
}
