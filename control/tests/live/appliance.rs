//! One running `adit` and the commands that ask it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::network::{Namespace, until};

/// The program under test.
pub(crate) const ADIT: &str = env!("CARGO_BIN_EXE_adit");

/// EAL without hugepages and two ports take well under a second; a busy machine takes longer.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// Queues of neighbours let go of a packet after three seconds.
const SETTLE_LIMIT: Duration = Duration::from_secs(15);
/// The kernel's link watch runs once a second.
const WIRE_LIMIT: Duration = Duration::from_secs(5);
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// `dataplane:` of most tests: small, and without a spinning core.
pub(crate) const SLEEPING: &str = "{ idle: sleep, hugepages: off, mbufs: 8192 }";

/// An appliance in a namespace, with a folder of its own for its configuration and socket.
pub(crate) struct Appliance {
    folder: TempDir,
    child: Child,
    log: Arc<Mutex<String>>,
}

/// How a start that did not become ready ended.
pub(crate) struct Refused {
    pub(crate) code: Option<i32>,
    pub(crate) log: String,
}

impl Appliance {
    /// Starts it and waits until it forwards. `body` is the configuration from `ports:` on.
    pub(crate) fn start(namespace: &Namespace, body: &str) -> Self {
        Self::start_with(namespace, SLEEPING, body)
    }

    /// As `start`, with its own `dataplane:` section.
    pub(crate) fn start_with(namespace: &Namespace, dataplane: &str, body: &str) -> Self {
        Self::try_start(namespace, dataplane, body).unwrap_or_else(|refused| {
            panic!("adit did not become ready; exit code {:?}:\n{}", refused.code, refused.log)
        })
    }

    /// As `start_with`, where not becoming ready is an answer.
    pub(crate) fn try_start(
        namespace: &Namespace,
        dataplane: &str,
        body: &str,
    ) -> Result<Self, Refused> {
        let folder = TempDir::with_prefix("adit-live-").expect("a temporary folder");
        write_configuration(folder.path(), dataplane, body);
        let (child, log) = launch(namespace, folder.path());
        let appliance = Self { folder, child, log }.ready()?;
        appliance.wait_for_wires(namespace);
        Ok(appliance)
    }

    /// The same configuration again, in the same folder, after `wait` has seen its end.
    pub(crate) fn restart(&mut self, namespace: &Namespace) {
        (self.child, self.log) = launch(namespace, self.folder.path());
        if let Some(status) = self.ended_before_ready() {
            panic!("adit did not start again; {status}:\n{}", self.settled_log());
        }
        self.wait_for_wires(namespace);
    }

    fn ready(mut self) -> Result<Self, Refused> {
        match self.ended_before_ready() {
            None => Ok(self),
            Some(status) => Err(Refused { code: status.code(), log: self.settled_log() }),
        }
    }

    /// Waits until the kernel has noticed that its TAPs are open: until then their bridges drop everything.
    fn wait_for_wires(&self, namespace: &Namespace) {
        let configuration = std::fs::read_to_string(self.file()).expect("it was just written");
        let names = configuration
            .split("iface=")
            .skip(1)
            .filter_map(|rest| rest.split(['"', ',', ' ']).next());
        for name in names {
            let state = format!("cat /sys/class/net/{name}/brport/state");
            until(WIRE_LIMIT, "forwarding bridge", || {
                // 3 is BR_STATE_FORWARDING; a port without a bridge has no such file.
                let (is_bridged, state) = namespace.attempt(&state);
                (!is_bridged || state.trim() == "3").then_some(())
            });
        }
    }

    /// Waits for its `ready` line; how it ended where it ends instead.
    fn ended_before_ready(&mut self) -> Option<ExitStatus> {
        until(READY_LIMIT, "`ready` line", || {
            if self.log().lines().any(|line| line.starts_with("ready")) {
                return Some(None);
            }
            self.child.try_wait().expect("it is our child").map(Some)
        })
    }

    /// All it has written to stderr.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("no writer panics").clone()
    }

    /// The log of a process that has ended, once the reader has caught up.
    fn settled_log(&self) -> String {
        let mut last = self.log();
        loop {
            std::thread::sleep(Duration::from_millis(50));
            let log = self.log();
            if log == last {
                return log;
            }
            last = log;
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its folder, for files of the test's own.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file it was started with.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("adit.yaml")
    }

    /// Replaces the configuration file; nothing reads it yet.
    pub(crate) fn rewrite(&self, body: &str) {
        self.rewrite_with(SLEEPING, body);
    }

    pub(crate) fn rewrite_with(&self, dataplane: &str, body: &str) {
        write_configuration(self.folder.path(), dataplane, body);
    }

    /// Runs a client command, words separated by blanks, against this appliance.
    pub(crate) fn client(&self, line: &str) -> Output {
        let mut command = Command::new(ADIT);
        command
            .args(line.split_whitespace())
            .arg("--socket")
            .arg(self.folder.path().join("api.sock"));
        command.stdin(Stdio::null()).output().expect("adit starts")
    }

    /// `adit show …`, as the text an operator sees.
    pub(crate) fn show(&self, line: &str) -> String {
        let output = self.client(&format!("show {line}"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "show {line}: {}\n{text}{errors}\n{}",
            output.status,
            self.log()
        );
        text
    }

    /// `adit show WHAT --json`.
    pub(crate) fn json(&self, what: &str) -> Value {
        let text = self.show(&format!("{what} --json"));
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("show {what} --json: {error}\n{text}"))
    }

    /// The names of what `adit show WHAT` lists.
    pub(crate) fn names(&self, what: &str) -> Vec<String> {
        let listing = self.json(what);
        let list =
            listing[what].as_array().unwrap_or_else(|| panic!("no list {what}: {listing:#}"));
        list.iter().filter_map(|item| item["name"].as_str().map(str::to_owned)).collect()
    }

    /// Buffers that nobody holds. Receive queues of a device keep theirs, always as many.
    pub(crate) fn free_buffers(&self) -> u64 {
        let workers = self.json("workers");
        let free = workers.pointer("/mempool/free").and_then(Value::as_u64);
        free.unwrap_or_else(|| panic!("no mempool: {workers:#}"))
    }

    /// Waits until as many buffers are free as before the traffic, and insists that every packet is accounted for.
    #[track_caller]
    pub(crate) fn settle(&self, free_before: u64) {
        until(SETTLE_LIMIT, "full pool of buffers", || {
            (self.free_buffers() >= free_before).then_some(())
        });
        let workers = self.json("workers");
        let of = |name: &str| {
            workers["balance"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {workers:#}"))
        };
        let gained = of("received") + of("created");
        let spent = of("sent") + of("dropped") + of("consumed") + of("held");
        assert_eq!(gained, spent, "packets that are not accounted for: {:#}", workers["balance"]);
        assert!(of("received") > 0 && of("held") == 0, "{:#}", workers["balance"]);
    }

    /// Puts its file in force and insists that this worked.
    pub(crate) fn apply(&self) {
        let output = self.client(&format!("apply {}", self.file().display()));
        assert!(output.status.success(), "apply: {output:?}\n{}", self.log());
    }

    /// A counter of `show counters`; one that is absent is zero.
    pub(crate) fn counter(&self, path: &str) -> u64 {
        self.json("counters").pointer(path).and_then(Value::as_u64).unwrap_or(0)
    }

    /// `HUP`, `TERM`, `KILL`, …
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().expect("kill starts");
        assert!(status.success(), "kill -s {name} {pid}");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        until(STOP_LIMIT, "end of adit", || self.child.try_wait().expect("it is our child"))
    }

    /// Does it still run?
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Processor time of all its threads since its start.
    pub(crate) fn processor_time(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs");
        let nanoseconds = tasks.flatten().map(|task| {
            // The first number of schedstat is the time on a processor, in nanoseconds.
            let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0)
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// The share of one processor it takes over `span`.
    pub(crate) fn load_over(&self, span: Duration) -> f64 {
        let (before, started) = (self.processor_time(), Instant::now());
        std::thread::sleep(span);
        let taken = self.processor_time().saturating_sub(before);
        taken.as_secs_f64() / started.elapsed().as_secs_f64()
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("adit's log:\n{}", self.log());
        }
    }
}

/// Starts the program on the folder's configuration; its stderr goes into the log.
fn launch(namespace: &Namespace, folder: &Path) -> (Child, Arc<Mutex<String>>) {
    let mut command = namespace.command(ADIT);
    command.arg("run").arg("-c").arg(folder.join("adit.yaml"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("ip netns exec starts");
    let stderr = child.stderr.take().expect("stderr is piped");
    let log = Arc::new(Mutex::new(String::new()));
    let writer = Arc::clone(&log);
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut log = writer.lock().expect("no writer panics");
            log.push_str(&line);
            log.push('\n');
        }
    });
    (child, log)
}

fn write_configuration(folder: &Path, dataplane: &str, body: &str) {
    let socket = folder.join("api.sock");
    let text = format!(
        "version: 1\ndataplane: {dataplane}\napi: {{ socket: {} }}\n{body}",
        socket.display()
    );
    std::fs::write(folder.join("adit.yaml"), text).expect("the temporary folder is writable");
}
