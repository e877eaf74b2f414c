//! A real Kafka for the tests, because a simulated one agrees with whoever wrote it.
//!
//! [`Broker::shared`] is one node for the whole test binary: the broker named by `TOKENTRAIL_TEST_KAFKA`, or one started
//! here from the jars of `KAFKA_HOME` or those that `scripts/setup-kafka` fetched (`TOKENTRAIL_KAFKA_LIBS`). Without any
//! of them tests go on without Kafka and say so; with `REQUIRE_KAFKA=1` they fail.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

/// Who may use the port that asks for a password (tests/kafka/server.properties).
pub const SASL_USER: &str = "tokentrail";
/// That user's password.
pub const SASL_PASSWORD: &str = "right-password";

const SERVER_PROPERTIES: &str = include_str!("../kafka/server.properties");
const START_MAX: Duration = Duration::from_secs(60);
const STARTS_MAX: u32 = 3;

/// Runs the broker (the arguments) for as long as standard input stays open: the test process holds the other end, and
/// however it ends, the kernel closes it. Statics are never dropped, so nothing in Rust could do this. The folder
/// (`$0`) goes with the broker; when the broker ended by itself it stays, for its log.
const RUN_WHILE_HELD: &str = r#"
    exec 3<&0
    "$@" </dev/null 3<&- & broker=$!
    { read -r _ <&3; : >"$0/stopping"; kill -9 $broker; } & holder=$!
    exec 3<&-
    wait $broker
    code=$?
    if [ -e "$0/stopping" ]; then rm -rf -- "$0"; else kill $holder; fi
    exit $code
"#;

/// A running Kafka broker.
pub struct Broker {
    /// `host:port` without password.
    pub bootstrap: String,
    /// `host:port` for SASL PLAIN over plain text; none when the broker is not ours.
    pub sasl_bootstrap: Option<String>,
    /// Holds the pipe that keeps the broker alive.
    _keeper: Option<Child>,
}

impl Broker {
    /// The broker that all tests share, started at the first call. None: there is no Kafka here, and the reason has
    /// been written to standard error and to target/kafka-skipped.
    ///
    /// # Panics
    /// With the reason, if there is no Kafka and `REQUIRE_KAFKA` is set.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Result<Broker, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            let shared = Self::find();
            match &shared {
                Ok(broker) => leave_note("kafka-tested", &broker.bootstrap),
                Err(reason) => {
                    eprintln!("Without Kafka: {reason}");
                    leave_note("kafka-skipped", reason);
                }
            }
            shared
        });
        match shared {
            Ok(broker) => Some(broker),
            Err(reason) if set("REQUIRE_KAFKA").is_some() => panic!("REQUIRE_KAFKA is set, but: {reason}"),
            Err(_) => None,
        }
    }

    fn find() -> Result<Self, String> {
        if let Some(address) = set("TOKENTRAIL_TEST_KAFKA") {
            let bootstrap = address.to_string_lossy().into_owned();
            return match brokers(&bootstrap, Duration::from_secs(10)) {
                Ok(_) => Ok(Self { bootstrap, sasl_bootstrap: None, _keeper: None }),
                Err(error) => Err(format!("TOKENTRAIL_TEST_KAFKA={bootstrap} does not answer: {error}")),
            };
        }
        let libs = match (set("KAFKA_HOME"), set("TOKENTRAIL_KAFKA_LIBS")) {
            (Some(home), _) => Path::new(&home).join("libs"),
            (None, Some(libs)) => PathBuf::from(libs),
            (None, None) => target().join("kafka/libs"),
        };
        if !libs.is_dir() {
            return Err(format!("no Kafka in {} (scripts/setup-kafka fetches it)", libs.display()));
        }
        // Between our finding a free port and the broker's taking it, someone else may: then other ports are free.
        let mut tries = 1;
        loop {
            match Self::start(&libs) {
                Err(_) if tries < STARTS_MAX => tries += 1,
                outcome => return outcome,
            }
        }
    }

    /// Starts a node in a temporary folder of its own. What a failed start leaves is in its error, not on the disk.
    fn start(libs: &Path) -> Result<Self, String> {
        let ports = free_ports().map_err(|error| format!("no free port: {error}"))?;
        let folder = std::env::temp_dir().join(format!("tokentrail-kafka.{}.{}", std::process::id(), ports[0]));
        Self::start_in(&folder, ports, libs).inspect_err(|_| drop(fs::remove_dir_all(&folder)))
    }

    fn start_in(folder: &Path, [port, sasl_port, controller_port]: [u16; 3], libs: &Path) -> Result<Self, String> {
        let properties = folder.join("server.properties");
        let text = SERVER_PROPERTIES
            .replace("@DIR@", &folder.to_string_lossy())
            .replace("@PORT@", &port.to_string())
            .replace("@SASL_PORT@", &sasl_port.to_string())
            .replace("@CONTROLLER_PORT@", &controller_port.to_string());
        let log = folder.join("broker.log");
        let opened = fs::create_dir_all(folder)
            .and_then(|()| fs::write(&properties, text))
            .and_then(|()| File::create(&log))
            .and_then(|out| Ok((out.try_clone()?, out)));
        let (out, err) = opened.map_err(|error| format!("{}: {error}", folder.display()))?;

        let classpath = libs.join("*"); // Java itself knows the star; no shell sees it.
        // Any 16 bytes will do as the cluster's id; these are "tokentrail-tests".
        let format = Command::new("java")
            .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(&classpath)
            .args(["kafka.tools.StorageTool", "format", "-t", "dG9rZW50cmFpbC10ZXN0cw", "-c"])
            .arg(&properties)
            .output()
            .map_err(|error| format!("java does not run: {error} (Kafka needs Java 17 or newer)"))?;
        if !format.status.success() {
            return Err(format!("Kafka cannot format its storage: {}", String::from_utf8_lossy(&format.stderr)));
        }
        let keeper = Command::new("sh")
            .args(["-c", RUN_WHILE_HELD])
            .arg(folder)
            .args(["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(&classpath)
            .arg("kafka.Kafka")
            .arg(&properties)
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|error| format!("sh does not run: {error}"))?;
        let broker = Self {
            bootstrap: format!("127.0.0.1:{port}"),
            sasl_bootstrap: Some(format!("127.0.0.1:{sasl_port}")),
            _keeper: Some(keeper),
        };
        broker.until_ready(&log)
    }

    /// Waits until the broker answers.
    fn until_ready(mut self, log: &Path) -> Result<Self, String> {
        let started = Instant::now();
        loop {
            let answer = brokers(&self.bootstrap, Duration::from_secs(2));
            if matches!(answer, Ok(1..)) {
                return Ok(self);
            }
            let ended = self._keeper.as_mut().and_then(|keeper| keeper.try_wait().ok().flatten());
            if ended.is_some() || started.elapsed() > START_MAX {
                let lines = fs::read_to_string(log).unwrap_or_default();
                let last = lines.lines().rev().take(15).collect::<Vec<_>>();
                let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
                return Err(format!("Kafka did not start ({answer:?}); the end of its log:\n{last}"));
            }
        }
    }

    /// Creates a topic; its name must be new to the broker.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = config(&self.bootstrap).create().expect("an admin client");
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
        // In a thread of its own, for the caller may be inside a runtime, where another one must not block.
        let created = std::thread::scope(|scope| {
            let create = || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                runtime.block_on(admin.create_topics([&topic], &options))
            };
            scope.spawn(create).join().expect("the thread that creates the topic")
        });
        let outcomes = created.unwrap_or_else(|error| panic!("topic {name}: {error}"));
        for outcome in outcomes {
            outcome.unwrap_or_else(|(topic, code)| panic!("topic {topic}: {code}"));
        }
    }

    /// Writes records to one partition, in order, and waits until the broker has them all. `None` is a tombstone.
    pub fn produce(&self, topic: &str, partition: i32, payloads: impl IntoIterator<Item = Option<Vec<u8>>>) {
        let mut config = config(&self.bootstrap);
        config.set("enable.idempotence", "true").set("message.max.bytes", "33554432");
        let producer: ThreadedProducer<Refusals> = config.create_with_context(Refusals::default()).expect("a producer");
        for payload in payloads {
            let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition);
            record.payload = payload.as_deref();
            while let Err((error, refused)) = producer.send(record) {
                assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
                record = refused;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        producer.flush(Duration::from_secs(60)).expect("all records delivered within a minute");
        assert_eq!(producer.context().0.load(Ordering::Relaxed), 0, "records that the broker refused");
    }
}

/// How many records the broker refused.
#[derive(Default)]
struct Refusals(AtomicUsize);

impl ClientContext for Refusals {}

impl ProducerContext for Refusals {
    type DeliveryOpaque = ();

    fn delivery(&self, outcome: &DeliveryResult<'_>, (): ()) {
        self.0.fetch_add(usize::from(outcome.is_err()), Ordering::Relaxed);
    }
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "200");
    config
}

/// How many brokers answer there.
fn brokers(bootstrap: &str, timeout: Duration) -> Result<usize, KafkaError> {
    let client: BaseConsumer = config(bootstrap).create()?;
    Ok(client.fetch_metadata(None, timeout)?.brokers().len())
}

/// All three are held at once, so they differ.
fn free_ports() -> std::io::Result<[u16; 3]> {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let held = [bind()?, bind()?, bind()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// An environment variable that says something: neither empty nor 0.
fn set(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty() && value != "0")
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target")
}

/// A line that `make test` reads to say in plain words what was tested. The tests can do without.
fn leave_note(name: &str, line: &str) {
    let written = fs::create_dir_all(target()).and_then(|()| fs::write(target().join(name), format!("{line}\n")));
    if let Err(error) = written {
        eprintln!("target/{name}: {error}");
    }
}

#[test]
fn records_come_back_in_order_with_their_tombstones() {
    let Some(broker) = Broker::shared() else { return };
    let topic = format!("broker-{}", std::process::id());
    broker.create_topic(&topic, 2);
    broker.produce(&topic, 1, [Some(b"one".to_vec()), None, Some(b"three".to_vec())]);

    let consumer: BaseConsumer = config(&broker.bootstrap).set("group.id", &topic).create().expect("a consumer");
    let mut wanted = rdkafka::TopicPartitionList::new();
    wanted.add_partition_offset(&topic, 1, rdkafka::Offset::Beginning).expect("a valid offset");
    consumer.assign(&wanted).expect("assigned");
    let read = |_| {
        let message = consumer.poll(Duration::from_secs(20)).expect("a record in time").expect("a record");
        (message.offset(), message.payload().map(<[u8]>::to_vec))
    };
    let got: Vec<_> = (0..3).map(read).collect();
    assert_eq!(got, [(0, Some(b"one".to_vec())), (1, None), (2, Some(b"three".to_vec()))]);
}

#[test]
fn the_port_with_a_password_refuses_a_wrong_one() {
    let Some(address) = Broker::shared().and_then(|broker| broker.sasl_bootstrap.as_deref()) else { return };
    let brokers_seen_with = |password: &str| {
        let mut config = config(address);
        config.set("security.protocol", "SASL_PLAINTEXT").set("sasl.mechanism", "PLAIN");
        config.set("sasl.username", SASL_USER).set("sasl.password", password);
        let client: BaseConsumer = config.create().expect("a client");
        client.fetch_metadata(None, Duration::from_secs(5)).map(|metadata| metadata.brokers().len())
    };
    assert_eq!(brokers_seen_with(SASL_PASSWORD), Ok(1));
    assert!(brokers_seen_with("wrong-password").is_err());
}
