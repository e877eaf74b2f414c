/*---
title    = "Work at unusual hours"
question = "Which subjects' tokens were exercised at night or at the weekend (UTC), and how much of their work is that?"
[params.within]
type = "duration"
default = "30d"
help = "how far back"
[params.from_hour]
type = "integer"
default = 6
help = "the first hour of usual work, UTC"
[params.to_hour]
type = "integer"
default = 20
help = "the hour at which usual work is over, UTC"
---*/
WITH work AS (
    SELECT
        subject_id,
        event_time,
        date_part('hour', event_time) < $from_hour
        OR date_part('hour', event_time) >= $to_hour
        OR date_part('dow', event_time) IN (0, 6) AS is_odd
    FROM token_events
    WHERE
        subject_id IS NOT NULL AND subject_kind = 'human' AND outcome = 'success' AND action IN ('refresh', 'use', 'issue')
        AND event_time >= $as_of - $within
)

SELECT
    subject_id,
    COUNT(*) AS events,
    COUNT(*) FILTER (WHERE is_odd) AS odd,
    round(100.0 * COUNT(*) FILTER (WHERE is_odd) / COUNT(*)) AS odd_percent,
    MAX(event_time) FILTER (WHERE is_odd) AS last_odd_at
FROM work
GROUP BY subject_id
HAVING COUNT(*) FILTER (WHERE is_odd) > 0
ORDER BY odd_percent DESC, odd DESC, subject_id
