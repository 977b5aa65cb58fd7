//! Explicit congestion notification across a tunnel (RFC 6040, RFC 3168).

/// How the outer ECN field is made on encapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EcnEncap {
    /// Copied from the inner field (RFC 6040 §4.1, normal mode).
    Normal,
    /// Always Not-ECT, for a peer that does not propagate it (RFC 6040 §4.3).
    Compat,
    /// Copied, but congestion experienced becomes ECT(0) (RFC 3168 §9.1.1, full functionality).
    Rfc3168,
}

const NOT_ECT: u8 = 0;
const ECT_1: u8 = 1;
const ECT_0: u8 = 2;
/// Congestion experienced.
pub const CE: u8 = 3;

/// The two ECN bits of a TOS or traffic class byte.
pub const MASK: u8 = 3;

impl EcnEncap {
    /// The outer field for each inner field.
    pub const fn table(self) -> [u8; 4] {
        match self {
            //= RFC 6040 §4.1: in normal mode the outer field is the inner field, CE included.
            Self::Normal => [NOT_ECT, ECT_1, ECT_0, CE],
            Self::Compat => [NOT_ECT; 4],
            Self::Rfc3168 => [NOT_ECT, ECT_1, ECT_0, ECT_0],
        }
    }
}

/// What decapsulation makes of a pair of ECN fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EcnDecap {
    /// Forward with this inner field.
    Forward(u8),
    /// The same, and count it: the pair should not occur.
    Log(u8),
    /// Drop: congestion was signalled to a sender that can't hear it.
    Drop,
}

/// The inner field after decapsulation, from the outer and the inner one (only the two ECN bits of
/// each byte are looked at).
#[inline]
pub const fn decap(outer: u8, inner: u8) -> EcnDecap {
    use EcnDecap::{Drop, Forward, Log};
    //= RFC 6040 §4.2: the table of Figure 4; rows are the inner field, columns the outer one.
    const TABLE: [[EcnDecap; 4]; 4] = [
        // outer: Not-ECT, ECT(1), ECT(0), CE
        [Forward(NOT_ECT), Log(NOT_ECT), Log(NOT_ECT), Drop],
        [Forward(ECT_1), Forward(ECT_1), Forward(ECT_1), Forward(CE)],
        [Forward(ECT_0), Forward(ECT_1), Forward(ECT_0), Forward(CE)],
        [Forward(CE), Log(CE), Forward(CE), Forward(CE)],
    ];
    TABLE[(inner & MASK) as usize][(outer & MASK) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table as RFC 6040 prints it, in words: inner, outer, result.
    const FIGURE_4: [(&str, &str, &str); 16] = [
        ("not", "not", "not"),
        ("not", "0", "not!"),
        ("not", "1", "not!"),
        ("not", "ce", "drop"),
        ("0", "not", "0"),
        ("0", "0", "0"),
        ("0", "1", "1"),
        ("0", "ce", "ce"),
        ("1", "not", "1"),
        ("1", "0", "1"),
        ("1", "1", "1"),
        ("1", "ce", "ce"),
        ("ce", "not", "ce"),
        ("ce", "0", "ce"),
        ("ce", "1", "ce!"),
        ("ce", "ce", "ce"),
    ];

    fn bits(word: &str) -> u8 {
        match word {
            "not" => 0b00,
            "1" => 0b01,
            "0" => 0b10,
            _ => 0b11,
        }
    }

    #[test]
    fn every_cell_of_figure_4_of_rfc_6040_holds() {
        for (inner, outer, result) in FIGURE_4 {
            let expected = match result.strip_suffix('!') {
                Some(word) => EcnDecap::Log(bits(word)),
                None if result == "drop" => EcnDecap::Drop,
                None => EcnDecap::Forward(bits(result)),
            };
            assert_eq!(decap(bits(outer), bits(inner)), expected, "inner {inner}, outer {outer}");
        }
    }
}
