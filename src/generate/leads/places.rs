//! Countries, networks, and how far countries are from each other. AS numbers are for private use (RFC 6996).

use super::super::dice::Dice;
use super::hours::{Clock, Summer};

/// Where a request seems to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index into [`COUNTRIES`].
    pub country: u8,
    pub asn: u32,
}

/// A country: middle and radius (km) of a circle around it.
#[derive(Debug)]
pub struct Country {
    pub code: &'static str,
    latitude: f64,
    longitude: f64,
    radius: f64,
}

const fn country(code: &'static str, latitude: f64, longitude: f64, radius: f64) -> Country {
    Country { code, latitude, longitude, radius }
}

/// The first seven have an office.
pub static COUNTRIES: [Country; 30] = [
    country("DE", 51.2, 10.4, 450.0),
    country("US", 39.8, -98.6, 2500.0),
    country("GB", 54.0, -2.5, 500.0),
    country("PL", 52.1, 19.4, 400.0),
    country("IN", 22.9, 79.6, 1600.0),
    country("BR", -10.8, -53.1, 2400.0),
    country("JP", 37.6, 138.0, 1300.0),
    country("FR", 46.6, 2.5, 550.0),
    country("NL", 52.2, 5.3, 170.0),
    country("CH", 46.8, 8.2, 180.0),
    country("AT", 47.6, 14.1, 300.0),
    country("CZ", 49.8, 15.3, 250.0),
    country("IE", 53.2, -8.1, 250.0),
    country("CA", 57.0, -98.0, 2700.0),
    country("ES", 40.2, -3.6, 600.0),
    country("IT", 42.8, 12.1, 650.0),
    country("SE", 62.8, 16.7, 800.0),
    country("PT", 39.6, -8.5, 350.0),
    country("SG", 1.4, 103.8, 30.0),
    country("AE", 23.9, 54.3, 300.0),
    country("AR", -35.4, -65.2, 1800.0),
    country("NP", 28.2, 83.9, 450.0),
    country("KR", 36.4, 127.8, 350.0),
    country("AU", -25.7, 134.5, 2200.0),
    country("RO", 45.9, 25.0, 400.0),
    country("TR", 39.1, 35.2, 850.0),
    country("UA", 49.0, 31.4, 700.0),
    country("VN", 16.6, 106.3, 850.0),
    country("NG", 9.6, 8.1, 700.0),
    country("CN", 36.6, 103.8, 2500.0),
];

/// Countries with an office: what share of the people (in a thousand) work there, and their clock.
pub static OFFICES: [(u64, Clock); 7] = [
    (300, Clock { half_hours: 2, summer: Summer::Europe }),
    (240, Clock { half_hours: -10, summer: Summer::America }),
    (120, Clock { half_hours: 0, summer: Summer::Europe }),
    (100, Clock { half_hours: 2, summer: Summer::Europe }),
    (120, Clock { half_hours: 11, summer: Summer::None }),
    (70, Clock { half_hours: -6, summer: Summer::None }),
    (50, Clock { half_hours: 18, summer: Summer::None }),
];

/// Where a phone near the border roams to, for the countries with an office.
pub static NEIGHBOURS: [&[u8]; 7] = [&[7, 8, 9, 10, 11, 3], &[13], &[12], &[0, 11, 26], &[21], &[20], &[22]];
/// Where commercial VPNs have exits.
pub static VPN_EXITS: [u8; 10] = [8, 1, 2, 0, 9, 16, 7, 18, 24, 13];
/// Where thieves come from.
pub static DENS: [u8; 12] = [24, 25, 26, 27, 28, 29, 5, 8, 1, 19, 4, 14];

/// Two exits of the corporate VPN, the web gateway, in-flight wifi: the policy's `egress_asns`.
pub const CORPORATE_VPN: [u32; 2] = [65_300, 65_301];
pub const GATEWAY: u32 = 65_302;
pub const IN_FLIGHT: u32 = 65_303;
/// The clouds that services run in; one number all over the world.
pub const CLOUDS: [u32; 3] = [65_330, 65_331, 65_332];
/// Where the corporate VPN comes out.
pub const CORPORATE_EXITS: [u8; 2] = [0, 1];

const VPN_PROVIDERS: u64 = 6;

/// Networks of a country.
#[derive(Clone, Copy, Debug)]
pub enum Net {
    Home,
    Mobile,
    Hotel,
    Office,
    Hosting,
}

/// Some network of that sort in a country.
pub fn network(country: u8, net: Net, dice: &mut Dice) -> Place {
    let (first, count) = match net {
        Net::Home => (0, 6),
        Net::Mobile => (6, 3),
        Net::Hotel => (9, 8),
        Net::Office => (17, 1),
        Net::Hosting => (18, 4),
    };
    let asn = 64_512 + u32::from(country) * 24 + first + dice.below(count) as u32;
    Place { country, asn }
}

/// Some exit of a commercial VPN provider.
pub fn vpn(provider: u64, dice: &mut Dice) -> Place {
    let country = VPN_EXITS[dice.below(VPN_EXITS.len() as u64) as usize];
    Place { country, asn: 65_310 + (provider % VPN_PROVIDERS) as u32 }
}

/// A lower bound of the way between two countries (km): between their circles, 0 where these meet.
pub fn border_distance(a: u8, b: u8) -> f64 {
    if a == b {
        return 0.0;
    }
    let (a, b) = (&COUNTRIES[usize::from(a)], &COUNTRIES[usize::from(b)]);
    let (from, to) = (a.latitude.to_radians(), b.latitude.to_radians());
    let (height, width) = ((to - from) / 2.0, (b.longitude - a.longitude).to_radians() / 2.0);
    let half = height.sin().powi(2) + from.cos() * to.cos() * width.sin().powi(2);
    (2.0 * 6371.0 * half.sqrt().min(1.0).asin() - a.radius - b.radius).max(0.0)
}
