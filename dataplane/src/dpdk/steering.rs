//! Rules of `rte_flow` that have a device spread the packets of tunnels over its queues by the inner
//! flow, where its hash can't look that deep by itself. One rule for each pair of families.
//!
//! A rule that the device refuses is no failure: what it does not spread, the workers do
//! (`worker/spread/`).

use dpdk_sys as sys;

use super::error::Errno;
use super::offload::{RSS_FIELDS, Rules};

/// Outer and inner family.
const PAIRS: [(u8, u8); 4] = [(4, 4), (4, 6), (6, 4), (6, 6)];

/// The longest message of a driver that is kept.
const MESSAGE_ROOM: usize = 160;

/// Makes the rules that a started port takes. `hash`: what it can hash.
pub(super) fn spread_tunnels(port: u16, receive_queues: u16, hash: u64) -> Rules {
    let queues: Vec<u16> = (0..receive_queues).collect();
    let mut rules = Rules::default();
    let mut refusals: Vec<(String, String)> = Vec::new();
    for (outer, inner) in PAIRS {
        let rule = sys::shim_spread {
            outer,
            inner,
            queue_count: receive_queues,
            queues: queues.as_ptr(),
            types: RSS_FIELDS & hash,
        };
        let made = validate(port, &rule).and_then(|()| {
            rules.is_offered = true;
            create(port, &rule)
        });
        match made {
            Ok(()) => rules.count += 1,
            Err(reason) => {
                let pair = format!("IPv{inner} in IPv{outer}");
                match refusals.iter_mut().find(|(_, other)| *other == reason) {
                    Some((pairs, _)) => *pairs = format!("{pairs}, {pair}"),
                    None => refusals.push((pair, reason)),
                }
            }
        }
    }
    let reasons = refusals.iter().map(|(pairs, reason)| match rules.count {
        0 if refusals.len() == 1 => format!("the device refused them: {reason}"),
        _ => format!("the device refused {pairs}: {reason}"),
    });
    rules.refusals = reasons.collect::<Vec<_>>().join("; ");
    rules
}

/// Whether the device would take the rule.
fn validate(port: u16, rule: &sys::shim_spread) -> Result<(), String> {
    let mut text = [0; MESSAGE_ROOM];
    // SAFETY: a started port, a rule whose queues live as long as the call, and room for the text.
    let result =
        unsafe { sys::shim_spread_validate(port, &raw const *rule, text.as_mut_ptr(), text.len()) };
    checked(result, &text)
}

fn create(port: u16, rule: &sys::shim_spread) -> Result<(), String> {
    let mut text = [0; MESSAGE_ROOM];
    // SAFETY: as in `validate`.
    let result =
        unsafe { sys::shim_spread_create(port, &raw const *rule, text.as_mut_ptr(), text.len()) };
    checked(result, &text)
}

fn checked(result: i32, text: &[core::ffi::c_char]) -> Result<(), String> {
    if result == 0 {
        return Ok(());
    }
    let bytes: Vec<u8> = text.iter().map(|byte| byte.cast_unsigned()).collect();
    let message = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    if message.is_empty() {
        return Err(Errno(-result).to_string());
    }
    Err(String::from_utf8_lossy(message).into_owned())
}
