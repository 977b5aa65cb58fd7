//! YAML as a tree in which everything knows its line and column, keys included, and nothing is lost: double
//! keys stay visible, and what comes after a mistake is still there to be checked. The one place that
//! knows `serde_yaml`. It knows nothing of what a configuration means.
//!
//! Scalars stay text. YAML's own ideas of types would turn `no`, `1:20` or `010` into surprises; what a
//! key takes is known only to who reads it.

mod build;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use build::{parse, parse_in_pieces};

/// The deepest nesting of lists and mappings; the configuration needs six.
pub const DEPTH_LIMIT: usize = 32;
/// Values in one text: about two million tunnels.
pub const NODE_LIMIT: usize = 24_000_000;
/// Values that aliases may add to one text: enough for convenience, too little for a bomb.
pub const ALIAS_NODE_LIMIT: usize = 100_000;
/// Mistakes listed for one text; what follows a broken page is noise.
const PROBLEM_LIMIT: usize = 100;

/// A position in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Mark {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node<'t> {
    /// The first character of the value; for a block mapping, of its first key.
    pub mark: Mark,
    /// The value.
    pub value: Value<'t>,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'t> {
    /// Nothing, `~` or `null`.
    Null,
    /// Text, quoted or not.
    Scalar(Cow<'t, str>),
    /// A sequence.
    List(Vec<Node<'t>>),
    /// A mapping, in the order of the text.
    Map(Vec<Entry<'t>>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<'t> {
    /// Where the key begins.
    pub mark: Mark,
    /// The key.
    pub key: Cow<'t, str>,
    /// Its value.
    pub value: Node<'t>,
}

/// A section of the document whose entries are handed over one by one, so that a long one needs no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Its key in the document.
    pub name: &'static str,
    /// What it has to be for that; anything else stays in the tree.
    pub shape: Shape,
}

/// A kind of collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A sequence.
    List,
    /// A mapping.
    Map,
}

/// An entry of a [`Section`].
#[derive(Debug)]
pub struct Piece<'t> {
    /// The section's name.
    pub section: &'static str,
    /// Its position in the section, from 0.
    pub index: usize,
    /// The item of a list, under an empty key, or the entry of a mapping.
    pub entry: Entry<'t>,
}

/// A text that is not YAML, or more than the limits allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub mark: Mark,
    /// What, in a sentence without a full stop.
    pub message: String,
    /// What to write instead.
    pub advice: Option<String>,
    /// It is a limit and not the language.
    pub is_limit: bool,
}

/// A text as a tree.
#[derive(Debug)]
pub struct Tree<'t> {
    /// The document. After a problem that ended reading, the entries of the first two levels that were complete.
    pub root: Node<'t>,
    /// What is wrong with the text. Empty: the tree is whole.
    pub problems: Vec<Problem>,
}

impl<'t> Node<'t> {
    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[Entry<'t>] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The first entry with this key.
    pub fn entry(&self, key: &str) -> Option<&Entry<'t>> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The same, to be changed.
    pub fn entry_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Value::Map(entries) = &mut self.value else { return None };
        entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value)
    }

    /// What stands at a position of a list or mapping.
    pub fn nth(&self, index: usize) -> Option<(&str, &Self)> {
        match &self.value {
            Value::List(items) => items.get(index).map(|item| ("", item)),
            Value::Map(entries) => entries.get(index).map(|entry| (&*entry.key, &entry.value)),
            Value::Null | Value::Scalar(_) => None,
        }
    }

    /// The same with texts of its own, for who outlives the text.
    pub fn into_owned(self) -> Node<'static> {
        let value = match self.value {
            Value::Null => Value::Null,
            Value::Scalar(text) => Value::Scalar(Cow::Owned(text.into_owned())),
            Value::List(items) => Value::List(items.into_iter().map(Node::into_owned).collect()),
            Value::Map(entries) => Value::Map(entries.into_iter().map(Entry::into_owned).collect()),
        };
        Node { mark: self.mark, value }
    }

    /// The same as JSON: scalars are text there as well.
    pub fn as_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Scalar(text) => serde_json::Value::from(&**text),
            Value::List(items) => items.iter().map(Node::as_json).collect(),
            Value::Map(entries) => {
                let entry = |entry: &Entry<'_>| (entry.key.to_string(), entry.value.as_json());
                entries.iter().map(entry).collect()
            }
        }
    }

    /// How the value would be called in a sentence.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

impl Entry<'_> {
    fn into_owned(self) -> Entry<'static> {
        let key = Cow::Owned(self.key.into_owned());
        Entry { mark: self.mark, key, value: self.value.into_owned() }
    }
}
