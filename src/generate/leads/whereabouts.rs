//! From which network a person's requests seem to come, hour by hour.

use super::super::dice::Dice;
use super::absences::Trip;
use super::places::{CORPORATE_EXITS, CORPORATE_VPN, GATEWAY, IN_FLIGHT, NEIGHBOURS, Net, Place, network, vpn};

/// A person's places and habits. Shares are in a thousand.
pub struct Whereabouts {
    pub country: u8,
    /// From which day on which network is the one at home.
    pub homes: Vec<(i64, Place)>,
    pub office: Place,
    pub mobile: Place,
    pub office_share: u64,
    pub corporate_share: u64,
    /// Requests in the office go through the web gateway.
    pub has_gateway: bool,
    /// Whose commercial VPN, and how often it is on.
    pub provider: Option<(u64, u64)>,
    pub border_share: u64,
    /// Days, first and last, on which the home network was said to be in another country.
    pub misplaced: Vec<(i64, i64, u8)>,
    pub trips: Vec<Trip>,
}

/// What is decided once a day.
pub struct Mood {
    in_office: bool,
    corporate: bool,
    /// Exit of the commercial VPN, and the local hours it is on.
    vpn: Option<(Place, i64, i64)>,
}

impl Whereabouts {
    pub fn new(country: u8, dice: &mut Dice) -> Self {
        let mut homes = vec![(i64::MIN, network(country, Net::Home, dice))];
        if dice.permille(60) {
            homes.push((dice.below(90) as i64, network(country, Net::Home, dice)));
        }
        let misplaced = if dice.permille(60) {
            let first = dice.below(88) as i64;
            vec![(first, first + dice.below(3) as i64, dice.below(25) as u8)]
        } else {
            Vec::new()
        };
        Self {
            country,
            homes,
            office: network(country, Net::Office, dice),
            mobile: network(country, Net::Mobile, dice),
            office_share: [900, 600, 400, 0][dice.below(4) as usize],
            corporate_share: [0, 0, 100, 400][dice.below(4) as usize],
            has_gateway: dice.permille(100),
            provider: dice.permille(90).then(|| (dice.below(6), 30 + dice.below(270))),
            border_share: if dice.permille(70) { 30 + dice.below(80) } else { 0 },
            misplaced,
            trips: Vec::new(),
        }
    }

    pub fn trip(&self, day: i64) -> Option<&Trip> {
        self.trips.iter().find(|trip| (trip.first..=trip.last).contains(&day))
    }

    pub fn mood(&self, day: i64, dice: &mut Dice) -> Mood {
        let vpn = match self.provider {
            Some((provider, share)) if dice.permille(share) => {
                let from = 8 + dice.below(12) as i64;
                Some((vpn(provider, dice), from, from + 1 + dice.below(8) as i64))
            }
            _ => None,
        };
        let corporate = dice.permille(self.corporate_share);
        let in_office = match self.trip(day) {
            Some(trip) => trip.office.is_some() && dice.permille(700),
            None => dice.permille(self.office_share),
        };
        Mood { in_office, corporate: corporate && !in_office, vpn }
    }

    /// Where a request seems to come from in an hour (local) of a day.
    pub fn place(&self, mood: &Mood, day: i64, hour: i64, dice: &mut Dice) -> Place {
        let is_day = (8..19).contains(&hour);
        let trip = self.trip(day);
        if trip.is_some_and(|t| t.by_air && (day == t.first || day == t.last)) && dice.permille(120) {
            return Place { country: CORPORATE_EXITS[dice.below(2) as usize], asn: IN_FLIGHT };
        }
        if mood.corporate && dice.permille(850) {
            // The client reconnects to whichever exit answers first.
            let exit = usize::from(dice.permille(150));
            return Place { country: CORPORATE_EXITS[exit], asn: CORPORATE_VPN[exit] };
        }
        if let Some((place, from, to)) = mood.vpn
            && (from..to).contains(&hour)
            && !(mood.in_office && is_day)
        {
            return if dice.permille(850) { place } else { self.ground(mood, trip, day, is_day, dice) };
        }
        self.ground(mood, trip, day, is_day, dice)
    }

    /// The network the laptop is in, whatever it wraps its requests into.
    fn ground(&self, mood: &Mood, trip: Option<&Trip>, day: i64, is_day: bool, dice: &mut Dice) -> Place {
        let mobile = dice.permille(40);
        if let Some(trip) = trip {
            return match trip.office {
                Some(office) if mood.in_office && is_day => office,
                _ if mobile => trip.mobile,
                _ => trip.hotel,
            };
        }
        if dice.permille(self.border_share) {
            let neighbours = NEIGHBOURS[usize::from(self.country)];
            let neighbour = neighbours[dice.below(2.min(neighbours.len() as u64)) as usize];
            return Place { country: neighbour, asn: self.mobile.asn };
        }
        if mood.in_office && is_day {
            let seen_at = if self.has_gateway { GATEWAY } else { self.office.asn };
            return Place { country: self.country, asn: seen_at };
        }
        if mobile {
            return self.mobile;
        }
        let home = self.homes.iter().rev().find(|(from, _)| *from <= day).map_or(self.office, |(_, place)| *place);
        let misplaced = self.misplaced.iter().find(|(first, last, _)| (*first..=*last).contains(&day));
        misplaced.map_or(home, |(_, _, country)| Place { country: *country, ..home })
    }
}
