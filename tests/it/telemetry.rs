//! Health pages and metrics over real HTTP, fed by a real ingest and a real run of detectors.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokentrail::detect::catalog::Catalog;
use tokentrail::detect::{self, Request};
use tokentrail::ingest::{self, Options};
use tokentrail::policy::Policy;
use tokentrail::serve::metrics::{AlertOutcome, Metrics};
use tokentrail::serve::pages::{Condition, Failure, Pages, Parts};
use tokentrail::source::file::FileSource;
use tokio::sync::watch;

use crate::harness::{TempLake, program, unstopped};

/// Asks for a page: the status, the head and the body.
fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), body.to_owned())
}

/// A page, asked for off the threads that serve it.
async fn page(address: SocketAddr, path: &'static str) -> (u16, String, String) {
    tokio::task::spawn_blocking(move || get(address, path)).await.unwrap()
}

/// Reads the text format strictly: each sample behind its HELP and TYPE, each series once; gives samples by name.
fn parsed(text: &str) -> BTreeMap<String, Vec<(String, f64)>> {
    let (mut helped, mut kinds) = (BTreeSet::new(), BTreeMap::new());
    let (mut series, mut samples) = (BTreeSet::new(), BTreeMap::<String, Vec<(String, f64)>>::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(helped.insert(help.split(' ').next().unwrap().to_owned()), "{line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind) && helped.contains(name), "{line}");
            kinds.insert(name.to_owned(), kind.to_owned());
        } else {
            let (left, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = left.split_once('{').unwrap_or((left, "}"));
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let base = base.filter(|base| kinds.get(*base).is_some_and(|kind| kind == "histogram")).unwrap_or(name);
            assert!(kinds.contains_key(base) && labels.ends_with('}'), "no TYPE before {line}");
            assert!(series.insert(left.to_owned()), "twice: {line}");
            samples.entry(base.to_owned()).or_default().push((left.to_owned(), value.parse().expect(line)));
        }
    }
    samples
}

/// A service's metrics after the sample data and a broken record were read and judged.
async fn after_work(temp: &TempLake) -> Metrics {
    let metrics = Metrics::new();
    let lake = temp.open().await;
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-data/quickstart.ndjson");
    let path = temp.path("named.ndjson");
    let text = std::fs::read_to_string(sample).unwrap() + "{\"event_time\":\"mallory\",\"action\":\"refresh\"}\n";
    std::fs::write(&path, text).unwrap();
    let mut source = FileSource::open_as(&[path], BTreeMap::new(), None).unwrap();
    let options = Options { observer: Some(Arc::new(metrics.clone())), ..Options::default() };
    let (_stop, stopped, progress) = unstopped();
    ingest::run(&lake, &mut source, &options, stopped, &progress).await.unwrap();
    metrics.progressed(&progress.borrow());

    let (catalog, started) = (Catalog::load(None).unwrap(), Instant::now());
    metrics.detectors(catalog.all().iter().map(|detector| detector.id.as_str()));
    let request = Request { as_of: Some(1_793_491_200_000_000), ..Request::default() };
    let report = detect::run(&lake, &Policy::default(), &catalog, &request).await.unwrap();
    metrics.version_seen(report.version);
    metrics.detected(&report, started.elapsed());
    metrics.alerts(AlertOutcome::Sent, 3);
    metrics.alert_round(Duration::from_millis(20));
    metrics.scheduler(true);
    metrics
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_scraped_and_none_names_anybody() {
    let temp = TempLake::new();
    let metrics = after_work(&temp).await;
    let parts = Parts::new(metrics.clone());
    parts.set("ingest", Condition::Ready);
    let (_stop, stopped) = watch::channel(false);
    let pages = Pages::open("127.0.0.1:0", metrics.clone(), parts, stopped).await.unwrap();
    let (status, head, text) = page(pages.address, "/metrics").await;
    assert!(status == 200 && head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    let samples = parsed(&text);
    // A lag by partition is there only while Kafka is read.
    let missing: Vec<_> = metrics.described().iter().filter(|d| !samples.contains_key(&d.name)).collect();
    assert_eq!(missing.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["tokentrail_ingest_lag_records"]);
    let sum = |name: &str, part: &str| -> f64 {
        samples[name].iter().filter(|(series, _)| series.contains(part)).map(|(_, value)| value).sum()
    };
    assert_eq!(sum("tokentrail_ingest_rejected_total", "reason=\"time\""), 1.0);
    assert!(sum("tokentrail_ingest_records_total", "") > 200.0);
    assert_eq!(sum("tokentrail_commit_to_query_seconds", "_count"), sum("tokentrail_commit_seconds", "_count"));
    assert!(sum("tokentrail_detector_seconds", "detector=\"shared_host_reuse\"") > 0.0);
    assert!(sum("tokentrail_finding_changes_total", "change=\"opened\"") > 5.0);
    assert_eq!(sum("tokentrail_detector_findings_open", ""), sum("tokentrail_findings_open", ""));
    assert_eq!(sum("tokentrail_detect_version", ""), sum("tokentrail_lake_version", ""));
    for name in ["example.com", "mallory", "victor", "fm-", "tk-", "dev-", "198.51.100", "203.0.113"] {
        assert!(!text.contains(name), "{name} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_is_that_of_every_part() {
    let (metrics, (stop, stopped)) = (Metrics::new(), watch::channel(false));
    let parts = Parts::new(metrics.clone());
    let pages = Pages::open("127.0.0.1:0", metrics.clone(), parts.clone(), stopped.clone()).await.unwrap();
    assert_eq!(page(pages.address, "/healthz").await.0, 200);
    assert_eq!(page(pages.address, "/readyz").await.0, 503, "nothing has started");
    parts.set("ingest", Condition::Ready);
    parts.set("detect", Condition::Failing(Failure::new("it ended with an error")));
    let (status, _, text) = page(pages.address, "/readyz").await;
    assert_eq!(
        (status, text.as_str()),
        (503, "detect: failing: it ended with an error; the log of this process says why\ningest: ready\n")
    );
    assert!(page(pages.address, "/metrics").await.2.contains("tokentrail_part_up{part=\"detect\"} 0"));
    parts.set("detect", Condition::Ready);
    assert_eq!(page(pages.address, "/readyz").await.0, 200);
    assert_eq!(page(pages.address, "/etc/passwd").await.0, 404);
    let again = Pages::open(&pages.address.to_string(), metrics, parts, stopped).await;
    let refused = again.map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("[telemetry] listen"), "{refused}");
    stop.send(true).unwrap();
    let gone = Instant::now();
    while TcpStream::connect(pages.address).is_ok() {
        assert!(gone.elapsed() < Duration::from_secs(10), "still served after the end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_clients_are_bounded_and_leave_room_when_they_go() {
    let (metrics, (_stop, stopped)) = (Metrics::new(), watch::channel(false));
    let pages = Pages::open("127.0.0.1:0", metrics.clone(), Parts::new(metrics), stopped).await.unwrap();
    let silent: Vec<_> = (0..64).map(|_| TcpStream::connect(pages.address).unwrap()).collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let waiting = tokio::spawn(page(pages.address, "/healthz"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "a 65th connection was served beside 64");
    drop(silent);
    assert_eq!(waiting.await.unwrap().0, 200);
}

/// Ends the service that a failed test leaves behind.
struct Service(std::process::Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_service_shows_its_pages_and_drains() {
    let temp = TempLake::new();
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-data/quickstart.ndjson");
    std::fs::copy(sample, temp.path("audit.ndjson")).unwrap();
    let config = "[lake]\nuri = \"lake\"\n[[ingest.source]]\nname = \"audit\"\nfiles = [\"audit.ndjson\"]\n\
                  [telemetry]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(temp.path("tokentrail.toml"), config).unwrap();
    let mut command = program();
    command.args(["--log-format", "json", "serve", "--config"]).arg(temp.path("tokentrail.toml"));
    let mut service = Service(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(service.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let said = log.find(|line| line.contains("health pages and metrics")).expect("no word about the pages");
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let address: SocketAddr = said["address"].as_str().unwrap().parse().unwrap();
    let rest = std::thread::spawn(move || log.collect::<Vec<_>>());

    let began = Instant::now();
    let text = loop {
        let text = get(address, "/metrics").2;
        let judged = parsed(&text)
            .get("tokentrail_finding_changes_total")
            .map_or(0.0, |all| all.iter().map(|(_, value)| value).sum());
        if judged > 5.0 && get(address, "/readyz").0 == 200 {
            break text;
        }
        assert!(began.elapsed() < Duration::from_secs(40), "not ready and judged in time:\n{text}");
        std::thread::sleep(Duration::from_millis(200));
    };
    for name in ["example.com", "mallory", "victor"] {
        assert!(!text.contains(name), "{name} in {text}");
    }
    assert!(parsed(&text)["tokentrail_scheduler_is_ours"][0].1 == 1.0, "{text}");
    let killed = Command::new("kill").args(["-TERM", &service.0.id().to_string()]).status().unwrap();
    assert!(killed.success() && service.0.wait().unwrap().success());
    let log = rest.join().unwrap();
    assert!(
        log.iter().all(|line| !line.contains("example.com") && serde_json::from_str::<serde_json::Value>(line).is_ok())
    );
}
