//! Order does not matter: the same events in random orders, batchings and repetitions give the same findings.

use std::collections::BTreeSet;

use tokentrail::detect::catalog::Catalog;
use tokentrail::detect::{self, Request};
use tokentrail::generate::{Generator, Options as Company, Truth};
use tokentrail::ingest::Options;
use tokentrail::lake::maintenance;
use tokentrail::policy::Policy;

use crate::harness::{TempLake, ingest_memory};

/// What a detector says, in the generator's words.
fn said(verdict: &tokentrail::finding::Verdict) -> String {
    let key: Vec<String> =
        verdict.key.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or("?"))).collect();
    format!("{} {key:?} {} {:?} {}", verdict.detector, verdict.violated_at, verdict.resolved_at, verdict.severity)
}

fn expected(truth: &Truth) -> String {
    let key: Vec<String> = truth.key.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{} {key:?} {} {:?} {}", truth.detector, truth.violated_at, truth.resolved_at, truth.severity)
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_random_orders_give_the_same_findings() {
    let company = Company { events: 6_000, seed: 11, ..Company::default() };
    let mut generator = Generator::new(&company);
    let mut want: Vec<String> = generator.truth().iter().map(expected).collect();
    want.sort();
    // The company plants findings for some detectors; those of the others need only be the same each time.
    let planted: BTreeSet<&str> = generator.truth().iter().map(|truth| truth.detector).collect();
    let mut others: Option<Vec<String>> = None;
    let mut bytes = Vec::new();
    generator.write_to(&mut bytes).unwrap();
    let lines: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect();
    let (policy, catalog) = (Policy::default(), Catalog::load(None).unwrap());
    for seed in 0..20 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut shuffled = lines.clone();
        let repeats: Vec<_> = (0..300).map(|_| lines[dice.usize(..lines.len())].clone()).collect();
        shuffled.extend(repeats);
        dice.shuffle(&mut shuffled);
        let mut partitions = vec![Vec::new(); dice.usize(1..5)];
        for line in shuffled {
            let partition = dice.usize(..partitions.len());
            partitions[partition].push(Some(line));
        }
        let temp = TempLake::new();
        let lake = temp.open().await;
        let steps = dice.usize(1..4);
        for step in 1..=steps {
            let grown = partitions.iter().map(|p| p[..p.len() * step / steps].to_vec()).collect();
            let options =
                Options { rows_max: dice.usize(100..4000), maintain_every: dice.u64(0..3), ..Options::default() };
            ingest_memory(&lake, grown, &options, dice.usize(10..3000)).await;
            if dice.bool() {
                maintenance::compact(lake.events(), Some(2)).await.unwrap();
            }
            // Every pass keeps all folds up; all detectors look at them in the end.
            let ids = planted.iter().filter(|_| step < steps).map(|id| (*id).to_owned()).collect();
            let request = Request { ids, as_of: Some(company.end), full: false };
            let report = detect::run(&lake, &policy, &catalog, &request).await.unwrap();
            if step == steps {
                let (mut found, mut rest) = (Vec::new(), Vec::new());
                for verdict in report.outcomes.iter().flat_map(|o| o.verdicts.as_ref().unwrap()) {
                    let is_planted = planted.contains(&*verdict.detector);
                    if is_planted { &mut found } else { &mut rest }.push(said(verdict));
                }
                found.sort();
                rest.sort();
                assert_eq!(found, want, "seed {seed} gives other findings");
                assert!(!rest.is_empty());
                assert_eq!(others.get_or_insert_with(|| rest.clone()), &rest, "seed {seed} gives other findings");
            }
        }
    }
}
