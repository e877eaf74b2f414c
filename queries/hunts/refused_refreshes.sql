/*---
title    = "Refused refreshes"
question = "Where do refreshes fail again and again: a client gone wrong, or somebody trying old tokens?"
[params.within]
type = "duration"
default = "30d"
help = "how far back"
[params.least]
type = "integer"
default = 1
help = "how often at least"
---*/
SELECT
    subject_id,
    client_id,
    grant_id,
    COUNT(*) AS refused,
    COUNT(DISTINCT ip) AS addresses,
    MIN(event_time) AS first_at,
    MAX(event_time) AS last_at
FROM token_events
WHERE action = 'refresh' AND outcome = 'failure' AND event_time >= $as_of - $within
GROUP BY subject_id, client_id, grant_id
HAVING COUNT(*) >= $least
ORDER BY refused DESC, grant_id
