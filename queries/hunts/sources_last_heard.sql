/*---
title    = "When each source was last heard of"
question = "Which sources have fallen silent, by kind of event?"
---*/
SELECT
    source,
    class,
    COUNT(*) AS events,
    MIN(event_time) AS first_at,
    MAX(event_time) AS last_at,
    MAX(received_at) AS last_received_at,
    round(date_part('epoch', CAST($as_of AS TIMESTAMP WITH TIME ZONE) - MAX(received_at)) / 3600, 1) AS silent_hours
FROM events
WHERE class <> 'rejected'
GROUP BY source, class
ORDER BY silent_hours DESC, source, class
