//! Words for where the stations are that frames go to.

use std::net::IpAddr;

use adit_dataplane::interface::TunnelId;
use adit_dataplane::tunnel::remotes::Towards;
use adit_dataplane::wire::ethernet::MacAddress;
use serde_json::json;

use super::super::names::Names;
use super::super::step::Told;

pub(super) fn towards(
    tunnel: TunnelId,
    station: MacAddress,
    (towards, remote): (Towards, Option<IpAddr>),
    count: usize,
    names: Names<'_>,
) -> Told {
    let tunnel = names.tunnel(tunnel);
    let to = remote.map(|remote| remote.to_string()).unwrap_or_default();
    let (by, words) = match towards {
        Towards::Fixed(_) => ("fdb", format!("{station} is behind {to}, says `fdb` of {tunnel}")),
        Towards::Learnt(_) => ("learnt", format!("{station} was heard from {to} last")),
        Towards::Unknown => (
            "unknown",
            format!("nobody knows where {station} is: a copy to each of the {count} remotes"),
        ),
        Towards::Group => {
            ("group", format!("{station} is a group: a copy to each of the {count} remotes"))
        }
    };
    let station = station.to_string();
    let values = json!({ "tunnel": tunnel, "station": station, "by": by, "remote": remote });
    Told::new("remote", "remote", values, words)
}

pub(super) fn copy(length: usize) -> Told {
    Told::new("copy", "copy", json!({ "length": length }), format!("a copy of {length} bytes"))
}

pub(super) fn learnt(station: MacAddress, remote: IpAddr) -> Told {
    let values = json!({ "station": station.to_string(), "remote": remote });
    Told::new("station", "learnt", values, format!("{station} is behind {remote} from now on"))
}
