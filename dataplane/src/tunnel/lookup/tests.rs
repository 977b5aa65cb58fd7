//! The table against a linear scan, and the rules of specificity and binding.

use super::*;
use proptest::prelude::*;

const PORT: PortId = PortId(1);
const OTHER: PortId = PortId(2);

fn find(table: &TunnelLookup<u32>, local: u32, remote: u32, protocol: Protocols) -> Found {
    table.find(local, remote, protocol, Some(PORT))
}

#[test]
fn a_more_specific_tunnel_wins_whatever_is_bound() {
    let mut table = TunnelLookup::new(7);
    let bound = Some(PORT);
    table.insert(Pair::new(0, 0), Protocols::IPV4, bound, TunnelId(0)).unwrap();
    table.insert(Pair::new(1, 0), Protocols::IPV4, bound, TunnelId(1)).unwrap();
    table.insert(Pair::new(0, 2), Protocols::IPV4, bound, TunnelId(2)).unwrap();
    table.insert(Pair::new(1, 2), Protocols::IPV4, None, TunnelId(3)).unwrap();
    assert_eq!(find(&table, 1, 2, Protocols::IPV4), Found::Tunnel(TunnelId(3)));
    assert_eq!(find(&table, 9, 2, Protocols::IPV4), Found::Tunnel(TunnelId(2)));
    assert_eq!(find(&table, 1, 9, Protocols::IPV4), Found::Tunnel(TunnelId(1)));
    assert_eq!(find(&table, 9, 9, Protocols::IPV4), Found::Tunnel(TunnelId(0)));
    assert_eq!(find(&table, 9, 9, Protocols::IPV6), Found::WrongProtocol);
    assert_eq!(table.find(9, 9, Protocols::IPV4, Some(OTHER)), Found::Nothing);
}

#[test]
fn within_a_step_the_tunnel_bound_to_the_port_wins() {
    let mut table = TunnelLookup::new(7);
    let pair = Pair::new(1_u32, 2);
    table.insert(pair, Protocols::IPV4, None, TunnelId(0)).unwrap();
    table.insert(pair, Protocols::IPV4, Some(PORT), TunnelId(1)).unwrap();
    table.insert(pair, Protocols::IPV6, None, TunnelId(2)).unwrap();
    assert_eq!(table.find(1, 2, Protocols::IPV4, Some(PORT)), Found::Tunnel(TunnelId(1)));
    assert_eq!(table.find(1, 2, Protocols::IPV4, Some(OTHER)), Found::Tunnel(TunnelId(0)));
    assert_eq!(table.find(1, 2, Protocols::IPV6, Some(PORT)), Found::Tunnel(TunnelId(2)));
    let both = Protocols::IPV4.with(Protocols::IPV6);
    assert_eq!(
        table.insert(pair, both, Some(PORT), TunnelId(3)),
        Err(Indistinguishable(TunnelId(1)))
    );
}

/// What the documentation of the module says, tunnel by tunnel.
fn by_hand(
    tunnels: &[(Pair<u32>, u8, Option<PortId>, TunnelId)],
    (local, remote): (u32, u32),
    protocol: u8,
    port: Option<PortId>,
) -> Found {
    let mut found = Found::Nothing;
    for (any_local, any_remote) in [(false, false), (true, false), (false, true), (true, true)] {
        for bound in [true, false] {
            for &(pair, protocols, link, id) in tunnels {
                let same = pair.local == (if any_local { 0 } else { local })
                    && pair.remote == (if any_remote { 0 } else { remote });
                if !same || link.is_some() != bound || (bound && link != port) {
                    continue;
                }
                if protocols & protocol != 0 {
                    return Found::Tunnel(id);
                }
                found = Found::WrongProtocol;
            }
        }
    }
    found
}

proptest! {
    #[test]
    fn after_any_insertions_and_removals_the_table_agrees_with_a_linear_scan(
        changes in proptest::collection::vec(
            (any::<bool>(), 0_u32..5, 0_u32..5, 1_u8..4, 0_u8..3, any::<prop::sample::Index>()),
            0..120,
        ),
        packets in proptest::collection::vec((1_u32..6, 1_u32..6, 1_u8..3, 1_u8..3), 1..60),
    ) {
        let mut table = TunnelLookup::new(99);
        let mut present: Vec<(Pair<u32>, u8, Option<PortId>, TunnelId)> = Vec::new();
        for (number, (adds, local, remote, protocols, link, which)) in (0..).zip(changes) {
            if !adds && !present.is_empty() {
                let (pair, _, _, id) = present.swap_remove(which.index(present.len()));
                prop_assert!(table.remove(pair, id));
                prop_assert!(!table.remove(pair, id));
                continue;
            }
            let link = (link != 0).then_some(PortId(link));
            let (id, pair) = (TunnelId(number), Pair::new(local, remote));
            let inserted = table.insert(pair, Protocols(protocols), link, id);
            let twin = present.iter().any(|&(other, p, l, _)| {
                other == pair && l == link && Protocols(p).overlaps(Protocols(protocols))
            });
            prop_assert_eq!(inserted.is_err(), twin);
            if !twin {
                present.push((pair, protocols, link, id));
            }
        }
        for &(local, remote, protocol, port) in &packets {
            let port = Some(PortId(port));
            let found = by_hand(&present, (local, remote), protocol, port);
            prop_assert_eq!(table.find(local, remote, Protocols(protocol), port), found);
            prop_assert!(!table.is_plainly_without(local, remote) || found == Found::Nothing);
        }
    }
}

proptest! {
    #[test]
    fn addresses_are_without_a_tunnel_exactly_if_none_is_found_by_them_whatever_its_label(
        changes in proptest::collection::vec(
            (any::<bool>(), 0_u32..4, 0_u32..4, 0_u32..3, any::<prop::sample::Index>()), 0..80,
        ),
    ) {
        let mut table = LabelledTunnels::new(7);
        let mut present: Vec<Entry<u32>> = Vec::new();
        for (number, (inserts, local, remote, key, which)) in (0..).zip(changes) {
            if !inserts && !present.is_empty() {
                let entry = present.swap_remove(which.index(present.len()));
                prop_assert!(table.remove(&entry));
                continue;
            }
            let label = Label::new(Class::Gre, 0, Some(key));
            let pair = Pair { local, remote, label };
            let (protocols, tunnel) = (Protocols::IPV4, TunnelId(number));
            let entry = Entry { pair, protocols, link: None, tunnel, patience: Some(15) };
            if table.insert(&entry).is_ok() {
                present.push(entry);
            }
        }
        for (local, remote) in (1..5).flat_map(|local| (1..5).map(move |remote| (local, remote))) {
            let has = |entry: &Entry<u32>| {
                let Pair { local: l, remote: r, .. } = entry.pair;
                (l == 0 || l == local) && (r == 0 || r == remote)
            };
            prop_assert_eq!(table.is_without(local, remote), !present.iter().any(has));
        }
    }
}
