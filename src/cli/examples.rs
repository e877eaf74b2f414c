//! Help that teaches by example: what each command is typed like, and what that does. A test parses every one of them.

use std::fmt::Write as _;

use clap::Command;

/// A command, and examples: what is typed, and what it does.
type Examples = (&'static str, &'static [(&'static str, &'static str)]);

const EXAMPLES: &[Examples] = &[
    ("demo", &[("tokentrail demo", "sample events into ./tokentrail-data, detectors over them")]),
    (
        "ingest",
        &[
            ("tokentrail ingest --from /var/log/okta", "all files of a folder; grown ones are read on"),
            ("zcat audit.json.gz | tokentrail ingest --from -", "what another program writes"),
            (
                "tokentrail ingest --from kafka --bootstrap kafka:9092 --topic tokens --once",
                "a topic up to its present end",
            ),
            ("tokentrail ingest --from leavers.csv --mapping leavers.toml", "a source of your own"),
        ],
    ),
    (
        "decode",
        &[
            ("tokentrail decode audit.json", "record by record: event, rejected and why, or skipped"),
            ("tokentrail decode --summary audit.json", "counts only"),
            ("tokentrail -o ndjson decode - < audit.json", "for another program"),
        ],
    ),
    (
        "detect",
        &[
            ("tokentrail detect", "all detectors, as of now"),
            ("tokentrail detect --fail-on high", "exit code 1 only for open violations, high or critical: for cron"),
            ("tokentrail detect shared_host_reuse --as-of 2026-11-01T00:00:00Z", "one detector, as of a moment"),
            (
                "tokentrail detect --explain refresh_after_offboarding subject_id=alice@example.com grant_id=fm-31",
                "why it fires, or not",
            ),
        ],
    ),
    (
        "query",
        &[
            ("tokentrail query \"SELECT action, count(*) FROM token_events GROUP BY 1\"", "one question"),
            ("tokentrail -o csv query -f report.sql", "a question from a file, the answer as CSV"),
            ("tokentrail query -o parquet \"SELECT * FROM findings\" > findings.parquet", "for pandas, DuckDB, Spark"),
            ("tokentrail query --at 17 \"SELECT count(*) FROM events\"", "as the lake was at version 17"),
        ],
    ),
    (
        "findings",
        &[
            ("tokentrail findings list", "what is open"),
            ("tokentrail findings show b9b9d43a", "one finding: why it is one, and what to do"),
            ("tokentrail findings ack b9b9d43a --owner sam --reason \"asked the team\"", "somebody looks after it"),
            (
                "tokentrail findings suppress b9b9d43a --until 2027-01-01T00:00:00Z --owner sam --reason migration",
                "no alert until then",
            ),
        ],
    ),
    (
        "detectors",
        &[
            ("tokentrail detectors list", "all of them, and for which the lake has no events"),
            ("tokentrail detectors show shared_host_reuse", "one: what it means, and its SQL"),
            ("tokentrail --queries rules detectors new my_rule", "begin one of your own"),
            ("tokentrail --queries rules detectors test my_rule", "its cases"),
        ],
    ),
    (
        "policy",
        &[
            ("tokentrail policy check policy.toml", "is it good?"),
            ("tokentrail policy explain --grant fm-31", "which rule decides for this grant"),
            ("tokentrail policy diff new.toml", "what another policy would open and close"),
        ],
    ),
    (
        "fingerprint",
        &[("tokentrail fingerprint < leaked.txt", "what stands in the lake for these secrets, one a line")],
    ),
    (
        "status",
        &[
            ("tokentrail status", "how far each source was read, and what the lake holds"),
            ("tokentrail -o ndjson status", "for another program"),
        ],
    ),
    (
        "maintain",
        &[
            ("tokentrail maintain compact", "merge small files"),
            ("tokentrail maintain forget --alerts-days 180", "take away alerts that were settled half a year ago"),
            ("tokentrail maintain rebuild", "make the folds again, and compare"),
            ("tokentrail maintain replay-rejected --reason event_time", "decode again what was rejected for its time"),
        ],
    ),
    (
        "generate",
        &[("tokentrail generate --events 100000 --out c.ndjson --truth t.ndjson", "a company, and what must be found")],
    ),
    (
        "hunt",
        &[
            ("tokentrail hunt list", "all saved questions, and what they need to know"),
            ("tokentrail hunt run who_uses_host -p host=jump-berlin-1", "ask one"),
            (
                "tokentrail -o csv hunt run subject_around_offboarding -p subject=mallory@example.com",
                "for a spreadsheet",
            ),
            ("tokentrail hunt show who_uses_host", "its SQL, to go on from"),
        ],
    ),
    (
        "alert",
        &[
            ("tokentrail alert test soc", "a sample to the sink named soc: what does it answer?"),
            ("tokentrail alert --config tokentrail.toml run", "queue what is new and send what is due, once: for cron"),
            (
                "tokentrail alert silence add --detector \"token_*\" --until 2027-01-01T00:00:00Z --owner sam --reason move",
                "no alert of these until then",
            ),
            ("tokentrail alert dead list", "what was given up"),
        ],
    ),
    (
        "export",
        &[
            (
                "tokentrail export --from 2026-07-01 --to 2026-10-01 --out q3 --zip",
                "a quarter's evidence, as a folder and a zip",
            ),
            (
                "tokentrail export --framework owasp-nhi-2025 --from 2026-07-01 --to 2026-10-01 --out nhi --sample 25 --seed q3",
                "by another framework, with 25 grants drawn by lot",
            ),
        ],
    ),
    (
        "verify",
        &[
            ("tokentrail verify q3.zip", "is the pack whole, and do its figures follow from its rows?"),
            ("tokentrail verify q3 --lake tokentrail-data", "and do the detectors say the same again?"),
        ],
    ),
    (
        "serve",
        &[
            ("tokentrail serve --config /etc/tokentrail/tokentrail.toml", "all parts in one process, until SIGTERM"),
            ("tokentrail serve --lake s3://bucket/lake", "with another lake than tokentrail.toml names"),
            ("tokentrail serve --config tokentrail.toml --only ingest", "one more process that only reads"),
        ],
    ),
    (
        "config",
        &[
            ("tokentrail config example > tokentrail.toml", "begin one"),
            (
                "tokentrail config check --config tokentrail.toml",
                "every mistake at once, and whether all can be reached",
            ),
        ],
    ),
    (
        "completions",
        &[
            ("tokentrail completions bash > /etc/bash_completion.d/tokentrail", "for everybody who uses bash"),
            ("tokentrail completions fish > ~/.config/fish/completions/tokentrail.fish", "for yourself, in fish"),
        ],
    ),
    ("man", &[("tokentrail man /usr/local/share/man/man1", "then: man tokentrail-detect")]),
];

/// Adds its examples to the help of each command.
pub fn taught(mut command: Command) -> Command {
    for (name, examples) in EXAMPLES {
        if command.find_subcommand(name).is_some() {
            command = command.mut_subcommand(name, |known| known.after_help(told(examples)));
        }
    }
    command
}

fn told(examples: &[(&str, &str)]) -> String {
    let mut text = "Examples:".to_owned();
    for (typed, what) in examples {
        let _ = write!(text, "\n  {typed}\n      {what}"); // a String takes all
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    /// The arguments behind `tokentrail` in a line for a shell, without what the shell itself reads.
    fn arguments(line: &str) -> Vec<String> {
        let line = line.split_once("tokentrail ").unwrap_or_else(|| panic!("{line}: not about us")).1;
        let line = line.split(['>', '<']).next().unwrap_or(line);
        let mut words = vec![];
        for (place, part) in line.split('"').enumerate() {
            match place % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push(part.to_owned()),
            }
        }
        words
    }

    #[test]
    fn every_example_parses() {
        for (name, examples) in EXAMPLES.iter().filter(|(name, _)| command().find_subcommand(name).is_some()) {
            for (line, what) in *examples {
                let words = arguments(line);
                let parsed = command().try_get_matches_from(std::iter::once("tokentrail".to_owned()).chain(words));
                let matches = parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
                assert_eq!(matches.subcommand_name(), Some(*name), "{line}");
                assert!(!what.is_empty());
            }
        }
    }

    #[test]
    fn every_command_has_an_example_in_its_help() {
        let command = command();
        for known in command.get_subcommands().filter(|known| !known.is_hide_set() && known.get_name() != "help") {
            let help = known.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("tokentrail"), "{}: no example, add one to src/cli/examples.rs", known.get_name());
        }
    }
}
