//! The long sections, `tunnels` and `routes`, entry by entry while a file is parsed: what an entry says is kept,
//! its tree is not. A million entries would need gigabytes as trees.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use super::files::Text;
use super::keys;
use super::mistake::Location;
use super::report::{Field, Part, Place, Report, Spot};
use super::routes::{self, RouteDraft};
use super::sections;
use super::tunnels::WrittenTunnel;
use crate::yaml::{Entry, Mark, Node, Piece, Section, Shape, Value};

const TUNNELS: &str = "tunnels";
const ROUTES: &str = "routes";

/// The sections that are read entry by entry.
pub(super) const SECTIONS: &[Section] =
    &[Section { name: TUNNELS, shape: Shape::Map }, Section { name: ROUTES, shape: Shape::List }];

const NOTHING: &Node<'static> = &Node { mark: Mark { line: 0, column: 0 }, value: Value::Null };

/// Where an entry was written, without its tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'t> {
    pub(super) text: &'t Text,
    section: &'static str,
    index: u32,
    /// Where the entry's name is, or the item.
    pub(super) mark: Mark,
}

impl<'t> Written<'t> {
    /// The entry with its tree. Parses the file again: only for what goes into the report, and not at all
    /// once that takes no more.
    pub(super) fn spot(&self, report: &Report) -> Spot<'t> {
        let index = self.index as usize;
        let whole = if report.is_full() { NOTHING } else { self.text.whole() };
        let section = whole.entry(self.section);
        let (key, node) = section.and_then(|e| e.value.nth(index)).unwrap_or(("", NOTHING));
        let entry = if self.section == ROUTES { Part::Index(index) } else { Part::Key(key) };
        Spot { file: &self.text.name, section: self.section, entry, mark: self.mark, node }
    }

    pub(super) fn location(&self) -> Location {
        Place::root(&self.text.name).location(self.mark)
    }
}

/// The long sections of one file.
pub(super) struct Pieces<'t> {
    text: &'t Text,
    /// What is wrong with the file.
    pub(super) report: Report,
    /// In the order of the file.
    pub(super) tunnels: Vec<WrittenTunnel<'t>>,
    /// The same.
    pub(super) routes: Vec<RouteDraft<'t>>,
    names: FxHashMap<Cow<'t, str>, Mark>,
}

impl<'t> Pieces<'t> {
    pub(super) fn new(text: &'t Text) -> Self {
        Self {
            text,
            report: Report::default(),
            tunnels: Vec::new(),
            routes: Vec::new(),
            names: FxHashMap::default(),
        }
    }

    /// Reads an entry.
    pub(super) fn take(&mut self, piece: &Piece<'t>) {
        let written = Written {
            text: self.text,
            section: piece.section,
            index: u32::try_from(piece.index).unwrap_or(u32::MAX),
            mark: piece.entry.mark,
        };
        if piece.section == TUNNELS {
            self.take_tunnel(written, &piece.entry);
        } else {
            self.take_route(written, &piece.entry.value);
        }
    }

    /// Reads what stayed in the tree, because it is a copy of something else.
    pub(super) fn take_rest(&mut self, root: &mut Node<'t>) {
        for &Section { name, .. } in SECTIONS {
            let Some(section) = root.entry_mut(name) else { continue };
            let entries = match &mut section.value {
                Value::Map(entries) if name == TUNNELS => std::mem::take(entries),
                Value::List(items) if name == ROUTES => {
                    let key = Cow::Borrowed("");
                    let entry =
                        |value: Node<'t>| Entry { mark: value.mark, key: key.clone(), value };
                    std::mem::take(items).into_iter().map(entry).collect()
                }
                _ => continue,
            };
            for (index, entry) in entries.into_iter().enumerate() {
                self.take(&Piece { section: name, index, entry });
            }
        }
    }

    fn take_tunnel(&mut self, written: Written<'t>, entry: &Entry<'t>) {
        let root = Place::root(&self.text.name);
        let section = root.key(TUNNELS);
        if let Some(&earlier) = self.names.get(&entry.key) {
            keys::refuse_double(&mut self.report, &section, entry, earlier);
            return;
        }
        self.names.insert(entry.key.clone(), entry.mark);
        if !sections::is_name(&mut self.report, &section, entry) {
            return;
        }
        let spot = Spot {
            file: &self.text.name,
            section: TUNNELS,
            entry: Part::Key(&entry.key),
            mark: entry.mark,
            node: &entry.value,
        };
        let tunnel = WrittenTunnel::read(&mut self.report, &spot, written);
        self.tunnels.push(tunnel);
    }

    fn take_route(&mut self, written: Written<'t>, node: &Node<'t>) {
        let root = Place::root(&self.text.name);
        let section = root.key(ROUTES);
        let place = section.index(written.index as usize);
        let field = Field { place: &place, node };
        self.routes.extend(routes::read(&mut self.report, field, written));
    }
}
