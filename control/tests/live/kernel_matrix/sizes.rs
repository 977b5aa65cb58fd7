//! Sizes around every boundary, DF set and clear, for every way to treat what is too large, both ways.

use tempfile::TempDir;

use super::rows::{DIRECTIONS, Direction, Matrix, PROBE, Probe, Row, Seen, Wires};
use super::{Ends, IP6IP6, IPIP, IPIP6, LINK_MTU, Mode, SIT, SMALL_UNDERLAY_MTU};
use crate::sites::Network;
use crate::turn;

/// An underlay that takes less than the hosts send, so that no host cuts what a tunnel has to.
const UNDERLAY_MTU: u16 = 1400;
const IPV6_MINIMUM: u16 = 1280;

/// The DF bit of an outer IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Df {
    Set,
    Clear,
    /// That of the inner packet; of IPv6 inside, set.
    Copied,
}

/// Where a packet that is too large is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Inner,
    Outer,
    /// Linux's ip6tnl never cuts what it has encapsulated, and says that packets are too big which RFC 2473 §7 lets
    /// pass: IPv6 up to 1280 bytes, and IPv4 with DF clear. Ours does as the RFC says (semantics B6.3).
    Never,
}

/// How one end treats what it encapsulates (semantics B5.1, B6).
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// The largest packet that nobody may cut.
    mtu: u16,
    /// The largest packet with DF clear that is encapsulated as it is.
    loose_mtu: u16,
    cut: Cut,
    df: Df,
}

impl Rule {
    const fn new(mtu: u16, df: Df) -> Self {
        Self { mtu, loose_mtu: mtu, cut: Cut::Inner, df }
    }

    const fn loose(self, loose_mtu: u16) -> Self {
        Self { loose_mtu, ..self }
    }

    const fn outside(self) -> Self {
        Self { cut: Cut::Outer, ..self }
    }

    const fn never_cut(self) -> Self {
        Self { cut: Cut::Never, ..self }
    }

    /// The largest packet that passes without being cut inside.
    fn limit(self, is_ipv6: bool, dont_fragment: bool) -> u16 {
        match (is_ipv6, self.cut) {
            (_, Cut::Never) => self.mtu,
            (true, _) => self.mtu.max(IPV6_MINIMUM),
            (false, _) if dont_fragment => self.mtu,
            (false, _) => self.loose_mtu,
        }
    }

    /// Whether what is larger than the limit is an error.
    fn refuses(self, is_ipv6: bool, dont_fragment: bool) -> bool {
        is_ipv6 || dont_fragment || self.cut == Cut::Never
    }
}

/// Settings of both ends and what follows from them.
struct Setting {
    mode: Mode,
    /// Of adit.
    keys: &'static str,
    /// Of the guest's `ip link add`, and after it.
    link: &'static str,
    underlay_mtu: u16,
    adit: Rule,
    linux: Rule,
}

/// As Linux is without `pmtudisc`: it copies DF, and what may be cut fills the device.
const LOOSE: &str = "ttl inherit nopmtudisc";
const LOOSE_1450: &str = "ttl inherit nopmtudisc; ip link set far mtu 1450";

#[rustfmt::skip]
fn settings() -> Vec<Setting> {
    use Df::{Clear, Copied, Set};
    let wide = |mode: Mode, keys, link, adit, linux| {
        Setting { mode, keys, link, underlay_mtu: UNDERLAY_MTU, adit, linux }
    };
    let small = |mode: Mode, keys, link, adit, linux| {
        Setting { mode, keys, link, underlay_mtu: SMALL_UNDERLAY_MTU, adit, linux }
    };
    let plain = |mode: Mode| mode.plain_link();
    let rule = Rule::new;
    vec![
        wide(IPIP, "", plain(IPIP), rule(1380, Set), rule(1380, Set)),
        wide(IPIP, ", fragment: outer", plain(IPIP), rule(1380, Set).outside(), rule(1380, Set)),
        wide(IPIP, ", dont-fragment: inherit", LOOSE, rule(1380, Copied), rule(1380, Copied)),
        wide(IPIP, ", dont-fragment: inherit, fragment: outer, mtu: 1450", LOOSE_1450,
             rule(1380, Copied).loose(1450).outside(), rule(1380, Copied).loose(1450)),
        wide(IPIP, ", dont-fragment: no, mtu: 1450", LOOSE_1450,
             rule(1450, Clear), rule(1380, Copied).loose(1450)),
        wide(IPIP, ", dont-fragment: no", LOOSE, rule(1380, Clear), rule(1380, Copied)),
        wide(IPIP, ", dont-fragment: ignore-df, fragment: outer", LOOSE,
             rule(1380, Clear).outside(), rule(1380, Copied)),
        wide(SIT, "", plain(SIT), rule(1380, Set), rule(1380, Set)),
        wide(SIT, ", dont-fragment: inherit", LOOSE, rule(1380, Copied), rule(1380, Clear)),
        wide(SIT, ", dont-fragment: no, mtu: 1450", LOOSE_1450,
             rule(1450, Clear), rule(1450, Clear)),
        wide(SIT, ", dont-fragment: ignore-df", LOOSE, rule(1380, Clear), rule(1380, Clear)),
        wide(SIT, ", static-mtu: 1280", "ttl inherit nopmtudisc; ip link set far mtu 1280",
             rule(1280, Clear), rule(1280, Clear)),
        wide(IPIP6, "", plain(IPIP6), rule(1360, Clear), rule(1360, Clear)),
        wide(IPIP6, ", fragment: outer", plain(IPIP6),
             rule(1360, Clear).outside(), rule(1360, Clear)),
        wide(IPIP6, "", "hoplimit 64 encaplimit none; ip link set far mtu 1450",
             rule(1360, Clear), rule(1360, Clear).loose(1450).never_cut()),
        wide(IPIP6, ", encap-limit: 4", "hoplimit 64 encaplimit 4",
             rule(1352, Clear), rule(1352, Clear)),
        wide(IP6IP6, "", plain(IP6IP6), rule(1360, Clear), rule(1360, Clear)),
        wide(IP6IP6, ", encap-limit: 4", "hoplimit 64 encaplimit 4",
             rule(1352, Clear), rule(1352, Clear)),
        small(IPIP, "", plain(IPIP), rule(1270, Set), rule(1270, Set)),
        small(SIT, "", plain(SIT), rule(1270, Clear), rule(1270, Clear)),
        small(IPIP6, "", "hoplimit 64 encaplimit none; ip link set far mtu 1250",
              rule(1250, Clear), rule(1250, Clear)),
        small(IPIP6, ", fragment: outer", "hoplimit 64 encaplimit none; ip link set far mtu 1250",
              rule(1250, Clear).outside(), rule(1250, Clear)),
        small(IP6IP6, "", plain(IP6IP6), rule(1250, Clear), rule(1250, Clear).never_cut()),
    ]
}

/// What has to become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Refused {
        mtu: u16,
    },
    Arrives {
        inner_is_cut: bool,
        outer_is_cut: bool,
        outer_df: bool,
    },
    /// The host has cut it already; it arrives.
    ArrivesSomehow,
}

impl Setting {
    fn rule(&self, direction: Direction) -> Rule {
        match direction {
            Direction::ToLinux => self.adit,
            Direction::FromLinux => self.linux,
        }
    }

    fn lens(&self) -> Vec<u16> {
        let smallest = if self.mode.inner_v6 { 48 } else { 28 };
        let mut lens = vec![smallest, LINK_MTU - 1, LINK_MTU];
        let mut boundaries = vec![self.underlay_mtu];
        for rule in [self.adit, self.linux] {
            boundaries.extend([rule.mtu, rule.loose_mtu]);
        }
        if self.mode.inner_v6 || self.mode.outer_v6 {
            boundaries.push(IPV6_MINIMUM);
        }
        lens.extend(boundaries.into_iter().flat_map(|len| [len - 1, len, len + 1]));
        lens.sort_unstable();
        lens.dedup();
        lens
    }

    /// Those with DF clear first. IPv6 routers never cut, so there is nothing to be clear.
    fn probes(&self) -> Vec<(Probe, Fate)> {
        let mut probes = Vec::new();
        let bits: &[bool] = if self.mode.inner_v6 { &[true] } else { &[false, true] };
        for &dont_fragment in bits {
            for direction in DIRECTIONS {
                for len in self.lens() {
                    let mut probe = Probe { direction, len, dont_fragment, ..PROBE };
                    let fate = self.fate(probe);
                    probe.is_lost =
                        !matches!(fate, Fate::Refused { .. }) && !self.is_answered(probe);
                    probes.push((probe, fate));
                }
                if !dont_fragment && self.linux.cut != Cut::Never {
                    let probe = Probe { direction, len: 3000, dont_fragment, ..PROBE };
                    probes.push((probe, Fate::ArrivesSomehow));
                }
            }
        }
        probes
    }

    fn fate(&self, probe: Probe) -> Fate {
        let is_ipv6 = self.mode.inner_v6;
        let rule = self.rule(probe.direction);
        let limit = rule.limit(is_ipv6, probe.dont_fragment);
        if probe.len > limit && rule.refuses(is_ipv6, probe.dont_fragment) {
            // Linux compares with the MTU of its device first, and with that of the path after it.
            let is_for_device = probe.direction == Direction::FromLinux
                && probe.dont_fragment
                && probe.len > rule.loose_mtu;
            let mtu = if is_for_device { limit.max(rule.loose_mtu) } else { limit };
            return Fate::Refused { mtu: if is_ipv6 { mtu.max(IPV6_MINIMUM) } else { mtu } };
        }
        let inner_is_cut = probe.len > limit && rule.cut == Cut::Inner;
        let piece_len = if inner_is_cut { limit } else { probe.len };
        let outer_is_cut = piece_len + self.overhead() > self.underlay_mtu;
        let outer_df = match rule.df {
            Df::Set => !outer_is_cut,
            Df::Clear => false,
            Df::Copied => is_ipv6 || probe.dont_fragment,
        };
        Fate::Arrives { inner_is_cut, outer_is_cut, outer_df }
    }

    /// Whether the answer, of as many bytes and with DF clear, is certain to get through the other end.
    fn is_answered(&self, probe: Probe) -> bool {
        let back = match probe.direction {
            Direction::ToLinux => self.linux,
            Direction::FromLinux => self.adit,
        };
        let is_ipv6 = self.mode.inner_v6;
        probe.len <= back.limit(is_ipv6, false) || !back.refuses(is_ipv6, false)
    }

    fn overhead(&self) -> u16 {
        let option = if self.keys.contains("encap-limit") { 8 } else { 0 };
        self.mode.overhead() + option
    }
}

/// Whether a row went as it had to.
fn judge(row: &Row<(Fate, u16)>, seen: &Seen<'_>) -> Result<(), String> {
    let (fate, underlay_mtu) = row.expected;
    let too_long =
        seen.underlay.iter().find(|frame| frame.layers[0].len > usize::from(underlay_mtu));
    if let Some(frame) = too_long {
        return Err(format!("{} bytes on an underlay of {underlay_mtu}", frame.layers[0].len));
    }
    if let Fate::Refused { mtu } = fate {
        let words = [format!("(mtu = {mtu})"), format!("mtu={mtu}\n")];
        let is_told = words.iter().any(|words| row.said.contains(words));
        let is_sent = !seen.underlay.is_empty();
        return if is_told && !is_sent {
            Ok(())
        } else {
            Err(format!("expected to be refused with an MTU of {mtu}, sent: {is_sent}"))
        };
    }
    if !row.probe.is_lost && !row.is_answered() {
        return Err(format!("expected an answer: {fate:?}"));
    }
    let Fate::Arrives { inner_is_cut, .. } = fate else { return Ok(()) };
    let is_cut = |depth: usize| {
        let mut layers = seen.underlay.iter().filter_map(|frame| frame.layers.get(depth));
        layers.any(|layer| layer.piece.is_some())
    };
    let found = Fate::Arrives {
        inner_is_cut: is_cut(1),
        outer_is_cut: is_cut(0),
        outer_df: seen.underlay.iter().any(|frame| frame.layers[0].dont_fragment),
    };
    if found != fate {
        return Err(format!("expected {fate:?}, found {found:?}"));
    }
    arrived_whole(row.probe, inner_is_cut, seen)
}

/// Whether all of the packet arrived, once, in one piece if no tunnel had to cut it, and with its DF bit.
fn arrived_whole(probe: Probe, inner_is_cut: bool, seen: &Seen<'_>) -> Result<(), String> {
    const HEADER_LEN: usize = 20;
    let inner = seen.arrived.iter().map(|frame| frame.layers[0]);
    let len = if inner_is_cut {
        HEADER_LEN + inner.clone().map(|layer| layer.len - HEADER_LEN).sum::<usize>()
    } else {
        inner.clone().map(|layer| layer.len).sum()
    };
    let is_in_pieces = inner.clone().any(|layer| layer.piece.is_some());
    if len != usize::from(probe.len) || is_in_pieces != inner_is_cut {
        return Err(format!("arrived as {len} bytes, in pieces: {is_in_pieces}"));
    }
    let is_ipv4 = inner.clone().all(|layer| layer.source.is_ipv4());
    if is_ipv4 && inner.clone().any(|layer| layer.dont_fragment != probe.dont_fragment) {
        return Err("arrived with another DF bit".to_owned());
    }
    Ok(())
}

#[test]
fn every_size_around_an_mtu_arrives_or_is_refused_with_the_mtu_that_fits() {
    let _turn = turn::shared();
    let network = Network::lay();
    let folder = TempDir::with_prefix("adit-live-").expect("a temporary folder");
    let mut ends = Ends::up(&network);
    let wires = Wires::listen(&network, folder.path());
    let mut matrix = Matrix::new();
    let settings = settings();
    for setting in &settings {
        ends.narrow(setting.underlay_mtu);
        ends.lay(setting.mode, setting.keys, setting.link);
        let name = format!(
            "keys \"{}\", link \"{}\", underlay {}",
            setting.keys, setting.link, setting.underlay_mtu
        );
        let probes = setting.probes().into_iter();
        let probes = probes.map(|(probe, fate)| (probe, (fate, setting.underlay_mtu)));
        matrix.run(&network, setting.mode, &name, probes);
    }
    let last = settings.last().expect("there are settings").mode;
    matrix.judge(&wires.close(&network, last.target()), judge);
}
