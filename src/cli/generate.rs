//! `tokentrail generate`: a synthetic company's events, with planted violations and a truth file.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::Global;
use super::standard::counted;
use crate::generate::{Generator, Options, Shape, leads};

/// Arguments of `generate`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// How many records
    #[arg(long, default_value_t = Options::default().events)]
    events: u64,
    /// The same seed gives the same records
    #[arg(long, default_value_t = Options::default().seed)]
    seed: u64,
    /// Where the records go; `-` is standard output
    #[arg(long, default_value = "-")]
    out: PathBuf,
    /// Where the findings that must come out go
    #[arg(long)]
    truth: Option<PathBuf>,
    /// What kind of company
    #[arg(long, value_enum, default_value = "company")]
    shape: ShapeArg,
    /// In random order, as if delivered late
    #[arg(long)]
    shuffle: bool,
    /// Broken lines mixed in
    #[arg(long, default_value_t = 0)]
    broken: u64,
    /// Where the policy that belongs to the company goes (leads)
    #[arg(long, value_name = "FILE")]
    policy_out: Option<PathBuf>,
}

/// Kinds of companies.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ShapeArg {
    /// Ordinary life with planted violations
    Company,
    /// The small one of sample-data
    Quickstart,
    /// The benchmarks' flat stream of 600-byte records, without truth
    Workload,
    /// The same with offboardings and lost devices
    WorkloadContext,
    /// The benchmarks' steady company: the more records, the longer its history
    Steady,
    /// 90 noisy days of a company with thefts planted, for the detectors that only suspect
    Leads,
    /// 90 days of 14 sources with silences planted
    Gaps,
}

/// Runs the command.
pub fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    let shape = match args.shape {
        ShapeArg::Company => Shape::Company,
        ShapeArg::Quickstart => Shape::Quickstart,
        ShapeArg::Workload => Shape::Workload { context: false },
        ShapeArg::WorkloadContext => Shape::Workload { context: true },
        ShapeArg::Steady => Shape::Steady,
        ShapeArg::Leads | ShapeArg::Gaps => return suspects(&args),
    };
    let Args { events, seed, shuffle, broken, .. } = args;
    // Both files are opened before the work starts: a bad path fails at once.
    let (truth, out) = (args.truth.as_deref().map(create).transpose()?, output(&args.out)?);
    let mut generator = Generator::new(&Options { events, seed, shape, shuffle, broken, ..Options::default() });
    let lines = match generator.write_to(out) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS), // the reader has enough
        lines => lines.with_context(|| format!("writing {}", args.out.display()))?,
    };
    if let Some(truth) = truth {
        generator.write_truth_to(io::BufWriter::new(truth)).context("writing the truth file")?;
    }
    if !global.quiet {
        let (records, findings) = (counted(lines as usize, "record"), counted(generator.truth().len(), "finding"));
        eprintln!("{records}, {findings} to be found");
    }
    Ok(ExitCode::SUCCESS)
}

/// The worlds of the leads, which plan everything first.
fn suspects(args: &Args) -> anyhow::Result<ExitCode> {
    let truth = args.truth.as_deref().map(create).transpose()?.map(io::BufWriter::new);
    let out = output(&args.out)?;
    if let Some(path) = &args.policy_out {
        create(path)?.write_all(leads::POLICY.as_bytes())?;
    }
    let written = match args.shape {
        ShapeArg::Gaps => {
            let feeds = leads::Feeds::new(args.seed);
            truth.map(|file| feeds.write_truth_to(file)).transpose()?;
            feeds.write_to(out)
        }
        _ => {
            let company = leads::Company::new(args.seed);
            truth.map(|file| company.write_truth_to(file)).transpose()?;
            company.write_to(out)
        }
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).with_context(|| format!("writing {}", args.out.display()))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

fn output(path: &Path) -> anyhow::Result<Box<dyn Write>> {
    Ok(if path.as_os_str() == "-" { Box::new(io::stdout().lock()) } else { Box::new(create(path)?) })
}
