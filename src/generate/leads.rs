//! A company for the detectors that only suspect: what they must find is drowned in what looks like it.
//!
//! The company of the parent module is quiet by construction, so it says whether a rule is read rightly, not whether
//! it is of use. A lead is of use if few of its findings are innocent, and that is decided by ordinary life: people
//! travel, change laptops and forget tools, networks lie about where they are, services restart in loops. So this
//! world is noisy by construction, 51 thefts are planted in it, and the truth is who stole what and when, not what a
//! detector must say: `scripts/leads_bench.py` counts hits, misses and false alarms against it.
//!
//! 90 days from 2026-09-01, 260 people and 128 machine identities. The same seed gives the same bytes. [`Feeds`] is a
//! second, smaller world for gaps in the delivery of sources. How much of each nuisance there is, is a guess.

mod absences;
mod cast;
mod gaps;
mod hours;
mod incidents;
mod machines;
mod people;
mod places;
mod routine;
mod services;
mod thefts;
mod whereabouts;
mod world;
mod writing;

use std::io::{self, Write};

pub use gaps::Feeds;

use thefts::Theft;
use world::World;

/// What the company's security team has told Tokentrail: which networks say nothing about a place (two exits of the
/// corporate VPN, a web gateway, in-flight wifi), and which clients share refresh tokens (Microsoft's FOCI).
pub const POLICY: &str = "\
[defaults]
egress_asns = [65300, 65301, 65302, 65303]
client_families = [[\"az\", \"azure-powershell\", \"vscode-azure\"]]
";

/// A planned company: everything has happened, nothing is written yet.
pub struct Company {
    world: World,
    thefts: Vec<Theft>,
}

impl Company {
    /// Lives through the 90 days.
    pub fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        people::live(&mut world);
        services::live(&mut world);
        incidents::befall(&mut world);
        let thefts = thefts::plant(&mut world);
        world.events.sort_by_key(|event| (event.at, event.grant));
        Self { world, thefts }
    }

    /// The planted thefts, one line of JSON each, in the order of their beginnings.
    pub fn truth(&self) -> Vec<String> {
        self.thefts.iter().map(|theft| theft.line(&self.world)).collect()
    }

    /// Writes all records in the order of time; returns how many.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_to(&self, to: impl Write) -> io::Result<u64> {
        writing::write(&self.world, to)
    }

    /// Writes the truth, a line for each theft.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_truth_to(&self, mut to: impl Write) -> io::Result<()> {
        for line in self.truth() {
            writeln!(to, "{line}")?;
        }
        to.flush()
    }
}

#[cfg(test)]
mod tests;
