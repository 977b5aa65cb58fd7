//! The server and the client together, with a control thread of the test's own.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use super::*;
use crate::config::{Subject, Verb};
use crate::report::{Latency, LatencyPath, Route, Routes, Tunnel, Tunnels};

/// A server, and a control thread that ends when the server does.
struct Bench {
    folder: tempfile::TempDir,
    server: Option<Server>,
    control: Option<JoinHandle<Vec<Request>>>,
}

impl Bench {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (caller, calls) = channel();
        let server = Server::start(&folder.path().join("adit.sock"), caller).unwrap();
        let control = thread::spawn(move || {
            let mut seen = Vec::new();
            for call in calls {
                seen.push(call.request().clone());
                let answer = answer(call.request());
                call.answer(answer);
            }
            seen
        });
        Self { folder, server: Some(server), control: Some(control) }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("adit.sock")
    }

    fn client(&self) -> Client {
        Client::new(&self.socket())
    }

    /// A request by hand: the status and the headers, and the body.
    fn raw(&self, line: &str, body: &str) -> (String, Value) {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        let len = body.len();
        // In one piece: who refuses the head need not wait for the body, and closes.
        let request = format!(
            "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {len}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), serde_json::from_str(body).unwrap())
    }

    /// Stops the server; what the control thread was asked.
    fn stop(mut self) -> Vec<Request> {
        drop(self.server.take());
        assert!(!self.socket().exists(), "the socket goes with the server");
        self.control.take().unwrap().join().unwrap()
    }
}

fn answer(request: &Request) -> Result<Answer, Problem> {
    match request {
        Request::Show { kind: Kind::Tunnels, .. } => {
            let tunnel = |name: &str| Tunnel { name: name.to_owned(), ..Tunnel::default() };
            let tunnels = vec![tunnel("paris"), tunnel("a b")];
            Ok(Answer::Report(Report::Tunnels(Tunnels { tunnels })))
        }
        Request::Show { kind: Kind::Routes, .. } => {
            let route = |to: &str| Route { to: to.to_owned(), ..Route::default() };
            let routes = vec![route("10.0.0.0/8"), route("2001:db8::/32")];
            Ok(Answer::Report(Report::Routes(Routes { routes })))
        }
        Request::Show { kind: Kind::Latency, .. } => {
            let mut histogram = hdrhistogram::Histogram::new(3).unwrap();
            histogram.record(1000).unwrap();
            let mut latency = Latency::new(1);
            latency.add_total(LatencyPath::Encap, &histogram);
            Ok(Answer::Report(Report::Latency(latency)))
        }
        Request::Show { kind, .. } => Err(Problem::unsupported(kind.word())),
        Request::Apply { path } if path.ends_with("bad.yaml") => {
            Err(Problem::needs_restart(&["ports.wan.device".to_owned()]))
        }
        Request::Apply { .. } => {
            Ok(Answer::Applied(Applied { generation: 7, ..Applied::default() }))
        }
        Request::Change(Change { subject: Subject::Tunnel(name), .. }) if name == "rome" => {
            Err(Problem::no_such(Kind::Tunnels, name))
        }
        Request::Change(change) => {
            let is_new = matches!(change.verb, Verb::Put(_));
            Ok(Answer::Applied(Applied { generation: 8, is_new, ..Applied::default() }))
        }
        Request::ClearCounters { .. } => Ok(Answer::Cleared(Cleared { cleared: 3 })),
        Request::ClearNeighbors { .. } => Ok(Answer::Cleared(Cleared { cleared: 1 })),
        Request::ClearPaths { .. } => Ok(Answer::Cleared(Cleared { cleared: 2 })),
        Request::ClearStations { .. } => Ok(Answer::Cleared(Cleared { cleared: 4 })),
    }
}

#[test]
fn reports_come_whole_or_reduced_to_a_name() {
    let bench = Bench::start();
    let client = bench.client();
    let names = |kind: Kind, name: Option<&str>, key: &str| -> Vec<String> {
        let json: serde_json::Value =
            serde_json::from_slice(&client.show(kind, name, false).unwrap()).unwrap();
        let list = json[kind.word()].as_array().unwrap();
        list.iter().map(|entry| entry[key].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(Kind::Tunnels, None, "name"), ["paris", "a b"]);
    assert_eq!(names(Kind::Tunnels, Some("a b"), "name"), ["a b"]);
    assert_eq!(names(Kind::Routes, Some("10.0.0.0/8"), "to"), ["10.0.0.0/8"]);
    assert_eq!(names(Kind::Routes, Some("2001:db8::/32"), "to"), ["2001:db8::/32"]);
    let (head, json) = bench.raw("GET /v1/routes/10.0.0.0%2F8", "");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(json["routes"][0]["to"], "10.0.0.0/8");
    let error = client.show(Kind::Tunnels, Some("rome"), false).unwrap_err();
    assert_eq!(error.to_string(), "tunnels: there is no \"rome\"");
}

#[test]
fn histograms_come_whole_only_when_asked_for() {
    let bench = Bench::start();
    let row = |buckets| {
        let json = bench.client().show(Kind::Latency, None, buckets).unwrap();
        serde_json::from_slice::<serde_json::Value>(&json).unwrap()["latency"][0].clone()
    };
    assert_eq!(row(false).get("buckets"), None);
    assert_eq!(row(true)["buckets"], json!([[1000, 1]]));
}

#[test]
fn requests_reach_the_control_thread_as_they_were_meant() {
    let bench = Bench::start();
    let client = bench.client();
    assert_eq!(client.apply("/etc/adit.yaml".as_ref()).unwrap().generation, 7);
    assert_eq!(client.clear("counters", Some("paris")).unwrap().cleared, 3);
    assert_eq!(client.clear("neighbors", None).unwrap().cleared, 1);
    assert_eq!(client.clear("pmtu", Some("203.0.113.2")).unwrap().cleared, 2);
    assert_eq!(client.clear("fdb", Some("campus")).unwrap().cleared, 4);
    let expected = [
        Request::Apply { path: "/etc/adit.yaml".into() },
        Request::ClearCounters { name: Some("paris".to_owned()) },
        Request::ClearNeighbors { name: None },
        Request::ClearPaths { name: Some("203.0.113.2".to_owned()) },
        Request::ClearStations { name: Some("campus".to_owned()) },
    ];
    assert_eq!(bench.stop(), expected);
}

#[test]
fn changes_of_entries_reach_the_control_thread_and_say_which_generation_has_them() {
    let bench = Bench::start();
    let client = bench.client();
    let paris = Subject::Tunnel("pa ris".to_owned());
    let changes = [
        Change { subject: paris.clone(), verb: Verb::Put(json!({ "mode": "ipip" })) },
        Change { subject: paris, verb: Verb::Patch(json!({ "ttl": null })) },
        Change { subject: Subject::Route("2001:db8::/32".to_owned(), Some(5)), verb: Verb::Remove },
        Change { subject: Subject::Route("10.0.0.0/8".to_owned(), None), verb: Verb::Remove },
    ];
    for change in &changes {
        assert_eq!(client.change(change).unwrap().generation, 8);
    }
    let (head, json) = bench.raw("PUT /v1/routes/10.0.0.0/8", "{\"tunnel\": \"paris\"}");
    assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    assert_eq!(json, json!({ "generation": 8, "changes": [], "warnings": [] }));
    let (head, _) = bench.raw("PATCH /v1/routes/10.0.0.0%2F8", "{\"tunnel\": \"paris\"}");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let seen = bench.stop();
    let expected: Vec<Request> = changes.into_iter().map(Request::Change).collect();
    assert_eq!(seen[..4], expected);
}

#[test]
fn refusals_are_problems_with_their_media_type() {
    let bench = Bench::start();
    let expect = |line: &str, body: &str, status: u64, words: &str| {
        let (head, json) = bench.raw(line, body);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {head}");
        assert!(head.contains("content-type: application/problem+json"), "{line}: {head}");
        assert_eq!(json["status"], status, "{line}");
        assert!(json["detail"].as_str().unwrap().contains(words), "{line}: {json}");
    };
    expect("GET /v1/reassembly", "", 501, "not supported by this version");
    expect("GET /v1/events", "", 501, "not supported by this version");
    expect("PUT /v1/tunnels/paris", "{", 400, "not JSON");
    expect("PATCH /v1/tunnels/rome", "{}", 404, "rome");
    expect("DELETE /v1/routes/10.0.0.0/8?metrik=1", "", 400, "metrik");
    expect("PUT /v1/tunnels", "{}", 405, "PUT");
    expect("DELETE /v1/ports/wan", "", 405, "DELETE");
    expect("POST /v1/plan", "{}", 501, "/v1/plan");
    expect("GET /v1/nonsense", "", 404, "/v1/nonsense is not a path");
    expect("GET /v1/apply", "", 405, "GET");
    expect("POST /v1/apply", "{}", 400, "path");
    expect("POST /v1/apply", "{\"path\": \"adit.yaml\"}", 400, "not absolute");
    expect("POST /v1/apply", "not json", 400, "JSON");
    expect("POST /v1/apply", "{\"path\": \"/etc/bad.yaml\"}", 409, "ports.wan.device");
}

#[test]
fn a_stopping_appliance_says_so_and_a_stopped_one_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adit.sock");
    let (caller, calls) = channel();
    drop(calls);
    let server = Server::start(&path, caller).unwrap();
    let error = Client::new(&path).show(Kind::Ports, None, false).unwrap_err();
    assert_eq!(error.to_string(), "the appliance is stopping");
    drop(server);
    let error = Client::new(&path).show(Kind::Ports, None, false).unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
}

#[test]
fn a_control_thread_that_falls_behind_is_not_buried_in_requests() {
    let (caller, calls) = channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let show = || Request::Show { kind: Kind::Ports, name: None };
    let problem = runtime.block_on(async {
        for _ in 0..CALLS_MAX {
            let caller = caller.clone();
            tokio::spawn(async move { caller.call(show()).await });
        }
        while calls.len() < CALLS_MAX {
            tokio::task::yield_now().await;
        }
        caller.call(show()).await.unwrap_err()
    });
    assert_eq!(problem.status, 503);
    assert_eq!(calls.len(), CALLS_MAX);
}
