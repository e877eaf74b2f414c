//! 128 machine identities: services that renew by the clock, twins in two regions, nightly and monthly jobs, agents in
//! bursts, CI by the working day.

use super::super::record::{DAY, HOUR, MINUTE, SECOND};
use super::cast::{ASSISTANT, CLIENTS, Kind, MONTHLY, NIGHTLY, RUNNER, STEADY, TWINS};
use super::hours::{DAYS, END, START, is_weekend};
use super::machines::{HostKind, Machine};
use super::places::{CLOUDS, Place};
use super::world::{Action, Event, Grant, World};

/// A machine identity at work.
struct Worker {
    subject: u32,
    client: u8,
    place: Place,
    machine: Machine,
    grant: Option<u32>,
}

/// Everything that no person does.
pub fn live(world: &mut World) {
    for i in 0..56 {
        steady(world, STEADY[i % 3]);
    }
    for _ in 0..18 {
        twins(world);
    }
    for i in 0..18 {
        if i < 10 { nightly(world) } else { monthly(world) }
    }
    for _ in 0..20 {
        assistant(world);
    }
    for _ in 0..16 {
        runner(world);
    }
}

impl Worker {
    fn new(world: &mut World, kind: Kind, client: u8, host_kind: HostKind) -> Self {
        let subject = world.subject(kind);
        let place = region(world);
        let machine = Machine::host(host_kind, world);
        Self { subject, client, place, machine, grant: None }
    }

    /// Renews at a moment, logging in again where the grant is over.
    fn renew(&mut self, world: &mut World, at: i64) {
        if !(START..END).contains(&at) {
            return;
        }
        let held = self.grant.filter(|grant| at < world.grants[*grant as usize].expires_at);
        let (grant, action) = match held {
            Some(grant) => (grant, Action::Refresh),
            None => self.log_in(world, at),
        };
        self.grant = Some(grant);
        let agent = CLIENTS[usize::from(self.client)].agents[0];
        let (client, place, machine) = (self.client, self.place, self.machine);
        world.tell(Event { at, grant, client, action, place, machine, agent });
    }

    fn log_in(&self, world: &mut World, at: i64) -> (u32, Action) {
        let lifetime = CLIENTS[usize::from(self.client)].lifetime * DAY;
        let is_old = self.grant.is_none() && at - START + HOUR < lifetime;
        let age = if is_old { world.dice.between(at - START + HOUR, lifetime) } else { 0 };
        let grant = Grant {
            subject: self.subject,
            client: self.client,
            issued_at: at - age,
            expires_at: at - age + lifetime + HOUR,
        };
        (world.grant(grant), if age > 0 { Action::Refresh } else { Action::Issue })
    }
}

/// A region of a cloud.
fn region(world: &mut World) -> Place {
    let country = [0, 1, 2, 5, 4, 6, 12, 8, 18][world.dice.below(9) as usize];
    Place { country, asn: CLOUDS[world.dice.below(3) as usize] }
}

/// A service that renews every half hour or so; sometimes it restarts, loops, is reconfigured or moves.
fn steady(world: &mut World, client: u8) {
    let host_kind = if world.dice.permille(500) { HostKind::Container } else { HostKind::Server };
    let mut worker = Worker::new(world, Kind::Service, client, host_kind);
    let every = world.dice.between(24 * MINUTE, 40 * MINUTE);
    // A period of another configuration, and how much more often it renews then, in tenths.
    let (from, days) = (START + world.dice.between(10 * DAY, 80 * DAY), world.dice.between(4 * DAY, 15 * DAY));
    let tenths = if world.dice.permille(150) { 13 + world.dice.below(12) as i64 } else { 10 };
    let moves_at = if world.dice.permille(6) { START + world.dice.between(20 * DAY, 85 * DAY) } else { END };
    let mut has_moved = false;
    let mut at = START + world.dice.between(0, every);
    while at < END {
        if at >= moves_at && !has_moved {
            (worker.place, worker.machine, has_moved) = (region(world), Machine::host(host_kind, world), true);
        }
        worker.renew(world, at);
        if world.dice.permille(4) {
            restart(world, &mut worker, host_kind, at);
        }
        let is_reconfigured = (from..from + days).contains(&at);
        let step = if is_reconfigured { every / tenths / 100 * 1000 } else { every };
        at += step + world.dice.between(-90 * SECOND, 90 * SECOND);
    }
}

/// A restart renews at once; one in thirty is a loop of them. A container comes back under another name.
fn restart(world: &mut World, worker: &mut Worker, host_kind: HostKind, at: i64) {
    let mut at = at;
    let loops = if world.dice.permille(33) { 5 + world.dice.below(25) } else { 1 };
    for _ in 0..loops {
        at += world.dice.between(40 * SECOND, 4 * MINUTE);
        if host_kind == HostKind::Container {
            worker.machine = Machine::host(host_kind, world);
        }
        worker.renew(world, at);
    }
}

/// Two instances in two regions, most of one continent, under one grant, both active; a few get a third one later.
fn twins(world: &mut World) {
    let mut worker = Worker::new(world, Kind::Service, TWINS, HostKind::Container);
    let mut regions = vec![region(world), region(world)];
    if world.dice.permille(850) {
        let pair = [[0, 12], [0, 8], [2, 12], [1, 13], [2, 8], [0, 7]][world.dice.below(6) as usize];
        (regions[0].country, regions[1].country) = (pair[0], pair[1]);
    }
    if world.dice.permille(600) {
        regions[1].asn = regions[0].asn;
    }
    let (added, added_at) = (region(world), START + world.dice.between(15 * DAY, 88 * DAY));
    let is_added = world.dice.permille(40);
    let mut machines = vec![worker.machine, Machine::host(HostKind::Container, world)];
    let mut at = START + world.dice.between(0, 30 * MINUTE);
    while at < END {
        if is_added && at >= added_at && regions.len() == 2 {
            regions.push(added);
            machines.push(Machine::host(HostKind::Container, world));
        }
        for i in 0..regions.len() {
            if world.dice.permille(8) {
                machines[i] = Machine::host(HostKind::Container, world);
            }
            (worker.place, worker.machine) = (regions[i], machines[i]);
            let delay = world.dice.between(0, 20 * MINUTE);
            worker.renew(world, at + delay);
        }
        at += 55 * MINUTE + world.dice.between(0, 10 * MINUTE);
    }
}

/// A few renewals every night.
fn nightly(world: &mut World) {
    let mut worker = Worker::new(world, Kind::Service, NIGHTLY, HostKind::Server);
    let begins = world.dice.between(0, 5 * HOUR);
    for day in 0..DAYS {
        for _ in 0..1 + world.dice.below(3) {
            let at = START + day * DAY + begins + world.dice.between(0, HOUR);
            worker.renew(world, at);
        }
    }
}

/// A job on some day of the month, and again the month after.
fn monthly(world: &mut World) {
    let mut worker = Worker::new(world, Kind::Service, MONTHLY, HostKind::Server);
    let (first, begins) = (world.dice.below(28) as i64, world.dice.between(0, 20 * HOUR));
    for days_before in [0, 30, 61] {
        for i in 0..2 + world.dice.below(4) as i64 {
            let at = START + (days_before + first) * DAY + begins + i * 50 * MINUTE + world.dice.between(0, MINUTE);
            worker.renew(world, at);
        }
    }
}

/// An agent: sessions at any time, most in office hours, each in a container of its own, renewing for every errand.
fn assistant(world: &mut World) {
    let mut worker = Worker::new(world, Kind::Agent, ASSISTANT, HostKind::Container);
    let busy = 1 + world.dice.below(4);
    for day in 0..DAYS {
        for _ in 0..world.dice.below(busy * if is_weekend(day) { 1 } else { 3 }) {
            worker.machine = Machine::host(HostKind::Container, world);
            let mut at = START + day * DAY + world.dice.between(5 * HOUR, 22 * HOUR);
            for _ in 0..3 + world.dice.below(20) {
                worker.renew(world, at);
                at += world.dice.between(20 * SECOND, 6 * MINUTE);
            }
        }
    }
}

/// CI: a new runner for every job; on release days six times the jobs.
fn runner(world: &mut World) {
    let mut worker = Worker::new(world, Kind::Service, RUNNER, HostKind::Runner);
    let jobs = 8 + world.dice.below(50);
    for day in 0..DAYS {
        let factor = if is_weekend(day) { 1 } else { 10 } * if world.dice.permille(30) { 6 } else { 1 };
        let mut starts: Vec<i64> =
            (0..jobs * factor / 10).map(|_| START + day * DAY + world.dice.between(6 * HOUR, 21 * HOUR)).collect();
        starts.sort_unstable();
        for at in starts {
            worker.machine = Machine::host(HostKind::Runner, world);
            worker.renew(world, at);
        }
    }
}
