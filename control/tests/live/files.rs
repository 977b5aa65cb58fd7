//! A file that goes to another host by TCP and comes back: what arrived is what was sent, to the last byte, both ways.

use std::time::Duration;

use tempfile::TempDir;

use crate::guest::Guest;
use crate::network::{Namespace, until};

const PORT: u16 = 7001;
const LISTEN_LIMIT: Duration = Duration::from_secs(10);

/// A file of which no two words are alike, so that none can take the place of another.
pub(crate) struct File {
    folder: TempDir,
    sent: Vec<u8>,
}

impl File {
    pub(crate) fn new(len: usize) -> Self {
        let folder = TempDir::with_prefix("adit-live-").expect("a temporary folder");
        let words = (0_u64..).flat_map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let file = Self { folder, sent: words.take(len).collect() };
        std::fs::write(file.path("sent"), &file.sent).expect("a temporary folder is writable");
        std::fs::write(file.path("return.sh"), returns(&file.path("there"))).expect("the same");
        file
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// From one host to `address` on another, and back.
    #[track_caller]
    pub(crate) fn crosses(&self, name: &str, from: &Namespace, to: &Namespace, address: &str) {
        let listening =
            to.start(&format!("busybox nc -l -p {PORT} -e sh {}", self.path("return.sh")));
        until(LISTEN_LIMIT, "listening nc", || {
            (!to.run(&format!("ss -Hltn sport = {PORT}")).trim().is_empty()).then_some(())
        });
        self.goes_and_comes(name, from, address);
        listening.finish();
        let there = std::fs::read(self.path("there")).expect("it was just written");
        assert!(there == self.sent, "{name}: a file arrives changed at {address}");
    }

    /// As `crosses`, to an address of the guest.
    #[track_caller]
    pub(crate) fn crosses_to_guest(
        &self,
        name: &str,
        from: &Namespace,
        guest: &mut Guest,
        address: &str,
    ) {
        guest.run(&listens_in_guest());
        self.goes_and_comes(name, from, address);
    }

    /// Sends it to whoever listens at `address` and returns it there.
    #[track_caller]
    fn goes_and_comes(&self, name: &str, from: &Namespace, address: &str) {
        let [sent, received] = ["sent", "received"].map(|name| self.path(name));
        from.shell(&format!("timeout 60 busybox nc {address} {PORT} < {sent} > {received}"));
        let received = std::fs::read(received).expect("it was just written");
        let (len, sent_len) = (received.len(), self.sent.len());
        assert!(
            received == self.sent,
            "{name}: a file of {sent_len} bytes to {address} comes back changed, with {len} bytes"
        );
    }
}

/// From a namespace of the guest to an address of the guest itself, and back.
#[track_caller]
pub(crate) fn crosses_in_guest(guest: &mut Guest, near: &str, len: usize, address: &str) {
    guest.run(&format!(
        "{}
         head -c {len} /dev/urandom > /tmp/sent
         ip netns exec {near} sh -c 'timeout 30 busybox nc {address} {PORT} < /tmp/sent > /tmp/received'
         cmp /tmp/sent /tmp/there && cmp /tmp/sent /tmp/received",
        listens_in_guest()
    ));
}

/// A script that ends when the guest listens.
fn listens_in_guest() -> String {
    format!(
        "busybox nc -l -p {PORT} -e sh -c '{}' &
         while ! grep -q ':{PORT:04X} [0-9A-F]*:0000 0A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done",
        returns("/tmp/there"),
    )
}

/// What the other host does: it takes all that comes, and sends it back.
fn returns(there: &str) -> String {
    format!("cat > {there}; cat {there}")
}
