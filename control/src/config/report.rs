//! Collects mistakes while a configuration is read, and knows where in it the reader is.

use std::fmt;
use std::sync::{Arc, LazyLock};

use super::mistake::{Location, Mistake, MistakeKind, Mistakes};
use crate::yaml::{Mark, Node, Value};

/// Mistakes listed in one run; a script that went wrong can make a million.
const MISTAKE_LIMIT: usize = 500;

/// What a change of one entry is called as a text.
pub(super) static REQUEST: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("the request"));

/// What the running configuration is called as a text.
pub(super) static RUNNING: LazyLock<Arc<str>> =
    LazyLock::new(|| Arc::from("the running configuration"));

/// Nobody has seen these texts: where something is in one would tell a person nothing.
fn is_no_file(name: &Arc<str>) -> bool {
    [&*REQUEST, &*RUNNING].into_iter().any(|known| Arc::ptr_eq(name, known))
}

/// A step of a path.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'p> {
    Key(&'p str),
    Index(usize),
    /// The section itself.
    Whole,
}

/// A path of keys within a file, kept on the stack and written out only for a mistake.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) file: &'p Arc<str>,
    parent: Option<&'p Place<'p>>,
    part: Option<Part<'p>>,
}

impl<'p> Place<'p> {
    pub(super) fn root(file: &'p Arc<str>) -> Self {
        Self { file, parent: None, part: None }
    }

    pub(super) fn part(&'p self, part: Part<'p>) -> Self {
        Self { file: self.file, parent: Some(self), part: Some(part) }
    }

    pub(super) fn key(&'p self, key: &'p str) -> Self {
        self.part(Part::Key(key))
    }

    pub(super) fn index(&'p self, index: usize) -> Self {
        self.part(Part::Index(index))
    }

    pub(super) fn location(&self, mark: Mark) -> Location {
        let Mark { line, column } =
            if is_no_file(self.file) { Mark { line: 0, column: 0 } } else { mark };
        Location { file: self.file.clone(), line, column }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_first = self.parent.is_none_or(|parent| parent.part.is_none());
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.part {
            None | Some(Part::Whole) => Ok(()),
            Some(Part::Key(key)) if is_first => f.write_str(key),
            Some(Part::Key(key)) => write!(f, ".{key}"),
            Some(Part::Index(index)) => write!(f, "[{index}]"),
        }
    }
}

/// A value with its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'p, 't> {
    pub(super) place: &'p Place<'p>,
    pub(super) node: &'t Node<'t>,
}

/// A mistake just reported, which may still get an advice.
pub(super) struct Note<'r>(Option<&'r mut Mistake>);

impl Note<'_> {
    pub(super) fn advise(self, advice: impl Into<String>) {
        if let Some(mistake) = self.0 {
            mistake.advice = Some(advice.into());
        }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    mistakes: Vec<Mistake>,
    unlisted: usize,
    warnings: Vec<Mistake>,
    is_incomplete: bool,
}

impl Report {
    pub(super) fn error(
        &mut self,
        place: &Place<'_>,
        mark: Mark,
        kind: MistakeKind,
        message: impl Into<String>,
    ) -> Note<'_> {
        self.is_incomplete |= matches!(kind, MistakeKind::Syntax | MistakeKind::Unreadable);
        if self.is_full() {
            self.unlisted += 1;
            return Note(None);
        }
        self.mistakes.push(mistake(place, mark, kind, message.into()));
        Note(self.mistakes.last_mut())
    }

    pub(super) fn warn(
        &mut self,
        place: &Place<'_>,
        mark: Mark,
        kind: MistakeKind,
        message: impl Into<String>,
    ) -> Note<'_> {
        if self.is_full_of_warnings() {
            return Note(None);
        }
        self.warnings.push(mistake(place, mark, kind, message.into()));
        Note(self.warnings.last_mut())
    }

    /// A mistake in the value of a field.
    pub(super) fn field(
        &mut self,
        field: Field<'_, '_>,
        kind: MistakeKind,
        message: impl Into<String>,
    ) -> Note<'_> {
        self.error(field.place, field.node.mark, kind, message)
    }

    pub(super) fn has_mistakes(&self) -> bool {
        !self.mistakes.is_empty()
    }

    /// Whether further mistakes will only be counted.
    pub(super) fn is_full(&self) -> bool {
        self.mistakes.len() >= MISTAKE_LIMIT
    }

    /// Whether further warnings will be left out.
    pub(super) fn is_full_of_warnings(&self) -> bool {
        self.warnings.len() >= MISTAKE_LIMIT
    }

    /// Whether a file could not be read to its end, so that names may seem to be missing that are not.
    pub(super) fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    /// Takes over what was found in a file beside this one.
    pub(super) fn append(&mut self, other: Self) {
        self.is_incomplete |= other.is_incomplete;
        self.mistakes.extend(other.mistakes);
        self.unlisted += other.unlisted + self.mistakes.len().saturating_sub(MISTAKE_LIMIT);
        self.mistakes.truncate(MISTAKE_LIMIT);
        self.warnings.extend(other.warnings);
        self.warnings.truncate(MISTAKE_LIMIT);
    }

    /// The warnings, or everything if there is a mistake; in the order of the files.
    pub(super) fn finish(mut self, files: &[Arc<str>]) -> Result<Vec<Mistake>, Mistakes> {
        let order = |mistake: &Mistake| {
            let file = files.iter().position(|file| *file == mistake.location.file);
            (file, mistake.location.line, mistake.location.column)
        };
        self.mistakes.sort_by_key(order);
        self.warnings.sort_by_key(order);
        if self.mistakes.is_empty() {
            return Ok(self.warnings);
        }
        Err(Mistakes { mistakes: self.mistakes, unlisted: self.unlisted, warnings: self.warnings })
    }
}

fn mistake(place: &Place<'_>, mark: Mark, kind: MistakeKind, message: String) -> Mistake {
    Mistake { location: place.location(mark), path: place.to_string(), kind, message, advice: None }
}

/// An entry of a section, while its tree is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot<'t> {
    pub(super) file: &'t Arc<str>,
    pub(super) section: &'static str,
    pub(super) entry: Part<'t>,
    /// Where the entry's name is.
    pub(super) mark: Mark,
    pub(super) node: &'t Node<'t>,
}

impl Spot<'_> {
    /// Where the value of a key is; where the entry is if the key comes from elsewhere or is missing.
    pub(super) fn mark_of(&self, key: &str) -> Mark {
        self.node.entry(key).map_or(self.mark, |entry| entry.value.mark)
    }

    /// Where an item of a list is.
    pub(super) fn mark_of_item(&self, key: &str, index: usize) -> Mark {
        let Some(entry) = self.node.entry(key) else { return self.mark };
        match &entry.value.value {
            Value::List(items) => items.get(index).map_or(entry.value.mark, |item| item.mark),
            _ => entry.value.mark,
        }
    }

    /// Hands the place of a key to `with`.
    pub(super) fn at<R>(&self, key: &str, with: impl FnOnce(&Place<'_>, Mark) -> R) -> R {
        let root = Place::root(self.file);
        let section = root.key(self.section);
        let entry = section.part(self.entry);
        with(&entry.key(key), self.mark_of(key))
    }

    /// Hands the place of an address to `with`: of the one at `position` among those that are addresses.
    pub(super) fn at_address<R>(
        &self,
        position: usize,
        with: impl FnOnce(&Place<'_>, Mark) -> R,
    ) -> R {
        let is_address = |text: &str| text.parse::<ipnet::IpNet>().is_ok();
        let index = self.index_of_good("addresses", position, is_address);
        self.at_item("addresses", index, with)
    }

    /// The same for a shorthand route.
    pub(super) fn at_shorthand<R>(
        &self,
        position: usize,
        with: impl FnOnce(&Place<'_>, Mark) -> R,
    ) -> R {
        let index = self.index_of_good("routes", position, super::read::is_prefix);
        self.at_item("routes", index, with)
    }

    /// Wrong items of a list were left out when it was read.
    fn index_of_good(&self, key: &str, position: usize, is_good: fn(&str) -> bool) -> usize {
        let Some(entry) = self.node.entry(key) else { return position };
        let Value::List(items) = &entry.value.value else { return position };
        let is_good = |node: &Node<'_>| matches!(&node.value, Value::Scalar(text) if is_good(text));
        let mut good = items.iter().enumerate().filter(|(_, item)| is_good(item));
        good.nth(position).map_or(position, |(index, _)| index)
    }

    /// Hands the place of an item of a list to `with`.
    pub(super) fn at_item<R>(
        &self,
        key: &str,
        index: usize,
        with: impl FnOnce(&Place<'_>, Mark) -> R,
    ) -> R {
        let mark = self.mark_of_item(key, index);
        self.at(key, |place, _| with(&place.index(index), mark))
    }
}
