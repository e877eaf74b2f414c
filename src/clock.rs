//! The only place that asks for the time of day.

/// Now, in microseconds since 1970-01-01 UTC.
pub fn now_micros() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}
