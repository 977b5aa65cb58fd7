//! What was written where addresses belong but could not be read. An address that seems to be nobody's, or on no
//! net, may be one of these: that has been reported, and saying it again would send people to the wrong line.

use std::collections::HashSet;
use std::net::IpAddr;

use super::super::files::Source;
use super::super::keys::is_meant;
use super::super::vocabulary;
use super::Drafts;
use crate::yaml::{Node, Value};

/// What was left out because of a mistake.
#[derive(Debug, Default)]
pub(in super::super) struct Misspelled {
    /// Texts in the place of addresses.
    texts: Vec<String>,
    /// Entries of sections whose own name is wrong, or that are there twice.
    names: HashSet<String>,
}

/// More than these make the difference no clearer.
const TEXT_LIMIT: usize = 64;

impl Misspelled {
    pub(in super::super) fn new(sources: &[Source<'_>], drafts: &Drafts<'_>) -> Self {
        let mut this = Self::default();
        let is_known = |key: &str| vocabulary::TOP.iter().any(|known| known.name == key);
        for source in sources {
            for entry in source.root.entries() {
                let is_first = source.root.entry(&entry.key).is_some_and(|e| e.mark == entry.mark);
                if !is_known(&entry.key) || !is_first {
                    this.collect(&entry.value);
                    let names = entry.value.entries().iter().map(|entry| entry.key.to_string());
                    this.names.extend(names);
                }
            }
        }
        let holders = drafts.ports.iter().map(|draft| draft.spot.node);
        for node in holders.chain(drafts.loopback_spot.map(|spot| spot.node)) {
            for entry in node.entries() {
                match &entry.value.value {
                    Value::List(items) if entry.key == "addresses" => {
                        let is_wrong = |item: &&Node<'_>| !is_address(item);
                        items.iter().filter(is_wrong).for_each(|item| this.collect(item));
                    }
                    _ if entry.key == "addresses" || is_meant(&entry.key, "addresses") => {
                        this.collect(&entry.value);
                    }
                    _ => {}
                }
            }
        }
        this
    }

    /// Takes every text below a node.
    fn collect(&mut self, node: &Node<'_>) {
        match &node.value {
            Value::Null => {}
            Value::Scalar(text) => {
                if self.texts.len() < TEXT_LIMIT {
                    self.texts.push(text.to_string());
                }
            }
            Value::List(items) => items.iter().for_each(|item| self.collect(item)),
            Value::Map(entries) => entries.iter().for_each(|entry| self.collect(&entry.value)),
        }
    }

    /// Whether there is a port or tunnel of this name after all.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether one of the texts begins like this address.
    pub(super) fn resembles(&self, address: IpAddr) -> bool {
        /// As much as two numbers of an address.
        const SEPARATORS: usize = 2;
        let address = address.to_string();
        self.texts.iter().any(|text| {
            let common = text.chars().zip(address.chars()).take_while(|(a, b)| a == b);
            common.filter(|(a, _)| matches!(a, '.' | ':')).count() >= SEPARATORS
        })
    }
}

fn is_address(node: &Node<'_>) -> bool {
    matches!(&node.value, Value::Scalar(text) if text.parse::<ipnet::IpNet>().is_ok())
}
