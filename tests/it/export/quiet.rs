//! Whatever is missing (a feed, a source, days, events) makes a result other than a pass, and the reason says what.

use std::fmt::Write as _;
use std::fs;

use super::{Case, SMALL, detector, result};

/// Events of a quarter: one refresh an hour of a source, and offboardings and lost devices now and then.
fn quarter(refreshes: impl Fn(u32, u32) -> bool, offboards: impl Fn(u32) -> bool) -> String {
    let mut text = String::new();
    let mut number = 0;
    for day in 0..123_u32 {
        let (month, date) = match day {
            0..31 => (7, day + 1),
            31..62 => (8, day - 30),
            62..92 => (9, day - 61),
            _ => (10, day - 91),
        };
        let mut put = |hour: u32, rest: &str| {
            number += 1;
            let _ = writeln!(
                text,
                r#"{{"event_id":"e{number}","event_time":"2026-{month:02}-{date:02}T{hour:02}:15:00Z",{rest}}}"#
            );
        };
        for hour in (0..24).filter(|hour| refreshes(day, *hour)) {
            let family = format!("fm-{}", day / 7);
            let action = if day % 7 == 0 && hour == 0 { "issue" } else { "refresh" };
            put(
                hour,
                &format!(
                    r#""action":"{action}","token":{{"id":"tk-{day}-{hour}","family":"{family}","kind":"refresh"}},"subject":{{"id":"ana@example.com"}},"client":{{"id":"gh"}},"host":{{"id":"ws-1"}},"source":"okta""#
                ),
            );
        }
        if offboards(day) {
            put(9, &format!(r#""action":"offboard","subject":{{"id":"gone{day}@example.com"}},"source":"hr""#));
        }
    }
    text
}

#[test]
fn nothing_passes_quietly() {
    let every = |_: u32, hour: u32| hour.is_multiple_of(2);
    let monthly = |day: u32| day.is_multiple_of(20);
    let of = |text: String| {
        let case = Case::written(&text);
        let framework = case.out("small.toml");
        fs::write(&framework, SMALL).unwrap();
        let said = case.export("pack", &["--framework", framework.to_str().unwrap()]);
        assert_eq!(case.verify("pack", &[]).0, Some(0));
        let told = detector(&case.out("pack"), "refresh_after_offboarding");
        (told["result"].as_str().unwrap().to_owned(), told["reason"].as_str().unwrap().to_owned(), said)
    };
    let (result_, reason, said) = of(quarter(every, monthly));
    assert_eq!(result_, "pass", "{reason}");
    assert!(reason.starts_with("no exceptions found by this test in "), "{reason}");
    assert_eq!(said["summary"]["subcategories"]["error"], 0);
    // Nobody says who left.
    let (result_, reason, _) = of(quarter(every, |_| false));
    assert!(result_ == "inconclusive" && reason.contains("no reports of people who left"), "{reason}");
    // They stopped saying so.
    let (result_, reason, _) = of(quarter(every, |day| day == 20));
    assert!(result_ == "inconclusive" && reason.contains("not fresh"), "{reason}");
    // A source stopped.
    let (result_, reason, _) = of(quarter(|day, hour| day < 100 && every(day, hour), monthly));
    assert!(result_ == "inconclusive" && reason.contains("okta"), "{reason}");
    // Three days are missing.
    let (result_, reason, said) = of(quarter(|day, hour| !(80..83).contains(&day) && every(day, hour), monthly));
    assert!(result_ == "inconclusive" && reason.contains("okta was silent from 2026-09-"), "{reason}");
    assert_eq!(result(&said, "S-2").0, "fail");
    // The lake begins in the middle of the period.
    let (result_, reason, _) = of(quarter(|day, hour| day > 60 && every(day, hour), |day| day > 60 && monthly(day)));
    assert!(result_ == "inconclusive" && reason.contains("later than the period"), "{reason}");
    // Nothing was refreshed.
    let (result_, reason, _) = of(quarter(|day, hour| day % 7 == 0 && hour == 0, monthly));
    assert!(result_ == "not-tested" && reason.contains("nothing to test"), "{reason}");
}
