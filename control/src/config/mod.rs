//! The configuration: text in, a `Config` out that needs no further check, or every mistake at once.
//! It knows files and people; it does not know DPDK, workers or tables.
//!
//! ```text
//! files → trees with lines and columns → entries → checks across entries → Config
//! files.rs  yaml/, pieces.rs             ports.rs …   check/                  model.rs, tunnel.rs
//! ```

mod check;
pub mod describe;
pub mod diff;
mod erspan;
mod files;
mod gre_keys;
mod keys;
mod labels;
mod minded;
pub mod mistake;
pub mod model;
mod overlay;
mod payload;
mod pieces;
mod ports;
pub mod prefixes;
mod profiles;
pub mod propose;
mod read;
mod remotes;
mod report;
mod routes;
mod sections;
mod settings;
mod six_rd;
pub mod store;
pub mod tunnel;
mod tunnels;
mod udp_encap;
mod vocabulary;
pub mod words;

use std::path::Path;
use std::sync::Arc;

pub use describe::describe;
pub use diff::{Difference, Restart, diff, diff_from, edits, is_same_base, needs_restart};
pub use files::{FILE_COUNT_LIMIT, FILE_SIZE_LIMIT};
pub use labels::{LabelAction, LabelEntry, TunnelLabels};
pub use mistake::{Location, Mistake, MistakeKind, Mistakes, Origin, Warning};
pub use model::{
    Api, Config, Dataplane, Limits, Loopback, Name, Neighbor, NextHop, Port, Route, RouteAction,
    Via,
};
pub use propose::{Change, Proposal, Refused, Subject, Verb, propose};
pub use store::{Edit, Ids, Store, Touched};

pub use tunnel::{
    Encap, Family, Frames, InnerSource, Keys, Mirror, Overlay, Remotes, Settings, SixRd, Tunnel,
};
pub use words::{
    Direction, DontFragment, DscpDecap, Ecn, Fragment, Hugepages, IcmpRelay, Idle, Mirrored, Mode,
    Offloads, Payload, Pop, Profile, ReceiveSequence, Refusal, Rss, SixRdRole, Spread, UdpEncap,
    UnmatchedIcmp, Word,
};

use check::{Drafts, Misspelled};
use files::{ReadFile, Source, Text};
use report::{Place, Report};
use sections::Sections;

/// What the configuration is for: a device may be missing where no device is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The appliance is started or changed: every port needs its device.
    Run,
    /// A person asks: a missing device is worth a warning.
    Check,
    /// Captures stand in for devices.
    Replay,
}

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// It.
    pub config: Config,
    /// What is probably not meant, in the order of the files.
    pub warnings: Vec<Mistake>,
    /// The file, and those it includes in their order.
    pub files: Vec<LoadedFile>,
}

/// A file of a configuration.
#[derive(Debug, Clone)]
pub struct LoadedFile {
    /// The file as it was named.
    pub name: Arc<str>,
    /// What it says, if the configuration is small enough for a person to read.
    pub text: Option<String>,
    /// How long it is.
    pub bytes: usize,
}

/// Texts of files that stay in memory while a configuration runs, in bytes.
pub const KEPT_TEXT_LIMIT: usize = 4 << 20;

/// Reads a file and those it includes.
pub fn load(path: &Path, purpose: Purpose) -> Result<Loaded, Mistakes> {
    let mut report = Report::default();
    let Some(main) = files::read(&mut report, path, None) else {
        return Err(only_mistakes(report, &[]));
    };
    let base = path.parent().unwrap_or(Path::new(""));
    load_text(report, main, Some(base), purpose)
}

/// Reads a text that has no file and therefore can't include any. Mistakes call it `name`.
pub fn load_str(name: &str, text: &str, purpose: Purpose) -> Result<Loaded, Mistakes> {
    let main = Text::new(Arc::from(name), text.to_owned());
    load_text(Report::default(), main, None, purpose)
}

fn load_text(
    mut report: Report,
    text: Text,
    base: Option<&Path>,
    purpose: Purpose,
) -> Result<Loaded, Mistakes> {
    let main = files::parse(&text);
    let texts = if let Some(base) = base {
        files::read_includes(&mut report, &main.source, base)
    } else {
        refuse_include(&mut report, &main.source);
        Vec::new()
    };
    let included = files::parse_all(&texts);
    files::refuse_nested_includes(&mut report, &included);
    let parsed: Vec<ReadFile<'_>> = std::iter::once(main).chain(included).collect();
    let names: Vec<Arc<str>> = parsed.iter().map(|file| file.source.name.clone()).collect();
    let config = validate(&mut report, parsed, purpose);
    let warnings = report.finish(&names)?;
    let mut room = KEPT_TEXT_LIMIT;
    let keep = |text: Text| {
        let file = text.into_file(room);
        room -= file.text.as_ref().map_or(0, String::len);
        file
    };
    let files = std::iter::once(text).chain(texts).map(keep).collect();
    Ok(Loaded { config, warnings, files })
}

/// Reads a text that is new beside one that is known. Devices don't matter.
fn load_beside(known: &Text, new: &Text) -> Result<(Config, Vec<Mistake>), Mistakes> {
    let mut report = Report::default();
    let files = vec![files::parse(known), files::parse(new)];
    let config = validate(&mut report, files, Purpose::Replay);
    let warnings = report.finish(&[known.name.clone(), new.name.clone()])?;
    Ok((config, warnings))
}

fn refuse_include(report: &mut Report, main: &Source<'_>) {
    let Some(entry) = main.root.entry("include") else { return };
    let root = Place::root(main.name);
    report
        .error(
            &root.key("include"),
            entry.mark,
            MistakeKind::DoesNotApply,
            "a text that is no file can't include files",
        )
        .advise("write what they hold");
}

/// The configuration, complete only if the report has no mistakes.
fn validate(report: &mut Report, files: Vec<ReadFile<'_>>, purpose: Purpose) -> Config {
    let (mut sources, mut written, mut routes) = (Vec::new(), Vec::new(), Vec::new());
    for ReadFile { source, pieces } in files {
        report.append(pieces.report);
        sources.push(source);
        written.push(pieces.tunnels);
        routes.push(pieces.routes);
    }
    let is_incomplete = report.is_incomplete();
    let sections = Sections::new(report, &sources);
    let dataplane = sections::dataplane(report, &sections);
    let limits = sections::limits(report, &sections);
    let api = sections::api(report, &sections);
    let ports = ports::read(report, &sections, purpose);
    let (loopback, loopback_spot) = sections::loopback(report, &sections);
    sections.refuse_other_shapes(report);
    let tunnel_defaults = tunnels::read_defaults(report, &sections);
    let (tunnels, tunnel_names) = tunnels::resolve(report, &tunnel_defaults, written);
    if ports.is_empty() && !is_incomplete {
        miss_ports(report, &sources);
    }
    let drafts = Drafts { ports, loopback, loopback_spot, tunnels, tunnel_names };
    let misspelled = Misspelled::new(&sources, &drafts);
    // In half a text everything that the other half defines would seem to be missing.
    let routes = if is_incomplete {
        Vec::new()
    } else {
        check::check(report, &drafts, routes, &misspelled, &limits)
    };
    Config {
        dataplane,
        limits,
        api,
        ports: drafts.ports.into_iter().map(|draft| draft.port).collect(),
        loopback: Loopback { addresses: drafts.loopback },
        tunnel_defaults: sections.as_json("defaults"),
        tunnels: drafts.tunnels.into_iter().map(|draft| draft.tunnel).collect(),
        routes,
    }
}

fn miss_ports(report: &mut Report, sources: &[Source<'_>]) {
    let Some(main) = sources.first() else { return };
    let has_section = sources.iter().any(|source| !source.root.entry("ports").is_none_or(is_empty));
    let is_mapping =
        matches!(main.root.value, crate::yaml::Value::Null | crate::yaml::Value::Map(_));
    if has_section || !is_mapping {
        return;
    }
    let root = Place::root(main.name);
    let mark = main.root.entry("ports").map_or(main.root.mark, |entry| entry.mark);
    report
        .error(&root.key("ports"), mark, MistakeKind::Missing, "there are no ports")
        .advise("write a port under `ports`, with its device and addresses");
}

/// A section of the right type with nothing in it; of another type, it has been reported.
fn is_empty(entry: &crate::yaml::Entry<'_>) -> bool {
    use crate::yaml::Value;
    match &entry.value.value {
        Value::Null => true,
        Value::Map(entries) => entries.is_empty(),
        Value::Scalar(_) | Value::List(_) => false,
    }
}

/// A report that ended before there was anything to check.
fn only_mistakes(report: Report, files: &[Arc<str>]) -> Mistakes {
    match report.finish(files) {
        Err(mistakes) => mistakes,
        Ok(warnings) => Mistakes { mistakes: Vec::new(), unlisted: 0, warnings },
    }
}
