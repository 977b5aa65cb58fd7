//! What is changed: for each flow the same circle of six changes, of every kind that the API has. Three
//! of them re-aim the flow, and none leaves it without a rule.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::flow::{LOCAL, Rules, narrow_net, net, peer};
use crate::http::Connection;

/// The tunnel that a flow has all the time, with the route to its net.
pub(crate) fn constant_tunnel(flow: u16, rule: u16) -> Value {
    json!({ "mode": "ipip", "local": LOCAL, "remote": peer(flow, rule), "routes": [net(flow)] })
}

/// How far a flow is in its circle.
pub(crate) struct Circle {
    flow: u16,
    step: u8,
    /// The rule that its packets are sent by.
    pub(crate) rule: u16,
}

impl Circle {
    pub(crate) fn new(flow: u16) -> Self {
        Self { flow, step: 0, rule: 0 }
    }

    /// Makes the next change and waits until it is confirmed. How long that took.
    pub(crate) fn go_on(&mut self, rules: &Rules, api: &mut Connection) -> Duration {
        let Self { flow, step, rule } = *self;
        let constant = format!("/v1/tunnels/f{flow}");
        let spare = format!("/v1/tunnels/spare{flow}");
        let narrow = format!("/v1/routes/{}", narrow_net(flow));
        let remote = |rule| json!({ "remote": peer(flow, rule) });
        let (method, path, body, re_aims) = match step {
            0 => ("PATCH", constant, remote(rule + 1), true),
            1 => {
                let body =
                    json!({ "mode": "ipip", "local": LOCAL, "remote": peer(flow, rule + 1) });
                ("PUT", spare, body, false)
            }
            2 => ("PUT", narrow, json!({ "tunnel": format!("spare{flow}") }), true),
            3 => ("PATCH", constant, remote(rule + 1), false),
            4 => ("DELETE", narrow, Value::Null, true),
            _ => ("DELETE", spare, Value::Null, false),
        };
        let next = rule + u16::from(re_aims);
        rules.asked.store(next, Ordering::Release);
        let asked = Instant::now();
        let (status, answer) = api.ask(method, &path, &body);
        let took = asked.elapsed();
        assert!(matches!(status, 200 | 201), "{method} {path} {body}: {status} {answer}");
        assert!(answer["generation"].is_u64(), "{answer}");
        rules.confirmed.store(next, Ordering::Release);
        *self = Self { flow, step: (step + 1) % 6, rule: next };
        took
    }
}
