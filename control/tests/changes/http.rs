//! A connection to the API as a script has it: HTTP over the UNIX socket, one request after the other.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

/// See the module.
pub(crate) struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    pub(crate) fn open(socket: &Path) -> Self {
        Self { stream: BufReader::new(UnixStream::connect(socket).expect("a socket of ours")) }
    }

    /// Asks, and waits for the answer: its status and its body.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: adit\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).expect("the server listens");
        let mut line = String::new();
        let mut status = 0;
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line).expect("the server answers");
            let text = line.trim_end();
            if let Some(words) = text.strip_prefix("HTTP/1.1 ") {
                status = words[..3].parse().expect("a status");
            } else if let Some(text) = text.to_lowercase().strip_prefix("content-length: ") {
                length = text.parse().expect("a length");
            } else if text.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a body of that length");
        (status, serde_json::from_slice(&body).expect("JSON"))
    }
}
