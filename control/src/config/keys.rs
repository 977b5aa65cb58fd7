//! The keys of one mapping against the vocabulary: unknown, double and not yet supported ones are reported
//! here, once for every section, and never reach the reader of the section.

use std::collections::HashMap;

use super::mistake::MistakeKind;
use super::read::{as_boolean, quoted};
use super::report::{Field, Place, Report};
use super::vocabulary::{self, ELSEWHERE, Key, Support};
use super::words::{Mode, Word as _};
use crate::yaml::{Entry, Mark, Node, Value};

/// The entries of a mapping that its reader has to look at: known, supported and the first of their name.
pub(super) fn known_entries<'a>(
    report: &mut Report,
    field: Field<'_, 'a>,
    keys: &'static [Key],
) -> Vec<&'a Entry<'a>> {
    let entries = distinct_entries(report, field);
    let is_supported = |entry: &&Entry<'_>| is_supported(report, field.place, entry, keys);
    entries.into_iter().filter(is_supported).collect()
}

/// The entries of a mapping whose keys are names, each the first of its name.
pub(super) fn distinct_entries<'a>(
    report: &mut Report,
    field: Field<'_, 'a>,
) -> Vec<&'a Entry<'a>> {
    match &field.node.value {
        Value::Null => return Vec::new(),
        Value::Map(_) => {}
        Value::Scalar(_) | Value::List(_) => {
            let message = format!("a mapping is expected here, not {}", field.node.kind());
            report.field(field, MistakeKind::WrongType, message);
            return Vec::new();
        }
    }
    let entries = field.node.entries();
    let first = Firsts::new(entries);
    let is_first = |entry: &&'a Entry<'a>| match first.before(entry) {
        None => true,
        Some(earlier) => {
            refuse_double(report, field.place, entry, earlier.mark);
            false
        }
    };
    entries.iter().filter(is_first).collect()
}

/// Reports a key that its mapping has had before.
pub(super) fn refuse_double(
    report: &mut Report,
    mapping: &Place<'_>,
    entry: &Entry<'_>,
    earlier: Mark,
) {
    let place = mapping.key(&entry.key);
    let Mark { line, column } = earlier;
    let key = quoted(&entry.key);
    let message =
        format!("{key} is here twice; it was already given in line {line}, column {column}");
    report.error(&place, entry.mark, MistakeKind::Duplicate, message).advise("keep one of the two");
}

/// Finds the earlier entry of the same key: by looking back in small mappings, with a table in large ones.
enum Firsts<'a> {
    Small(&'a [Entry<'a>]),
    Large(HashMap<&'a str, &'a Entry<'a>>),
}

impl<'a> Firsts<'a> {
    const SMALL: usize = 16;

    fn new(entries: &'a [Entry<'a>]) -> Self {
        if entries.len() <= Self::SMALL {
            return Self::Small(entries);
        }
        let mut table = HashMap::with_capacity(entries.len());
        for entry in entries {
            table.entry(&*entry.key).or_insert(entry);
        }
        Self::Large(table)
    }

    fn before(&self, entry: &Entry<'a>) -> Option<&'a Entry<'a>> {
        let first = match self {
            Self::Small(entries) => entries.iter().find(|other| other.key == entry.key),
            Self::Large(table) => table.get(&*entry.key).copied(),
        };
        first.filter(|first| !std::ptr::eq(*first, entry) && first.mark != entry.mark)
    }
}

fn is_supported(
    report: &mut Report,
    place: &Place<'_>,
    entry: &Entry<'_>,
    keys: &'static [Key],
) -> bool {
    let place = place.key(&entry.key);
    let Some(key) = keys.iter().find(|key| key.name == entry.key) else {
        let message = format!("there is no key {} here", quoted(&entry.key));
        report
            .error(&place, entry.mark, MistakeKind::UnknownKey, message)
            .advise(advice(&entry.key, keys));
        return false;
    };
    let word = word_of(&entry.value);
    let refused = match key.support {
        Support::Full => false,
        Support::NotYet => true,
        Support::Except(words) => word.is_some_and(|word| words.contains(&word)),
        Support::Only(words) => word.is_none_or(|word| !words.contains(&word)),
    };
    if refused {
        refuse(report, &place, entry, key, word);
    }
    !refused
}

fn refuse(
    report: &mut Report,
    place: &Place<'_>,
    entry: &Entry<'_>,
    key: &Key,
    word: Option<&str>,
) {
    let (mark, what) = match (key.support, word) {
        (Support::NotYet, _) => (entry.mark, format!("{:?}", key.name)),
        (_, Some(word)) => (entry.value.mark, format!("\"{}: {word}\"", key.name)),
        (_, None) => (entry.value.mark, format!("this value of {:?}", key.name)),
    };
    let message = format!("{what} is known, but not supported by this version");
    let note = report.error(place, mark, MistakeKind::Unsupported, message);
    match key.support {
        Support::Only([word, ..]) => note.advise(format!("write {word}, or leave it out")),
        Support::Except(["yes"]) => note.advise("write no, or leave it out"),
        Support::Except(_) if key.name == "mode" => {
            let names: Vec<_> = Mode::WORDS.iter().map(|(name, _)| *name).collect();
            note.advise(format!("supported modes are {}", names.join(", ")));
        }
        _ => note.advise("leave it out"),
    }
}

/// A scalar as the lists of the vocabulary spell it.
fn word_of<'a>(node: &'a Node<'_>) -> Option<&'a str> {
    let Value::Scalar(text) = &node.value else { return None };
    Some(match as_boolean(text) {
        Some(true) => "yes",
        Some(false) => "no",
        None => text,
    })
}

fn advice(wrong: &str, keys: &'static [Key]) -> String {
    let has = |name: &str| keys.iter().any(|key| key.name == name);
    let plain = wrong.to_lowercase().replace(['_', ' '], "-");
    if wrong == "<<" {
        return "merge keys are not read; `defaults.tunnels` holds what tunnels have in common"
            .to_owned();
    }
    let synonym = || ELSEWHERE.iter().find(|(theirs, ours)| *theirs == plain && has(ours));
    if let Some((_, ours)) = synonym() {
        return format!("it is called {ours:?} here");
    }
    if let Some(name) = nearest(&plain, keys.iter().map(|key| key.name)) {
        return format!("did you mean {name:?}?");
    }
    if let Some(section) = section_of(&plain) {
        return format!("it belongs to {section}");
    }
    let names: Vec<_> = keys
        .iter()
        .filter(|key| !matches!(key.support, Support::NotYet))
        .map(|key| key.name)
        .collect();
    format!("known keys are {}", names.join(", "))
}

/// Whether an unknown key was probably meant to be this one.
pub(super) fn is_meant(wrong: &str, name: &str) -> bool {
    let is_synonym = |(theirs, ours): &(&str, &str)| *theirs == wrong && *ours == name;
    ELSEWHERE.iter().any(is_synonym) || nearest(wrong, std::iter::once(name)).is_some()
}

/// The candidate that a typing mistake could have turned into `wrong`.
pub(super) fn nearest<'c>(
    wrong: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    let limit = (wrong.chars().count() / 3).clamp(1, 3);
    let too_long = 64;
    if wrong.len() > too_long {
        return None;
    }
    candidates
        .map(|candidate| (strsim::osa_distance(wrong, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn section_of(key: &str) -> Option<&'static str> {
    let sections = [
        ("the top level of the file", vocabulary::TOP),
        ("`dataplane`", vocabulary::DATAPLANE),
        ("`limits`", vocabulary::LIMITS),
        ("`api`", vocabulary::API),
        ("a port, under `ports`", vocabulary::PORT),
        ("a tunnel, under `tunnels`", vocabulary::TUNNEL),
        ("a route, under `routes`", vocabulary::ROUTE),
        ("a next hop, under `next-hops`", vocabulary::NEXT_HOP),
    ];
    let has = |keys: &[Key]| keys.iter().any(|known| known.name == key);
    sections.iter().find(|(_, keys)| has(keys)).map(|(name, _)| *name)
}
