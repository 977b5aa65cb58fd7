//! Next hops on the link of a tunnel: which peer takes packets to which prefixes.

use ipnet::Ipv6Net;

/// Ranges of addresses and the peer of each, in order; the longest prefix counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gateways(Box<[(u128, Option<u32>)]>);

impl Gateways {
    /// From routes in any order; `None`: no peer in particular.
    pub(super) fn new(mut routes: Vec<(Ipv6Net, Option<u32>)>) -> Self {
        if routes.iter().all(|(_, gateway)| gateway.is_none()) {
            return Self(Box::default());
        }
        routes.sort_unstable_by_key(|(net, _)| (net.network(), net.prefix_len()));
        let (mut starts, mut around) = (Vec::new(), Vec::new());
        for (net, gateway) in routes {
            end_before(u128::from(net.network()), &mut around, &mut starts);
            starts.push((u128::from(net.network()), gateway));
            around.push((u128::from(net.broadcast()), gateway));
        }
        while let Some((last, _)) = around.pop() {
            resume_behind(last, &around, &mut starts);
        }
        Self(starts.into_boxed_slice())
    }

    /// The peer that takes packets to an address.
    #[inline]
    pub(super) fn towards(&self, address: u128) -> Option<u32> {
        let behind = self.0.partition_point(|&(start, _)| start <= address);
        self.0.get(behind.checked_sub(1)?)?.1
    }
}

/// Leaves the prefixes that end before `first`.
fn end_before(
    first: u128,
    around: &mut Vec<(u128, Option<u32>)>,
    starts: &mut Vec<(u128, Option<u32>)>,
) {
    while let Some(&(last, _)) = around.last().filter(|(last, _)| *last < first) {
        around.pop();
        resume_behind(last, around, starts);
    }
}

/// Behind a prefix, what holds for the one around it holds again.
fn resume_behind(
    last: u128,
    around: &[(u128, Option<u32>)],
    starts: &mut Vec<(u128, Option<u32>)>,
) {
    if let Some(next) = last.checked_add(1) {
        starts.push((next, around.last().and_then(|(_, gateway)| *gateway)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The oracle looks at all of them.
        #[test]
        fn the_longest_prefix_decides(
            routes in proptest::collection::vec((0_u128..256, 120_u8..=128, any::<Option<u32>>()), 0..12),
            at_the_end: bool,
        ) {
            let base = if at_the_end { u128::MAX - 255 } else { 0x2001 << 112 };
            let net = |low: u128, len: u8| Ipv6Net::new((base | low).into(), len).unwrap().trunc();
            let mut routes: Vec<_> =
                routes.into_iter().map(|(low, len, gateway)| (net(low, len), gateway)).collect();
            routes.sort_unstable();
            routes.dedup_by_key(|(net, _)| *net);
            let gateways = Gateways::new(routes.clone());
            for low in 0..256 {
                let address = base | low;
                let around = routes.iter().filter(|(net, _)| net.contains(&core::net::Ipv6Addr::from(address)));
                let expected = around.max_by_key(|(net, _)| net.prefix_len()).and_then(|r| r.1);
                prop_assert_eq!(gateways.towards(address), expected, "{:x}", low);
            }
            prop_assert_eq!(gateways.towards(0), None);
        }
    }
}
