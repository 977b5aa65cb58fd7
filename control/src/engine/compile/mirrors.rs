//! Mirror sessions: from the names in `mirror` to the numbers of ports and tunnels, turned round: for each of those, the
//! sessions that have copies of what it receives and sends.

use std::collections::{BTreeSet, HashMap};

use adit_dataplane::interface::{Interface, TunnelId};
use adit_dataplane::tables::Operation;
use adit_dataplane::tables::mirrors::Sessions;

use super::Compiler;
use crate::config::{Mirror, Mirrored, Store, Touched, Tunnel};

/// By what is mirrored.
#[derive(Debug, Default)]
pub(super) struct MirrorSessions(HashMap<Interface, Sessions>);

impl MirrorSessions {
    /// Whether a tunnel is mirrored.
    pub(super) fn has_tunnel(&self, id: TunnelId) -> bool {
        self.0.contains_key(&Interface::tunnel(id))
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = Operation> {
        self.0.iter().map(|(of, sessions)| Operation::Mirror(*of, sessions.clone()))
    }
}

impl Compiler {
    /// Finds out anew what is mirrored. Returns the tunnels that are mirrored from now on, and those that are no longer.
    pub(super) fn refresh_mirrors(&mut self, store: &Store) -> BTreeSet<TunnelId> {
        let mut lists: HashMap<Interface, [Vec<TunnelId>; 2]> = HashMap::new();
        for id in store.mirroring() {
            let Some(tunnel) = store.tunnel(id).filter(|tunnel| tunnel.enabled) else { continue };
            let Some(mirror) = tunnel.mirror() else { continue };
            for of in self.mirrored(store, mirror) {
                let [ingress, egress] = lists.entry(of).or_default();
                if mirror.direction != Mirrored::Egress {
                    ingress.push(id);
                }
                if mirror.direction != Mirrored::Ingress {
                    egress.push(id);
                }
            }
        }
        let sessions = |[ingress, egress]: [Vec<TunnelId>; 2]| Sessions {
            ingress: ingress.into(),
            egress: egress.into(),
        };
        let now: HashMap<Interface, Sessions> =
            lists.into_iter().map(|(of, lists)| (of, sessions(lists))).collect();
        let before = std::mem::replace(&mut self.mirrors.0, now);
        let now = &self.mirrors.0;
        let gone = before.keys().filter(|of| !now.contains_key(of));
        let gone = gone.map(|of| Operation::Mirror(*of, Sessions::default()));
        let new = now.iter().filter(|(of, sessions)| before.get(of) != Some(sessions));
        let new = new.map(|(of, sessions)| Operation::Mirror(*of, sessions.clone()));
        self.operations.extend(gone.chain(new));
        let differs = |of: &&Interface| before.contains_key(of) != now.contains_key(of);
        let all = before.keys().chain(now.keys()).filter(differs);
        all.filter_map(|of| of.as_tunnel()).collect()
    }

    fn mirrored<'a>(
        &'a self,
        store: &'a Store,
        mirror: &'a Mirror,
    ) -> impl Iterator<Item = Interface> + 'a {
        let ports = mirror.ports.iter().filter_map(|name| self.port_id(name));
        let tunnels = mirror.tunnels.iter().filter_map(|name| store.tunnel_id(name));
        ports.map(Interface::port).chain(tunnels.map(Interface::tunnel))
    }
}

/// Whether a change is one of sessions, or of tunnels that are mirrored: a number may be another.
pub(super) fn are_touched(store: &Store, touched: &Touched) -> bool {
    touched.tunnels.iter().any(|(&id, before)| {
        let both = [before.as_ref(), store.tunnel(id)];
        let concerns = |tunnel: &Tunnel| {
            tunnel.mirror().is_some() || store.that_mirror(&tunnel.name).next().is_some()
        };
        both.into_iter().flatten().any(concerns)
    })
}
