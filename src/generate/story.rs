//! What a story is written with: happenings in, records and the findings they must lead to out.
//!
//! Every story has a cast of its own, so that no story changes what another one means.

use super::Truth;
use super::cast::{self, Client, Host, Name, Speller, Subject};
use super::dice::Dice;
use super::grant::{Basis, Grant};
use super::life::HISTORY;
use super::record::{self, DAY, HOUR, Record};

/// Stories are told to one of these, one after the other.
pub struct Teller {
    pub dice: Dice,
    /// The moment the findings are for; records after it must not count.
    pub end: i64,
    pub records: Vec<Record>,
    pub truth: Vec<Truth>,
    speller: Speller,
    /// Next unused number of a person, thing or grant.
    pub unused: u64,
    /// Whether some records are late, repeated, or without an id.
    untidy: bool,
}

impl Teller {
    pub fn new(dice: Dice, end: i64, speller: Speller, untidy: bool) -> Self {
        Self { dice, end, records: Vec::new(), truth: Vec::new(), speller, unused: 1, untidy }
    }

    /// Some time that leaves `before` and `after` within the history.
    pub fn sometime(&mut self, before: i64, after: i64) -> i64 {
        self.dice.between(self.end - HISTORY + before, self.end - after)
    }

    pub fn number(&mut self) -> Name {
        self.unused += 1;
        Name::Number(self.unused - 1)
    }

    pub fn person(&mut self) -> Subject {
        Subject::Person(self.number())
    }

    /// A grant of a new subject (mostly a person) on a machine of its own.
    pub fn grant(&mut self) -> Grant {
        let name = self.number();
        let subject = match self.dice.below(8) {
            0 => Subject::Service(name),
            1 => Subject::Agent(name),
            _ => Subject::Person(name),
        };
        self.grant_of(subject)
    }

    /// A grant of `subject` on its own machine.
    pub fn grant_of(&mut self, subject: Subject) -> Grant {
        let clients: &'static [Client] = match subject {
            Subject::Person(_) => &cast::FOR_PEOPLE,
            Subject::Service(_) => &cast::FOR_SERVICES,
            Subject::Agent(_) => &cast::FOR_AGENTS,
        };
        let kind = match subject {
            Subject::Person(_) => "workstation",
            Subject::Service(_) => "server",
            Subject::Agent(_) => "container",
        };
        let client = &clients[self.dice.below(clients.len() as u64) as usize];
        let name = self.number();
        let own = subject.name();
        let (basis, token_kind) = match self.dice.below(5) {
            0 => (Basis::Session, "session"),
            1 | 2 => (Basis::FamilyInSession, "refresh"),
            _ => (Basis::Family, "refresh"),
        };
        Grant {
            name,
            basis,
            kind: token_kind,
            subject,
            client,
            session: name,
            device: Some(own),
            host: Some(Host { name: own, kind, os_user: Some(own) }),
            project: None,
            turn: 0,
            minted_at: None,
            expires_at: None,
            sliding: None,
        }
    }

    /// A grant of a new person, its client chosen and its family stated.
    pub fn grant_with(&mut self, client: usize) -> Grant {
        let subject = self.person();
        let grant = self.grant_of(subject);
        Grant { client: &cast::FOR_PEOPLE[client], basis: Basis::Family, kind: "refresh", ..grant }
    }

    /// Tells one record as it is.
    pub fn tell(&mut self, mut record: Record) {
        record.id = Some(1 << 47 | self.records.len() as u64);
        if self.untidy {
            let (late, repeated, nameless) = (self.dice.permille(60), self.dice.permille(30), self.dice.permille(30));
            record.late += if late { self.dice.between(0, 3 * DAY) } else { 0 };
            if nameless {
                record.id = None;
            }
            if repeated {
                self.records.push(Record { late: self.dice.between(0, DAY), ..record });
            }
        }
        self.records.push(record);
    }

    pub fn issue(&mut self, grant: &mut Grant, at: i64) {
        grant.turn = 0;
        grant.minted_at = Some(at);
        self.tell(grant.exercise("issue", at));
    }

    pub fn refresh(&mut self, grant: &mut Grant, at: i64) {
        self.tell(grant.exercise("refresh", at));
        if grant.rotates() {
            grant.turn += 1;
            grant.minted_at = grant.minted_at.map(|_| at);
        }
    }

    pub fn used(&mut self, grant: &Grant, at: i64) {
        self.tell(grant.exercise("use", at));
    }

    /// A refresh the server refused.
    pub fn refused(&mut self, grant: &Grant, at: i64) {
        self.tell(Record { refused: true, ..grant.exercise("refresh", at) });
    }

    /// Refreshed every one to three days after `from`, before `to`. Returns the last time.
    pub fn keep_refreshing(&mut self, grant: &mut Grant, from: i64, to: i64) -> i64 {
        let mut last = from;
        loop {
            let next = last + self.dice.between(DAY, 3 * DAY);
            if next >= to {
                return last;
            }
            self.refresh(grant, next);
            last = next;
        }
    }

    /// Issued at `from`, then refreshed until `to`. Returns the last time.
    pub fn live(&mut self, grant: &mut Grant, from: i64, to: i64) -> i64 {
        self.issue(grant, from);
        self.keep_refreshing(grant, from, to)
    }

    /// The grant's own revoke.
    pub fn revoke(&mut self, grant: &Grant, at: i64) {
        self.tell(grant.named("revoke", at));
    }

    /// A revoke of everything the subject has.
    pub fn revoke_all(&mut self, subject: Subject, at: i64) {
        let actor = Some(Subject::Person(Name::Word("it-desk")));
        self.tell(Record { subject: Some(subject), actor, ..Record::new("revoke", at) });
    }

    /// `offboard` or `reinstate`, of the whole or of a project.
    pub fn staff(&mut self, action: &'static str, subject: Subject, project: Option<&'static str>, at: i64) {
        let actor = Some(Subject::Person(Name::Word("people-team")));
        self.tell(Record { subject: Some(subject), actor, project, ..Record::new(action, at) });
    }

    /// `device_lost` or `device_recovered`.
    pub fn device(&mut self, action: &'static str, grant: &Grant, at: i64) {
        let actor = Some(Subject::Person(Name::Word("it-desk")));
        self.tell(Record { device: grant.device, actor, ..Record::new(action, at) });
    }

    pub fn expect_refresh(&mut self, grant: &Grant, violated_at: i64, resolved_at: Option<i64>) {
        let key = vec![("subject_id", spell(|out| Speller::subject(grant.subject, out))), self.grant_key(grant)];
        self.plant("refresh_after_offboarding", key, violated_at, resolved_at, "high");
    }

    /// `reason`: age or idle.
    pub fn expect_old(
        &mut self,
        grant: &Grant,
        reason: &str,
        violated_at: i64,
        resolved_at: Option<i64>,
        severity: &'static str,
    ) {
        let key = vec![self.grant_key(grant), ("reason", reason.to_owned())];
        self.plant("token_older_than_policy", key, violated_at, resolved_at, severity);
    }

    pub fn expect_shared(&mut self, host: Host, violated_at: i64) {
        let key = vec![("host_id", spell(|out| Speller::host(host, out)))];
        self.plant("shared_host_reuse", key, violated_at, None, "high");
    }

    pub fn expect_lost(&mut self, grant: &Grant, lost_at: i64, resolved_at: Option<i64>, severity: &'static str) {
        let device = grant.device.unwrap_or(grant.name);
        let key = vec![("device_id", spell(|out| Speller::plain("dev-", device, out))), self.grant_key(grant)];
        self.plant("unrevoked_lost_device", key, lost_at + HOUR, resolved_at, severity);
    }

    fn grant_key(&self, grant: &Grant) -> (&'static str, String) {
        let (name, speller) = (grant.name, self.speller);
        let id = spell(|out| match grant.basis {
            Basis::Session => speller.opaque("ss-", grant.session, None, out),
            Basis::Token => speller.opaque("tk-", name, Some(grant.turn), out),
            Basis::Family | Basis::FamilyInSession | Basis::Derived => speller.opaque("fm-", name, None, out),
        });
        ("grant_id", id)
    }

    fn plant(
        &mut self,
        detector: &'static str,
        key: Vec<(&'static str, String)>,
        violated_at: i64,
        resolved_at: Option<i64>,
        severity: &'static str,
    ) {
        self.truth.push(Truth { detector, key, violated_at, resolved_at, severity });
    }
}

/// What `write` appends, as text. Ids are ASCII by construction.
fn spell(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A time as text.
pub fn spell_time(micros: i64) -> String {
    spell(|out| record::time(micros, out))
}
