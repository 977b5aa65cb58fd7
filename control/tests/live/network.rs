//! Namespaces and the links between them, and the processes that run in one. Everything goes when its value does.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// All namespaces of a test process carry its number: `adit-live-PID-COUNT-ROLE`.
const PREFIX: &str = "adit-live-";

/// How often a condition is looked at while it is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Returns what `condition` yields as soon as it does; panics with `what` after `limit`.
pub(crate) fn until<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < limit, "after {limit:?} still no {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Runs a command of the outer machine, words separated by blanks, and returns what it printed.
pub(crate) fn outside(line: &str) -> String {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().expect("a command has a first word"));
    printed(line, command.args(words).output())
}

fn printed(line: &str, output: std::io::Result<Output>) -> String {
    let output =
        output.unwrap_or_else(|error| panic!("{line}: {error}; scripts/setup installs it"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {}\n{text}{errors}", output.status);
    text
}

/// One network namespace: a host, a router, or the box an appliance stands in.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// An empty namespace with its loopback up, and without the kernel's own IPv6 chatter.
    pub(crate) fn new(role: &str) -> Self {
        static CHECK: Once = Once::new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        CHECK.call_once(|| {
            assert!(
                outside("id -u").trim() == "0" && Path::new("/dev/net/tun").exists(),
                "live tests need root and /dev/net/tun: run scripts/test"
            );
            remove_left_over();
        });
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{count}-{role}", std::process::id());
        outside(&format!("ip netns add {name}"));
        let namespace = Self { name };
        namespace.ip("link set lo up");
        // Addresses are ready when they are set, and no router is looked for.
        namespace.sysctl("net/ipv6/conf/default/accept_dad", "0");
        namespace.sysctl("net/ipv6/conf/default/router_solicitations", "0");
        namespace
    }

    /// Its name, for commands that move something here.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A command to be run inside. It dies with the thread that starts it.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "setpriv", "--pdeathsig", "KILL"]).arg(program);
        command
    }

    /// Runs a command inside, words separated by blanks, and returns what it printed. It must succeed.
    pub(crate) fn run(&self, line: &str) -> String {
        printed(line, self.words(line).output())
    }

    /// As `run`, but failing is an answer, too: whether it succeeded, and all it printed.
    pub(crate) fn attempt(&self, line: &str) -> (bool, String) {
        let output = self.words(line).output().expect("ip netns exec starts");
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text.into_owned())
    }

    /// Runs a shell script inside.
    pub(crate) fn shell(&self, script: &str) -> String {
        printed(script, self.command("sh").args(["-ec", script]).output())
    }

    /// Starts a command inside whose output is collected at its end.
    pub(crate) fn start(&self, line: &str) -> Running {
        let mut command = self.words(line);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running {
            line: line.to_owned(),
            child: Some(command.spawn().expect("ip netns exec starts")),
        }
    }

    fn words(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let mut command = self.command(words.next().expect("a command has a first word"));
        command.args(words);
        command
    }

    /// `ip` in this namespace.
    pub(crate) fn ip(&self, line: &str) -> String {
        outside(&format!("ip -n {} {line}", self.name))
    }

    /// Writes a kernel setting of this namespace.
    pub(crate) fn sysctl(&self, path: &str, value: &str) {
        self.shell(&format!("echo {value} > /proc/sys/{path}"));
    }

    /// Gives `interface` an address of either family, valid at once, and brings it up.
    pub(crate) fn address(&self, interface: &str, address: &str) {
        let no_dad = if address.contains(':') { "nodad" } else { "" };
        self.ip(&format!("address add {address} dev {interface} {no_dad}"));
        self.ip(&format!("link set {interface} up"));
    }

    /// The link address of an interface.
    pub(crate) fn link_address(&self, interface: &str) -> String {
        let text = self.ip(&format!("-o link show {interface}"));
        let mut words = text.split_whitespace().skip_while(|word| *word != "link/ether");
        words.nth(1).unwrap_or_else(|| panic!("{interface} is not Ethernet: {text}")).to_owned()
    }

    /// A veth cable from `interface` here to `peer_interface` there.
    pub(crate) fn cable(&self, interface: &str, peer: &Self, peer_interface: &str) {
        let there = &peer.name;
        self.ip(&format!(
            "link add {interface} type veth peer name {peer_interface} netns {there}"
        ));
        self.ip(&format!("link set {interface} up"));
        peer.ip(&format!("link set {peer_interface} up"));
    }

    /// A TAP that outlives the process that opens it, with a bridge behind it: the wire of an appliance's port.
    pub(crate) fn tap(&self, name: &str) {
        self.ip(&format!("tuntap add dev {name} mode tap multi_queue"));
        self.ip(&format!("link add {name}-bridge type bridge mcast_snooping 0"));
        // A kernel with an address of its own on the wire would talk along.
        self.ip(&format!("link set {name}-bridge addrgenmode none"));
        self.ip(&format!("link set {name} addrgenmode none"));
        self.plug(name, name);
        self.ip(&format!("link set {name}-bridge up"));
    }

    /// Puts `interface` onto the wire of the TAP `name`.
    pub(crate) fn plug(&self, interface: &str, name: &str) {
        self.ip(&format!("link set {interface} master {name}-bridge up"));
    }

    /// A TAP `name`, its wire, and a cable from there to `interface` of `peer`.
    pub(crate) fn port(&self, name: &str, peer: &Self, interface: &str) {
        self.tap(name);
        self.cable(&format!("{name}-cable"), peer, interface);
        self.ip(&format!("link set {name}-cable addrgenmode none"));
        self.plug(&format!("{name}-cable"), name);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// A command that runs in the background of a test.
pub(crate) struct Running {
    line: String,
    child: Option<Child>,
}

impl Running {
    /// Waits for its end and returns what it printed. It must have succeeded.
    pub(crate) fn finish(mut self) -> String {
        let child = self.child.take().expect("it is taken once");
        printed(&self.line, child.wait_with_output())
    }

    /// Has it ended?
    pub(crate) fn is_over(&mut self) -> bool {
        self.child
            .as_mut()
            .is_none_or(|child| child.try_wait().is_ok_and(|status| status.is_some()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ends what still runs in a namespace and removes it with all its links.
fn remove(name: &str) {
    let pids = Command::new("ip").args(["netns", "pids", name]).output();
    let pids =
        pids.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    for pid in pids.split_whitespace() {
        let _ = Command::new("kill").args(["-9", pid]).stderr(Stdio::null()).status();
    }
    let _ = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
}

/// Removes the namespaces of test processes that were killed.
fn remove_left_over() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(&name);
        }
    }
}
