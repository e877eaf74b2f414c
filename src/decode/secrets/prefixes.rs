//! Secrets that say what they are: the prefixes that issuers give to their tokens.
//!
//! From the issuers' own pages on token formats and secret scanning: GitHub (token prefixes), GitLab (token overview),
//! Slack (token types), OpenAI and Anthropic (API keys), HashiCorp Vault (tokens), Google Cloud (access and refresh tokens,
//! API keys), Microsoft Entra (refresh tokens, client secrets), AWS (STS session tokens), Databricks, npm, PyPI, Stripe and
//! others that publish theirs. What has no prefix is found by the name of its field, or not at all.

use std::ops::Range;

use super::text::looks_random;

/// Which bytes a token is written in.
#[derive(Clone, Copy)]
enum Letters {
    /// Letters and digits.
    Plain,
    /// Those and `_`.
    Word,
    /// Those and `-`: base64url.
    Url,
    /// Those and `.`: several parts.
    Dotted,
    /// Base64 in either alphabet.
    Base64,
    /// Hexadecimal digits.
    Hex,
}

impl Letters {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Plain => byte.is_ascii_alphanumeric(),
            Self::Word => byte.is_ascii_alphanumeric() || byte == b'_',
            Self::Url => byte.is_ascii_alphanumeric() || b"_-".contains(&byte),
            Self::Dotted => byte.is_ascii_alphanumeric() || b"_-.".contains(&byte),
            Self::Base64 => byte.is_ascii_alphanumeric() || b"_-+/=".contains(&byte),
            Self::Hex => byte.is_ascii_hexdigit(),
        }
    }
}

/// How a kind of secret starts, what follows, and how much of that at least.
struct Prefix {
    start: &'static str,
    letters: Letters,
    least: usize,
    /// Exactly that much, and only as a word of its own.
    whole: bool,
    /// The start is a place, which stays; what follows is the secret.
    is_place: bool,
}

const fn prefix(start: &'static str, letters: Letters, least: usize) -> Prefix {
    Prefix { start, letters, least, whole: false, is_place: false }
}

const fn whole(start: &'static str, letters: Letters, length: usize) -> Prefix {
    Prefix { start, letters, least: length, whole: true, is_place: false }
}

const fn place(start: &'static str, least: usize) -> Prefix {
    Prefix { start, letters: Letters::Base64, least, whole: false, is_place: true }
}

/// By first byte, so that a look-up touches few of them.
#[rustfmt::skip]
const PREFIXES: [Prefix; 112] = [
    // Google refresh tokens and authorization codes, Entra refresh tokens and codes
    prefix("0.A", Letters::Dotted, 80), prefix("1.A", Letters::Dotted, 80),
    prefix("1//0", Letters::Url, 30), prefix("4/0A", Letters::Url, 30),
    prefix("AGE-SECRET-KEY-1", Letters::Plain, 40), prefix("AIza", Letters::Url, 35), prefix("AKCp", Letters::Plain, 50),
    prefix("AQoDYXdz", Letters::Base64, 80), prefix("ATATT3", Letters::Base64, 40), prefix("ATBB", Letters::Plain, 28),
    prefix("ATCTT3", Letters::Base64, 40), prefix("CCIPAT_", Letters::Word, 30), prefix("CCIPRJ_", Letters::Word, 30),
    prefix("EAA", Letters::Plain, 60), prefix("FQoGZXIvYXdz", Letters::Base64, 80), prefix("FwoGZXIvYXdz", Letters::Base64, 80),
    prefix("GOCSPX-", Letters::Url, 20), prefix("HRKU-", Letters::Url, 30), prefix("IQoJb3JpZ2lu", Letters::Base64, 80),
    prefix("M.C", Letters::Base64, 80), prefix("NRAK-", Letters::Plain, 20), prefix("PMAK-", Letters::Url, 30),
    prefix("SG.", Letters::Dotted, 60),
    prefix("atlasv1.", Letters::Url, 50),
    whole("b.", Letters::Plain, 24), prefix("bkua_", Letters::Plain, 30),
    prefix("dapi", Letters::Hex, 32), prefix("dckr_oat_", Letters::Url, 20), prefix("dckr_pat_", Letters::Url, 20),
    place("discord.com/api/webhooks/", 40), place("discordapp.com/api/webhooks/", 40), prefix("doo_v1_", Letters::Hex, 40),
    prefix("dop_v1_", Letters::Hex, 40), prefix("dor_v1_", Letters::Hex, 40), prefix("dose", Letters::Hex, 32),
    prefix("dp.audit.", Letters::Plain, 30), prefix("dp.ct.", Letters::Plain, 30), prefix("dp.pt.", Letters::Plain, 30),
    prefix("dp.sa.", Letters::Plain, 30), prefix("dp.scim.", Letters::Plain, 30), prefix("dp.st.", Letters::Dotted, 30),
    prefix("figd_", Letters::Url, 30), prefix("figo_", Letters::Url, 30), prefix("fm2_", Letters::Base64, 40),
    prefix("fo1_", Letters::Url, 30),
    prefix("gho_", Letters::Dotted, 20), prefix("ghp_", Letters::Dotted, 20), prefix("ghr_", Letters::Dotted, 20),
    prefix("ghs_", Letters::Dotted, 20), prefix("ghu_", Letters::Dotted, 20), prefix("github_pat_", Letters::Word, 20),
    prefix("glagent-", Letters::Dotted, 20), prefix("glc_", Letters::Base64, 20),
    prefix("glcbt-", Letters::Dotted, 20), prefix("gldt-", Letters::Dotted, 20),
    prefix("glffct-", Letters::Dotted, 20), prefix("glft-", Letters::Dotted, 20),
    prefix("glimt-", Letters::Dotted, 20), prefix("gloas-", Letters::Dotted, 20),
    prefix("glpat-", Letters::Dotted, 20), prefix("glptt-", Letters::Dotted, 20),
    prefix("glrt-", Letters::Dotted, 20), prefix("glrtr-", Letters::Dotted, 20),
    prefix("glsa_", Letters::Dotted, 20), prefix("glsoat-", Letters::Dotted, 20),
    prefix("glwt-", Letters::Dotted, 20),
    prefix("gsk_", Letters::Plain, 30),
    prefix("hf_", Letters::Plain, 30), place("hooks.slack.com/services/", 20), place("hooks.slack.com/triggers/", 20),
    place("hooks.slack.com/workflows/", 20), prefix("hvb.", Letters::Dotted, 20), prefix("hvr.", Letters::Dotted, 20),
    prefix("hvs.", Letters::Dotted, 20),
    prefix("lin_api_", Letters::Plain, 30), prefix("lin_oauth_", Letters::Plain, 30),
    prefix("npm_", Letters::Plain, 30), prefix("ntn_", Letters::Plain, 30),
    prefix("ops_eyJ", Letters::Base64, 40), prefix("ory_", Letters::Dotted, 30),
    prefix("pscale_", Letters::Dotted, 32), prefix("pul-", Letters::Hex, 40), prefix("pypi-AgE", Letters::Url, 30),
    whole("r.", Letters::Plain, 24), prefix("r8_", Letters::Plain, 30), prefix("rk_live_", Letters::Plain, 20),
    prefix("rk_test_", Letters::Plain, 20), prefix("rubygems_", Letters::Hex, 40),
    whole("s.", Letters::Plain, 24), prefix("sbp_", Letters::Hex, 40), prefix("secret_", Letters::Plain, 40),
    prefix("sess-", Letters::Plain, 40), prefix("sgp_", Letters::Word, 40), prefix("shpat_", Letters::Hex, 30),
    prefix("shpca_", Letters::Hex, 30), prefix("shppa_", Letters::Hex, 30), prefix("shprt_", Letters::Hex, 30),
    prefix("shpss_", Letters::Hex, 30), prefix("sk-", Letters::Url, 20), prefix("sk_live_", Letters::Plain, 20),
    prefix("sk_test_", Letters::Plain, 20), prefix("sntryu_", Letters::Hex, 40), prefix("sq0atp-", Letters::Url, 20),
    prefix("sq0csp-", Letters::Url, 20),
    prefix("tskey-", Letters::Url, 20),
    prefix("v1.M", Letters::Url, 40), prefix("v2.local.", Letters::Dotted, 40), prefix("v4.local.", Letters::Dotted, 40),
    prefix("whsec_", Letters::Base64, 20),
    prefix("xapp-", Letters::Dotted, 18), prefix("xox", Letters::Dotted, 20),
    prefix("ya29.", Letters::Dotted, 20),
];

/// Where each first byte's prefixes start in [`PREFIXES`].
static STARTS: [u8; 257] = {
    let mut starts = [0; 257];
    let mut byte = 0;
    let mut at = 0;
    while byte < 256 {
        starts[byte] = at as u8;
        while at < PREFIXES.len() && PREFIXES[at].start.as_bytes()[0] as usize == byte {
            at += 1;
        }
        byte += 1;
    }
    starts[256] = at as u8;
    // Every prefix was passed: they are in order.
    assert!(at == PREFIXES.len());
    starts
};

/// Which second bytes follow each first byte in some prefix, as bits: most words are told from a prefix by two bytes.
static SECONDS: [[u64; 4]; 256] = {
    let mut seconds = [[0; 4]; 256];
    let mut at = 0;
    while at < PREFIXES.len() {
        let start = PREFIXES[at].start.as_bytes();
        seconds[start[0] as usize][start[1] as usize / 64] |= 1 << (start[1] % 64);
        at += 1;
    }
    seconds
};

/// The secret whose prefix stands at `at`, as a range of `bytes`. The run of letters it stands in starts at `run`.
pub fn find(bytes: &[u8], run: usize, at: usize) -> Option<Range<usize>> {
    let rest = bytes.get(at..)?;
    let [first, second, ..] = *rest else { return None };
    let first = usize::from(first);
    if SECONDS[first][usize::from(second / 64)] & (1 << (second % 64)) == 0 {
        return None;
    }
    let kinds = PREFIXES.get(usize::from(STARTS[first])..usize::from(STARTS[first + 1]))?;
    kinds.iter().find_map(|kind| kind.matches(bytes, rest, run, at))
}

impl Prefix {
    fn matches(&self, bytes: &[u8], rest: &[u8], run: usize, at: usize) -> Option<Range<usize>> {
        let body = rest.strip_prefix(self.start.as_bytes())?;
        let length = body.iter().take_while(|b| self.letters.has(**b)).count();
        // A full stop or a dash at the end belongs to the sentence.
        let tail = body[..length].iter().rev().take_while(|b| b".-".contains(b)).count();
        let body = &body[..length - tail];
        let is_long = body.len() >= self.least;
        let is_whole = !self.whole || (body.len() == self.least && at == run && has_three_classes(body));
        // A short prefix may be the start of a word.
        let is_random = self.start.len() > 3 || body.iter().any(u8::is_ascii_digit) || looks_random(body);
        if !(is_long && is_whole && is_random) {
            return None;
        }
        let end = at + self.start.len() + body.len();
        let start = if self.is_place {
            at + self.start.len()
        } else if self.start == "atlasv1." {
            // Terraform's tokens have theirs in the middle: the account's part stands before it.
            at - bytes.get(run..at)?.iter().rev().take_while(|b| b.is_ascii_alphanumeric() || **b == b'.').count()
        } else {
            at
        };
        Some(start..end)
    }
}

fn has_three_classes(body: &[u8]) -> bool {
    body.iter().any(u8::is_ascii_digit)
        && body.iter().any(u8::is_ascii_lowercase)
        && body.iter().any(u8::is_ascii_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_by_their_prefix() {
        let body = "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z".repeat(4);
        for kind in &PREFIXES {
            let letters: String = body.chars().filter(|c| kind.letters.has(*c as u8)).collect();
            let length = if kind.whole { kind.least } else { kind.least.max(20) + 3 };
            let hex = "0123456789abcdef".repeat(8);
            let text = format!("{}{}", kind.start, &if letters.len() < length { hex } else { letters }[..length]);
            let found = find(text.as_bytes(), 0, 0).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(found.end, text.len(), "{text}");
            let short = &text[..kind.start.len() + 10];
            assert_eq!(find(short.as_bytes(), 0, 0), None, "{short}");
        }
    }

    #[test]
    fn what_stands_around_a_token_is_left() {
        let text = "hooks.slack.com/services/T0000000/B0000000/Ab3dEf6hIj9kLm2nOp5q";
        assert_eq!(find(text.as_bytes(), 0, 0).map(|r| &text[r]), Some("T0000000/B0000000/Ab3dEf6hIj9kLm2nOp5q"));
        let text = "ghp_Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z1234.";
        assert_eq!(find(text.as_bytes(), 0, 0).map(|r| r.end), Some(text.len() - 1));
        for text in ["sk-ip-to-the-next-paragraph-now", "s.example", "glad-to-see-you-all-here-again"] {
            assert_eq!(find(text.as_bytes(), 0, 0), None, "{text}");
        }
    }
}
