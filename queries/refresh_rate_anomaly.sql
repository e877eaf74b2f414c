/*---
title    = "Refreshes far above their own past"
severity = "medium"
status   = "stable"
kind     = "lead"
summary  = "A subject's client refreshed far more often than ever in its last four weeks, or around the clock for once."
rationale = """
A copied refresh token that is polled or kept alive adds to the refreshes of its owner: for hours there are far more
than there ever were, or they go on through the night. Minutes are counted, not refreshes, so that retries do not
matter, and hours in which many clients of a source rose together (an outage, a stampede) neither count nor teach.
"""
because  = "From {violated_at} {subject_id} refreshed with {client_id} as never in the four weeks before; {hour_count} hours of {day} stand out ({reason})."
false_positives = [
    "A program that somebody reconfigured, or left running over night for the first time.",
    "A crash loop that logs in anew each time.",
]
response = [
    "Look at the addresses and machines of the refreshes of that day: are all of them the owner's?",
    "If not, revoke the grants of this client and look at what was done with them since violated_at.",
    "If it is a new program that will stay, do nothing: its own past catches up within a day.",
]
key      = ["subject_id", "client_id", "day"]
reads    = ["grants", "refresh_crowds", "token_events"]
every    = "15m"
nominate = """
SELECT DISTINCT c.grant_id
FROM lively_days AS l
-- The four weeks before, what rose in common in the four weeks before those, and the day after: a day and night may end there.
INNER JOIN contexts AS c
    ON c.subject_id = l.subject_id
    AND c.client_id = l.client_id
    AND c.last_exercised_at >= l.day - INTERVAL '60' DAY
    AND c.first_exercised_at < l.day + INTERVAL '2' DAY
-- What an hour of the day, or of the night after it, gives rise to is over when the hour is; but of the four weeks that it
-- is compared with, those must be here that rose together.
WHERE l.day >= $since - INTERVAL '33' DAY
UNION
SELECT p.grant_id
FROM contexts AS p
INNER JOIN (
    SELECT DISTINCT c.subject_id, c.client_id
    FROM grants AS g
    INNER JOIN contexts AS c ON c.grant_id = g.grant_id
    WHERE g.steady_factor IS NOT NULL
) AS s ON s.subject_id = p.subject_id AND s.client_id = p.client_id
"""
[controls]
csf         = ["DE.CM-09", "DE.AE-02"]
nhi         = ["NHI2:2025"]
attack      = ["T1550.001", "T1528"]
nist_800_53 = ["AC-2(12)", "SI-4", "AU-6"]
---*/
WITH hours AS (
    -- Hours are counted since 1970: windows over whole numbers are exact.
    SELECT
        e.subject_id,
        e.client_id,
        e.source,
        CAST(e.event_time AS BIGINT) / 3600000000 AS hour,
        BIT_OR(CAST(1 AS BIGINT) << CAST(date_part('minute', e.event_time) AS BIGINT)) AS minutes,
        MIN(e.grant_id) AS grant_id,
        MAX(
            CASE
                WHEN
                    e.subject_kind IN ('agent', 'shared') OR e.client_kind IN ('agent', 'ci')
                    OR e.host_kind = 'ci_runner'
                    THEN 1
                ELSE 0
            END
        ) AS is_automatic,
        MAX(CASE WHEN e.subject_kind = 'service' THEN 1 ELSE 0 END) AS is_service
    FROM token_events AS e
    WHERE
        e.action = 'refresh' AND e.outcome = 'success' AND e.grant_id IS NOT NULL
        AND e.subject_id IS NOT NULL AND e.client_id IS NOT NULL
    GROUP BY e.subject_id, e.client_id, e.source, CAST(e.event_time AS BIGINT) / 3600000000
),

compared AS (
    -- As in the histories below the last day does not count: a stampede of several hours is one.
    SELECT
        subject_id,
        client_id,
        source,
        hour,
        minutes,
        grant_id,
        is_automatic,
        is_service,
        bit_count(minutes) AS minute_count,
        MAX(bit_count(minutes)) OVER (
            PARTITION BY subject_id, client_id, source ORDER BY hour RANGE BETWEEN 672 PRECEDING AND 24 PRECEDING
        ) AS maximum_before
    FROM hours
),

risen AS (
    SELECT
        subject_id,
        client_id,
        source,
        hour,
        minutes,
        grant_id,
        is_automatic,
        is_service,
        SUM(CASE WHEN minute_count >= 4 AND minute_count > 2 * maximum_before THEN 1 ELSE 0 END) OVER (
            PARTITION BY source, hour
        ) AS risen_count
    FROM compared
),

counted AS (
    -- Without the hours of a common cause.
    SELECT
        r.subject_id,
        r.client_id,
        r.hour,
        bit_count(BIT_OR(r.minutes)) AS minute_count,
        MIN(r.grant_id) AS grant_id,
        MAX(r.is_automatic) AS is_automatic,
        MAX(r.is_service) AS is_service
    FROM risen AS r
    INNER JOIN refresh_crowds AS c ON c.source = r.source AND c.hour = r.hour
    WHERE r.risen_count < 5 OR r.risen_count * 20 < c.pair_count
    GROUP BY r.subject_id, r.client_id, r.hour
),

followed AS (
    SELECT
        subject_id,
        client_id,
        hour,
        minute_count,
        is_automatic,
        is_service,
        -- Whose limits hold: the smallest of the grants that refreshed in the history of the hour, or in it.
        MIN(grant_id) OVER (
            PARTITION BY subject_id, client_id ORDER BY hour RANGE BETWEEN 695 PRECEDING AND CURRENT ROW
        ) AS smallest_grant_id,
        CASE WHEN LAG(hour, 1) OVER pair >= hour - 3 THEN LAG(minute_count, 1) OVER pair ELSE 0 END AS first_before,
        CASE WHEN LAG(hour, 2) OVER pair >= hour - 3 THEN LAG(minute_count, 2) OVER pair ELSE 0 END AS second_before,
        CASE WHEN LAG(hour, 3) OVER pair >= hour - 3 THEN LAG(minute_count, 3) OVER pair ELSE 0 END AS third_before,
        coalesce(LAG(hour, 19) OVER pair >= hour - 23, FALSE) AS is_awake
    FROM counted
    WINDOW pair AS (PARTITION BY subject_id, client_id ORDER BY hour)
),

promising AS (
    -- Hours that could count whatever their history says: of pairs without one no history is needed.
    SELECT
        f.subject_id,
        f.client_id,
        f.hour,
        f.minute_count,
        f.first_before,
        f.second_before,
        f.third_before,
        coalesce(g.rate_factor, 2) AS rate_factor,
        g.rate_factor_rule,
        g.steady_factor,
        g.steady_factor_rule,
        f.is_automatic = 0 OR coalesce(g.rate, FALSE) AS is_judged,
        f.is_awake AND f.is_service = 0 AS is_awake,
        MAX(
            CASE
                WHEN f.is_automatic <> 0 AND NOT coalesce(g.rate, FALSE) THEN 0
                WHEN g.steady_factor IS NOT NULL OR (f.is_awake AND f.is_service = 0) THEN 1
                WHEN
                    f.minute_count >= 5
                    AND CASE WHEN f.first_before >= 5 THEN 1 ELSE 0 END
                    + CASE WHEN f.second_before >= 5 THEN 1 ELSE 0 END
                    + CASE WHEN f.third_before >= 5 THEN 1 ELSE 0 END >= 2
                    THEN 1
                ELSE 0
            END
        ) OVER (PARTITION BY f.subject_id, f.client_id) AS promises
    FROM followed AS f
    LEFT JOIN grants AS g ON g.grant_id = f.smallest_grant_id
),

days AS (
    -- The day and night that end with each hour; and those that ended with the first hour of its history, where it may
    -- itself have been without a refresh.
    SELECT
        subject_id,
        client_id,
        hour,
        minute_count,
        first_before,
        second_before,
        third_before,
        rate_factor,
        rate_factor_rule,
        steady_factor,
        steady_factor_rule,
        is_judged,
        is_awake,
        COUNT(*) OVER day_and_night AS active_hours,
        SUM(minute_count) OVER day_and_night AS active_minutes,
        COUNT(*) OVER oldest AS oldest_hours,
        coalesce(SUM(minute_count) OVER oldest, 0) AS oldest_minutes,
        COUNT(*) OVER past AS known_hours,
        MIN(hour) OVER past AS known_since,
        MAX(minute_count) OVER history AS maximum
    FROM promising
    WHERE promises = 1
    WINDOW
        day_and_night AS (PARTITION BY subject_id, client_id ORDER BY hour RANGE BETWEEN 23 PRECEDING AND CURRENT ROW),
        oldest AS (PARTITION BY subject_id, client_id ORDER BY hour RANGE BETWEEN 695 PRECEDING AND 672 PRECEDING),
        past AS (PARTITION BY subject_id, client_id ORDER BY hour RANGE BETWEEN 672 PRECEDING AND 1 PRECEDING),
        history AS (PARTITION BY subject_id, client_id ORDER BY hour RANGE BETWEEN 672 PRECEDING AND 24 PRECEDING)
),

histories AS (
    SELECT
        subject_id,
        client_id,
        hour,
        minute_count,
        first_before,
        second_before,
        third_before,
        rate_factor * maximum AS burst_above,
        rate_factor_rule,
        steady_factor,
        steady_factor_rule,
        is_judged AND known_hours >= 24 AND known_since <= hour - 168 AS is_judged,
        is_awake,
        active_minutes,
        maximum,
        GREATEST(oldest_hours, MAX(active_hours) OVER history) AS maximum_hours,
        GREATEST(oldest_minutes, MAX(active_minutes) OVER history) AS maximum_minutes
    FROM days
    WINDOW history AS (PARTITION BY subject_id, client_id ORDER BY hour RANGE BETWEEN 672 PRECEDING AND 24 PRECEDING)
),

judged AS (
    SELECT
        subject_id,
        client_id,
        hour,
        minute_count,
        maximum,
        maximum_hours,
        CASE
            WHEN NOT is_judged THEN FALSE
            ELSE
                minute_count >= 5
                AND CASE WHEN minute_count > burst_above THEN 1 ELSE 0 END
                + CASE WHEN first_before >= 5 AND first_before > burst_above THEN 1 ELSE 0 END
                + CASE WHEN second_before >= 5 AND second_before > burst_above THEN 1 ELSE 0 END
                + CASE WHEN third_before >= 5 AND third_before > burst_above THEN 1 ELSE 0 END >= 3
        END AS is_burst,
        is_judged AND is_awake AND maximum_hours <= 16 AS is_round_the_clock,
        is_judged AND active_minutes >= 40
        AND coalesce(active_minutes > steady_factor * maximum_minutes, FALSE) AS is_steady,
        rate_factor_rule,
        steady_factor_rule
    FROM histories
),

of_days AS (
    SELECT
        subject_id,
        client_id,
        hour,
        minute_count,
        maximum,
        maximum_hours,
        is_burst,
        is_round_the_clock,
        is_steady,
        is_burst OR is_round_the_clock OR is_steady AS counts,
        rate_factor_rule,
        steady_factor_rule,
        MAX(CASE WHEN is_burst OR is_round_the_clock OR is_steady THEN 1 ELSE 0 END) OVER (
            PARTITION BY subject_id, client_id, hour / 24
        ) AS is_finding
    FROM judged
),

findings AS (
    SELECT
        subject_id,
        client_id,
        hour / 24 AS day_number,
        MIN(CASE WHEN counts THEN hour END) AS first_hour,
        MAX(CASE WHEN counts THEN hour END) AS last_hour,
        array_agg(
            lpad(CAST(hour % 24 AS VARCHAR), 2, '0') || ':00 ' || CAST(minute_count AS VARCHAR) ORDER BY hour
        ) AS minutes_by_hour,
        SUM(CASE WHEN counts THEN 1 ELSE 0 END) AS hour_count,
        MAX(CASE WHEN is_burst THEN 'burst' END) AS burst,
        MAX(CASE WHEN is_round_the_clock THEN 'round_the_clock' END) AS round_the_clock,
        MAX(CASE WHEN is_steady THEN 'steady' END) AS steady,
        MAX(CASE WHEN counts THEN maximum END) AS maximum,
        MAX(CASE WHEN counts THEN maximum_hours END) AS maximum_hours,
        MIN(CASE WHEN is_burst THEN rate_factor_rule WHEN is_steady THEN steady_factor_rule END) AS rule
    FROM of_days
    WHERE is_finding = 1
    GROUP BY subject_id, client_id, hour / 24
)

SELECT
    f.subject_id,
    f.client_id,
    CAST(to_timestamp_micros(f.day_number * 86400000000) AS DATE) AS day,
    to_timestamp_micros(f.first_hour * 3600000000) AS violated_at,
    CASE
        WHEN to_timestamp_micros((f.last_hour + 1) * 3600000000) <= $as_of
            THEN to_timestamp_micros((f.last_hour + 1) * 3600000000)
    END AS resolved_at,
    array_to_string(make_array(f.burst, f.round_the_clock, f.steady), ', ') AS reason,
    f.minutes_by_hour,
    f.hour_count,
    f.maximum,
    f.maximum_hours,
    f.rule,
    array_slice(array_agg(DISTINCT e.grant_id ORDER BY e.grant_id), 1, 20) AS grants,
    COUNT(DISTINCT e.grant_id) AS grant_count,
    array_slice(array_agg(DISTINCT e.ip ORDER BY e.ip) FILTER (WHERE e.ip IS NOT NULL), 1, 20) AS ips,
    array_slice(array_agg(e.event_id ORDER BY e.event_time, e.source, e.event_id), 1, 20) AS event_ids,
    COUNT(*) AS event_count
FROM findings AS f
INNER JOIN token_events AS e
    ON e.subject_id = f.subject_id
    AND e.client_id = f.client_id
    AND CAST(e.event_time AS BIGINT) / 86400000000 = f.day_number
WHERE e.action = 'refresh' AND e.outcome = 'success' AND e.grant_id IS NOT NULL
GROUP BY
    f.subject_id, f.client_id, f.day_number, f.first_hour, f.last_hour, f.burst, f.round_the_clock, f.steady,
    f.minutes_by_hour, f.hour_count, f.maximum, f.maximum_hours, f.rule
ORDER BY f.subject_id, f.client_id, day
