/*---
title    = "Who else came from an address"
question = "Which subjects' tokens were exercised from this address, and since when?"
[params.ip]
type = "text"
help = "the address, as in ip"
---*/
SELECT
    subject_id,
    COUNT(DISTINCT grant_id) AS grants,
    COUNT(*) AS events,
    COUNT(*) FILTER (WHERE outcome = 'failure') AS refused,
    MIN(event_time) AS first_at,
    MAX(event_time) AS last_at
FROM token_events
WHERE ip = $ip
GROUP BY subject_id
ORDER BY last_at DESC, subject_id
