/*---
title    = "How much happens a day"
question = "How many tokens were issued, refreshed, revoked and refused on each day, and for how many people?"
[params.within]
type = "duration"
default = "30d"
help = "how far back"
---*/
SELECT
    CAST(date_trunc('day', event_time) AS DATE) AS day,
    COUNT(*) FILTER (WHERE action = 'issue') AS issued,
    COUNT(*) FILTER (WHERE action = 'refresh') AS refreshed,
    COUNT(*) FILTER (WHERE action = 'use') AS used,
    COUNT(*) FILTER (WHERE action IN ('revoke', 'logout')) AS ended,
    COUNT(*) FILTER (WHERE outcome = 'failure') AS refused,
    COUNT(DISTINCT subject_id) AS subjects
FROM token_events
WHERE event_time >= $as_of - $within AND event_time <= $as_of
GROUP BY CAST(date_trunc('day', event_time) AS DATE)
ORDER BY day DESC
