//! The only place that asks for the time of day.

/// Now, in microseconds since 1970-01-01 UTC.
pub fn now_micros() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// Says where the time goes, to whoever asks for debug messages.
pub struct Watch(i64);

impl Watch {
    /// Starts to count.
    pub fn start() -> Self {
        Self(now_micros())
    }

    /// Says how long this took, since the last lap.
    pub fn lap(&mut self, what: &str) {
        let now = now_micros();
        tracing::debug!(milliseconds = (now - self.0) / 1000, "{what}");
        self.0 = now;
    }
}
