//! The bench of the conformance list as YAML: every test starts from it and states what it changes.

use std::fmt::Write;

/// A configuration as settings by path (`tunnels.t0.ttl`), in the order they were first given.
#[derive(Clone)]
pub(crate) struct Bench {
    settings: Vec<(String, String)>,
    routes: Vec<String>,
}

impl Bench {
    /// The two ports with their static neighbors and the routes of the underlay; no tunnel.
    pub(crate) fn bare() -> Self {
        let empty = Self { settings: Vec::new(), routes: Vec::new() };
        empty
            .set("ports.u.macaddress", r#""02:00:00:00:00:01""#)
            .set("ports.u.mtu", "1500")
            .set("ports.u.addresses", r#"[198.51.100.1/24, "2001:db8:100::1/64"]"#)
            .set(
                "ports.u.neighbors",
                r#"{ 198.51.100.254: "02:00:00:00:00:fe", "2001:db8:100::fe": "02:00:00:00:00:fe" }"#,
            )
            .set("ports.l.macaddress", r#""02:00:00:00:00:02""#)
            .set("ports.l.mtu", "1500")
            .set("ports.l.addresses", r#"[10.1.0.1/24, "2001:db8:1::1/64"]"#)
            .set(
                "ports.l.neighbors",
                r#"{ 10.1.0.5: "02:00:00:00:00:05", "2001:db8:1::5": "02:00:00:00:00:05" }"#,
            )
            .route("{ to: 203.0.113.0/24, via: 198.51.100.254 }")
            .route(r#"{ to: "2001:db8:200::/48", via: "2001:db8:100::fe" }"#)
    }

    /// `t0`: IPv4 in IPv4.
    pub(crate) fn ipip() -> Self {
        Self::bare()
            .tunnel("t0", "ipip", "198.51.100.1", "203.0.113.2")
            .set("tunnels.t0.addresses", "[192.168.50.1/30]")
            .route("{ to: 10.2.0.0/16, tunnel: t0 }")
    }

    /// `s0`: IPv6 in IPv4.
    pub(crate) fn sit() -> Self {
        Self::bare()
            .tunnel("s0", "sit", "198.51.100.1", "203.0.113.2")
            .set("tunnels.s0.addresses", r#"["2001:db8:50::1/64"]"#)
            .route(r#"{ to: "2001:db8:2::/48", tunnel: s0 }"#)
    }

    /// `n6`: IPv4 and IPv6 in IPv6.
    pub(crate) fn any6() -> Self {
        Self::bare()
            .tunnel("n6", "any", r#""2001:db8:100::1""#, r#""2001:db8:200::2""#)
            .set("tunnels.n6.addresses", r#"[192.168.50.1/30, "2001:db8:50::1/64"]"#)
            .route("{ to: 10.2.0.0/16, tunnel: n6 }")
            .route(r#"{ to: "2001:db8:2::/48", tunnel: n6 }"#)
    }

    /// `a4`: IPv4 and IPv6 in IPv4.
    pub(crate) fn any4() -> Self {
        Self::bare()
            .tunnel("a4", "sit", "198.51.100.1", "203.0.113.2")
            .set("tunnels.a4.payload", "any")
            .set("tunnels.a4.addresses", r#"[192.168.50.1/30, "2001:db8:50::1/64"]"#)
            .route("{ to: 10.2.0.0/16, tunnel: a4 }")
            .route(r#"{ to: "2001:db8:2::/48", tunnel: a4 }"#)
    }

    /// `n6` carrying IPv4 alone.
    pub(crate) fn ipip6() -> Self {
        Self::bare()
            .tunnel("n6", "ipip6", r#""2001:db8:100::1""#, r#""2001:db8:200::2""#)
            .set("tunnels.n6.addresses", "[192.168.50.1/30]")
            .route("{ to: 10.2.0.0/16, tunnel: n6 }")
    }

    /// `n6` carrying IPv6 alone.
    pub(crate) fn ip6ip6() -> Self {
        Self::bare()
            .tunnel("n6", "ip6ip6", r#""2001:db8:100::1""#, r#""2001:db8:200::2""#)
            .set("tunnels.n6.addresses", r#"["2001:db8:50::1/64"]"#)
            .route(r#"{ to: "2001:db8:2::/48", tunnel: n6 }"#)
    }

    /// A tunnel; an empty `remote` or `local` leaves the key out.
    pub(crate) fn tunnel(self, name: &str, mode: &str, local: &str, remote: &str) -> Self {
        let mut bench = self.set(&format!("tunnels.{name}.mode"), mode);
        for (key, value) in [("local", local), ("remote", remote)] {
            if !value.is_empty() {
                bench = bench.set(&format!("tunnels.{name}.{key}"), value);
            }
        }
        bench
    }

    /// Gives the key at `path` a value, written as YAML flow text.
    pub(crate) fn set(mut self, path: &str, value: &str) -> Self {
        match self.settings.iter_mut().find(|(known, _)| known == path) {
            Some((_, old)) => value.clone_into(old),
            None => self.settings.push((path.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes the key at `path`.
    pub(crate) fn unset(mut self, path: &str) -> Self {
        let before = self.settings.len();
        self.settings.retain(|(known, _)| known != path);
        assert_eq!(self.settings.len() + 1, before, "the bench has no {path}");
        self
    }

    /// Adds a route, written as a YAML flow map.
    pub(crate) fn route(mut self, text: &str) -> Self {
        self.routes.push(text.to_owned());
        self
    }

    /// Removes every route.
    pub(crate) fn without_routes(mut self) -> Self {
        self.routes.clear();
        self
    }

    /// Removes the routes whose text names `prefix`.
    pub(crate) fn without_route(mut self, prefix: &str) -> Self {
        self.routes.retain(|route| !route.contains(prefix));
        self
    }

    /// The names of the ports, in the order of the file.
    pub(crate) fn ports(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (path, _) in &self.settings {
            if let Some(name) = path.strip_prefix("ports.").and_then(|rest| rest.split('.').next())
                && !names.iter().any(|known| known == name)
            {
                names.push(name.to_owned());
            }
        }
        names
    }

    pub(crate) fn yaml(&self) -> String {
        let mut text = String::from("version: 1\n");
        self.write_level(&mut text, "", 0);
        text.push_str("routes:\n");
        for route in &self.routes {
            writeln!(text, "  - {route}").unwrap();
        }
        text
    }

    /// Writes the keys directly under `prefix`, each with what is under it.
    fn write_level(&self, text: &mut String, prefix: &str, indent: usize) {
        let mut written: Vec<&str> = Vec::new();
        for (path, value) in &self.settings {
            let Some(rest) = path.strip_prefix(prefix) else { continue };
            let key = rest.split('.').next().unwrap();
            if written.contains(&key) {
                continue;
            }
            written.push(key);
            if rest == key {
                writeln!(text, "{:indent$}{key}: {value}", "").unwrap();
            } else {
                writeln!(text, "{:indent$}{key}:", "").unwrap();
                self.write_level(text, &format!("{prefix}{key}."), indent + 2);
            }
        }
    }
}

#[test]
fn the_bench_renders_nested_settings_as_yaml() {
    let text = Bench::ipip().set("limits.decap-depth", "2").yaml();
    assert!(text.contains("tunnels:\n  t0:\n    mode: ipip\n"), "{text}");
    assert!(text.contains("limits:\n  decap-depth: 2\n"), "{text}");
    assert!(text.contains("routes:\n  - { to: 203.0.113.0/24"), "{text}");
}
