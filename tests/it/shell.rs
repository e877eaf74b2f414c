//! The shell and the progress bar, driven on a real terminal.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::harness::{SECRET_KEY, TempLake};
use crate::hunts::DEMO;

/// The program on a terminal of its own.
struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    shown: Arc<Mutex<String>>,
    // Closing it hangs up.
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    fn start(arguments: &[&str], home: &str) -> Self {
        let size = PtySize { rows: 40, cols: 120, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_tokentrail"));
        command.args(arguments);
        command.cwd(env!("CARGO_MANIFEST_DIR"));
        command.env("TERM", "xterm");
        command.env("XDG_STATE_HOME", home);
        command.env("TOKENTRAIL_SECRET_KEY", SECRET_KEY);
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let (shown, mut reader) = (Arc::new(Mutex::new(String::new())), pair.master.try_clone_reader().unwrap());
        let seen = shown.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                seen.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { child, keys: pair.master.take_writer().unwrap(), shown, _master: pair.master }
    }

    /// Presses keys once the shell waits for them: before that the terminal takes Ctrl-D for itself, and it is lost.
    fn enter(&mut self, keys: &str) {
        self.until("tokentrail>");
        self.press(keys);
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until the terminal shows a text after what it has shown before; gives what came.
    fn until(&mut self, text: &str) -> String {
        let started = Instant::now();
        loop {
            let shown = self.shown.lock().unwrap().clone();
            if let Some(at) = shown.find(text) {
                *self.shown.lock().unwrap() = shown[at + text.len()..].to_owned();
                return shown[..at].to_owned();
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{text:?} does not come after\n{shown}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the program's end, but not for ever; whether it ended well.
    fn ends_well(&mut self) -> bool {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            assert!(started.elapsed() < Duration::from_secs(60), "it goes on after\n{}", self.shown.lock().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn the_shell_answers_completes_remembers_and_survives_ctrl_c() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().to_str().unwrap();
    let uri = DEMO.uri();
    let mut shell = Terminal::start(&["--lake", &uri, "query"], home);
    shell.enter("SELECT COUNT(*) AS many\r");
    shell.press("FROM token_events;\r");
    shell.until("260");
    shell.until("1 row,");
    shell.enter("\\d offboardings\r");
    shell.until("reinstated_at");
    shell.until(" s\r\n");
    // A word that only one name begins with.
    shell.enter("SELECT MAX(lost_at) AS last FROM device_los\t WHERE 1 = 1;\r");
    shell.until("2026-10-");
    shell.until("1 row,");
    shell.enter("SELECT COUNT(*) FROM events a, events b, events c, events d, events e;\r");
    std::thread::sleep(Duration::from_secs(1));
    shell.press("\u{3}");
    shell.until("Cancelled.");
    shell.enter("SELECT 6 * 7 AS answer;\r");
    shell.until("42");
    shell.until("1 row,");
    // Two up: the query before the last.
    shell.enter("\u{1b}[A\u{1b}[A\r");
    std::thread::sleep(Duration::from_millis(500));
    shell.press("\u{3}");
    shell.until("Cancelled.");
    shell.enter("\\nonsense\r");
    shell.until("there is no \\nonsense");
    shell.enter("\u{4}");
    assert!(shell.ends_well());
    let history = std::path::Path::new(home).join("tokentrail/history");
    assert!(std::fs::read_to_string(&history).unwrap().contains("6 * 7"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&history).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "what was asked is nobody else's business");
}

#[test]
fn the_shell_lists_all_there_is_takes_values_where_they_are_asked_and_stops_printing() {
    let home = tempfile::tempdir().unwrap();
    let arguments = ["--lake", &DEMO.uri(), "query", "-p", "who=mallory@example.com", "-p", "host=jump-berlin-1"];
    let mut shell = Terminal::start(&arguments, home.path().to_str().unwrap());
    // A statement that asks for no value, one that does, and a hunt that asks for another.
    shell.enter("SELECT 6 * 7 AS answer;\r");
    shell.until("42");
    shell.enter("SELECT MAX(subject_id) AS s FROM token_events WHERE subject_id = $who;\r");
    shell.until("mallory@example.com");
    shell.enter("\\hunt who_uses_host\r");
    shell.until("peggy@example.com");
    shell.enter("\\d\r");
    let listed = shell.until("rows,");
    for name in ["grants", "contexts", "hosts", "compromised", "token_events"] {
        assert!(listed.contains(&format!(" {name} ")), "{name} is not in\n{listed}");
    }
    assert!(!listed.contains("_parts"), "{listed}");
    shell.enter("\\o parquet\r");
    shell.until("nothing for a terminal");
    shell.enter("\\o ndjson\r");
    // Some hundred megabytes, of which few come.
    shell.enter("SELECT a.*, b.raw FROM events a, events b;\r");
    shell.until("\"event_id\":");
    shell.press("\u{3}");
    shell.until("Cancelled.");
    shell.enter("SELECT 5 * 5 AS answer;\r");
    shell.until("{\"answer\":25}");
    shell.enter("\u{4}");
    assert!(shell.ends_well());
}

#[test]
fn parquet_is_not_written_to_a_terminal() {
    let mut query = Terminal::start(&["--lake", &DEMO.uri(), "query", "-o", "parquet", "SELECT 1"], "/nonexistent");
    query.until("Parquet is nothing for a terminal");
    assert!(!query.ends_well());
}

#[test]
fn an_ingest_on_a_terminal_shows_how_far_it_is() {
    let lake = TempLake::new();
    let file = lake.path("many.ndjson");
    let lines: Vec<u8> = (0..60_000).flat_map(|n| [crate::harness::record(n), b"\n".to_vec()].concat()).collect();
    std::fs::write(&file, lines).unwrap();
    let uri = lake.uri();
    let mut ingest = Terminal::start(&["--lake", &uri, "ingest", "--from", file.to_str().unwrap()], "/nonexistent");
    ingest.until("records, ");
    ingest.until("/s");
    assert!(ingest.ends_well());
}
