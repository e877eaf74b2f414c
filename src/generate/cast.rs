//! Who and what there is: invented people, services, agents, clients, machines, and how their ids are spelled.
//!
//! An id is a number or a word until it is written, so that a plan of millions of grants holds no text.
//! Mail addresses are of example.com (RFC 2606), addresses of RFC 5737, AS numbers of RFC 5398.

use super::dice::mix;

/// What tells one thing from another of its sort: a word where a person shall read it, a number elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Number(u64),
    Word(&'static str),
}

/// Whose token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Person(Name),
    Service(Name),
    Agent(Name),
}

/// The software that holds a token.
#[derive(Debug)]
pub struct Client {
    pub id: &'static str,
    pub kind: &'static str,
    pub user_agent: &'static str,
    pub grant: &'static str,
    pub storage: &'static str,
    pub scopes: &'static [&'static str],
}

/// A machine, and the operating-system account used there.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    pub name: Name,
    pub kind: &'static str,
    pub os_user: Option<Name>,
}

const fn client(
    id: &'static str,
    kind: &'static str,
    user_agent: &'static str,
    grant: &'static str,
    storage: &'static str,
    scopes: &'static [&'static str],
) -> Client {
    Client { id, kind, user_agent, grant, storage, scopes }
}

/// Clients that people use. The first is the one stories choose when it does not matter.
pub static FOR_PEOPLE: [Client; 7] = [
    client("gh", "cli", "gh/2.61.0", "device_code", "keychain", &["repo", "read:org", "workflow"]),
    client("aws", "cli", "aws-cli/2.31.4", "authorization_code", "encrypted_file", &["sso:account:access"]),
    client("gcloud", "cli", "gcloud/541.0.0", "authorization_code", "encrypted_file", &["openid", "cloud-platform"]),
    client("kubectl", "cli", "kubectl/1.34.1", "device_code", "memory", &["openid", "groups", "offline_access"]),
    client("az", "cli", "az/2.78.0", "device_code", "keychain", &["openid", "offline_access", "user_impersonation"]),
    client("claude", "cli", "claude/2.0.31", "authorization_code", "keychain", &["user:profile", "user:inference"]),
    client("codex", "cli", "codex/0.52.0", "authorization_code", "keychain", &["openid", "profile", "offline_access"]),
];

/// Clients that services run.
pub static FOR_SERVICES: [Client; 4] = [
    client(
        "github-actions",
        "ci",
        "actions-runner/2.329.0",
        "jwt_bearer",
        "memory",
        &["deploy:write", "packages:write"],
    ),
    client("terraform", "service", "terraform/1.13.4", "client_credentials", "vault", &["infra:plan", "infra:apply"]),
    client("argocd", "service", "argocd/3.1.9", "client_credentials", "vault", &["cluster:sync"]),
    client("backup", "service", "restic/0.18.1", "client_credentials", "encrypted_file", &["bucket:write"]),
];

/// Clients through which agents act.
pub static FOR_AGENTS: [Client; 3] = [
    client("claude", "agent", "claude-agent/2.0.31", "token_exchange", "memory", &["repo", "issues:write"]),
    client("codex", "agent", "codex-agent/0.52.0", "token_exchange", "memory", &["repo", "pull_requests:write"]),
    client("triage-bot", "agent", "triage-bot/1.4.2", "token_exchange", "vault", &["issues:read", "issues:write"]),
];

/// Projects of the company.
pub static PROJECTS: [&str; 8] = ["atlas", "borealis", "cinder", "delta-v", "ember", "fjord", "glacier", "harbor"];

const FIRST: [&str; 32] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "kofi", "lena", "mallory",
    "nadia", "oscar", "peggy", "quinn", "rupert", "sybil", "trent", "uma", "victor", "wendy", "xavier", "yuki", "zoe",
    "amara", "bao", "chen", "dina", "emeka", "farah",
];
const LAST: [&str; 32] = [
    "adler", "baker", "costa", "dubois", "eriksen", "fischer", "garcia", "haddad", "ito", "jensen", "kaya", "lopez",
    "moreau", "nkosi", "okafor", "patel", "quist", "rossi", "sato", "tanaka", "umar", "vargas", "weber", "xu",
    "yilmaz", "zhang", "abebe", "berg", "castro", "dahl", "endo", "flores",
];
const SERVICES: [&str; 4] = ["svc-deploy", "svc-backup", "svc-sync", "svc-report"];
const COUNTRIES: [&str; 6] = ["DE", "US", "JP", "BR", "KE", "NO"];
const NETS: [&str; 3] = ["192.0.2.", "198.51.100.", "203.0.113."];

/// Writes ids. `salt` keeps the opaque ids of two seeds apart.
#[derive(Clone, Copy, Debug)]
pub struct Speller {
    pub salt: u64,
}

impl Speller {
    /// An opaque id: `prefix`, then 16 hexadecimal digits that differ for each (number, turn).
    pub fn opaque(self, prefix: &str, name: Name, turn: Option<u16>, out: &mut Vec<u8>) {
        out.extend_from_slice(prefix.as_bytes());
        match name {
            Name::Number(number) => hex(mix((number << 16 | u64::from(turn.unwrap_or(0))) ^ self.salt), 16, out),
            Name::Word(word) => {
                out.extend_from_slice(word.as_bytes());
                if let Some(turn) = turn {
                    out.push(b'-');
                    decimal(u64::from(turn), out);
                }
            }
        }
    }

    /// A readable id: `prefix`, then the number or word.
    pub fn plain(prefix: &str, name: Name, out: &mut Vec<u8>) {
        out.extend_from_slice(prefix.as_bytes());
        match name {
            Name::Number(number) => decimal(number, out),
            Name::Word(word) => out.extend_from_slice(word.as_bytes()),
        }
    }

    /// A host's id, told apart by its kind.
    pub fn host(host: Host, out: &mut Vec<u8>) {
        let prefix = match host.kind {
            "workstation" => "wks-",
            "jump_host" => "jump-",
            "ci_runner" => "ci-",
            "container" => "ctr-",
            _ => "srv-",
        };
        Self::plain(prefix, host.name, out);
    }

    /// A subject's id: a mail address for people.
    pub fn subject(subject: Subject, out: &mut Vec<u8>) {
        match subject {
            Subject::Person(Name::Number(number)) => {
                out.extend_from_slice(FIRST[(number % 32) as usize].as_bytes());
                out.push(b'.');
                out.extend_from_slice(LAST[(number / 32 % 32) as usize].as_bytes());
                if number >= 1024 {
                    decimal(number / 1024, out);
                }
                out.extend_from_slice(b"@example.com");
            }
            Subject::Person(Name::Word(word)) => {
                out.extend_from_slice(word.as_bytes());
                out.extend_from_slice(b"@example.com");
            }
            Subject::Service(Name::Number(number)) => {
                out.extend_from_slice(SERVICES[(number % 4) as usize].as_bytes());
                out.push(b'-');
                decimal(number, out);
            }
            Subject::Service(name) => Self::plain("svc-", name, out),
            Subject::Agent(name) => Self::plain("agent-", name, out),
        }
    }
}

impl Subject {
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Person(_) => "human",
            Self::Service(_) => "service",
            Self::Agent(_) => "agent",
        }
    }

    pub const fn name(self) -> Name {
        match self {
            Self::Person(name) | Self::Service(name) | Self::Agent(name) => name,
        }
    }
}

/// Where a subject's requests come from: always the same place, so that ordinary life moves nowhere.
pub fn network(subject: Subject, out: &mut Vec<u8>) {
    let place = mix(match subject.name() {
        Name::Number(number) => number,
        Name::Word(word) => word.bytes().fold(7, |hash, byte| hash * 31 + u64::from(byte)),
    });
    out.extend_from_slice(b"\"ip\":\"");
    out.extend_from_slice(NETS[(place % 3) as usize].as_bytes());
    decimal(1 + place / 3 % 254, out);
    out.extend_from_slice(b"\",\"asn\":");
    decimal(64_496 + place / 1000 % 16, out);
    out.extend_from_slice(b",\"country\":\"");
    out.extend_from_slice(COUNTRIES[(place / 16_000 % 6) as usize].as_bytes());
    out.extend_from_slice(b"\",");
}

/// A number in decimal digits.
pub fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The last `width` (at most 16) hexadecimal digits of a number.
pub fn hex(number: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [0; 16];
    for (i, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (60 - 4 * i) & 15) as usize];
    }
    out.extend_from_slice(&digits[16 - width..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_have_names_and_no_two_the_same() {
        let all: std::collections::BTreeSet<Vec<u8>> = (0..5000)
            .map(|number| {
                let mut id = Vec::new();
                Speller::subject(Subject::Person(Name::Number(number)), &mut id);
                id
            })
            .collect();
        assert_eq!(all.len(), 5000);
        assert!(all.contains(&b"mallory.adler@example.com"[..]) && all.contains(&b"alice.adler1@example.com"[..]));
    }
}
