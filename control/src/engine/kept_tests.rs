//! What belongs to tunnels and is written while packets go: it stays theirs when a change is refused, however late.

use std::sync::Arc;

use adit_dataplane::clock::Nanos;
use adit_dataplane::tunnel::sequence::Sequences;
use adit_dataplane::tunnel::shim::Kind;
use adit_dataplane::tunnel::stations::Stations;

use super::tests::{TWO_WAYS, controller, two_ways};
use super::*;
use crate::config::{Edit, Keys, Tunnel};

/// `paris` with numbered packets, and the numbers it has.
fn numbered(controller: &Controller) -> Arc<Sequences> {
    let id = controller.store.tunnel_id("paris").unwrap();
    let tunnel = controller.pair.live().tunnel(id).unwrap();
    let Kind::Gre(gre) = &tunnel.setup.shim.kind else { panic!("no GRE") };
    Arc::clone(gre.sequences.as_ref().unwrap())
}

#[test]
fn a_tunnel_keeps_its_numbers_when_a_change_is_refused_and_not_when_it_was_gone() {
    let gre = "\"paris\": { \"mode\": \"gre\", \"sequence\": true, \"key\": 7";
    let text = TWO_WAYS.replace("\"paris\": { \"mode\": \"ipip\"", gre);
    let mut controller = controller(two_ways(&text));
    let before = numbered(&controller);
    let tunnel = |name| Tunnel::clone(controller.store.tunnel_named(name).unwrap());
    let (mut paris, mut six) = (tunnel("paris"), tunnel("six"));
    paris.keys = Some(Box::new(Keys { input: Some(8), output: Some(8) }));
    // No tunnel has ends of two families.
    six.remote = Some("2001:db8::1".parse().unwrap());
    let edits = [paris, six].map(|tunnel| Edit::PutTunnel(Box::new(tunnel)));
    assert!(controller.stage(edits.to_vec(), Nanos(0)).is_err());
    controller.publish();
    assert!(Arc::ptr_eq(&before, &numbered(&controller)));

    // Gone while tables are made anew, it comes back as one that begins.
    let (start, end) = (text.find("\"paris\"").unwrap(), text.find("\"six\"").unwrap());
    let gone = [&text[..start], &text[end..]]
        .concat()
        .replace("{\n  \"ports\"", "{ \"limits\": { \"decap-depth\": 2 },\n  \"ports\"");
    controller.apply(two_ways(&gone), Nanos(0)).unwrap();
    controller.apply(two_ways(&text), Nanos(0)).unwrap();
    assert!(!Arc::ptr_eq(&before, &numbered(&controller)));
}

/// A segment that learns, and where its stations are kept.
const SEGMENT: &str = r#""e0": { "mode": "vxlan", "id": 42, "local": "192.0.2.1", "attach": "free",
    "remotes": ["198.18.0.3", "198.18.0.4"], "mac-learning": true }, "#;

fn learnt(controller: &Controller) -> *const Stations {
    let id = controller.store.tunnel_id("e0").unwrap();
    std::ptr::from_ref(controller.compiler.stations(id).unwrap())
}

#[test]
fn a_segment_keeps_its_stations_when_a_change_is_refused() {
    let text = TWO_WAYS.replace("\"paris\":", &format!("{SEGMENT}\"paris\":"));
    let text = text.replace("\"ports\": {", "\"ports\": { \"free\": {}, ");
    let mut controller = controller(two_ways(&text));
    let before = learnt(&controller);
    let tunnel = |name| Tunnel::clone(controller.store.tunnel_named(name).unwrap());
    let (mut segment, mut six) = (tunnel("e0"), tunnel("six"));
    segment.overlay.as_mut().unwrap().id = 43;
    // No tunnel has ends of two families.
    six.remote = Some("2001:db8::1".parse().unwrap());
    let edits = [segment, six].map(|tunnel| Edit::PutTunnel(Box::new(tunnel)));
    assert!(controller.stage(edits.to_vec(), Nanos(0)).is_err());
    controller.publish();
    assert_eq!(before, learnt(&controller));
}
