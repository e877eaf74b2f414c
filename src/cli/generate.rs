//! `tokentrail generate`: a synthetic company's events, with planted violations and a truth file.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::Global;
use crate::generate::{Generator, Options, Shape};

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
}

/// Runs the command.
pub fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    let shape = match args.shape {
        ShapeArg::Company => Shape::Company,
        ShapeArg::Quickstart => Shape::Quickstart,
        ShapeArg::Workload => Shape::Workload { context: false },
        ShapeArg::WorkloadContext => Shape::Workload { context: true },
    };
    let Args { events, seed, shuffle, broken, .. } = args;
    // Both files are opened before the work starts: a bad path fails at once.
    let create = |path: &PathBuf| File::create(path).with_context(|| format!("cannot write {}", path.display()));
    let truth = args.truth.as_ref().map(create).transpose()?;
    let out: Box<dyn Write> =
        if args.out.as_os_str() == "-" { Box::new(io::stdout().lock()) } else { Box::new(create(&args.out)?) };
    let mut generator = Generator::new(&Options { events, seed, shape, shuffle, broken, ..Options::default() });
    let lines = match generator.write_to(out) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS), // the reader has enough
        lines => lines.with_context(|| format!("writing {}", args.out.display()))?,
    };
    if let Some(truth) = truth {
        generator.write_truth_to(io::BufWriter::new(truth)).context("writing the truth file")?;
    }
    if !global.quiet {
        eprintln!("{lines} records, {} findings to be found", generator.truth().len());
    }
    Ok(ExitCode::SUCCESS)
}
