//! What belongs to a tunnel and is written while packets go: it stays with the tunnel, whatever else about it changes,
//! as long as it is for the same.

use std::collections::HashMap;
use std::sync::Arc;

use adit_dataplane::interface::TunnelId;

/// Of each tunnel a `T`, and what that is for.
#[derive(Debug)]
pub(in super::super) struct Kept<K, T>(HashMap<TunnelId, (K, Arc<T>)>);

impl<K, T> Default for Kept<K, T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Clone, T> Clone for Kept<K, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: PartialEq, T: Default> Kept<K, T> {
    /// A tunnel has one for this from now on, or none.
    pub(super) fn keep(&mut self, id: TunnelId, purpose: Option<K>) {
        let Some(purpose) = purpose else {
            self.0.remove(&id);
            return;
        };
        if self.0.get(&id).is_none_or(|(known, _)| *known != purpose) {
            self.0.insert(id, (purpose, Arc::default()));
        }
    }

    /// Forgets those of tunnels that are not there any more, so that nobody else begins with them.
    pub(super) fn retain(&mut self, is_there: impl Fn(TunnelId) -> bool) {
        self.0.retain(|&id, _| is_there(id));
    }

    /// Those of some tunnels, for [`put_back`](Self::put_back).
    pub(in super::super) fn some(&self, ids: impl Iterator<Item = TunnelId>) -> Self
    where
        K: Clone,
    {
        Self(ids.filter_map(|id| Some((id, self.0.get(&id)?.clone()))).collect())
    }

    /// Has those of tunnels that were `known` be theirs again.
    pub(in super::super) fn put_back(&mut self, known: Self) {
        self.0.extend(known.0);
    }

    /// That of a tunnel.
    pub(in super::super) fn of(&self, id: TunnelId) -> Option<&Arc<T>> {
        self.0.get(&id).map(|(_, kept)| kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TunnelId = TunnelId(3);

    #[test]
    fn it_is_the_same_one_until_it_is_for_something_else() {
        let mut kept: Kept<&str, u8> = Kept::default();
        assert!(kept.of(ID).is_none());
        kept.keep(ID, Some("a"));
        let first = Arc::clone(kept.of(ID).unwrap());
        kept.keep(ID, Some("a"));
        assert!(Arc::ptr_eq(&first, kept.of(ID).unwrap()));
        kept.keep(ID, Some("b"));
        assert!(!Arc::ptr_eq(&first, kept.of(ID).unwrap()));
        kept.keep(ID, None);
        assert!(kept.of(ID).is_none());
    }
}
