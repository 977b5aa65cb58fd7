//! A configuration from its text to the tables of workers: whatever the text is, it is either refused with mistakes
//! that say where they are, or compiles, or does not fit and says why. A second text behind a byte of 0 is put in
//! force afterwards, and the first one again.
#![no_main]

use core::sync::atomic::Ordering;

use adit_control::config::{
    Config, Mistakes, Purpose, describe, diff, diff_from, load_str, needs_restart,
};
use adit_control::engine::{Controller, ControllerSettings, PortFacts};
use adit_dataplane::clock::Nanos;
use libfuzzer_sys::fuzz_target;

fn load(text: &str) -> Option<Config> {
    match load_str("fuzz", text, Purpose::Check) {
        Ok(loaded) => {
            assert!(diff(&loaded.config, &loaded.config).is_empty(), "it differs from itself");
            let _ = describe(&loaded.config).to_string();
            Some(loaded.config)
        }
        Err(mistakes) => {
            check_mistakes(&mistakes, text);
            None
        }
    }
}

/// Each mistake is in the text, and says something.
fn check_mistakes(mistakes: &Mistakes, text: &str) {
    assert!(!mistakes.mistakes.is_empty(), "refused, and nothing is wrong");
    // YAML ends a line with a carriage return, too.
    let lines = text.split(['\n', '\r']).count() + 1;
    for mistake in mistakes.mistakes.iter().chain(&mistakes.warnings) {
        assert!(mistake.location.line as usize <= lines, "beyond the end: {mistake:?}");
        assert!(!mistake.message.is_empty(), "says nothing: {mistake:?}");
    }
    assert!(!mistakes.to_string().is_empty());
}

/// The controller has taken its configuration over, and so has the worker.
fn settle(controller: &mut Controller, now: Nanos) {
    let generation = controller.publication().load().generation;
    for worker in controller.workers() {
        worker.counters.work.generation.store(generation, Ordering::Release);
    }
    controller.turn(now);
}

/// Puts a configuration in force, if it fits and needs no restart.
fn apply(controller: &mut Controller, config: &Config, now: Nanos) {
    if !needs_restart(controller.config(), config).is_empty() {
        return;
    }
    match controller.apply(config.clone(), now) {
        Ok(_) => {
            let differing = diff_from(controller.store(), config);
            assert!(differing.is_empty(), "not what was asked for: {differing:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    settle(controller, now);
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let (first, second) = text.split_once('\0').unwrap_or((text, ""));
    let (Some(first), second) = (load(first), load(second)) else { return };
    let ports = first.ports.iter().map(|port| PortFacts { mac: port.mac, mtu: port.mtu }).collect();
    let settings = ControllerSettings { seed: 1, workers: 1, is_settled: true };
    let mut controller = match Controller::new(first.clone(), ports, &settings) {
        Ok(controller) => controller,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    controller.start(Nanos(1));
    settle(&mut controller, Nanos(2));
    if let Some(second) = second {
        apply(&mut controller, &second, Nanos(3));
        apply(&mut controller, &first, Nanos(4));
    }
    controller.stop(Nanos(5));
});
