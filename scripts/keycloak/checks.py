"""What must stand in the lake after it."""
import json, subprocess

REFUSED = ("REFRESH_TOKEN_ERROR", "refresh", "failure")
LOGGED_IN = [("LOGIN", "other", "success"), ("OAUTH2_DEVICE_CODE_TO_TOKEN", "issue", "success")]
REFRESHED = ("REFRESH_TOKEN", "refresh", "success")
DISABLED = ("UPDATE USER", "offboard", "success")

# What is to be read of each person, in this order: Keycloak's name for it, ours, and whether it succeeded.
WANTED = {
    "mallory": LOGGED_IN + [REFRESHED, ("USER_INFO_REQUEST", "other", "success"), REFRESHED, DISABLED, REFUSED],
    "bob": LOGGED_IN + [("REVOKE_GRANT", "revoke", "success"), REFUSED],
    "carol": LOGGED_IN + [("LOGOUT", "logout", "success"), REFUSED],
    "dave": LOGGED_IN + [REFRESHED, ("REFRESH_TOKEN_ERROR", "reuse_detected", "failure"), REFUSED],
    "erin": LOGGED_IN + [DISABLED, REFUSED, ("UPDATE USER", "reinstate", "success"), REFRESHED],
}
# Of a refusal Keycloak names the grant, and the person in new versions only.
OF_A_PERSON = """
    SELECT source_event, action, outcome FROM events
    WHERE source = 'keycloak' AND (subject_id = '{0}' OR grant_id IN (SELECT grant_id FROM events WHERE subject_id = '{0}'))
    ORDER BY event_time"""
# What both forms of an event must agree in.
COMPARED = ("action", "outcome", "source_event", "subject_id", "subject_kind", "actor_id", "client_id", "session_id",
            "family_id", "token_id", "token_kind", "grant_type", "scopes", "ip")


class Tokentrail:
    """The program, with a lake and a key of its own."""

    def __init__(self, binary, folder, identities):
        self.binary, self.lake = binary, folder / "lake"
        self.settings = {"ingest": ["--secret-key-file", str(folder / "secret.key")]}
        self.shared = ["--lake", str(self.lake), "--identities", str(identities)]

    def run(self, command, *arguments, good=(0,)):
        shared = self.shared if command != "decode" else []
        run = subprocess.run([self.binary, command, *arguments, *shared, *self.settings.get(command, [])],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if run.returncode not in good:
            raise SystemExit(f"tokentrail {command} ended with {run.returncode}:\n{run.stderr}")
        return run.stdout

    def query(self, sql):
        return json.loads(self.run("query", "-o", "json", sql))

    def decode(self, file):
        return [json.loads(line) for line in self.run("decode", "--format", "keycloak", "-o", "ndjson", str(file)).splitlines()]


def equal(what, got, wanted):
    if got != wanted:
        raise SystemExit(f"{what}\n  got:    {got}\n  wanted: {wanted}")


def nothing_rejected(tokentrail):
    equal("rejected records", tokentrail.query("SELECT reject_reason FROM events WHERE class = 'rejected'"), [])


def events_of_all(tokentrail, people):
    for name, wanted in WANTED.items():
        rows = tokentrail.query(OF_A_PERSON.format(people[name].id))
        equal(f"events of {name}", [tuple(row.values()) for row in rows], wanted)


def findings(tokentrail, people):
    """Detects, and gives what was found: the leaver's refresh, and nothing of the kind about anyone else."""
    tokentrail.run("detect", good=(0, 1))
    found = json.loads(tokentrail.run("findings", "list", "--state", "all", "-o", "json"))
    of = lambda detector: [row for row in found if row["detector"] == detector]
    leavers = of("refresh_after_offboarding")
    equal("who refreshed after offboarding", [row["key"]["subject_id"] for row in leavers], [people["mallory"].email])
    evidence = leavers[0]["evidence"]
    equal("refreshes that Keycloak let through", evidence["refresh_count"], 1 + 1)
    equal("findings of replay", len(of("refresh_token_replay")), 1)
    return found


def both_forms_agree(tokentrail, lines, stored, folder):
    """Keycloak writes each event to its log as text and to its database, whence the Admin API gives JSON."""
    forms = []
    for name, records in (("lines", lines), ("stored", [json.dumps(record) for record in stored])):
        file = folder / f"{name}.ndjson"
        file.write_text("".join(f"{record}\n" for record in records))
        forms.append(sorted(json.dumps([row[key] for key in COMPARED]) for row in tokentrail.decode(file)))
    for line, record in zip(*forms):
        equal("the log's and the Admin API's form of an event", json.loads(line), json.loads(record))
    equal("events in the log and from the Admin API", len(forms[0]), len(forms[1]))
    return len(lines)


def no_secret(tokentrail, secrets):
    """Neither in the files as they are nor in any column. A token cut short is one too, so a piece of each is looked for."""
    rows = tokentrail.run("query", "-o", "ndjson", "SELECT * FROM events")
    files = [file.read_bytes() for file in tokentrail.lake.rglob("*") if file.is_file()]
    for secret in secrets:
        for piece in pieces(secret):
            if piece in rows or any(piece.encode() in content for content in files):
                raise SystemExit(f"a secret is in the lake: {piece[:6]}... of {len(secret)} characters")
    return len(secrets)


def pieces(secret):
    """The parts of a JWT; what is no JWT, whole."""
    return {part[-40:] for part in secret.split(".")[1:]} | {part[:40] for part in secret.split(".")[1:]} or {secret}
