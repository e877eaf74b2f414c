"""A service, a real Kafka and a webhook for scripts/bench_serve.py and scripts/soak.py, and what they need to look at them."""
import http.server, json, os, pathlib, re, shutil, signal, subprocess, sys, threading, time, urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOKENTRAIL = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "tokentrail"
TOPIC = "serving"


def leaver(name, at):
    """Who leaves and whose token is refreshed afterwards: one finding, opened by the last of three records."""
    subject = {"id": f"{name}@example.com", "kind": "human"}
    token = {"id": f"t-{name}", "family": f"f-{name}", "kind": "refresh"}
    stamp = lambda seconds: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at - seconds))
    events = [("issue", 300, token), ("offboard", 200, None), ("refresh", 100, token)]
    for number, (action, ago, of) in enumerate(events):
        record = {"event_id": f"{name}-{number}", "event_time": stamp(ago), "action": action, "outcome": "success", "subject": subject}
        yield json.dumps(record | ({"token": of} if of else {})).encode()


def steady(number, at, tokens):
    """The record with this number of a company at work: each token is issued once, then used, and now and then refreshed."""
    token = number % tokens
    action = "issue" if number < tokens else "refresh" if number // tokens % 10 == 0 else "use"
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1e6):06d}Z"
    return (f'{{"event_id":"e{number}","event_time":"{stamp}","action":"{action}","outcome":"success",'
            f'"token":{{"id":"t{token}","family":"f{token}","kind":"refresh"}},'
            f'"subject":{{"id":"u{token % 10_000}@example.com","kind":"human"}}}}').encode()


def producer(kafka, **more):
    """A producer that says nothing while the broker is away: that is what is tried here."""
    from confluent_kafka import Producer
    return Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0, "error_cb": lambda error: None} | more)


class Kafka:
    """One broker that can be restarted."""

    def __init__(self, partitions):
        from confluent_kafka.admin import AdminClient, NewTopic
        started = subprocess.run([ROOT / "scripts" / "kafka-start"], check=True, capture_output=True, text=True).stdout
        answer = dict(line.split("=", 1) for line in started.splitlines())
        self.bootstrap, self.pid = answer["bootstrap"], int(answer["pid"])
        self.command = pathlib.Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0")[:-1]
        self.folder = pathlib.Path(answer["dir"])
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for made in admin.create_topics([NewTopic(TOPIC, partitions, 1)]).values():
            made.result()

    def restart(self):
        """Ends the broker in good order and starts it again; seconds it was away."""
        began = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        while pathlib.Path(f"/proc/{self.pid}").exists() and not is_dead(self.pid):
            time.sleep(0.1)
        with open(self.folder / "broker.log", "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.pid = self.process.pid
        return time.monotonic() - began

    def stop(self):
        # If all of us are told to end at once, the broker may be gone already, and its folder is left to us.
        subprocess.run([ROOT / "scripts" / "kafka-stop", str(self.pid)], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder, ignore_errors=True)


def is_dead(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


class Webhook:
    """Takes alerts and notes when each text was first seen."""

    def __init__(self):
        self.seen, lock = [], threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(handler):
                body = handler.rfile.read(int(handler.headers.get("Content-Length", 0))).decode()
                with lock:
                    self.seen.append((time.time(), body))
                handler.send_response(200)
                handler.send_header("Content-Length", "0")
                handler.end_headers()

            def log_message(handler, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/alerts"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Service:
    """One `tokentrail serve`."""

    def __init__(self, folder, name, kafka, webhook):
        self.folder, self.name = folder, name
        self.config = folder / f"{name}.toml"
        self.config.write_text(f"""
            [lake]
            uri = "lake"
            secret_key_file = "secret.key"
            [telemetry]
            listen = "127.0.0.1:0"
            [[ingest.source]]
            name = "tokens"
            kafka = {{ bootstrap = ["{kafka.bootstrap}"], topics = ["{TOPIC}"] }}
            [detect]
            lease_seconds = 6
            [maintain]
            every_seconds = 20
            [alert]
            storm_findings = 100000
            [alert.sinks.hook]
            type = "webhook"
            url = "{webhook.url}"
            [[alert.routes]]
            detectors = ["refresh_after_offboarding"]
            changes = ["opened"]
            sinks = ["hook"]
            """)
        self.log = folder / f"{name}.log"
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            log.write(b"--- start\n")
            log.flush()
            self.began = time.monotonic()
            self.process = subprocess.Popen([str(TOKENTRAIL), "serve", "--config", str(self.config)], stderr=log, stdin=subprocess.DEVNULL)

    def stop(self):
        """Seconds that SIGTERM took; a service that does not end well ends the script."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        if code := self.process.wait(60):
            sys.exit(f"{self.name} ended with {code}:\n{self.log.read_text()[-3000:]}")
        return time.monotonic() - began

    def memory_mib(self, what="VmRSS"):
        found = re.search(rf"{what}:\s+(\d+) kB", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())
        return int(found[1]) / 1024

    def metrics(self):
        """Sums of each metric's series by name."""
        starts = self.log.read_text().split("--- start\n")[-1]
        address = re.search(r"health pages and metrics.*?address=(\S+)", re.sub(r"\x1b\[[0-9;]*m", "", starts))
        if not address:
            return {}
        text = urllib.request.urlopen(f"http://{address[1]}/metrics", timeout=5).read().decode()
        sums = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                name = name.split("{")[0]
                sums[name] = sums.get(name, 0) + float(value)
        return sums


def query(folder, sql, output="json"):
    command = [TOKENTRAIL, "-q", "--lake", folder / "lake", "-o", output, "query", sql]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else []


def position(folder):
    """How many offsets the lake has read of the topic."""
    command = [TOKENTRAIL, "-q", "--lake", folder / "lake", "-o", "ndjson", "status"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    positions = json.loads(done.stdout).get("positions", {}) if done.returncode == 0 else {}
    return sum(next for name, next in positions.items() if f":{TOPIC}/" in name and "#" not in name)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
