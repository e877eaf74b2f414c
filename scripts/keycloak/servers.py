"""A Keycloak and a Kafka of one's own on loopback, which end with the `with` that started them."""
import contextlib, json, os, pathlib, signal, socket, subprocess, time, urllib.error, urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
START_SECONDS_MAX = 240
STOP_SECONDS_MAX = 20
MEMORY = {"JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx400m", "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1"}


def script(name, *arguments, **settings):
    """Runs one of our scripts; its `name=value` lines."""
    # In a session of its own, so that Ctrl-C leaves to us when a server it started ends.
    run = subprocess.Popen([ROOT / "scripts" / name, *arguments], env=os.environ | settings, stdout=subprocess.PIPE, text=True,
                           start_new_session=True)
    try:
        said, _ = run.communicate()
    except BaseException:
        os.killpg(run.pid, signal.SIGKILL)
        raise
    if run.returncode != 0:
        raise SystemExit(f"scripts/{name} ended with {run.returncode}")
    return dict(line.split("=", 1) for line in said.splitlines())


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@contextlib.contextmanager
def keycloak(home, folder, admin, password):
    """Starts a Keycloak with an empty database in memory. Gives its address and its log: one JSON object a line."""
    address, log = f"http://127.0.0.1:{free_port()}", folder / "keycloak.log"
    command = [
        f"{home}/bin/kc.sh", "start", "--optimized", "--cache=local", "--hostname-strict=false", "--http-enabled=true",
        "--http-host=127.0.0.1", "--http-port=" + address.rpartition(":")[2],
        "--log=console,file", f"--log-file={log}", "--log-file-output=json",
        # By default the listener says only what failed, and not what an administrator changed.
        "--spi-events-listener--jboss-logging--success-level=info",
        "--spi-events-listener--jboss-logging--include-representation=true",
    ]
    settings = {"KC_BOOTSTRAP_ADMIN_USERNAME": admin, "KC_BOOTSTRAP_ADMIN_PASSWORD": password}
    with open(folder / "keycloak.out", "wb") as out:
        server = subprocess.Popen(command, env=os.environ | MEMORY | settings, start_new_session=True,
                                  stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        until_ready(server, f"{address}/realms/master", folder / "keycloak.out")
        yield address, log
    finally:
        stop(server)


def until_ready(server, url, out):
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    last = "\n".join(out.read_text(errors="replace").splitlines()[-15:])
    raise SystemExit(f"Keycloak did not start; the end of what it said:\n{last}")


def stop(server):
    """Ends a server and what it started: kc.sh is a shell with Java below it."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS_MAX)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)


@contextlib.contextmanager
def kafka(folder):
    """Starts a broker, unless TOKENTRAIL_TEST_KAFKA names one. Gives `host:port`."""
    broker = script("kafka-start", TMPDIR=str(folder))
    try:
        yield broker["bootstrap"]
    finally:
        if "pid" in broker:
            script("kafka-stop", broker["pid"])


class Topic:
    """A topic of its own with one partition, so that records keep their order."""

    def __init__(self, bootstrap, classpath):
        self.bootstrap, self.classpath, self.name = bootstrap, classpath, f"keycloak-{os.getpid()}-{time.time_ns()}"
        self.tool("TopicCommand", "--create", "--partitions", "1")

    def write(self, records):
        self.tool("ConsoleProducer", "--producer-property", "acks=all", records=records)

    def tool(self, name, *arguments, records=()):
        command = ["java", "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", self.classpath,
                   f"org.apache.kafka.tools.{name}", "--bootstrap-server", self.bootstrap, "--topic", self.name, *arguments]
        run = subprocess.run(command, input="".join(f"{record}\n" for record in records), text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        # The producer ends well even when the broker refused records.
        if run.returncode != 0 or "ERROR" in run.stdout:
            raise SystemExit(f"Kafka's {name} failed:\n{run.stdout[-3000:]}")


def events_of(log):
    """The lines of Keycloak's log that are events, as they stand there."""
    lines = log.read_text().splitlines()
    return [line for line in lines if json.loads(line)["loggerName"] == "org.keycloak.events"]
