//! Rows of the matrix: one echo request each, sent by a host, and what became of it on every wire.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::Mode;
use super::frames::{self, Echo, Frame};
use crate::capture::Capture;
use crate::network::{Namespace, until};
use crate::sites::{HOST1, HOST1_V6, Network};
use crate::traffic::acquaint;

const CAPTURE_LIMIT: Duration = Duration::from_secs(10);
/// Numbers that no row has: of the ping behind the last one, and of pings between rows.
const CLOSING: u16 = u16::MAX;
pub(super) const BETWEEN: u16 = CLOSING - 1;

/// Who encapsulates the request: adit on the way to Linux, the kernel on the way from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    ToLinux,
    FromLinux,
}

pub(super) const DIRECTIONS: [Direction; 2] = [Direction::ToLinux, Direction::FromLinux];

/// One echo request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) direction: Direction,
    /// The packet that enters the tunnel, from its IP header on.
    pub(super) len: u16,
    /// Of IPv4, the bit; of IPv6, whether the sender itself may cut it.
    pub(super) dont_fragment: bool,
    /// TOS or traffic class.
    pub(super) tos: u8,
    pub(super) ttl: u8,
    /// No answer is certain to come back, so none is waited for.
    pub(super) is_lost: bool,
}

/// A small plain one.
pub(super) const PROBE: Probe = Probe {
    direction: Direction::ToLinux,
    len: 84,
    dont_fragment: true,
    tos: 0,
    ttl: 64,
    is_lost: false,
};

/// A probe that has run, with what it had to prove.
pub(super) struct Row<E> {
    pub(super) mode: Mode,
    setting: String,
    pub(super) probe: Probe,
    pub(super) expected: E,
    number: u16,
    /// What ping printed.
    pub(super) said: String,
}

impl<E> Row<E> {
    pub(super) fn is_answered(&self) -> bool {
        self.said.contains(" 1 received")
    }
}

impl<E> fmt::Display for Row<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let probe = &self.probe;
        let direction = match probe.direction {
            Direction::ToLinux => "to Linux",
            Direction::FromLinux => "from Linux",
        };
        write!(
            formatter,
            "{}, {}: {direction}, {} bytes, DF {}, DSCP {}, ECN {}, TTL {}",
            self.mode.name,
            self.setting,
            probe.len,
            if probe.dont_fragment { "set" } else { "clear" },
            probe.tos >> 2,
            probe.tos & 3,
            probe.ttl
        )
    }
}

/// All rows of a test, in the order in which they ran.
pub(super) struct Matrix<E> {
    pub(super) rows: Vec<Row<E>>,
}

impl<E> Matrix<E> {
    pub(super) fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// Sends the probes one after the other, all of one direction in one shell.
    pub(super) fn run(
        &mut self,
        network: &Network,
        mode: Mode,
        setting: &str,
        probes: impl IntoIterator<Item = (Probe, E)>,
    ) {
        let first = self.rows.len();
        for (probe, expected) in probes {
            let number = u16::try_from(self.rows.len() + 1).expect("rows are few");
            let (setting, said) = (setting.to_owned(), String::new());
            self.rows.push(Row { mode, setting, probe, expected, number, said });
        }
        let rows = &mut self.rows[first..];
        // Runs of one direction, so that the order stays.
        for run in rows.chunk_by_mut(|one, next| one.probe.direction == next.probe.direction) {
            let host = match run[0].probe.direction {
                Direction::ToLinux => &network.host1,
                Direction::FromLinux => &network.host2,
            };
            send(host, run);
        }
    }

    /// Holds every row against the captures and fails with all that are wrong.
    #[track_caller]
    pub(super) fn judge(
        &self,
        seen: &Captured,
        judge: impl Fn(&Row<E>, &Seen<'_>) -> Result<(), String>,
    ) {
        let mistakes = self.rows.iter().filter_map(|row| {
            let seen = seen.of(row);
            let mistake = judge(row, &seen).err()?;
            Some(format!("{row}: {mistake}\n{}\n{seen}", row.said.trim()))
        });
        let mistakes: Vec<String> = mistakes.collect();
        eprintln!("{} rows, {} wrong", self.rows.len(), mistakes.len());
        assert!(
            mistakes.is_empty(),
            "{} of {}:\n{}",
            mistakes.len(),
            self.rows.len(),
            mistakes.join("\n")
        );
    }
}

/// Sends the requests of `rows` from `host` and gives each row what ping printed.
fn send<E>(host: &Namespace, rows: &mut [Row<E>]) {
    let script: String = rows.iter().map(command).collect();
    let text = host.shell(&script);
    let mut answers = text.split("#ROW\n").skip(1);
    for row in rows {
        answers.next().expect("each row prints its mark").clone_into(&mut row.said);
    }
}

fn command<E>(row: &Row<E>) -> String {
    let Probe { direction, len, dont_fragment, tos, ttl, is_lost } = row.probe;
    let target = match (direction, row.mode.inner_v6) {
        (Direction::ToLinux, _) => row.mode.target(),
        (Direction::FromLinux, false) => HOST1,
        (Direction::FromLinux, true) => HOST1_V6,
    };
    let size = len - if row.mode.inner_v6 { 48 } else { 28 };
    let df = if dont_fragment { "do" } else { "dont" };
    // Captures tell what was lost, so a late answer changes nothing.
    let patience = if is_lost { "0.1" } else { "10" };
    let family = if row.mode.inner_v6 { "-6" } else { "-4" };
    // A host that remembers what it was told would cut or refuse the packet itself.
    format!(
        "echo '#ROW'; ip {family} route flush cache
         ping -n -c 1 -W {patience} -e {} -M {df} -s {size} -Q {tos} -t {ttl} {target} 2>&1 || true\n",
        row.number
    )
}

/// Captures of the three wires.
pub(super) struct Wires<'a> {
    host1: Capture<'a>,
    underlay: Capture<'a>,
    host2: Capture<'a>,
}

impl<'a> Wires<'a> {
    /// Begins to capture; the files go into `folder`.
    pub(super) fn listen(network: &'a Network, folder: &Path) -> Self {
        Self::listen_at(network, folder, (&network.internet, "to-a"))
    }

    /// As `listen`, but looks at adit's own port: there the kernel has filled in the checksums that hosts left to offloads.
    pub(super) fn listen_at_port(network: &'a Network, folder: &Path) -> Self {
        Self::listen_at(network, folder, (&network.box_a, "wan"))
    }

    fn listen_at(
        network: &'a Network,
        folder: &Path,
        (namespace, interface): (&'a Namespace, &str),
    ) -> Self {
        let listen = |namespace, name: &str, interface| {
            let folder = folder.join(name);
            std::fs::create_dir(&folder).expect("a folder of the test's own");
            // Headers are enough, and the shorter the frames, the more of them wait for a late tcpdump.
            Capture::start(namespace, &folder, interface, "-s 256 ip or ip6")
        };
        Self {
            host1: listen(&network.host1, "host1", "eth0"),
            underlay: listen(namespace, "underlay", interface),
            host2: listen(&network.host2, "host2", "eth0"),
        }
    }

    /// What was captured up to one more ping to `target`, which closes the books: it comes behind all rows.
    pub(super) fn close(self, network: &Network, target: &str) -> Captured {
        acquaint(&network.host1, &format!("-e {CLOSING} {target}"));
        let read = |capture: &Capture<'_>| {
            until(CAPTURE_LIMIT, "closing ping in all captures", || {
                let frames = frames::read(&capture.frames());
                let is_answered = frames.iter().any(|frame| {
                    frame.echo.is_some_and(|echo| echo.id == CLOSING && !echo.is_request)
                });
                is_answered.then_some(frames)
            })
        };
        Captured {
            host1: read(&self.host1),
            underlay: read(&self.underlay),
            host2: read(&self.host2),
        }
    }
}

/// All frames of the three wires.
pub(super) struct Captured {
    host1: Vec<Frame>,
    pub(super) underlay: Vec<Frame>,
    host2: Vec<Frame>,
}

/// The request of one row, on the underlay and where it arrived.
pub(super) struct Seen<'a> {
    pub(super) underlay: Vec<&'a Frame>,
    pub(super) arrived: Vec<&'a Frame>,
}

impl Captured {
    pub(super) fn of<'a, E>(&'a self, row: &Row<E>) -> Seen<'a> {
        let far = match row.probe.direction {
            Direction::ToLinux => &self.host2,
            Direction::FromLinux => &self.host1,
        };
        let request = Some(Echo { id: row.number, is_request: true });
        let of_row =
            |wire: &'a [Frame]| wire.iter().filter(|frame| frame.echo == request).collect();
        Seen { underlay: of_row(&self.underlay), arrived: of_row(far) }
    }
}

impl fmt::Display for Seen<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (wire, frames) in [("underlay", &self.underlay), ("arrived", &self.arrived)] {
            for frame in frames {
                writeln!(formatter, "  {wire}: {:?}", frame.layers)?;
            }
        }
        Ok(())
    }
}
