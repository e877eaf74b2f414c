"""Measures the detectors that only suspect against simulated companies in which thefts are planted.

Use: python3 scripts/leads_bench.py [--seeds A-B] [--binary PATH] [--only leads|gaps] [--from-day N]     (needs a built tokentrail)

For each seed: generate, ingest, detect, compare with what was planted; one seed after the other, in a temporary folder.
P   share of findings that are about a planted theft; findings of one key within 24 h are one. Behind the slash: thefts
    found, of those and the false findings, which a theft that leads to two findings does not flatter
R   share of thefts a detector is for that it found, over all of them and over those it can see (the reason in brackets)
FL  false leads per 1,000 active grants and week; per source and week for audit_gap; in brackets that of the worst seed
A lake's first 14 days are left out: there, everything is new for everybody (--from-day 0 counts them).
The reference is what the chosen definitions reached on the simulator they were tuned on, seeds 101-120.
"""
import argparse, datetime, json, os, pathlib, re, shutil, subprocess, sys, tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "tokentrail"
LEADS = ["context_drift", "dormant_reactivated", "refresh_rate_anomaly", "new_context_for_subject", "impossible_travel"]
AS_OF = "2026-11-30T00:00:00Z"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MICROSECOND = datetime.timedelta(microseconds=1)
HOUR = 3_600_000_000
DAY = 24 * HOUR
START = "2026-09-01"
DAYS = 90
WEEKS = DAYS / 7


def micros(text):
    return (datetime.datetime.fromisoformat(text) - EPOCH) // MICROSECOND


# What is measured: name, detector, which of its rows, and over which thefts R is taken, each with the reference.
def for_it(theft, row):
    return row["detector"] in theft["leads"]


ROWS = [
    {"name": "10 context_drift", "detector": "context_drift", "reference": "P 1.00  R 0.57 / 0.91  FL 0.00 (0.0)",
     "over": [("all", for_it), ("source tells device or host", lambda t, r: for_it(t, r) and t["tells_machine"])]},
    {"name": "21 dormant_reactivated, medium", "detector": "dormant_reactivated", "severities": {"medium"},
     "reference": "P 0.97  R 0.62 / 0.99 / 0.02  FL 0.01 (0.09)",
     "over": [("all", for_it), ("from a new place", lambda t, r: for_it(t, r) and not t["own_machine"]),
              ("on the old machine", lambda t, r: for_it(t, r) and t["own_machine"])]},
    {"name": "21 dormant_reactivated, with low", "detector": "dormant_reactivated", "severities": {"medium", "low"},
     "reference": "P 0.61  R 1.00  FL 0.44 (0.9)", "over": [("all", for_it)]},
    {"name": "22 refresh_rate_anomaly", "detector": "refresh_rate_anomaly", "reference": "P 0.90  R 1.00 / 0.00  FL 0.12 (0.4)",
     "over": [("polled, kept alive hourly", for_it), ("slow 2x", lambda t, r: t["anomaly"] == "slow")]},
    {"name": "23 new_context_for_subject", "detector": "new_context_for_subject", "reference": "P 0.94  R 0.86  FL 0.15 (0.26)",
     "over": [("all", for_it)]},
    {"name": "24 impossible_travel", "detector": "impossible_travel", "reference": "P 0.92  R 0.78 / 0.93  FL 0.14 (0.34)",
     "over": [("all", for_it), ("from >= 1,000 km", lambda t, r: for_it(t, r) and t["far"])]},
]


def is_about(finding, theft):
    """Whether a finding is about a theft: the same grant or subject, and the time of it."""
    key, at = finding["key"], micros(finding["violated_at"])
    first, last = micros(theft["from"]), micros(theft["to"])
    match finding["detector"]:
        case "context_drift":
            return key["grant_id"] == theft["grant_id"] and first <= at <= last + DAY
        case "dormant_reactivated":
            return key["grant_id"] == theft["grant_id"] and first <= at <= last
        case "refresh_rate_anomaly":
            return key["subject_id"] == theft["subject_id"] and first - HOUR <= at <= last
        case "new_context_for_subject":
            return key["subject_id"] == theft["subject_id"] and first <= at <= last
        case "impossible_travel":
            # The later event of a pair may be the owner's.
            return key["grant_id"] == theft["grant_id"] and first <= at <= last + 13 * HOUR


def merged(findings):
    """Findings of one key within 24 h of each other are one; a day in the key does not make two of an episode."""
    groups = {}
    for finding in findings:
        key = {k: v for k, v in finding["key"].items() if k not in ("day", "return_day")}
        groups.setdefault(json.dumps(key, sort_keys=True), []).append(finding)
    kept = []
    for group in groups.values():
        group.sort(key=lambda f: micros(f["violated_at"]))
        before = None
        for finding in group:
            at = micros(finding["violated_at"])
            if before is None or at - before > DAY:
                kept.append(finding)
            before = at
    return kept


def score(row, findings, thefts, since=0):
    """One seed, one row of the table: counts to be summed over seeds. Findings before `since` are only counted."""
    severities = row.get("severities", {"low", "medium", "high", "critical"})
    mine = merged(f for f in findings if f["detector"] == row["detector"] and f["severity"] in severities)
    early, mine = [f for f in mine if micros(f["violated_at"]) < since], [f for f in mine if micros(f["violated_at"]) >= since]
    about = [next((i for i, theft in enumerate(thefts) if is_about(f, theft)), None) for f in mine]
    found = set(about) - {None}
    recalls = []
    for _, wanted in row["over"]:
        those = {i for i, theft in enumerate(thefts) if wanted(theft, row)}
        recalls.append((len(those & found), len(those)))
    return {"true": sum(i is not None for i in about), "false": sum(i is None for i in about), "recalls": recalls,
            "found": len(found), "early": len(early),
            "false_findings": [f for f, i in zip(mine, about) if i is None],
            "missed": [t for i, t in enumerate(thefts) if for_it(t, row) and i not in found]}


def ratio(part, whole):
    return f"{part / whole:.2f}" if whole else "   -"


def summary(scores, amounts):
    """P, R and FL of all seeds; `amounts` is what FL is counted by, seed by seed."""
    true, false = sum(s["true"] for s in scores), sum(s["false"] for s in scores)
    recalls = [(sum(found), sum(all)) for found, all in (zip(*column) for column in zip(*(s["recalls"] for s in scores)))]
    rates = [s["false"] / amount for s, amount in zip(scores, amounts)]
    return true, false, recalls, sum(s["false"] for s in scores) / sum(amounts), max(rates)


def table(scores, grant_weeks):
    """`scores`: for each seed those of ROWS; `grant_weeks`: active grants of each week that counts, summed, for each seed."""
    for i, row in enumerate(ROWS):
        true, false, recalls, rate, worst = summary([s[i] for s in scores], [weeks / 1000 for weeks in grant_weeks])
        shown = ", ".join(f"{ratio(*r)} ({name}, {r[0]} of {r[1]})" for r, (name, _) in zip(recalls, row["over"]))
        found = sum(s[i]["found"] for s in scores)
        print(f"{row['name']:34s} P {ratio(true, true + false)} / {ratio(found, found + false)} ({true} of {true + false})  R {shown}"
              f"  FL {rate:.2f} ({worst:.2f})  left out {sum(s[i]['early'] for s in scores)}")
        print(f"{'':34s} reference: {row['reference']}")


EVENT = re.compile(rb'"event_time":"(\d{4}-\d\d-\d\d)[^"]*".*?"outcome":"success".*?"family":"([^"]*)"')


def active_grants(records):
    """How many grants of a file of records are active in a week, on average."""
    first, active = datetime.date.fromisoformat(START), {}
    weeks = {}
    with open(records, "rb") as lines:
        for line in lines:
            if event := EVENT.search(line):
                day = event[1]
                if day not in weeks:
                    weeks[day] = (datetime.date.fromisoformat(day.decode()) - first).days // 7
                active.setdefault(weeks[day], set()).add(event[2])
    whole = [len(grants) for week, grants in active.items() if week < DAYS // 7]
    return sum(whole) / max(1, len(whole))


LOST = [5, 15, 30]


def score_gaps(findings, silences):
    """A finding is true if it meets a silence of its source; R by how many events the silence has swallowed."""
    def meets(finding, silence):
        until = finding.get("resolved_at") or AS_OF
        return (finding["key"]["source"] == silence["source"] and micros(finding["violated_at"]) < micros(silence["to"])
                and micros(silence["from"]) < micros(until))

    mine = [f for f in findings if f["detector"] == "audit_gap"]
    true = [any(meets(f, s) for s in silences) for f in mine]
    recalls = []
    for least in LOST:
        those = [s for s in silences if s["lost"] >= least]
        recalls.append((sum(any(meets(f, s) for f in mine) for s in those), len(those)))
    return {"true": sum(true), "false": len(true) - sum(true), "recalls": recalls,
            "false_findings": [f for f, t in zip(mine, true) if not t]}


def gaps_table(scores, source_weeks):
    true, false, recalls, rate, worst = summary(scores, source_weeks)
    shown = ", ".join(f"{ratio(*r)} (>= {least} lost, {r[0]} of {r[1]})" for r, least in zip(recalls, LOST))
    print(f"{'27 audit_gap':34s} P {ratio(true, true + false)} ({true} of {true + false})  R {shown}  FL {rate:.3f} ({worst:.3f})")
    print(f"{'':34s} reference: P 0.89  R 0.69, 0.82, 0.91  FL 0.008")


def run(arguments):
    process = subprocess.run([str(a) for a in arguments], stdout=subprocess.PIPE)
    if process.returncode not in (0, 1):
        sys.exit(f"failed: {' '.join(str(a) for a in arguments)}")
    return process.stdout


def lines(text):
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def detected(binary, folder, records, policy, detectors):
    """The findings of a first pass over a new lake."""
    lake = folder / "lake"
    run([binary, "-q", "--lake", lake, "ingest", "--keep-raw", "false", "--from", records])
    output = run([binary, "-q", "--lake", lake, *policy, "-o", "ndjson", "detect", *detectors, "--as-of", AS_OF])
    shutil.rmtree(lake)
    return lines(output)


def leads(binary, seeds, from_day):
    scores, weeks = [], []
    since = micros(START + "T00:00:00Z") + from_day * DAY
    for seed in seeds:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            records, truth, policy = folder / "records.ndjson", folder / "truth.ndjson", folder / "policy.toml"
            run([binary, "-q", "generate", "--shape", "leads", "--seed", seed, "--out", records, "--truth", truth, "--policy-out", policy])
            findings = detected(binary, folder, records, ["--policy", policy], LEADS)
            thefts = lines(truth.read_text())
            scores.append([score(row, findings, thefts, since) for row in ROWS])
            active = active_grants(records)
            weeks.append(active * (DAYS - from_day) / 7)
        print(f"seed {seed}: {len(findings)} findings, {active:.0f} grants active in a week", flush=True)
    table(scores, weeks)


def gaps(binary, seeds):
    scores, weeks = [], []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            records, truth = folder / "records.ndjson", folder / "truth.ndjson"
            run([binary, "-q", "generate", "--shape", "gaps", "--seed", seed, "--out", records, "--truth", truth])
            findings = detected(binary, folder, records, [], ["audit_gap"])
            silences = lines(truth.read_text())
            scores.append(score_gaps(findings, silences))
            weeks.append(len({s["source"] for s in silences}) * WEEKS)
        print(f"seed {seed}: {len(findings)} gaps found, {len(silences)} silences planted", flush=True)
    gaps_table(scores, weeks)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", default="101-120", help="A-B, or one")
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY)
    parser.add_argument("--only", choices=["leads", "gaps"])
    parser.add_argument("--from-day", type=int, default=14, help="findings of the days before are left out")
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    if arguments.only != "gaps":
        leads(arguments.binary, seeds, arguments.from_day)
    if arguments.only != "leads":
        gaps(arguments.binary, seeds)


if __name__ == "__main__":
    main()
