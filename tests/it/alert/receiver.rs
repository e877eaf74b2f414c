//! A real HTTP server on loopback that keeps what it was sent, and answers as badly as it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    /// A redirect to this URL.
    Redirect(String),
    /// It says how long its answer is, and breaks off halfway.
    Half,
    /// It never answers.
    Hang,
    /// An answer without an end.
    Endless,
}

/// One request, and how it was answered.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub accepted: bool,
}

impl Request {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
}

/// The server; it ends with the test process.
pub struct Receiver {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    answer: Arc<Mutex<Box<Judge>>>,
}

/// Number of the request, from 0, and what was sent.
type Judge = dyn FnMut(usize, &Request) -> Answer + Send;

impl Receiver {
    pub fn start(answer: impl FnMut(usize, &Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let answer: Arc<Mutex<Box<Judge>>> = Arc::new(Mutex::new(Box::new(answer)));
        let (kept, judge) = (requests.clone(), answer.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, judge) = (kept.clone(), judge.clone());
                std::thread::spawn(move || drop(serve(stream, &kept, &judge)));
            }
        });
        Self { url, requests, answer }
    }

    /// One that says yes to everything.
    pub fn willing() -> Self {
        Self::start(|_, _| Answer::Status(200))
    }

    /// From now on it answers like this.
    pub fn change(&self, answer: impl FnMut(usize, &Request) -> Answer + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, kept: &Mutex<Vec<Request>>, judge: &Mutex<Box<Judge>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    // A client that was killed halfway has sent nothing.
    let Some(length) = headers.get("content-length").and_then(|l| l.parse().ok()) else { return Ok(()) };
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).unwrap();
    let mut request = Request { path, headers, body, accepted: false };
    let answer = {
        let mut all = kept.lock().unwrap();
        let mut judge = judge.lock().unwrap();
        let answer = (*judge)(all.len(), &request);
        request.accepted = matches!(answer, Answer::Status(200..=299));
        all.push(request);
        answer
    };
    reply(stream, &answer)
}

fn reply(mut stream: TcpStream, answer: &Answer) -> std::io::Result<()> {
    let head = |status: &str, more: &str| format!("HTTP/1.1 {status}\r\nConnection: close\r\n{more}\r\n");
    match answer {
        Answer::Status(status) => {
            write!(stream, "{}{{}}", head(&format!("{status} Status"), "Content-Length: 2\r\n"))
        }
        Answer::Redirect(to) => {
            write!(stream, "{}", head("302 Found", &format!("Location: {to}\r\nContent-Length: 0\r\n")))
        }
        Answer::Half => write!(stream, "{}half", head("200 OK", "Content-Length: 1000\r\n")),
        Answer::Hang => {
            std::thread::sleep(Duration::from_secs(30));
            Ok(())
        }
        Answer::Endless => {
            write!(stream, "{}", head("200 OK", ""))?;
            loop {
                stream.write_all(&[b'x'; 4096])?;
            }
        }
    }
}
