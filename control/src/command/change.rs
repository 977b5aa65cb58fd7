//! `adit tunnel` and `adit route`: change one entry of what runs, in the words of files.

use std::net::IpAddr;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::{Outcome, Remote, output};
use crate::config::{Change, Subject, Verb};

const TUNNEL_EXAMPLES: &str = "\
Examples:
  adit tunnel paris down
  adit tunnel paris set-remote 203.0.113.9
  adit tunnel lyon replace mode=ipip local=192.0.2.1 remote=203.0.113.7 routes=10.7.0.0/16,10.8.0.0/16
  adit tunnel lyon change ttl=inherit dscp=      (dscp is what it is by default)
  adit tunnel lyon delete

Keys are those of files. What runs is changed, no file is: `adit show config` tells how they differ.
Each command returns when every worker runs the change.";

const ROUTE_EXAMPLES: &str = "\
Examples:
  adit route default replace via=198.51.100.254
  adit route 10.9.0.0/16 replace tunnel=paris
  adit route 10.9.0.0/16 replace metric=200 type=blackhole      (a second one, for when paris is down)
  adit route 10.9.0.0/16 --metric 200 change type=unreachable
  adit route 10.9.0.0/16 --metric 200 delete

Keys are those of files. Routes that a tunnel brings with it (`routes`) are changed with the tunnel.
Each command returns when every worker runs the change.";

/// The arguments of `adit tunnel`.
#[derive(Debug, Args)]
#[command(after_help = TUNNEL_EXAMPLES)]
pub(super) struct Tunnel {
    /// The tunnel
    name: String,
    #[command(subcommand)]
    what: TunnelChange,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum TunnelChange {
    /// Let it carry packets
    Up,
    /// Let it carry none
    Down,
    /// Send to another peer, and accept packets from that one alone
    SetRemote {
        /// The peer
        address: IpAddr,
    },
    #[command(flatten)]
    Entry(EntryChange),
}

/// The arguments of `adit route`.
#[derive(Debug, Args)]
#[command(after_help = ROUTE_EXAMPLES)]
pub(super) struct Route {
    /// The destination, as 10.2.0.0/16 or default
    prefix: String,
    #[command(subcommand)]
    what: EntryChange,
    /// Which of several routes to the destination; the API says ?metric=NUMBER
    #[arg(long, global = true, value_name = "NUMBER")]
    metric: Option<u32>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum EntryChange {
    /// Add it, or put it in the place of what it was: what is not said is default
    Replace {
        /// As in files: `mode=ipip`, `routes=10.2.0.0/16,10.3.0.0/16`; or JSON, `routes=["10.2.0.0/16"]`
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = setting)]
        settings: Vec<(String, Value)>,
    },
    /// Change these keys of it
    Change {
        /// As in files; nothing after the `=` gives the key its default back
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = setting)]
        settings: Vec<(String, Value)>,
    },
    /// Remove it
    Delete,
}

/// Keys whose values are lists.
const LISTS: [&str; 3] = ["addresses", "routes", "inner-destination"];

/// A key and its value; JSON where it begins like a list or a mapping.
fn setting(text: &str) -> Result<(String, Value), String> {
    let Some((key, value)) = text.split_once('=') else {
        return Err("write a key, `=` and a value".to_owned());
    };
    let value = match value.chars().next() {
        None => Value::Null,
        Some('[' | '{') => serde_json::from_str(value).map_err(|error| error.to_string())?,
        Some(_) if LISTS.contains(&key) => value.split(',').map(Value::from).collect(),
        Some(_) => value.into(),
    };
    Ok((key.to_owned(), value))
}

impl EntryChange {
    fn verb(self) -> Verb {
        let entry = |settings: Vec<_>| Value::Object(settings.into_iter().collect::<Map<_, _>>());
        match self {
            Self::Replace { settings } => Verb::Put(entry(settings)),
            Self::Change { settings } => Verb::Patch(entry(settings)),
            Self::Delete => Verb::Remove,
        }
    }
}

impl Tunnel {
    /// Returns when every worker runs it.
    pub(super) fn run(self) -> Outcome {
        let set =
            |key: &str, value: Value| Verb::Patch(Map::from_iter([(key.to_owned(), value)]).into());
        let verb = match self.what {
            TunnelChange::Up => set("enabled", true.into()),
            TunnelChange::Down => set("enabled", false.into()),
            TunnelChange::SetRemote { address } => set("remote", address.to_string().into()),
            TunnelChange::Entry(entry) => entry.verb(),
        };
        make(&self.remote, &Change { subject: Subject::Tunnel(self.name), verb })
    }
}

impl Route {
    /// Returns when every worker runs it.
    pub(super) fn run(self) -> Outcome {
        let subject = Subject::Route(self.prefix, self.metric);
        make(&self.remote, &Change { subject, verb: self.what.verb() })
    }
}

fn make(remote: &Remote, change: &Change) -> Outcome {
    match remote.client().change(change) {
        Ok(applied) => output::applied(&applied),
        Err(error) => {
            output::complain(error);
            Outcome::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_words_lists_or_json() {
        assert_eq!(setting("mode=ipip").unwrap(), ("mode".to_owned(), json!("ipip")));
        assert_eq!(setting("comment=a=b, c").unwrap().1, json!("a=b, c"));
        assert_eq!(setting("ttl=").unwrap().1, Value::Null);
        assert_eq!(setting("routes=10.0.0.0/8,::/0").unwrap().1, json!(["10.0.0.0/8", "::/0"]));
        assert_eq!(
            setting("next-hops=[{\"via\": \"10.0.0.1\"}]").unwrap().1,
            json!([{ "via": "10.0.0.1" }])
        );
        assert!(setting("ttl").is_err() && setting("routes=[").is_err());
    }
}
