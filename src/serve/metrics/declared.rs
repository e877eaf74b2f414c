//! Metrics that document themselves: what is registered is also written down, so that docs, dashboard and alert rules can
//! be held against the code.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// One metric, as operators read about it.
#[derive(Clone, Debug)]
pub struct Described {
    /// As it is scraped; of a histogram without `_bucket`, `_sum` and `_count`.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

type Labels = Vec<(&'static str, String)>;
/// A gauge of seconds, bytes or records.
pub type Number = Gauge<f64, AtomicU64>;

/// Sets of labels one metric may have. Names of detectors and partitions are few; a mistake must not fill the memory.
const SERIES_MAX: usize = 5_000;
/// Where further ones are counted.
const REST: &str = "other";

/// A metric with labels.
pub struct Series<M> {
    names: &'static [&'static str],
    family: Family<Labels, M, fn() -> M>,
    /// Sets of labels there are.
    count: AtomicUsize,
}

impl<M: Clone> Series<M> {
    /// The one with these values of its labels, in the order they were declared.
    pub fn of<const N: usize>(&self, values: [&str; N]) -> M {
        let labels = |value: &dyn Fn(usize) -> String| -> Labels {
            self.names.iter().enumerate().map(|(place, name)| (*name, value(place))).collect()
        };
        let mut asked = labels(&|place| values.get(place).map_or_else(String::new, |value| (*value).to_owned()));
        let is_new = self.family.get(&asked).is_none();
        // Two at once may count one set twice; the limit is no finer than that.
        if is_new && self.count.fetch_add(1, Ordering::Relaxed) >= SERIES_MAX {
            asked = labels(&|_| REST.to_owned());
        }
        self.family.get_or_create_owned(&asked)
    }

    /// Forgets every set of labels there was.
    pub fn clear(&self) {
        self.family.clear();
        self.count.store(0, Ordering::Relaxed);
    }
}

/// A registry under construction.
pub struct Declaring {
    pub registry: Registry,
    pub described: Vec<Described>,
}

/// Every name begins so.
const PREFIX: &str = "tokentrail";

impl Declaring {
    pub fn begin() -> Self {
        Self { registry: Registry::with_prefix(PREFIX), described: Vec::new() }
    }

    fn add(
        &mut self,
        (name, kind): (&str, &'static str),
        labels: &'static [&'static str],
        help: &'static str,
        metric: impl Metric,
    ) {
        let suffix = if kind == "counter" { "_total" } else { "" };
        self.described.push(Described { name: format!("{PREFIX}_{name}{suffix}"), kind, labels, help });
        // The crate ends the help with a full stop itself.
        self.registry.register(name, help, metric);
    }

    pub fn counter(&mut self, name: &str, help: &'static str) -> Counter {
        let counter = Counter::default();
        self.add((name, "counter"), &[], help, counter.clone());
        counter
    }

    pub fn gauge(&mut self, name: &str, help: &'static str) -> Number {
        let gauge = Number::default();
        self.add((name, "gauge"), &[], help, gauge.clone());
        gauge
    }

    pub fn histogram(&mut self, name: &str, help: &'static str) -> Histogram {
        let histogram = seconds();
        self.add((name, "histogram"), &[], help, histogram.clone());
        histogram
    }

    pub fn counters(&mut self, name: &str, labels: &'static [&'static str], help: &'static str) -> Series<Counter> {
        self.series((name, "counter"), labels, help, Counter::default)
    }

    pub fn gauges(&mut self, name: &str, labels: &'static [&'static str], help: &'static str) -> Series<Number> {
        self.series((name, "gauge"), labels, help, Number::default)
    }

    pub fn histograms(&mut self, name: &str, labels: &'static [&'static str], help: &'static str) -> Series<Histogram> {
        self.series((name, "histogram"), labels, help, seconds)
    }

    fn series<M>(
        &mut self,
        named: (&str, &'static str),
        names: &'static [&'static str],
        help: &'static str,
        make: fn() -> M,
    ) -> Series<M>
    where
        M: Clone,
        Family<Labels, M, fn() -> M>: Metric + Clone,
    {
        let family: Family<Labels, M, fn() -> M> = Family::new_with_constructor(make);
        self.add(named, names, help, family.clone());
        Series { names, family, count: AtomicUsize::new(0) }
    }
}

/// From milliseconds to minutes: commits and detectors both fall in here.
fn seconds() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0])
}
