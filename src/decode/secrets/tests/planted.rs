//! A thousand secrets of many kinds, planted in right and wrong fields, in records that can be decoded and in some that
//! cannot: none may be left. And what must hold for any bytes at all.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;

const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &str = "0123456789abcdef";

struct Dice(fastrand::Rng);

impl Dice {
    fn text(&mut self, letters: &str, length: usize) -> String {
        (0..length).map(|_| char::from(letters.as_bytes()[self.0.usize(..letters.len())])).collect()
    }

    fn alnum(&mut self, length: usize) -> String {
        self.text(ALNUM, length)
    }

    fn url(&mut self, length: usize) -> String {
        self.text(&format!("{ALNUM}-_"), length - 1) + "a"
    }

    fn base64(&mut self, bytes: usize) -> String {
        STANDARD.encode((0..bytes).map(|_| self.0.u8(..)).collect::<Vec<_>>())
    }

    fn jwt(&mut self) -> String {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"at+jwt"}"#);
        let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"{}"}}"#, self.alnum(8)));
        format!("{header}.{payload}.{}", self.url(86))
    }

    /// A secret of one of the kinds that have a syntax.
    fn with_syntax(&mut self, kind: usize) -> String {
        match kind % KINDS {
            0 => self.jwt(),
            1 => format!("ghp_{}", self.alnum(36)),
            2 => format!("github_pat_{}_{}", self.alnum(22), self.alnum(59)),
            3 => format!("gho_{}", self.alnum(36)),
            4 => format!("xoxb-{}-{}-{}", self.text(HEX, 12), self.text(HEX, 12), self.alnum(24)),
            5 => format!("xoxe.xoxp-1-{}", self.alnum(120)),
            6 => format!("xapp-1-A{}-{}-{}", self.alnum(10), self.text("0123456789", 13), self.text(HEX, 64)),
            7 => format!("sk-proj-{}", self.url(80)),
            8 => format!("sk-{}", self.alnum(48)),
            9 => format!("sk-ant-api03-{}", self.url(95)),
            10 => format!("hvs.{}", self.url(90)),
            11 => loop {
                let body = self.alnum(24);
                let has = |is: fn(&u8) -> bool| body.bytes().any(|b| is(&b));
                if has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) {
                    break format!("s.{body}");
                }
            },
            12 => format!("glpat-{}", self.url(20)),
            13 => format!("npm_{}", self.alnum(36)),
            14 => format!("pypi-AgEIcHlwaS5vcmc{}", self.url(100)),
            15 => format!("ya29.{}", self.url(120)),
            16 => format!("AIza{}", self.url(35)),
            17 => format!("GOCSPX-{}", self.url(28)),
            18 => format!("1//0{}", self.url(90)),
            19 => format!("0.A{}", self.url(400)),
            20 => format!("dapi{}", self.text(HEX, 32)),
            21 => format!("IQoJb3JpZ2luX2Vj{}", self.base64(240)),
            22 => format!("sk_live_{}", self.alnum(24)),
            23 => format!("{}8Q~{}", self.alnum(3), self.url(34)),
            _ => format!("-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----", self.base64(48)),
        }
    }

    /// A secret that only its field gives away.
    fn opaque(&mut self, kind: usize) -> String {
        match kind % 8 {
            0 => self.alnum(43),
            1 => self.base64(32),
            2 => self.text(HEX, 40),
            3 => format!("{}-{}-{}", self.text(HEX, 8), self.text(HEX, 4), self.text(HEX, 12)),
            4 => self.base64(30), // as long as an AWS secret access key
            5 => format!("00{}", self.url(40)),
            6 => format!("{}.{}", self.url(20), self.url(40)),
            _ => format!("{}!7-{}", self.text("abcdefghijklmnop", 8), self.alnum(4)),
        }
    }
}

const KINDS: usize = 25;

const NATIVE: &str = r#""event_time":"2026-10-01T08:00:00Z","action":"refresh","subject":{"id":"alice@example.com"}"#;

/// Records with any field.
fn anywhere(secret: &str) -> Vec<String> {
    vec![
        format!(r#"{{{NATIVE},"token":{{"id":"{secret}","family":"f"}}}}"#),
        format!(r#"{{{NATIVE},"note":"used {secret} to sign in"}}"#),
        format!(r#"{{{NATIVE},"session":"{secret}"}}"#),
        format!(r#"{{{NATIVE},"list":[1,["x","{secret}"]]}}"#),
        format!(r#"{{{NATIVE},"{secret}":true}}"#),
        format!(r#"{{{NATIVE},"network":{{"user_agent":"curl -H 'X-Token: {secret}'"}}}}"#),
        format!(r#"{{{NATIVE},"body":"{{\"a\":\"{secret}\"}}"}}"#).replace("\\n", "\\\\n"),
        format!(r#"{{"event_time":"never","action":"{secret}"}}"#),
        format!(r#"{{"event_time":"{secret}","action":"refresh"}}"#),
    ]
}

/// Records with the fields that are made for secrets.
fn in_named_fields(secret: &str) -> Vec<String> {
    let mut records: Vec<String> = [
        "access_token",
        "refreshToken",
        "Client-Secret",
        "PASSWORD",
        "apiKey",
        "subject_token",
        "x-vault-token",
        "device_code",
    ]
    .iter()
    .map(|name| format!(r#"{{{NATIVE},"a":{{"{name}":"{secret}"}}}}"#))
    .collect();
    records.extend([
        format!(r#"{{{NATIVE},"request":{{"headers":{{"Authorization":["Bearer {secret}"]}}}}}}"#),
        format!(r#"{{{NATIVE},"cookies":{{"sid":"{secret}"}}}}"#),
        format!(r#"{{{NATIVE},"parameters":[{{"name":"refresh_token","value":"{secret}"}}]}}"#),
        format!(r#"{{{NATIVE},"body":"{{\"client_secret\":\"{secret}\"}}"}}"#),
        format!(r#"{{{NATIVE},"body":"grant_type=password&password={}&x=1"}}"#, secret.replace(['+', '&'], "%2B")),
        format!(r#"{{"refresh_token":"{secret}","event_time":"never"}}"#),
    ]);
    records
}

/// Nothing of the secret is left: not even a part of it that would help to guess the rest.
fn assert_gone(record: &str, secret: &str) {
    let redactor = redactor();
    let cut = &record[..record.len() - 1 - usize::from(record.ends_with("}}"))];
    for (input, output) in [
        (record, redactor.redact(record.as_bytes())),
        (record, redactor.redact_rejected(record.as_bytes())),
        (cut, redactor.redact_rejected(cut.as_bytes())),
    ] {
        let text = std::str::from_utf8(&output).unwrap();
        for part in secret.split("\\n").filter(|part| !part.starts_with("-----")) {
            let tail = part.get(part.len().saturating_sub(16)..).unwrap();
            assert!(!text.contains(tail), "{input}\nbecame\n{text}");
        }
        if input == record {
            assert!(is_json(&output), "{input}\nbecame\n{text}");
        }
    }
    let once = redactor.redact(record.as_bytes());
    assert_eq!(redactor.redact(&once), once, "{record}");
}

#[test]
fn a_thousand_planted_secrets_are_gone() {
    let mut dice = Dice(fastrand::Rng::with_seed(11));
    let mut planted = 0;
    for round in 0..1000 {
        let secret = dice.with_syntax(round);
        for record in anywhere(&secret).into_iter().chain(in_named_fields(&secret)) {
            assert_gone(&record, &secret);
            planted += 1;
        }
        let secret = dice.opaque(round);
        for record in in_named_fields(&secret) {
            assert_gone(&record, &secret);
            planted += 1;
        }
    }
    assert!(planted > 20_000);
}

#[test]
fn opaque_secrets_are_gone_from_what_cannot_be_read() {
    let (mut dice, redactor) = (Dice(fastrand::Rng::with_seed(12)), redactor());
    for round in 0..4000 {
        let secret = dice.opaque(round % 7);
        for record in [format!(r#"{{{NATIVE},"whatever":"{secret}""#), format!("GET /x?a={secret} HTTP/1.1")] {
            let found = redactor.redact_rejected(record.as_bytes()).into_owned();
            assert!(!String::from_utf8(found).unwrap().contains(&secret), "{record}");
        }
    }
}

/// Records to damage: every rule is met by some of them.
fn samples() -> Vec<String> {
    let mut dice = Dice(fastrand::Rng::with_seed(13));
    (0..KINDS)
        .flat_map(|kind| {
            let (one, other) = (dice.with_syntax(kind), dice.opaque(kind));
            let mut records = anywhere(&one);
            records.extend(in_named_fields(&other));
            records
        })
        .collect()
}

/// What holds for any bytes.
fn assert_sound(redactor: &Redactor, record: &[u8]) {
    let shown = || String::from_utf8_lossy(record).into_owned();
    let once = redactor.redact(record);
    assert!(!is_json(record) || is_json(&once), "{}\nbecame\n{}", shown(), String::from_utf8_lossy(&once));
    assert!(redactor.redact(&once) == once, "{}\nonce\n{}", shown(), String::from_utf8_lossy(&once));
    let once = redactor.redact_rejected(record);
    assert!(redactor.redact_rejected(&once) == once, "{}\nonce\n{}", shown(), String::from_utf8_lossy(&once));
}

#[test]
fn damaged_records_and_noise_are_taken_as_they_are() {
    let (redactor, samples) = (redactor(), samples());
    let rounds = std::env::var("TOKENTRAIL_FUZZ_RECORDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let mut dice = fastrand::Rng::with_seed(14);
    let bits: [&[u8]; 24] = [
        b"\"",
        b"\\\"",
        b"\\\\\\\"",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b"\\",
        b"\\u0022",
        b"\\u0065",
        b"\\u005c",
        b"\\n",
        b"token\":",
        b"password=",
        b"Bearer ",
        b"://",
        b"@",
        b"%22",
        b"&quot;",
        b"value\":",
        b"\xff",
        b"eyJ",
    ];
    for _ in 0..rounds {
        let mut record = samples[dice.usize(..samples.len())].clone().into_bytes();
        for _ in 0..dice.usize(1..6) {
            let at = dice.usize(..record.len().max(1));
            match dice.u8(..6) {
                0 | 1 if record.is_empty() => {}
                0 => record[at] = dice.u8(..),
                1 => drop(record.remove(at)),
                2 | 3 => drop(record.splice(at..at, dice.choice(bits).unwrap().iter().copied())),
                4 => record.truncate(at + 1),
                _ => {
                    let part = record[dice.usize(..at + 1)..at].to_vec();
                    record.splice(at..at, part);
                }
            }
        }
        assert_sound(&redactor, &record);
    }
    for _ in 0..rounds / 4 {
        let noise: Vec<u8> = (0..dice.usize(..300)).map(|_| dice.u8(..)).collect();
        assert_sound(&redactor, &noise);
        // Of pieces thrown together it is only asked that they are taken.
        let noise: Vec<u8> = (0..dice.usize(..60)).flat_map(|_| dice.choice(bits).unwrap().iter().copied()).collect();
        redactor.redact(&noise);
        redactor.redact_rejected(&noise);
    }
}
