//! A small HTTP server that can misbehave as asked.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use url::Url;

/// How the answer for a path differs from a correct one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Breaks off after so many bytes of the body, the first time only.
    BreakOnce(usize),
    /// Breaks off after so many bytes of each body.
    Break(usize),
    /// Sends the whole file whatever range is asked for.
    IgnoreRange,
    /// Answers with this status.
    Status(u16),
    /// Sends nothing and keeps the connection open.
    Hang,
}

#[derive(Debug, Default)]
struct State {
    faults: HashMap<String, Fault>,
    log: Vec<String>,
}

/// Serves a directory on a port of 127.0.0.1.
pub(crate) struct Server {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn new(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(Mutex::new(State::default()));
        let (root, shared) = (root.to_owned(), Arc::clone(&state));
        // The threads end with the test program.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (root, shared) = (root.clone(), Arc::clone(&shared));
                thread::spawn(move || while serve(&stream, &root, &shared).is_some() {});
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self) -> Url {
        format!("http://127.0.0.1:{}/", self.port).parse().expect("a URL")
    }

    pub(crate) fn set(&self, path: &str, fault: Fault) {
        self.state.lock().expect("sound").faults.insert(path.to_owned(), fault);
    }

    pub(crate) fn mend(&self) {
        self.state.lock().expect("sound").faults.clear();
    }

    /// First lines of the requests so far, each with its range if it had one.
    pub(crate) fn log(&self) -> Vec<String> {
        self.state.lock().expect("sound").log.clone()
    }
}

/// Answers one request. `None` ends the connection.
fn serve(stream: &TcpStream, root: &Path, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let first = lines.first()?;
    let target = first.split(' ').nth(1)?;
    // A request to a proxy names the whole URL.
    let path = match target.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => target.strip_prefix('/')?,
    };
    let range = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let value = value.strip_prefix("bytes=")?.strip_suffix('-')?;
        name.eq_ignore_ascii_case("range").then(|| value.parse::<usize>().ok())?
    });
    let fault = {
        let mut state = state.lock().expect("sound");
        state.log.push(range.map_or_else(|| first.clone(), |start| format!("{first} {start}-")));
        let fault = state.faults.get(path).copied();
        if matches!(fault, Some(Fault::BreakOnce(_))) {
            state.faults.remove(path);
        }
        fault
    };
    if let Some(Fault::Status(status)) = fault {
        return send(stream, &format!("{status} Fault"), "", b"");
    }
    if fault == Some(Fault::Hang) {
        // Ends when the client closes the connection.
        let mut line = String::new();
        let _ = reader.read_line(&mut line);
        return None;
    }
    let file: PathBuf = root.join(path);
    let Ok(content) = fs::read(file) else { return send(stream, "404 Not Found", "", b"") };
    let start = range.filter(|_| fault != Some(Fault::IgnoreRange)).unwrap_or(0);
    let Some(body) = content.get(start..) else {
        return send(stream, "416 Range Not Satisfiable", "", b"");
    };
    let (status, extra) = if start == 0 {
        ("200 OK", String::new())
    } else {
        let last = content.len() - 1;
        let total = content.len();
        ("206 Partial Content", format!("Content-Range: bytes {start}-{last}/{total}\r\n"))
    };
    if let Some(Fault::Break(after) | Fault::BreakOnce(after)) = fault {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{extra}Content-Length: {length}\r\n\r\n");
        let mut stream = stream;
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.get(..after).unwrap_or(body)).ok()?;
        return None;
    }
    send(stream, status, &extra, body)
}

fn send(mut stream: &TcpStream, status: &str, extra: &str, body: &[u8]) -> Option<()> {
    let head = format!("HTTP/1.1 {status}\r\n{extra}Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()
}
