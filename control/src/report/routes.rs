//! Routes: where packets go, and who said so.

use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use super::table::{Align::Left, Align::Right, Table};

/// All routes, in the order of their prefixes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Routes {
    /// They.
    pub routes: Vec<Route>,
}

/// Who says that a route exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteOrigin {
    /// The section `routes`.
    #[default]
    Static,
    /// An address of a port or tunnel.
    Connected,
    /// The routes of a tunnel.
    Tunnel,
}

/// One route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Route {
    /// The destination, as a prefix.
    pub to: String,
    /// `unicast`, `local`, `blackhole`, `unreachable`, `prohibit`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The lower one of two for the same destination wins.
    pub metric: u32,
    /// Who says so.
    pub origin: RouteOrigin,
    /// Whether packets follow it.
    pub active: bool,
    /// Where to, for `unicast`.
    pub next_hops: Vec<NextHop>,
}

/// One way that a route sends packets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NextHop {
    /// The gateway; `None`: the destination itself is a neighbor.
    pub via: Option<String>,
    /// The port.
    pub port: Option<String>,
    /// The tunnel.
    pub tunnel: Option<String>,
    /// Its share among the next hops of the route.
    pub weight: u16,
    /// Whether it can be used at present.
    pub active: bool,
}

impl Routes {
    /// Puts routes in the order of their prefixes, IPv4 first.
    pub fn new(mut routes: Vec<Route>) -> Self {
        routes.sort_by_cached_key(|route| (place(&route.to), route.metric));
        Self { routes }
    }

    /// The destination that a route is called by. The default route of IPv4 goes by its name.
    pub fn destination(name: &str) -> Option<IpNet> {
        let default = || (name == "default").then(|| Ipv4Net::default().into());
        name.parse().ok().or_else(default)
    }
}

/// Where a prefix stands among others.
fn place(to: &str) -> (IpAddr, u8) {
    let net = Routes::destination(to).unwrap_or_else(|| Ipv4Net::default().into());
    (net.addr(), net.prefix_len())
}

impl Route {
    fn is_local(&self) -> bool {
        self.kind == "local"
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        words.extend(self.via.as_ref().map(|via| format!("via {via}")));
        words.extend(self.port.as_ref().map(|port| format!("port {port}")));
        words.extend(self.tunnel.as_ref().map(|tunnel| format!("tunnel {tunnel}")));
        if self.weight > 1 {
            words.push(format!("weight {}", self.weight));
        }
        if !self.active {
            words.push("(down)".to_owned());
        }
        f.write_str(&words.join(" "))
    }
}

impl fmt::Display for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.routes.iter().filter(|route| route.is_local()).count();
        let is_all_local = local == self.routes.len();
        if self.routes.is_empty() {
            return writeln!(f, "no routes");
        }
        let mut table = Table::new(&[
            ("to", Left),
            ("next hops", Left),
            ("metric", Right),
            ("origin", Left),
            ("state", Left),
        ]);
        for route in self.routes.iter().filter(|route| is_all_local || !route.is_local()) {
            let next_hops: Vec<String> = route.next_hops.iter().map(ToString::to_string).collect();
            let way = if next_hops.is_empty() { route.kind.clone() } else { next_hops.join(", ") };
            let origin = match route.origin {
                RouteOrigin::Static => "static",
                RouteOrigin::Connected => "connected",
                RouteOrigin::Tunnel => "tunnel",
            };
            table.row([
                route.to.clone(),
                way,
                route.metric.to_string(),
                origin.to_owned(),
                if route.active { "active" } else { "inactive" }.to_owned(),
            ]);
        }
        table.fmt(f)?;
        if local > 0 && !is_all_local {
            writeln!(f, "and {local} of our own addresses, which --json lists")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_reads_like_the_line_that_made_it() {
        let hop = |via: Option<&str>, tunnel: Option<&str>, weight, active| NextHop {
            via: via.map(str::to_owned),
            port: via.map(|_| "wan".to_owned()),
            tunnel: tunnel.map(str::to_owned),
            weight,
            active,
        };
        let route = Route {
            to: "10.5.0.0/16".to_owned(),
            kind: "unicast".to_owned(),
            metric: 200,
            active: true,
            next_hops: vec![
                hop(Some("198.51.100.253"), None, 2, true),
                hop(None, Some("paris"), 1, false),
            ],
            ..Route::default()
        };
        let json = serde_json::to_value(&route).unwrap();
        assert_eq!(json["type"], "unicast");
        let text = Routes { routes: vec![route] }.to_string();
        let line = text.lines().nth(1).unwrap();
        assert!(
            line.contains("via 198.51.100.253 port wan weight 2, tunnel paris (down)"),
            "{line}"
        );
    }

    #[test]
    fn routes_stand_in_the_order_of_their_prefixes_and_own_addresses_aside() {
        let route = |to: &str, kind: &str, metric| Route {
            to: to.to_owned(),
            kind: kind.to_owned(),
            metric,
            ..Route::default()
        };
        let routes = Routes::new(vec![
            route("2001:db8::/32", "unicast", 0),
            route("10.0.0.0/16", "unicast", 0),
            route("9.9.9.9/32", "local", 0),
            route("10.0.0.0/8", "unicast", 200),
            route("default", "unicast", 0),
            route("10.0.0.0/8", "blackhole", 100),
        ]);
        let text = routes.to_string();
        let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
        let listed: Vec<String> = text.lines().filter_map(first).collect();
        let expected =
            ["TO", "default", "10.0.0.0/8", "10.0.0.0/8", "10.0.0.0/16", "2001:db8::/32", "and"];
        assert_eq!(listed, expected);
        assert!(text.lines().nth(2).is_some_and(|line| line.contains("blackhole")), "{text}");
        assert!(text.ends_with("and 1 of our own addresses, which --json lists\n"), "{text}");
        let own = Routes::new(vec![route("9.9.9.9/32", "local", 0)]).to_string();
        assert!(own.contains("9.9.9.9/32"), "{own}");
    }
}
