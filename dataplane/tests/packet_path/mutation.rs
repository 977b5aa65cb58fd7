//! Valid frames with some bytes changed: what gets further into the packet path than any bytes do.

use adit_dataplane::interface::PortId;
use proptest::collection::vec;
use proptest::prelude::*;

use super::frames::mend_ipv4;
use super::specimens::specimens;

thread_local! {
    pub(crate) static SPECIMENS: Vec<(PortId, Vec<u8>)> = specimens();
}

/// A change of a valid frame.
#[derive(Clone, Debug)]
pub(crate) struct Mutation {
    specimen: prop::sample::Index,
    bytes: Vec<(prop::sample::Index, u8)>,
    cut: Option<prop::sample::Index>,
    mended: bool,
}

pub(crate) fn mutation() -> impl Strategy<Value = Mutation> {
    let byte = (any::<prop::sample::Index>(), any::<u8>());
    (
        any::<prop::sample::Index>(),
        vec(byte, 0..6),
        any::<Option<prop::sample::Index>>(),
        any::<bool>(),
    )
        .prop_map(|(specimen, bytes, cut, mended)| Mutation { specimen, bytes, cut, mended })
}

impl Mutation {
    pub(crate) fn apply(&self, specimens: &[(PortId, Vec<u8>)]) -> (PortId, Vec<u8>) {
        let (port, mut bytes) = self.specimen.get(specimens).clone();
        // Most bytes that matter are within the headers.
        let reach = bytes.len().min(120);
        for (at, value) in self.bytes.iter().filter(|_| reach > 0) {
            bytes[at.index(reach)] = *value;
        }
        if self.mended {
            for at in [14, 34, 54] {
                if bytes.len() >= at + 20 && bytes[at] >> 4 == 4 {
                    mend_ipv4(&mut bytes[at..]);
                }
            }
        }
        if let Some(cut) = self.cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        (port, bytes)
    }
}
