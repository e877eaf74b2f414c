//! 51 thefts a seed, each of another subject, and the line of truth each leaves.

use std::collections::HashSet;

use super::super::record::{DAY, HOUR, MINUTE};
use super::cast::{CLIENTS, Kind, RARE, SCRIPTS, Source};
use super::hours::{END, START};
use super::machines::Machine;
use super::places::{COUNTRIES, DENS, Net, Place, border_distance, network, vpn};
use super::world::{Action, Event, Grant, World};
use super::writing::{grant_id, spelled_time, subject_id};

/// Border distance (km) from which a theft counts as far.
const FAR: f64 = 1000.0;
const DRIFT: &str = "context_drift";
const DORMANT: &str = "dormant_reactivated";
const RATE: &str = "refresh_rate_anomaly";
const CONTEXT: &str = "new_context_for_subject";
const TRAVEL: &str = "impossible_travel";

/// A planted theft.
pub struct Theft {
    pub anomaly: &'static str,
    pub grant: u32,
    pub from: i64,
    pub to: i64,
    /// The detectors that are for this sort of theft.
    leads: Vec<&'static str>,
    /// Where the thief is, and whose user agent it shows; not for those on the victim's own machine.
    thief: Option<Thief>,
    far: bool,
}

/// Who uses a copy of the token on a machine of its own.
#[derive(Clone, Copy)]
struct Thief {
    place: Place,
    machine: Machine,
    /// None: that of the victim.
    agent: Option<&'static str>,
}

/// Plants all of them.
pub fn plant(world: &mut World) -> Vec<Theft> {
    let mut planter = Planter { events: world.events_by_grant(), world, taken: HashSet::new(), thefts: Vec::new() };
    for _ in 0..8 {
        planter.polled();
    }
    for _ in 0..4 {
        planter.hourly();
    }
    for i in 0..9 {
        planter.slow(if i < 6 { Kind::Human } else { Kind::Service });
    }
    for i in 0..16 {
        planter.replayed(if i < 12 { Kind::Human } else { Kind::Service });
    }
    for _ in 0..6 {
        planter.colleague();
    }
    for i in 0..8 {
        planter.dormant(i < 5);
    }
    let mut thefts = planter.thefts;
    thefts.sort_by_key(|theft| (theft.from, theft.grant));
    thefts
}

struct Planter<'w> {
    world: &'w mut World,
    /// Events of each grant before any theft.
    events: Vec<Vec<u32>>,
    /// Subjects that have been robbed.
    taken: HashSet<u32>,
    thefts: Vec<Theft>,
}

impl Planter<'_> {
    /// A grant in use for at least `days` days after some moment, of a subject not robbed yet, and that moment.
    fn victim(&mut self, kind: Kind, days: i64, uses: usize) -> Option<(u32, i64)> {
        for _ in 0..20_000 {
            let grant = self.world.dice.below(self.events.len() as u64) as u32;
            let Grant { subject, client, .. } = self.world.grants[grant as usize];
            let moment = START + self.world.dice.between(20 * DAY, (88 - days) * DAY);
            // Without the limit most thefts would begin at the end of a leave: long pauses catch most moments.
            let Some(from) = self.used_after(grant, moment).filter(|from| *from < moment + 4 * DAY) else { continue };
            let until = self.world.grants[grant as usize].expires_at;
            let fits = from + days * DAY < until
                && self.world.subjects[subject as usize].kind == kind
                && CLIENTS[usize::from(client)].kind != "ci"
                && !self.taken.contains(&subject)
                && self.uses(grant, from, from + days * DAY) >= uses
                && self.uses(grant, START, from) >= 12;
            if fits {
                self.taken.insert(subject);
                return Some((grant, from));
            }
        }
        None
    }

    /// How often a grant was used from a moment to another.
    fn uses(&self, grant: u32, from: i64, to: i64) -> usize {
        let events = &self.events[grant as usize];
        let before = |moment| events.partition_point(|i| self.world.events[*i as usize].at < moment);
        before(to) - before(from)
    }

    /// Some minutes after the first use that follows a moment: tokens are stolen where they are in use.
    fn used_after(&mut self, grant: u32, moment: i64) -> Option<i64> {
        let events = &self.events[grant as usize];
        let next = events.partition_point(|i| self.world.events[*i as usize].at < moment);
        let next = self.world.events[*events.get(next)? as usize].at;
        Some(next + self.world.dice.between(MINUTE, 6 * HOUR))
    }

    /// The owner's last event before a moment, or the first.
    fn owner(&self, grant: u32, moment: i64) -> Event {
        let events = &self.events[grant as usize];
        let before = events.partition_point(|i| self.world.events[*i as usize].at < moment);
        self.world.events[events[before.saturating_sub(1)] as usize]
    }

    /// Where the owner is at home: a person's country; for a service, the one most of the grant's events come from.
    fn country(&self, grant: u32) -> u8 {
        if let Some(person) = self.world.people.get(self.world.grants[grant as usize].subject as usize) {
            return person.whereabouts.country;
        }
        let mut counts = [0_u32; COUNTRIES.len()];
        for i in &self.events[grant as usize] {
            counts[usize::from(self.world.events[*i as usize].place.country)] += 1;
        }
        (0..counts.len()).max_by_key(|country| counts[*country]).unwrap_or(0) as u8
    }

    /// 15 % hide behind a proxy in the victim's country, 10 % in a commercial VPN; 25 % imitate the user agent.
    fn thief(&mut self, country: u8) -> Thief {
        let machine = Machine::laptop(self.world);
        let dice = &mut self.world.dice;
        let net = if dice.permille(500) { Net::Home } else { Net::Hosting };
        let place = match dice.below(100) {
            0..15 => network(country, net, dice),
            15..25 => vpn(dice.below(6), dice),
            _ => {
                let den = DENS[dice.below(DENS.len() as u64) as usize];
                let den = if den == country { DENS[0] } else { den };
                network(den, net, dice)
            }
        };
        let agent = if dice.permille(250) { None } else { Some(SCRIPTS[dice.below(SCRIPTS.len() as u64) as usize]) };
        Thief { place, machine, agent }
    }

    fn steal(&mut self, grant: u32, at: i64, thief: Option<Thief>) -> bool {
        if at >= END || at >= self.world.grants[grant as usize].expires_at {
            return false;
        }
        let owner = self.owner(grant, at);
        let (place, machine, agent) = match thief {
            Some(thief) => (thief.place, thief.machine, thief.agent.unwrap_or(owner.agent)),
            None => (owner.place, owner.machine, owner.agent),
        };
        let client = self.world.grants[grant as usize].client;
        let event = Event { at, grant, client, action: Action::Refresh, place, machine, agent };
        match thief {
            Some(_) => self.world.tell(event),
            None => self.world.events.push(event), // as much of the machine as of the owner's own
        }
        true
    }

    /// Exercises at intervals of `least` to `most` until `to`; returns the last.
    fn keep(&mut self, grant: u32, (from, to): (i64, i64), (least, most): (i64, i64), thief: Thief) -> i64 {
        let (mut at, mut last) = (from, from);
        while at < to && self.steal(grant, at, Some(thief)) {
            last = at;
            at += self.world.dice.between(least, most);
        }
        last
    }

    /// Every few minutes, day and night, for half a day to three days.
    fn polled(&mut self) {
        let Some((grant, from)) = self.victim(Kind::Human, 4, 12) else { return };
        let thief = self.abroad(grant);
        let to = from + self.world.dice.between(14 * HOUR, 72 * HOUR);
        let last = self.keep(grant, (from, to), (4 * MINUTE, 9 * MINUTE), thief);
        self.note("polled", grant, (from, last), vec![RATE, DRIFT, CONTEXT], Some(thief));
    }

    /// Kept alive by a renewal an hour for days.
    fn hourly(&mut self) {
        let Some((grant, from)) = self.victim(Kind::Human, 7, 12) else { return };
        let thief = self.abroad(grant);
        let to = from + self.world.dice.between(3 * DAY, 7 * DAY);
        let last = self.keep(grant, (from, to), (50 * MINUTE, 60 * MINUTE), thief);
        self.note("hourly", grant, (from, last), vec![RATE, DRIFT, CONTEXT], Some(thief));
    }

    /// On the victim's own machine, once more for every renewal of the owner, for two weeks.
    fn slow(&mut self, kind: Kind) {
        let Some((grant, from)) = self.victim(kind, 14, 30) else { return };
        let at = |i: &u32| self.world.events[*i as usize].at;
        let owners = self.events[grant as usize].iter().map(at).filter(|at| (from..from + 14 * DAY).contains(at));
        let owners: Vec<i64> = owners.collect();
        let (mut first, mut last) = (END, START);
        for owner in owners {
            let at = owner + self.world.dice.between(2 * MINUTE, 50 * MINUTE);
            if self.steal(grant, at, None) {
                (first, last) = (first.min(at), last.max(at));
            }
        }
        self.note("slow", grant, (first, last), Vec::new(), None);
    }

    /// A handful of exercises elsewhere, within hours or days.
    fn replayed(&mut self, kind: Kind) {
        let Some((grant, from)) = self.victim(kind, 3, 4) else { return };
        let thief = self.abroad(grant);
        let span = self.world.dice.between(HOUR, 60 * HOUR);
        let mut times = vec![from];
        for _ in 0..2 + self.world.dice.below(18) {
            times.push(from + self.world.dice.between(0, span));
        }
        let when = self.steal_all(grant, times, thief);
        self.note("replayed", grant, when, vec![DRIFT, CONTEXT], Some(thief));
    }

    /// Another machine in the same office, over a few working days.
    fn colleague(&mut self) {
        let Some((grant, from)) = self.victim(Kind::Human, 5, 6) else { return };
        let mut thief = self.abroad(grant);
        thief.place = network(self.country(grant), Net::Office, &mut self.world.dice);
        let at = |i: &u32| self.world.events[*i as usize].at;
        let owners = self.events[grant as usize].iter().map(at).filter(|at| (from..from + 5 * DAY).contains(at));
        let mut times: Vec<i64> = owners.collect();
        for at in &mut times {
            *at += self.world.dice.between(0, 2 * HOUR);
        }
        let when = self.steal_all(grant, times, thief);
        self.note("colleague", grant, when, vec![DRIFT], Some(thief));
    }

    /// A thief of this grant's owner.
    fn abroad(&mut self, grant: u32) -> Thief {
        let country = self.country(grant);
        self.thief(country)
    }

    /// Returns the first and the last that came to pass.
    fn steal_all(&mut self, grant: u32, times: Vec<i64>, thief: Thief) -> (i64, i64) {
        let (mut first, mut last) = (END, START);
        for at in times {
            if self.steal(grant, at, Some(thief)) {
                (first, last) = (first.min(at), last.max(at));
            }
        }
        (first, last)
    }

    /// A grant used for some weeks, then not for 45 to 50 days, then revived: elsewhere, or on the owner's machine.
    fn dormant(&mut self, elsewhere: bool) {
        let Some((other, _)) = self.victim(Kind::Human, 10, 6) else { return };
        let subject = self.world.grants[other as usize].subject;
        let client = RARE.start + self.world.dice.below(u64::from(RARE.end - RARE.start)) as u8;
        let issued_at = START + self.world.dice.between(0, 12 * DAY);
        let expires_at = issued_at + CLIENTS[usize::from(client)].lifetime * DAY;
        let grant = self.world.grant(Grant { subject, client, issued_at, expires_at });
        self.events.push(Vec::new());
        let rests_at = issued_at + self.world.dice.between(10 * DAY, 26 * DAY);
        let mut at = issued_at;
        while at < rests_at {
            let action = if at == issued_at { Action::Issue } else { Action::Refresh };
            self.own_use(grant, at, action);
            at += self.world.dice.between(20 * HOUR, 5 * DAY);
        }
        let last_used = self.owner(grant, END).at;
        let from = last_used + self.world.dice.between(45 * DAY + HOUR, 50 * DAY);
        let thief = if elsewhere { Some(self.abroad(other)) } else { None };
        let mut at = from;
        let mut last = from;
        for _ in 0..2 + self.world.dice.below(8) {
            match thief {
                Some(thief) => _ = self.steal(grant, at, Some(thief)),
                None => self.own_use(grant, at, Action::Refresh),
            }
            last = at;
            at += self.world.dice.between(5 * MINUTE, 3 * HOUR);
        }
        let leads = if elsewhere { vec![DORMANT, CONTEXT] } else { vec![DORMANT] };
        self.note("dormant", grant, (from, last), leads, thief);
    }

    /// What the owner's own machine does at a moment.
    fn own_use(&mut self, grant: u32, at: i64, action: Action) {
        let Grant { subject, client, .. } = self.world.grants[grant as usize];
        let person = &self.world.people[subject as usize];
        let (day, hour) = ((at - START) / DAY, (at - START) % DAY / HOUR);
        let mood = person.whereabouts.mood(day, &mut self.world.dice);
        let place = person.whereabouts.place(&mood, day, hour, &mut self.world.dice);
        let machine = person.laptop(day).machine;
        let agent = CLIENTS[usize::from(client)].agents[0];
        self.events[grant as usize].push(self.world.events.len() as u32);
        self.world.tell(Event { at, grant, client, action, place, machine, agent });
    }

    fn note(
        &mut self,
        anomaly: &'static str,
        grant: u32,
        (from, to): (i64, i64),
        mut leads: Vec<&'static str>,
        thief: Option<Thief>,
    ) {
        let owner = self.country(grant);
        let is_abroad = thief.is_some_and(|thief| thief.place.country != owner);
        if is_abroad && anomaly != "dormant" {
            leads.push(TRAVEL);
        }
        let far = thief.is_some_and(|thief| border_distance(thief.place.country, owner) >= FAR);
        self.thefts.push(Theft { anomaly, grant, from, to, leads, thief, far });
    }
}

impl Theft {
    /// One line of JSON. No value needs an escape.
    pub fn line(&self, world: &World) -> String {
        let grant = world.grants[self.grant as usize];
        let subject = world.subjects[grant.subject as usize];
        let client = &CLIENTS[usize::from(grant.client)];
        let kind = if subject.kind == Kind::Human { "human" } else { "service" };
        let leads: Vec<String> = self.leads.iter().map(|lead| format!("\"{lead}\"")).collect();
        let place = self.thief.map_or("null".to_owned(), |thief| {
            let code = COUNTRIES[usize::from(thief.place.country)].code;
            format!("{{\"country\":\"{code}\",\"asn\":{}}}", thief.place.asn)
        });
        let own_machine = self.thief.is_none();
        let imitates = self.thief.is_some_and(|thief| thief.agent.is_none());
        let tells_machine = client.source != Source::Github && (kind == "human" || client.source != Source::Entra);
        format!(
            "{{\"anomaly\":\"{}\",\"grant_id\":\"{}\",\"subject_id\":\"{}\",\"subject_kind\":\"{kind}\",\
             \"client_id\":\"{}\",\"source\":\"{}\",\"from\":\"{}\",\"to\":\"{}\",\"leads\":[{}],\"far\":{},\
             \"tells_machine\":{tells_machine},\"own_machine\":{own_machine},\"imitates\":{imitates},\"place\":{place}}}",
            self.anomaly,
            grant_id(world, self.grant),
            subject_id(world, grant.subject),
            client.id,
            client.source.name(),
            spelled_time(self.from),
            spelled_time(self.to),
            leads.join(","),
            self.far,
        )
    }
}
