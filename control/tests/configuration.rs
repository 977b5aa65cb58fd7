//! Wrong configurations, each kept as a file that says itself what is wrong with it: lines
//! `#! LINE:COLUMN KIND PATH` for mistakes, `#? …` for warnings. All of them, and no others, have to be found.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use adit_control::config::{self, Loaded, Mistake, Mistakes, Purpose};
use proptest::prelude::*;

fn files_in(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let entries = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yaml");
    let mut files: Vec<_> = entries.filter(is_yaml).collect();
    files.sort();
    files
}

/// The lines of a listing in the form in which the files expect them.
fn in_short(mark: &str, list: &[Mistake]) -> String {
    let mut text = String::new();
    for mistake in list {
        let kind = serde_json::to_value(mistake.kind).unwrap();
        let kind = kind.as_str().unwrap();
        let location = &mistake.location;
        let file = Path::new(&*location.file).file_name().unwrap().to_str().unwrap();
        let file = if file.starts_with("included-") { format!("{file}:") } else { String::new() };
        let (line, column) = (location.line, location.column);
        let line = format!("{mark} {file}{line}:{column} {kind} {}", mistake.path);
        writeln!(text, "{}", line.trim_end()).unwrap();
    }
    text
}

fn found(result: &Result<Loaded, Mistakes>) -> String {
    match result {
        Ok(loaded) => in_short("#?", &loaded.warnings),
        Err(mistakes) => in_short("#!", &mistakes.mistakes) + &in_short("#?", &mistakes.warnings),
    }
}

#[test]
fn every_mistake_of_a_file_is_reported_in_one_run_with_line_column_path_and_kind() {
    let files = files_in("tests/wrong");
    assert!(files.len() >= 40, "only {} files", files.len());
    let mut wrong = String::new();
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let is_expectation = |line: &&str| line.starts_with("#!") || line.starts_with("#?");
        let expected: String =
            text.lines().filter(is_expectation).flat_map(|line| [line.trim_end(), "\n"]).collect();
        let result = config::load(&file, Purpose::Run);
        let found = found(&result);
        if found != expected {
            let name = file.file_name().unwrap().display();
            write!(wrong, "--- {name}\nexpected:\n{expected}found:\n{found}").unwrap();
            if let Err(mistakes) = result {
                writeln!(wrong, "{mistakes}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_example_loads_without_a_warning() {
    for file in files_in("../configs") {
        match config::load(&file, Purpose::Run) {
            Ok(loaded) => assert_eq!(loaded.warnings, [], "{}", file.display()),
            Err(mistakes) => panic!("{mistakes}"),
        }
    }
}

#[test]
fn a_script_gone_wrong_is_cut_short_and_counted() {
    let mut text = "ports: { wan: { device: net_tap0 } }\ntunnels:\n".to_owned();
    for index in 0..2000 {
        writeln!(text, "  t{index}: {{ mode: ipip, remote: nowhere }}").unwrap();
    }
    let mistakes = config::load_str("text", &text, Purpose::Run).unwrap_err();
    assert_eq!(mistakes.mistakes.len() + mistakes.unlisted, 2000);
    assert!(mistakes.mistakes.len() <= 500);
    assert!(mistakes.to_string().ends_with("2000 mistakes, of which 1500 are not listed"));
}

#[test]
fn lists_have_an_end() {
    let hosts = |count: u32| {
        let hosts = (0..count).map(|host| Ipv4Addr::from_bits(0xcb00_7101 + host).to_string());
        hosts.collect::<Vec<_>>().join(", ")
    };
    let stations = |count: u32| {
        let station =
            |n: u32| format!("\"02:00:00:00:{:02x}:{:02x}\": 203.0.113.1", n >> 8, n & 255);
        (0..count).map(station).collect::<Vec<_>>().join(", ")
    };
    let labels = |count: u32| {
        (16..16 + count)
            .map(|label| format!("{label}: {{ pop: ip }}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let written = |kind: &str, count| match kind {
        "6rd" => format!("6rd: {{ prefix: \"2001:db8::/32\", border-relays: [{}] }}", hosts(count)),
        "isatap" => format!("potential-routers: [{}]", hosts(count)),
        "vxlan" => format!("id: 7, attach: one, remotes: [{}]", hosts(count)),
        "vxlan, id: 7" => {
            format!("attach: one, remotes: [203.0.113.1], fdb: {{ {} }}", stations(count))
        }
        _ => format!("remote: 203.0.113.1, labels: {{ {} }}", labels(count)),
    };
    let cases = [
        ("6rd", 64, "tunnels.t.6rd.border-relays: a list of 65 routers"),
        ("isatap", 64, "tunnels.t.potential-routers: a list of 65 routers"),
        ("vxlan", 64, "tunnels.t.remotes: a list of 65 remotes"),
        ("vxlan, id: 7", 4096, "tunnels.t.fdb: 4097 stations"),
        ("mplsip", 65_536, "tunnels.t.labels: there are 65537 labels, and 65536 are the most"),
    ];
    for (kind, most, words) in cases {
        let load = |count| {
            let text = format!(
                "ports: {{ wan: {{ device: net_tap0, addresses: [198.51.100.1/24] }}, one: {{ device: net_tap1 }} }}
routes: [{{ to: default, via: 198.51.100.254 }}]
tunnels: {{ t: {{ local: 198.51.100.1, mode: {kind}, {} }} }}
",
                written(kind, count)
            );
            config::load_str("text", &text, Purpose::Run)
        };
        let mistakes = load(most).map_err(|mistakes| mistakes.to_string());
        assert_eq!(mistakes.map(|loaded| loaded.warnings), Ok(vec![]), "{words}");
        let mistakes = load(most + 1).unwrap_err();
        let kinds: Vec<_> = mistakes.mistakes.iter().map(|mistake| mistake.kind).collect();
        assert_eq!(kinds, [config::MistakeKind::OutOfRange], "{mistakes}");
        let text = mistakes.to_string();
        assert!(text.contains(words) && text.contains("\n    write "), "{text}");
    }
}

#[test]
fn a_missing_device_is_refused_to_run_warned_of_in_a_check_and_nothing_in_a_replay() {
    let text = "ports: { wan: { addresses: [198.51.100.1/24] } }";
    let load = |purpose| found(&config::load_str("text", text, purpose));
    assert_eq!(load(Purpose::Run), "#! 1:10 missing ports.wan.device\n");
    assert_eq!(load(Purpose::Check), "#? 1:10 missing ports.wan.device\n");
    assert_eq!(load(Purpose::Replay), "");
}

#[test]
fn every_spelling_of_a_boolean_is_the_word_it_looks_like() {
    for no in ["no", "off", "false", "No", "OFF", "\"no\"", "False"] {
        let text = format!(
            "ports: {{ wan: {{ device: net_tap0, dad: {no}, addresses: [198.51.100.1/24] }} }}
routes: [{{ to: default, via: 198.51.100.254 }}]
limits: {{ unmatched-icmp: {no} }}
dataplane: {{ hugepages: {no}, spread: {no} }}
tunnels:
  t: {{ mode: ipip, remote: 203.0.113.2, dont-fragment: {no}, keepalive: {no}, inner-source: {no} }}
"
        );
        let loaded = config::load_str("text", &text, Purpose::Run);
        let config = loaded.map_err(|mistakes| mistakes.to_string()).unwrap().config;
        let settings = &config.tunnels[0].settings;
        assert_eq!(settings.dont_fragment, config::DontFragment::No);
        assert_eq!(settings.inner_source, config::InnerSource::Off);
        assert_eq!(config.dataplane.hugepages, config::Hugepages::Off);
        assert_eq!(config.limits.unmatched_icmp, config::UnmatchedIcmp::No);
        assert!(!config.ports[0].dad);
    }
}

#[test]
fn a_profile_fills_what_defaults_and_the_tunnel_leave_open() {
    let text = "
ports: { wan: { device: net_tap0, addresses: [198.51.100.1/24, \"2001:db8:1::1/64\"] } }
defaults: { tunnels: { profile: linux, dscp: 10, ecn: compat } }
routes:
  - { to: default, via: 198.51.100.254 }
  - { to: \"::/0\", via: \"2001:db8:1::fe\" }
tunnels:
  a: { mode: ipip, remote: 203.0.113.2 }
  b: { mode: ipip, remote: 203.0.113.3, profile: native, ecn: rfc3168 }
  c: { mode: sit, remote: 203.0.113.4, ttl: 7 }
  d: { mode: ip6ip6, remote: \"2001:db8:2::2\" }
  e: { mode: ipip, remote: 203.0.113.5, profile: routeros }
";
    let loaded = config::load_str("text", text, Purpose::Run);
    let config = loaded.map_err(|mistakes| mistakes.to_string()).unwrap().config;
    let [a, b, c, d, e] = config.tunnels.as_slice() else { panic!("{config:?}") };
    assert_eq!((a.settings.ttl, a.settings.dscp), (None, Some(10)));
    assert_eq!(a.settings.ecn, config::Ecn::Compat);
    assert_eq!(a.settings.inner_source, config::InnerSource::Off);
    assert_eq!(b.settings.ttl.map(u8::from), Some(64));
    assert_eq!((b.settings.dscp, b.settings.ecn), (Some(10), config::Ecn::Rfc3168));
    assert_eq!(b.settings.inner_source, config::InnerSource::Feasible);
    assert_eq!(c.settings.ttl.map(u8::from), Some(7));
    assert_eq!(c.payload, config::Payload::Any);
    assert_eq!((d.settings.ttl.map(u8::from), d.settings.encap_limit), (Some(64), Some(4)));
    assert_eq!(e.settings.dont_fragment, config::DontFragment::No);
}

#[test]
fn every_profile_has_the_choices_of_its_column_over_either_family() {
    let tunnel = |profile: &str, is_ipv4: bool| {
        let (mode, remote) =
            if is_ipv4 { ("sit", "203.0.113.2") } else { ("any", "'2001:db8:2::2'") };
        let text = format!(
            "
ports: {{ wan: {{ device: net_tap0, addresses: [198.51.100.1/24, '2001:db8:1::1/64'] }} }}
routes: [{{ to: default, via: 198.51.100.254 }}, {{ to: '::/0', via: '2001:db8:1::fe' }}]
tunnels: {{ t: {{ mode: {mode}, remote: {remote}, profile: {profile} }} }}
"
        );
        let loaded = config::load_str("text", &text, Purpose::Run);
        loaded.map_err(|mistakes| mistakes.to_string()).unwrap().config.tunnels.remove(0)
    };
    // TTL, DF, DSCP, ECN, encapsulation limit, inner sources, clamp-tcp-mss, payload, reassembly.
    for (profile, is_ipv4, column) in [
        ("native", true, "Some(64) Pmtudisc None Normal None Feasible true Ip6ip 2s"),
        ("native", false, "Some(64) Pmtudisc None Normal None Feasible true Any 60s"),
        ("linux", true, "None Pmtudisc Some(0) Rfc3168 None Off false Any 30s"),
        ("linux", false, "Some(64) Pmtudisc Some(0) Rfc3168 Some(4) Off false Any 60s"),
        ("routeros", true, "Some(64) No None Normal None Off true Ip6ip 2s"),
        ("routeros", false, "Some(64) No None Normal None Off true Any 60s"),
    ] {
        let tunnel = tunnel(profile, is_ipv4);
        let it = &tunnel.settings;
        let name = format!("{profile}, IPv4 outside: {is_ipv4}");
        let first = format!("{:?} {:?} {:?} {:?}", it.ttl, it.dont_fragment, it.dscp, it.ecn);
        let second = format!("{:?} {:?} {}", it.encap_limit, it.inner_source, it.clamp_tcp_mss);
        let third = format!("{:?} {:?}", tunnel.payload, it.reassembly_timeout);
        assert_eq!(format!("{first} {second} {third}"), column, "{name}");
        assert_eq!((it.dscp_decap, it.flow_label), (config::DscpDecap::Keep, None), "{name}");
        assert!(it.reassembly && !it.unsafe_any_peer && !it.mss_insert, "{name}");
    }
}

#[test]
fn a_gateway_finds_its_port_or_tunnel_by_the_connected_nets() {
    let text = "
ports:
  wan: { device: net_tap0, addresses: [198.51.100.1/24] }
  lan: { device: net_tap1, addresses: [10.1.0.1/24] }
tunnels:
  t: { mode: ipip, remote: 203.0.113.2, addresses: [192.168.50.1/30] }
routes:
  - { to: default, via: 198.51.100.254 }
  - { to: 10.2.0.0/16, via: 192.168.50.2 }
  - { to: 10.3.0.7, via: 10.1.0.9 }
";
    let loaded = config::load_str("text", text, Purpose::Run);
    let config = loaded.map_err(|mistakes| mistakes.to_string()).unwrap().config;
    let hop = |index: usize| match &config.routes[index].action {
        config::RouteAction::NextHops(hops) => hops[0].via.clone(),
        other => panic!("{other:?}"),
    };
    let gateway = |address: &str, port: &str| config::Via::Gateway {
        address: address.parse().unwrap(),
        port: port.into(),
    };
    assert_eq!(hop(0), gateway("198.51.100.254", "wan"));
    assert_eq!(hop(1), config::Via::Tunnel("t".into()));
    assert_eq!(hop(2), gateway("10.1.0.9", "lan"));
    assert_eq!(config.routes[2].to.to_string(), "10.3.0.7/32");
    let macs: Vec<_> = config.ports.iter().map(|port| port.mac.to_string()).collect();
    assert_eq!(macs, ["02:ad:17:00:00:00", "02:ad:17:00:00:01"]);
}

/// Texts made of the language's own words, so that they get past the first check.
fn plausible() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "ports",
        "wan",
        "tunnels",
        "t0",
        "routes",
        "to",
        "via",
        "mode",
        "ipip",
        "any",
        "remote",
        "local",
        "addresses",
        "defaults",
        "limits",
        "dataplane",
        "10.0.0.1/30",
        "10.0.0.2",
        "fe80::1",
        "\"2001:db8::1/64\"",
        "default",
        "next-hops",
        "tunnel",
        "port",
        "weight",
        "1",
        "0",
        "-1",
        "64",
        "no",
        "{",
        "}",
        "[",
        "]",
        ":",
        ", ",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        ": ",
        ": {",
        "&a ",
        "*a",
        "!t ",
        "~",
        "#",
        "include",
        "static-mtu",
        "99999999999999999999",
        "neighbors",
    ]);
    prop::collection::vec(word, 0..80).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_text_makes_loading_panic(text in "\\PC*") {
        let _ = config::load_str("text", &text, Purpose::Run);
    }

    #[test]
    fn no_plausible_text_makes_loading_panic(text in plausible()) {
        let result = config::load_str("text", &text, Purpose::Check);
        if let Err(mistakes) = result {
            prop_assert!(!mistakes.mistakes.is_empty());
            prop_assert!(mistakes.mistakes.iter().all(|mistake| mistake.location.line > 0));
        }
    }

    #[test]
    fn no_bytes_make_loading_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("text.yaml");
        std::fs::write(&path, bytes).unwrap();
        let _ = config::load(&path, Purpose::Run);
    }
}
