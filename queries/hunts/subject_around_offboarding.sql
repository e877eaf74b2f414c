/*---
title    = "Everything of a subject around leaving"
question = "What did this subject's tokens do in the days before and after leaving?"
[params.subject]
type = "text"
help = "whose tokens"
[params.within]
type = "duration"
default = "14d"
help = "how much time on either side"
---*/
WITH left_at AS (
    SELECT MIN(offboarded_at) AS at
    FROM offboardings
    WHERE subject_id = $subject
)

SELECT
    e.event_time,
    CASE WHEN e.event_time < l.at THEN 'before' ELSE 'after' END AS side,
    e.action,
    e.outcome,
    e.grant_id,
    e.client_id,
    e.host_id,
    e.device_id,
    e.ip,
    e.country
FROM token_events AS e
CROSS JOIN left_at AS l
WHERE
    e.subject_id = $subject
    AND e.event_time >= l.at - $within
    AND e.event_time < l.at + $within
ORDER BY e.event_time, e.event_id
