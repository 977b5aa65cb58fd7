//! A Linux kernel with its own tunnels, under QEMU: `scripts/linux-peer`.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Once;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::network::Namespace;

/// It boots in about three seconds; emulated on a busy machine, in many more.
const BOOT_LIMIT: Duration = Duration::from_secs(90);
const SCRIPT_LIMIT: Duration = Duration::from_mins(1);
/// The terminal of the guest takes lines shorter than this.
const LINE_LIMIT: usize = 4000;

/// A guest that has booted and takes shell scripts.
pub(crate) struct Guest {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Guest {
    /// Boots a guest inside `namespace`. `netdevs` (see scripts/linux-peer/run) become its eth0, eth1, …
    pub(crate) fn boot(namespace: &Namespace, netdevs: &[&str]) -> Self {
        static BUILD: Once = Once::new();
        BUILD.call_once(|| {
            let status =
                Command::new(script("build")).status().expect("scripts/linux-peer/build starts");
            assert!(status.success(), "scripts/linux-peer/build failed: {status}");
        });
        let mut command = namespace.command(script("run"));
        command.args(netdevs).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("ip netns exec starts");
        let input = child.stdin.take().expect("stdin is piped");
        let output = child.stdout.take().expect("stdout is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line.trim_end_matches('\r').to_owned());
            }
        });
        let guest = Self { child, input, lines };
        guest.read_until("##READY", BOOT_LIMIT);
        guest
    }

    /// Runs a shell script in the guest; whether it succeeded, and what it printed.
    pub(crate) fn attempt(&mut self, script: &str) -> (bool, String) {
        let line = base64(script.as_bytes());
        assert!(line.len() < LINE_LIMIT, "the script is too long for the guest's terminal");
        writeln!(self.input, "{line}").and_then(|()| self.input.flush()).expect("the guest runs");
        let (text, end) = self.read_until("##END", SCRIPT_LIMIT);
        (end.trim() == "##END 0", text)
    }

    /// As `attempt`, and it must succeed.
    #[track_caller]
    pub(crate) fn run(&mut self, script: &str) -> String {
        let (succeeded, text) = self.attempt(script);
        assert!(succeeded, "in the guest:\n{script}\n{text}");
        text
    }

    /// Has it mark congestion on packets of this TOS or traffic class (`value/mask`), as they come to eth0 (`ingress`) or
    /// as they leave it (`egress`).
    pub(crate) fn mark_congestion(&mut self, hook: &str, tos: &str) {
        for (protocol, bits, sum) in [("ip", 3, "pipe action csum iph"), ("ipv6", 3 << 4, "")] {
            self.run(&format!(
                "tc filter add dev eth0 {hook} protocol {protocol} flower ip_tos {tos} \
                 action pedit munge offset 1 u8 set {bits:#x} retain {bits:#x} {sum}"
            ));
        }
    }

    /// Readies eth0 for marks.
    pub(crate) fn load_marks(&mut self) {
        self.run(
            "modprobe sch_ingress; modprobe cls_flower; modprobe act_pedit; modprobe act_csum; set -e
             tc qdisc add dev eth0 clsact",
        );
    }

    /// The lines before the one that begins with `mark`, and that one.
    fn read_until(&self, mark: &str, limit: Duration) -> (String, String) {
        let mut text = String::new();
        loop {
            match self.lines.recv_timeout(limit) {
                Ok(line) if line.starts_with(mark) => return (text, line),
                Ok(line) => text = text + &line + "\n",
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the guest says nothing for {limit:?}:\n{text}")
                }
                Err(RecvTimeoutError::Disconnected) => panic!("the guest ended:\n{text}"),
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/linux-peer")).join(name)
}

/// Base64 of RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let index = (word >> (18 - 6 * place) & 63) as usize;
            text.push(if place > chunk.len() { '=' } else { char::from(ALPHABET[index]) });
        }
    }
    text
}

#[test]
fn base64_is_that_of_rfc_4648() {
    for (plain, coded) in
        [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
    {
        assert_eq!(base64(plain.as_bytes()), coded);
    }
}
