//! The commands as scripts see them: what they print where, and how they end.

#![expect(clippy::unwrap_used, reason = "a test that can not go on panics")]

use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;

use adit_control::api::{self, Answer, Applied, Cleared, Problem, Request, Server};
use adit_control::config::{self, Change, Purpose, Subject, Verb};
use adit_control::report::{
    Kind, Latency, LatencyPath, Reassembly, Report, Tunnel, TunnelState, Tunnels, Waiting, Workers,
};

const GOOD: &str = "version: 1
ports:
  wan: { addresses: [198.51.100.1/24] }
tunnels:
  paris: { mode: ipip, local: 198.51.100.1, remote: 198.51.100.2, routes: [10.2.0.0/16] }
";

const THREE_MISTAKES: &str = "version: 1
ports:
  wan: { addresses: [198.51.100.1/33] }
tunnels:
  paris: { mode: ipip, local: 198.51.100.1, remote: 198.51.100.256 }
  lyon: { mode: ipip, local: 198.51.100.1, remote: 198.51.100.3, tll: 64 }
";

fn adit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_adit")).args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// An API with answers of the test's own, and files for the commands to name.
struct Bench {
    folder: tempfile::TempDir,
    _server: Server,
}

impl Bench {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (caller, calls) = api::channel();
        let server = Server::start(&folder.path().join("adit.sock"), caller).unwrap();
        thread::spawn(move || {
            for call in calls {
                let answer = answer(call.request());
                call.answer(answer);
            }
        });
        Self { folder, _server: server }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs a client command, words separated by blanks.
    fn client(&self, line: &str) -> Output {
        let socket = self.folder.path().join("adit.sock");
        let words: Vec<&str> = line.split_whitespace().collect();
        adit(&[&words[..], &["--socket", socket.to_str().unwrap()]].concat())
    }
}

fn answer(request: &Request) -> Result<Answer, Problem> {
    match request {
        Request::Show { kind: Kind::Tunnels, .. } => {
            let tunnel = Tunnel {
                name: "paris".to_owned(),
                mode: "ipip".to_owned(),
                state: TunnelState::Down,
                reason: Some("no route to 198.51.100.2".to_owned()),
                ..Tunnel::default()
            };
            Ok(Answer::Report(Report::Tunnels(Tunnels { tunnels: vec![tunnel] })))
        }
        Request::Show { kind: Kind::Workers, .. } => {
            Ok(Answer::Report(Report::Workers(Workers::default())))
        }
        Request::Show { kind: Kind::Reassembly, .. } => {
            let waiting = Waiting { worker: "adit-w0".to_owned(), pieces: 3, ..Waiting::default() };
            let report = Reassembly { reassembly: vec![waiting], ok: 7, ..Reassembly::default() };
            Ok(Answer::Report(Report::Reassembly(report)))
        }
        Request::Show { kind: Kind::Latency, .. } => {
            let mut histogram = hdrhistogram::Histogram::new(3).unwrap();
            histogram.record_n(2000, 10).unwrap();
            let mut latency = Latency::new(1);
            latency.add_worker("adit-w0", LatencyPath::Encap, &histogram);
            latency.add_tunnel("paris", None, &histogram);
            Ok(Answer::Report(Report::Latency(latency)))
        }
        Request::Show { kind, .. } => Err(Problem::unsupported(kind.word())),
        Request::Apply { path } if path.ends_with("port.yaml") => {
            Err(Problem::needs_restart(&["ports.wan.device".to_owned()]))
        }
        Request::Apply { path } => match config::load(path, Purpose::Check) {
            Ok(loaded) => {
                let changes = vec!["tunnel paris: added".to_owned()];
                Ok(Answer::Applied(Applied::new(8, changes, &loaded.warnings)))
            }
            Err(mistakes) => Err(Problem::bad_configuration(&mistakes)),
        },
        Request::Change(Change { subject: Subject::Tunnel(name), .. }) if name == "rome" => {
            Err(Problem::no_such(Kind::Tunnels, name))
        }
        Request::Change(change) => {
            let said = match &change.verb {
                Verb::Put(entry) => format!("put {:?} {entry}", change.subject),
                Verb::Patch(entry) => format!("patch {:?} {entry}", change.subject),
                Verb::Remove => format!("remove {:?}", change.subject),
            };
            Ok(Answer::Applied(Applied::new(9, vec![said], &[])))
        }
        Request::ClearCounters { .. } => Ok(Answer::Cleared(Cleared { cleared: 3 })),
        Request::ClearNeighbors { .. } => Ok(Answer::Cleared(Cleared { cleared: 1 })),
        Request::ClearPaths { .. } => Ok(Answer::Cleared(Cleared { cleared: 2 })),
        Request::ClearStations { .. } => Ok(Answer::Cleared(Cleared { cleared: 4 })),
    }
}

#[test]
fn a_good_file_passes_the_check() {
    let bench = Bench::start();
    let file = bench.file("good.yaml", GOOD);
    let output = adit(&["check", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(out(&output), format!("{}: ok, 1 port, 1 tunnel, 1 route\n", file.display()));
}

#[test]
fn a_check_prints_every_mistake_where_it_is_and_ends_with_2() {
    let bench = Bench::start();
    let file = bench.file("bad.yaml", THREE_MISTAKES);
    let output = adit(&["check", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(out(&output), "");
    let text = err(&output);
    for (line, word) in [(3, "198.51.100.1/33"), (5, "198.51.100.256"), (6, "tll")] {
        let place = format!("{}:{line}:", file.display());
        assert!(text.lines().any(|l| l.starts_with(&place) && l.contains(word)), "{word}: {text}");
    }
    let missing = adit(&["check", "/nonexistent/adit.yaml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(err(&missing).contains("/nonexistent/adit.yaml"), "{missing:?}");
}

#[test]
fn apply_says_what_changed_and_prints_mistakes_as_check_does() {
    let bench = Bench::start();
    let good = bench.file("good.yaml", GOOD);
    let output = bench.client(&format!("apply {}", good.display()));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(out(&output), "in force, generation 8\n  tunnel paris: added\n");

    let bad = bench.file("bad.yaml", THREE_MISTAKES);
    let applied = bench.client(&format!("apply {}", bad.display()));
    assert_eq!(applied.status.code(), Some(2), "{applied:?}");
    let checked = err(&adit(&["check", bad.to_str().unwrap()]));
    let is_place = |line: &&str| line.starts_with(bad.to_str().unwrap());
    let places: Vec<&str> =
        checked.lines().filter(is_place).filter(|l| l.contains("error")).collect();
    let said = err(&applied);
    assert!(
        places.len() >= 3 && places.iter().all(|line| said.contains(line)),
        "{said}\n{checked}"
    );

    let port = bench.file("port.yaml", GOOD);
    let refused = bench.client(&format!("apply {}", port.display()));
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("only a restart can change ports.wan.device"), "{refused:?}");
}

#[test]
fn tunnels_and_routes_change_by_command() {
    let bench = Bench::start();
    for (line, expected) in [
        ("tunnel paris up", r#"patch Tunnel("paris") {"enabled":true}"#),
        ("tunnel paris down", r#"patch Tunnel("paris") {"enabled":false}"#),
        (
            "tunnel paris set-remote 2001:db8::2",
            r#"patch Tunnel("paris") {"remote":"2001:db8::2"}"#,
        ),
        ("tunnel paris change ttl=7 dscp=", r#"patch Tunnel("paris") {"ttl":"7","dscp":null}"#),
        (
            "tunnel paris replace mode=sit routes=::/0",
            r#"put Tunnel("paris") {"mode":"sit","routes":["::/0"]}"#,
        ),
        ("tunnel paris delete", r#"remove Tunnel("paris")"#),
        ("route default replace tunnel=paris", r#"put Route("default", None) {"tunnel":"paris"}"#),
        ("route 10.3.0.0/16 delete --metric 5", r#"remove Route("10.3.0.0/16", Some(5))"#),
    ] {
        let output = bench.client(line);
        assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
        assert_eq!(out(&output), format!("in force, generation 9\n  {expected}\n"), "{line}");
    }
    let refused = bench.client("tunnel rome up");
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("there is no \"rome\""), "{refused:?}");
}

#[test]
fn show_prints_tables_properties_and_json() {
    let bench = Bench::start();
    let table = bench.client("show tunnels");
    assert_eq!(table.status.code(), Some(0), "{table:?}");
    assert!(out(&table).starts_with("TUNNEL  MODE"), "{}", out(&table));
    assert!(out(&table).contains("down: no route to 198.51.100.2"), "{}", out(&table));
    assert!(out(&table).bytes().all(|byte| byte != 0x1b), "no colour without a terminal");
    let detail = bench.client("show tunnels paris");
    assert!(
        out(&detail).lines().any(|line| line.starts_with("reason") && line.contains("no route"))
    );
    let json = bench.client("show tunnels paris --json");
    let json: serde_json::Value = serde_json::from_str(&out(&json)).unwrap();
    assert_eq!(json["tunnels"][0]["state"], "down");
    let workers = bench.client("show workers --json");
    let workers: serde_json::Value = serde_json::from_str(&out(&workers)).unwrap();
    assert_eq!(workers["balance"]["received"], 0);
    assert_eq!(workers["mempool"]["size"], 0);
}

#[test]
fn what_waits_for_fragments_is_shown_as_a_table_and_as_json() {
    let bench = Bench::start();
    let text = out(&bench.client("show reassembly"));
    assert!(text.contains("adit-w0") && text.contains("put together: 7"), "{text}");
    let json = out(&bench.client("show reassembly adit-w0 --json"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["reassembly"][0]["pieces"], &json["ok"]), (&3.into(), &7.into()));
}

#[test]
fn what_can_not_be_shown_ends_with_1_and_the_reason() {
    let bench = Bench::start();
    for (line, words) in [
        ("show tunnels rome", "there is no \"rome\""),
        ("show events", "not supported by this version"),
        ("latency --tunnel lyon", "set `latency: yes`"),
    ] {
        let output = bench.client(line);
        assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
        assert!(err(&output).contains(words), "{line}: {output:?}");
        assert_eq!(out(&output), "", "{line}");
    }
}

#[test]
fn latency_comes_as_a_table_and_in_the_format_of_plotters() {
    let bench = Bench::start();
    let table = out(&bench.client("latency"));
    assert!(
        table.contains("encap") && table.contains("2.00 µs") && table.contains("paris"),
        "{table}"
    );
    let hgrm = out(&bench.client("latency --tunnel paris --format hgrm"));
    assert!(hgrm.starts_with("#[tunnel paris, in ns]\n       Value "), "{hgrm}");
    assert!(hgrm.contains("Total count    =           10]") && !hgrm.contains("encap"), "{hgrm}");
}

#[test]
fn clear_says_how_much_there_was() {
    let bench = Bench::start();
    assert_eq!(out(&bench.client("clear counters")), "sets of counters set to zero: 3\n");
    assert_eq!(out(&bench.client("clear neighbors wan")), "neighbors forgotten: 1\n");
}

#[test]
fn without_an_appliance_client_commands_end_with_1() {
    for line in ["show ports", "latency", "clear counters", "apply /etc/adit.yaml"] {
        let words: Vec<&str> = line.split_whitespace().collect();
        let output = adit(&[&words[..], &["--socket", "/nonexistent/adit.sock"]].concat());
        assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
        assert!(
            err(&output).contains("/nonexistent/adit.sock: no appliance answers"),
            "{output:?}"
        );
    }
}

#[test]
fn a_command_that_is_not_understood_ends_with_2() {
    for line in [&["show"][..], &["show", "nonsense"], &["frobnicate"], &[]] {
        assert_eq!(adit(line).status.code(), Some(2), "{line:?}");
    }
    assert_eq!(adit(&["--version"]).status.code(), Some(0));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let bench = Bench::start();
    let socket = bench.folder.path().join("adit.sock");
    let line = format!(
        "{} show tunnels --socket {} | true; exit ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_adit"),
        socket.display()
    );
    let output = Command::new("bash").args(["-c", &line]).output().unwrap();
    assert_eq!((output.status.code(), err(&output)), (Some(0), String::new()));
}

#[test]
fn every_example_of_a_change_in_the_help_is_a_command_that_is_understood() {
    for command in ["tunnel", "route"] {
        let help = out(&adit(&[command, "--help"]));
        let examples: Vec<&str> = help.lines().filter_map(|l| l.strip_prefix("  adit ")).collect();
        assert_eq!(examples.len(), 5, "{help}");
        for example in examples {
            let words = example.split("   ").next().unwrap().split(' ');
            let words: Vec<&str> = words.chain(["--socket", "/nowhere/adit.sock"]).collect();
            let output = adit(&words);
            assert_eq!(output.status.code(), Some(1), "{example}: {output:?}");
            assert!(err(&output).contains("/nowhere/adit.sock"), "{example}: {output:?}");
        }
    }
}
