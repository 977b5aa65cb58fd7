//! The sections of all files side by side, and those that are short: `dataplane`, `limits`, `api`, `loopback`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use super::files::Source;
use super::keys::{distinct_entries, known_entries};
use super::mistake::MistakeKind;
use super::model::{Api, Dataplane, Limits};
use super::read::{self, quoted};
use super::report::{Field, Part, Place, Report, Spot};
use super::vocabulary::{self, Key};
use super::words::{Hugepages, Idle, Spread, UnmatchedIcmp};
use crate::yaml::{Entry, Mark};

/// Bytes of a UNIX socket's path, without the zero at its end.
const SOCKET_PATH_LIMIT: usize = 107;

/// Bursts beyond this no longer fit the caches.
const BURST: std::ops::RangeInclusive<u64> = 1..=256;
const MBUFS: std::ops::RangeInclusive<u64> = 1_024..=8_388_608;
const REASSEMBLY_MEMORY: std::ops::RangeInclusive<u64> = (64 << 10)..=(64 << 30);
const CORE_LIMIT: u64 = 1023;
const WORKER_LIMIT: usize = 128;

/// One section in one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section<'t> {
    pub(super) file: &'t Arc<str>,
    pub(super) entry: &'t Entry<'t>,
}

/// The sections of a configuration, in the order of its files.
#[derive(Debug)]
pub(super) struct Sections<'t> {
    sections: Vec<Section<'t>>,
}

impl<'t> Sections<'t> {
    /// Checks the top level of every file.
    pub(super) fn new(report: &mut Report, sources: &'t [Source<'t>]) -> Self {
        let mut sections = Vec::new();
        for source in sources {
            let place = Place::root(source.name);
            let field = Field { place: &place, node: &source.root };
            for entry in known_entries(report, field, vocabulary::TOP) {
                sections.push(Section { file: source.name, entry });
            }
        }
        let this = Self { sections };
        this.check_version(report);
        this
    }

    /// Every file's section of this name.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = Section<'t>> {
        self.sections.iter().filter(move |section| section.entry.key == name).copied()
    }

    /// A section of settings as JSON, those of all files together.
    pub(super) fn as_json(&self, name: &str) -> serde_json::Value {
        let entries = self.named(name).flat_map(|section| section.entry.value.entries());
        entries.map(|entry| (entry.key.to_string(), entry.value.as_json())).collect()
    }

    fn check_version(&self, report: &mut Report) {
        for section in self.named("version") {
            let root = Place::root(section.file);
            let place = root.key("version");
            let field = Field { place: &place, node: &section.entry.value };
            let version = read::number(report, field, 0..=u64::from(u32::MAX));
            if version.is_some_and(|version| version != 1) {
                let message = "this is a version of the format that is not known";
                report.field(field, MistakeKind::BadValue, message).advise("write version: 1");
            }
        }
    }

    /// The name of a file that has sections, for as long as the file is there.
    pub(super) fn file_named(&self, name: &Arc<str>) -> Option<&'t Arc<str>> {
        self.sections.iter().map(|section| section.file).find(|file| *file == name)
    }

    /// Hands the settings of a section of settings to `read`, each key once over all files.
    pub(super) fn settings(
        &self,
        report: &mut Report,
        name: &'static str,
        keys: &'static [Key],
        mut read: impl FnMut(&mut Report, &str, Field<'_, '_>),
    ) {
        let mut seen = Seen::default();
        for section in self.named(name) {
            let root = Place::root(section.file);
            let place = root.key(name);
            let field = Field { place: &place, node: &section.entry.value };
            for entry in known_entries(report, field, keys) {
                let place = place.key(&entry.key);
                if seen.is_new(report, &place, entry) {
                    read(report, &entry.key, Field { place: &place, node: &entry.value });
                }
            }
        }
    }

    /// The entries of a section of names, each once over all files.
    pub(super) fn names(&self, report: &mut Report, name: &'static str) -> Vec<Spot<'t>> {
        let mut seen = Seen::default();
        let mut spots = Vec::new();
        for section in self.named(name) {
            let root = Place::root(section.file);
            let place = root.key(name);
            let field = Field { place: &place, node: &section.entry.value };
            for entry in distinct_entries(report, field) {
                if seen.is_new(report, &place.key(&entry.key), entry)
                    && is_name(report, &place, entry)
                {
                    let part = Part::Key(&entry.key);
                    spots.push(Spot {
                        file: section.file,
                        section: name,
                        entry: part,
                        mark: entry.mark,
                        node: &entry.value,
                    });
                }
            }
        }
        spots
    }
}

impl Sections<'_> {
    /// Reports `tunnels` that is no mapping and `routes` that is no list; what is one has been read.
    pub(super) fn refuse_other_shapes(&self, report: &mut Report) {
        for section in &self.sections {
            let root = Place::root(section.file);
            let place = root.key(&section.entry.key);
            let field = Field { place: &place, node: &section.entry.value };
            match &*section.entry.key {
                "tunnels" => drop(distinct_entries(report, field)),
                "routes" => drop(read::items(report, field)),
                _ => {}
            }
        }
    }
}

/// Finds keys that another file has as well.
#[derive(Default)]
struct Seen<'t>(HashMap<&'t str, (Arc<str>, Mark)>);

impl<'t> Seen<'t> {
    fn is_new(&mut self, report: &mut Report, place: &Place<'_>, entry: &'t Entry<'_>) -> bool {
        if let Some((file, mark)) = self.0.get(&*entry.key) {
            let message = format!(
                "{} is defined twice; the first time at {file}:{}:{}",
                quoted(&entry.key),
                mark.line,
                mark.column
            );
            report
                .error(place, entry.mark, MistakeKind::Duplicate, message)
                .advise("keep one of the two");
            return false;
        }
        self.0.insert(&entry.key, (place.file.clone(), entry.mark));
        true
    }
}

/// Names become parts of file names, of lines of text and of metrics.
pub(super) fn is_name(report: &mut Report, place: &Place<'_>, entry: &Entry<'_>) -> bool {
    const LENGTH_LIMIT: usize = 63;
    let name = &*entry.key;
    let is_plain = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '/' | '\\');
    let wrong = if name.is_empty() {
        "a name is empty".to_owned()
    } else if name.len() > LENGTH_LIMIT {
        format!("the name {} is longer than {LENGTH_LIMIT} bytes", quoted(name))
    } else if name.starts_with(['.', '-']) || !name.chars().all(is_plain) {
        format!("{} can't be a name", quoted(name))
    } else {
        return true;
    };
    report
        .error(&place.key(name), entry.mark, MistakeKind::BadValue, wrong)
        .advise("write letters, digits, and . _ - between them");
    false
}

/// The section `dataplane`.
pub(super) fn dataplane(report: &mut Report, sections: &Sections<'_>) -> Dataplane {
    let mut dataplane = Dataplane {
        control_core: None,
        worker_cores: Vec::new(),
        burst: 32,
        idle: Idle::Poll,
        hugepages: Hugepages::Auto,
        mbufs: 65_536,
        latency_sample: 1,
        eal_args: Vec::new(),
        spread: Spread::Auto,
    };
    let mut control_core = None;
    sections.settings(report, "dataplane", vocabulary::DATAPLANE, |report, key, field| match key {
        "control-core" => {
            let core = read::small(report, field, 0..=CORE_LIMIT);
            control_core = core.map(|core| (core, field.place.location(field.node.mark)));
            dataplane.control_core = core;
        }
        "worker-cores" => set(&mut dataplane.worker_cores, worker_cores(report, field)),
        "burst" => set(&mut dataplane.burst, read::small(report, field, BURST)),
        "idle" => set(&mut dataplane.idle, read::word(report, field)),
        "hugepages" => set(&mut dataplane.hugepages, read::word(report, field)),
        "mbufs" => set(&mut dataplane.mbufs, read::small(report, field, MBUFS)),
        "latency" => set(&mut dataplane.latency_sample, latency_sample(report, field)),
        "eal-args" => {
            let argument = |report: &mut Report, field: Field<'_, '_>| {
                Some(read::text(report, field)?.to_owned())
            };
            set(&mut dataplane.eal_args, read::list(report, field, argument));
        }
        "spread" => set(&mut dataplane.spread, read::word(report, field)),
        _ => {}
    });
    if let Some((core, location)) = control_core
        && dataplane.worker_cores.contains(&core)
    {
        shared_core(
            report,
            &dataplane,
            &location.file,
            Mark { line: location.line, column: location.column },
        );
    }
    dataplane
}

fn shared_core(report: &mut Report, dataplane: &Dataplane, file: &Arc<str>, mark: Mark) {
    let root = Place::root(file);
    let section = root.key("dataplane");
    let place = section.key("control-core");
    let message = "this core is one of `worker-cores`";
    if dataplane.idle == Idle::Poll {
        report
            .error(&place, mark, MistakeKind::DoesNotApply, message)
            .advise("a worker that polls leaves nothing to others: name another core, or none");
    } else {
        report.warn(&place, mark, MistakeKind::DoesNotApply, message);
    }
}

fn worker_cores(report: &mut Report, field: Field<'_, '_>) -> Option<Vec<u16>> {
    let mut cores: Vec<u16> = Vec::new();
    let items = read::items(report, field)?;
    for (index, node) in items.iter().enumerate() {
        let place = field.place.index(index);
        let item = Field { place: &place, node };
        let core = read::small(report, item, 0..=CORE_LIMIT)?;
        if cores.contains(&core) {
            let message = format!("core {core} is here twice");
            report
                .field(item, MistakeKind::Duplicate, message)
                .advise("a worker has a core of its own");
            return None;
        }
        cores.push(core);
    }
    if cores.is_empty() || cores.len() > WORKER_LIMIT {
        let message = format!("1 to {WORKER_LIMIT} workers are possible, not {}", cores.len());
        report
            .field(field, MistakeKind::OutOfRange, message)
            .advise("name a core, or leave the key out: then the last core works");
        return None;
    }
    Some(cores)
}

/// `{ sample: N }`, or `off`.
fn latency_sample(report: &mut Report, field: Field<'_, '_>) -> Option<u32> {
    if let crate::yaml::Value::Scalar(text) = &field.node.value
        && read::as_boolean(text) == Some(false)
    {
        return Some(0);
    }
    let mut sample = Some(1);
    for entry in known_entries(report, field, vocabulary::DATAPLANE_LATENCY) {
        let place = field.place.key(&entry.key);
        let field = Field { place: &place, node: &entry.value };
        sample = read::small(report, field, 0..=1_000_000);
    }
    sample
}

/// The section `limits`.
pub(super) fn limits(report: &mut Report, sections: &Sections<'_>) -> Limits {
    let mut limits = Limits {
        icmp_errors_per_second: 1000,
        icmp_errors_per_source_per_second: 10,
        icmp_too_big_per_second: 5000,
        reassembly_memory_bytes: 64 << 20,
        reassembly_memory_per_peer_bytes: 4 << 20,
        nested_encaps: 4,
        decap_depth: 1,
        unmatched_icmp: UnmatchedIcmp::No,
    };
    let mut has_per_peer = false;
    sections.settings(report, "limits", vocabulary::LIMITS, |report, key, field| match key {
        "icmp-errors" => set(&mut limits.icmp_errors_per_second, read::rate(report, field)),
        "icmp-errors-per-source" => {
            set(&mut limits.icmp_errors_per_source_per_second, read::rate(report, field));
        }
        "icmp-too-big" => set(&mut limits.icmp_too_big_per_second, read::rate(report, field)),
        "reassembly-memory" => {
            let size = read::size(report, field, REASSEMBLY_MEMORY);
            set(&mut limits.reassembly_memory_bytes, size);
        }
        "reassembly-memory-per-peer" => {
            let size = read::size(report, field, REASSEMBLY_MEMORY);
            has_per_peer = true;
            set(&mut limits.reassembly_memory_per_peer_bytes, size);
        }
        "nested-encaps" => set(&mut limits.nested_encaps, read::small(report, field, 1..=7)),
        "decap-depth" => set(&mut limits.decap_depth, read::small(report, field, 1..=3)),
        "unmatched-icmp" => set(&mut limits.unmatched_icmp, read::word(report, field)),
        _ => {}
    });
    if !has_per_peer {
        let all = limits.reassembly_memory_bytes;
        limits.reassembly_memory_per_peer_bytes = limits.reassembly_memory_per_peer_bytes.min(all);
    }
    if limits.reassembly_memory_per_peer_bytes > limits.reassembly_memory_bytes {
        for section in sections.named("limits") {
            let Some(entry) = section.entry.value.entry("reassembly-memory-per-peer") else {
                continue;
            };
            let root = Place::root(section.file);
            let place = root.key("limits");
            report
                .error(
                    &place.key("reassembly-memory-per-peer"),
                    entry.value.mark,
                    MistakeKind::OutOfRange,
                    "one peer may not have more than all together",
                )
                .advise("raise `reassembly-memory`, or lower this");
        }
    }
    limits
}

/// The section `api`.
pub(super) fn api(report: &mut Report, sections: &Sections<'_>) -> Api {
    let mut api = Api { socket: PathBuf::from("/run/adit/adit.sock") };
    sections.settings(report, "api", vocabulary::API, |report, key, field| {
        if key == "socket" {
            set(&mut api.socket, socket(report, field));
        }
    });
    api
}

fn socket(report: &mut Report, field: Field<'_, '_>) -> Option<PathBuf> {
    let path = read::text(report, field)?;
    if path.len() > SOCKET_PATH_LIMIT {
        let message = format!(
            "the path has {} bytes; a UNIX socket's has at most {SOCKET_PATH_LIMIT}",
            path.len()
        );
        report.field(field, MistakeKind::OutOfRange, message).advise("choose a shorter path");
        return None;
    }
    if path.is_empty() || path.ends_with('/') || path.contains('\0') {
        let message = format!("{} can't be a socket", quoted(path));
        report
            .field(field, MistakeKind::BadValue, message)
            .advise("write the path of a file, as /run/adit/adit.sock");
        return None;
    }
    Some(PathBuf::from(path))
}

/// The section `loopback`; where it is found goes with the addresses.
pub(super) fn loopback<'t>(
    report: &mut Report,
    sections: &Sections<'t>,
) -> (Vec<IpNet>, Option<Spot<'t>>) {
    let mut addresses = Vec::new();
    sections.settings(report, "loopback", vocabulary::LOOPBACK, |report, _, field| {
        set(&mut addresses, read::list_of_good(report, field, read::interface_address));
    });
    let holder =
        sections.named("loopback").find(|section| section.entry.value.entry("addresses").is_some());
    let spot = holder.map(|section| Spot {
        file: section.file,
        section: "loopback",
        entry: Part::Whole,
        mark: section.entry.mark,
        node: &section.entry.value,
    });
    (addresses, spot)
}

/// What is wrong has been reported and leaves the default in place.
pub(super) fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}
