//! Who listens to which groups (MLD, RFC 3810 §6 and §8): queries are answered for the groups that
//! solicitations for our addresses go to, in the version that the querier speaks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::time::Duration;

use adit_dataplane::clock::Nanos;
use adit_dataplane::wire::ethernet::MacAddress;
use adit_dataplane::wire::mld::{self, Query, Record, SOURCES_MAX, Version};

use super::port::Port;
use super::{Action, Turn};

/// An answer to a query takes no longer, whatever it allows: the default of queriers.
//= RFC 3810 §9.3: Query Response Interval 10 seconds.
const QUERY_DELAY_MAX: Duration = Duration::from_secs(10);
/// Between two answers about the same, whoever asks how often.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How long a querier of version 1 counts as present.
//= RFC 3810 §9.12: Robustness Variable times Query Interval, and Query Response Interval: 2 · 125 + 10 s.
const OLD_QUERIER_TIME: Duration = Duration::from_secs(260);

/// What is to be answered, and how.
#[derive(Debug, Default)]
pub(super) struct Listener {
    /// When all groups are told of.
    all_at: Option<Nanos>,
    /// When single groups are, and for which sources; none: for all.
    groups: BTreeMap<Ipv6Addr, (Nanos, BTreeSet<Ipv6Addr>)>,
    /// When something was answered last.
    told_at: Option<Nanos>,
    /// Until when version 1 is spoken.
    old_until: Option<Nanos>,
}

impl Listener {
    /// When the next thing is due.
    pub(super) fn next_deadline(&self) -> Option<Nanos> {
        let groups = self.groups.values().map(|(at, _)| *at);
        groups.chain(self.all_at).chain(self.old_until).min()
    }

    /// What was to be answered is not: the version is another, or the carrier is gone.
    fn forget_questions(&mut self) {
        self.all_at = None;
        self.groups.clear();
    }

    /// A group, or some of its sources, is asked for; it is told of at `at`.
    fn plan(&mut self, group: Ipv6Addr, at: Nanos, sources: &[Ipv6Addr]) {
        //= RFC 3810 §6.2 (1): an answer about everything that comes sooner is enough.
        if self.all_at.is_some_and(|all_at| all_at <= at) {
            return;
        }
        let wanted: BTreeSet<Ipv6Addr> = sources.iter().copied().collect();
        match self.groups.get_mut(&group) {
            None => drop(self.groups.insert(group, (at, wanted))),
            Some((planned, known)) => {
                //= RFC 3810 §6.2 (4), (5): one answer at the earlier time, about all that was asked for.
                *planned = (*planned).min(at);
                if wanted.is_empty() {
                    known.clear();
                } else if !known.is_empty() {
                    known.extend(wanted);
                }
            }
        }
        // More sources than one report holds: that all are listened to is true of those, too.
        if let Some((_, known)) = self.groups.get_mut(&group).filter(|(_, k)| k.len() > SOURCES_MAX)
        {
            known.clear();
        }
    }
}

impl Port {
    /// Somebody asks who listens to what.
    pub(super) fn hear_query(&mut self, query: &Query, turn: &mut Turn<'_>) {
        if query.version == Version::One {
            //= RFC 3810 §8.2.1: whoever changes the version forgets what was to be answered.
            if self.listener.old_until.is_none() {
                self.listener.forget_questions();
            }
            self.listener.old_until = Some(turn.now + OLD_QUERIER_TIME);
        }
        let own = self.link.groups();
        match query.group {
            None if self.speaks_version_1() => {
                for &group in &own {
                    self.listener.plan(group, self.time_of(query, group, turn), &[]);
                }
            }
            None => {
                let at = self.time_of(query, Ipv6Addr::UNSPECIFIED, turn);
                let planned = self.listener.all_at.map_or(at, |planned| planned.min(at));
                self.listener.all_at = Some(planned);
            }
            Some(group) if own.contains(&group) => {
                let at = self.time_of(query, group, turn);
                self.listener.plan(group, at, &query.sources);
            }
            Some(_) => {}
        }
    }

    /// The station `from` says in version 1 that it listens to `group`.
    pub(super) fn hear_listener(&mut self, group: Ipv6Addr, from: MacAddress) {
        //= RFC 2710 §4: one listener is enough, so another's report takes the place of ours.
        if self.speaks_version_1() && from != self.link.mac {
            self.listener.groups.remove(&group);
        }
    }

    /// When a query is answered for a group, or for all.
    fn time_of(&self, query: &Query, group: Ipv6Addr, turn: &Turn<'_>) -> Nanos {
        //= RFC 3810 §5.1.3, §6.2: stations answer at different times, within what the query allows. Ours
        //= follow from the MAC address and the group, which are as different.
        let share = u32::from(self.link.mac.0[5].wrapping_add(group.octets()[15])) + 1;
        let delay = query.delay.min(QUERY_DELAY_MAX) * share / 256;
        let earliest = self.listener.told_at.map_or(turn.now, |at| at + REPORT_INTERVAL);
        (turn.now + delay).max(earliest)
    }

    fn speaks_version_1(&self) -> bool {
        self.listener.old_until.is_some()
    }

    /// Answers what is due.
    pub(super) fn answer_queries(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        if self.listener.all_at.is_some_and(|at| at <= now) {
            (self.listener.all_at, self.listener.told_at) = (None, Some(now));
            self.report(Record::Listening, &self.link.groups(), turn);
        }
        let due = self.listener.groups.extract_if(.., |_, (at, _)| *at <= now);
        let due: Vec<_> = due.map(|(group, (_, sources))| (group, sources)).collect();
        let own = self.link.groups();
        for (group, sources) in due.into_iter().filter(|(group, _)| own.contains(group)) {
            self.listener.told_at = Some(now);
            if sources.is_empty() || self.speaks_version_1() {
                self.report(Record::Listening, &BTreeSet::from([group]), turn);
            } else {
                //= RFC 3810 §6.3 (3): of the sources asked for, those that are not left out: all of them.
                let sources: Vec<Ipv6Addr> = sources.into_iter().collect();
                let source = self.link.report_source();
                let frame = mld::report_sources(self.link.mac, source, group, &sources);
                turn.actions.push(Action::Transmit { port: self.link.port, frame });
            }
        }
        if self.listener.old_until.is_some_and(|at| at <= now) {
            self.listener.old_until = None;
            self.listener.forget_questions();
        }
    }

    /// Tells routers and switches about groups.
    pub(super) fn report(&self, record: Record, groups: &BTreeSet<Ipv6Addr>, turn: &mut Turn<'_>) {
        let port = self.link.port;
        let frames = if self.speaks_version_1() {
            self.link.reports_v1(record, groups)
        } else {
            self.link.reports(record, groups)
        };
        turn.actions.extend(frames.into_iter().map(|frame| Action::Transmit { port, frame }));
    }

    /// Without a carrier nobody has asked anything, and whoever asks next may be somebody else.
    pub(super) fn forget_queriers(&mut self) {
        self.listener = Listener::default();
    }
}
