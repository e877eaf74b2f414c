/*---
title    = "Source that fell silent"
severity = "medium"
status   = "stable"
kind     = "violation"
summary  = "A source sent nothing for a stretch in which its own past weeks say that it should have."
rationale = """
What was not recorded cannot be judged: a feed that is switched off, broken or filtered hides all that happened then.
Each source is held against itself: the same stretch of the four weeks before, scaled down on quiet days, and its own
longest silence. So nights and weekends say nothing, and a busy source is missed within the hour. A source too sparse
for either has no row here, which is no proof that it is whole. Offsets that a topic skips are not looked at.
"""
because  = "{source} sent nothing for at least {silent_minutes} minutes after {from}, longer than its own past or its policy allows for ({reason})."
false_positives = [
    "A small source that happened to have nothing to say.",
    "A feed that was closed for planned work, or a holiday on which few people worked before it began.",
    "Records that arrive later than `lateness`: once they are here the finding is retracted.",
]
response = [
    "Find out whether the source, its export or the transport stopped, and who could have stopped it.",
    "Have the source deliver the stretch again; what arrives late fills the gap.",
    "Until then read every verdict about the source's grants in this stretch as unknown, not as clean.",
]
key      = ["source", "from"]
reads    = ["exercises", "grants", "source_minutes"]
every    = "5m"
ticking  = ["to", "silent_minutes", "expected_minutes", "level"]
[controls]
csf         = ["PR.PS-04", "DE.CM-09"]
attack      = ["T1685.002"]
nist_800_53 = ["AU-5", "AU-12", "AU-6", "AU-9"]
---*/
WITH hours AS (
    -- From here to the candidates time is counted in whole hours and minutes since 1970: sums of them are exact.
    SELECT source, CAST(hour AS BIGINT) / 3600000000 AS hour, minutes
    FROM source_minutes
),

neighbourhoods AS (
    -- Bits of the minutes that have an active one among the 14 before, and among the 14 after them in their hour.
    SELECT
        source,
        hour,
        minutes,
        after_some | (after_some << 6) AS after_some,
        before_some | (before_some >> 6) AS before_some
    FROM (
        SELECT
            source,
            hour,
            minutes,
            after_some | (after_some << 4) AS after_some,
            before_some | (before_some >> 4) AS before_some
        FROM (
            SELECT
                source,
                hour,
                minutes,
                (minutes << 1) | (minutes << 2) | (minutes << 3) | (minutes << 4) AS after_some,
                (minutes >> 1) | (minutes >> 2) | (minutes >> 3) | (minutes >> 4) AS before_some
            FROM hours
        )
    )
),

edges AS (
    -- Active minutes with no other in their hour within a quarter of an hour before them, or after them: two an hour of a busy source.
    SELECT source, hour * 60 + minute AS minute, (lasts >> minute) & 1 = 1 AS is_last
    FROM (
        SELECT
            source,
            hour,
            minutes - (minutes & after_some) AS firsts,
            minutes - (minutes & before_some) AS lasts,
            unnest(range(0, 60)) AS minute
        FROM neighbourhoods
    )
    WHERE ((firsts | lasts) >> minute) & 1 = 1
),

silences AS (
    -- The silences of at least 15 minutes between them, which are few; the last minute of a source has none after it.
    SELECT source, from_minute, to_minute
    FROM (
        SELECT
            source,
            minute AS from_minute,
            LEAD(minute) OVER (PARTITION BY source ORDER BY minute) AS to_minute,
            is_last
        FROM edges
    )
    WHERE is_last AND (to_minute IS NULL OR to_minute - from_minute >= 15)
),

compared AS (
    -- A silence shorter than 15 minutes is never half as long as one of 30: taken as 0 it decides the same.
    SELECT
        source,
        from_minute,
        to_minute,
        coalesce(
            MAX(to_minute - from_minute) OVER (
                PARTITION BY source ORDER BY from_minute RANGE BETWEEN 40320 PRECEDING AND 1 PRECEDING
            ), 0
        ) AS longest_before
    FROM silences
),

limits AS (
    SELECT s.source, g.lateness, g.gap_min_minutes, g.gap_min_minutes_rule, g.max_silence, g.max_silence_rule
    FROM (SELECT source, MIN(grant_id) AS grant_id FROM exercises GROUP BY source) AS s
    INNER JOIN grants AS g ON g.grant_id = s.grant_id
),

spans AS (
    SELECT source, MIN(hour) AS first_hour, MAX(hour) + 1 AS end_hour
    FROM hours
    GROUP BY source
),

born AS (
    SELECT h.source, h.hour * 60 + bit_count((h.minutes & -h.minutes) - 1) AS first_minute
    FROM hours AS h
    INNER JOIN spans AS s ON s.source = h.source AND s.first_hour = h.hour
),

dated AS (
    SELECT
        c.source,
        c.from_minute,
        c.to_minute,
        coalesce(c.to_minute, CAST($as_of AS BIGINT) / 60000000) AS until_minute,
        to_timestamp_micros(c.from_minute * 60000000) AS from_at,
        coalesce(to_timestamp_micros(c.to_minute * 60000000), $as_of) AS to_at,
        c.longest_before,
        b.first_minute,
        coalesce(l.lateness, INTERVAL '15 minutes') AS lateness,
        coalesce(l.gap_min_minutes, 15) AS gap_min_minutes,
        l.gap_min_minutes_rule,
        l.max_silence,
        l.max_silence_rule
    FROM compared AS c
    INNER JOIN born AS b ON b.source = c.source
    LEFT JOIN limits AS l ON l.source = c.source
),

candidates AS (
    SELECT
        source,
        from_minute,
        to_minute,
        until_minute,
        from_at,
        to_at,
        first_minute,
        gap_min_minutes,
        gap_min_minutes_rule,
        max_silence_rule,
        (from_at + max_silence < to_at) AS is_over_limit,
        (
            first_minute <= from_minute - 20160
            AND CAST(to_at AS BIGINT) - CAST(from_at AS BIGINT) > 2 * longest_before * 60000000
        ) AS is_twice_longest
    FROM dated
    WHERE
        from_at + INTERVAL '30 minutes' <= to_at
        AND (to_minute IS NOT NULL OR from_at + lateness < $as_of)
),

measures AS (
    SELECT 'silent' AS measure, weeks, unnest(make_array(-60, 0, 60)) AS shift
    FROM (SELECT unnest(range(1, 5)) AS weeks)
    UNION ALL
    SELECT unnest(make_array('before', 'after')) AS measure, weeks, 0 AS shift
    FROM (SELECT unnest(range(0, 5)) AS weeks)
    UNION ALL
    SELECT 'history' AS measure, 0 AS weeks, 0 AS shift
),

stretches AS (
    -- What is asked of each candidate: how many minutes from start to before end were active. A week exists if the
    -- source had begun by then; the hours after a gap count as far as they have passed.
    SELECT
        c.source,
        c.from_minute,
        m.measure,
        m.weeks,
        CASE m.measure
            WHEN 'silent' THEN c.from_minute + 1
            WHEN 'before' THEN c.from_minute - 239
            WHEN 'after' THEN c.to_minute
            ELSE c.from_minute - 40320
        END - m.weeks * 10080 + m.shift AS start_minute,
        CASE m.measure
            WHEN 'silent' THEN c.until_minute
            WHEN 'after' THEN LEAST(c.to_minute + 240, CAST($as_of AS BIGINT) / 60000000)
            ELSE c.from_minute + 1
        END - m.weeks * 10080 + m.shift AS end_minute
    FROM candidates AS c
    CROSS JOIN measures AS m
    WHERE
        c.first_minute <= c.from_minute - m.weeks * 10080
        AND (m.measure <> 'after' OR c.to_minute IS NOT NULL)
        AND (m.measure <> 'history' OR c.is_twice_longest)
),

bounded AS (
    SELECT
        t.source,
        t.from_minute,
        t.measure,
        t.weeks,
        LEAST(GREATEST(t.start_minute, s.first_hour * 60), s.end_hour * 60) AS start_minute,
        LEAST(GREATEST(t.end_minute, s.first_hour * 60), s.end_hour * 60) AS end_minute
    FROM stretches AS t
    INNER JOIN spans AS s ON s.source = t.source
),

grid AS (
    SELECT source, unnest(range(first_hour, end_hour + 1)) AS hour
    FROM spans
),

sums AS (
    SELECT
        g.source,
        g.hour,
        coalesce(h.minutes, 0) AS minutes,
        coalesce(
            SUM(bit_count(h.minutes)) OVER (
                PARTITION BY g.source ORDER BY g.hour ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ), 0
        ) AS active_before
    FROM grid AS g
    LEFT JOIN hours AS h ON h.source = g.source AND h.hour = g.hour
),

counted AS (
    SELECT
        b.source,
        b.from_minute,
        b.measure,
        b.weeks,
        e.active_before + bit_count(e.minutes & ((CAST(1 AS BIGINT) << (b.end_minute % 60)) - 1))
        - s.active_before - bit_count(s.minutes & ((CAST(1 AS BIGINT) << (b.start_minute % 60)) - 1)) AS active
    FROM bounded AS b
    INNER JOIN sums AS s ON s.source = b.source AND s.hour = b.start_minute / 60
    INNER JOIN sums AS e ON e.source = b.source AND e.hour = b.end_minute / 60
),

weekly AS (
    SELECT
        source,
        from_minute,
        weeks,
        MIN(CASE WHEN measure = 'silent' THEN active END) AS expected,
        SUM(CASE WHEN measure IN ('before', 'after') THEN active END) AS around,
        MAX(CASE WHEN measure = 'history' THEN active - 1 END) AS gap_count
    FROM counted
    GROUP BY source, from_minute, weeks
),

expectations AS (
    SELECT
        source,
        from_minute,
        COUNT(expected) AS week_count,
        MIN(expected) AS expected,
        MAX(CASE WHEN weeks = 0 THEN around END) AS around,
        median(CASE WHEN weeks > 0 THEN CAST(around AS DOUBLE) END) AS usual,
        MAX(gap_count) AS gap_count
    FROM weekly
    GROUP BY source, from_minute
),

judged AS (
    -- The level is multiplied out: a quotient would not be exact at the limit.
    SELECT
        c.source,
        c.from_at,
        c.to_at,
        c.to_minute IS NULL AS is_open,
        c.until_minute - c.from_minute - 1 AS silent_minutes,
        CASE WHEN e.week_count >= 3 THEN e.expected END AS expected_minutes,
        CASE
            WHEN e.week_count >= 3 AND (e.usual < 8 OR e.around >= e.usual) THEN 1.0
            WHEN e.week_count >= 3 THEN e.around / e.usual
        END AS level,
        CASE
            WHEN
                e.week_count >= 3
                AND e.expected >= c.gap_min_minutes
                AND (e.usual < 8 OR e.around >= e.usual OR e.expected * e.around >= c.gap_min_minutes * e.usual)
                THEN 'expected'
            WHEN c.is_twice_longest AND e.gap_count >= 50 THEN 'longest'
            WHEN c.is_over_limit THEN 'max_silence'
        END AS reason,
        e.week_count,
        c.gap_min_minutes_rule,
        c.max_silence_rule
    FROM candidates AS c
    INNER JOIN expectations AS e ON e.source = c.source AND e.from_minute = c.from_minute
)

SELECT
    source,
    from_at AS "from",
    from_at AS violated_at,
    CASE WHEN NOT is_open THEN to_at END AS resolved_at,
    CASE WHEN is_open THEN 'high' ELSE 'medium' END AS severity,
    to_at AS "to",
    silent_minutes,
    expected_minutes,
    round(level, 3) AS level,
    reason,
    CASE reason WHEN 'expected' THEN gap_min_minutes_rule WHEN 'max_silence' THEN max_silence_rule END AS rule,
    week_count
FROM judged
WHERE reason IS NOT NULL
ORDER BY source, "from"
