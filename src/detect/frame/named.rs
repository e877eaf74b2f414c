//! What a frame shows, by name.

/// Views a frame registers, in order.
pub(super) const VIEWS: &[&str] = &[
    "single_events",
    "token_events",
    "context_events",
    "country_discs",
    "offboardings",
    "device_losses",
    "compromises",
    "contexts",
    "exercises",
    "places",
    "several_contexts",
    "several_places",
    "machines",
    "host_bounds",
    "active_days",
    "refresh_days",
    "lively_days",
    "refresh_crowds",
    "source_minutes",
    "issuers",
    "broad_ends",
];
/// Views that are small and read by many: they are worked out once, and the same for every detector.
pub(super) const SMALL: [&str; 3] = ["offboardings", "device_losses", "compromises"];
/// Views that are small and read more than once: detectors that name them find them worked out.
pub(super) const HELD: [&str; 2] = ["several_contexts", "several_places"];
/// Views that read `grants`.
pub(super) const OF_GRANTS: [&str; 3] = ["ends", "logged_out", "compromised"];

/// What queries can ask of a frame beside the views of events.
pub const ASKED: &[&str] = &[
    "grants",
    "hosts",
    "contexts",
    "exercises",
    "places",
    "all_places",
    "several_contexts",
    "several_places",
    "machines",
    "host_bounds",
    "active_days",
    "refresh_days",
    "lively_days",
    "refresh_crowds",
    "source_minutes",
    "issuers",
    "country_discs",
    "lifetimes",
    "ends",
    "broad_ends",
    "logged_out",
    "compromised",
];
