/*---
title    = "Addresses a subject was never seen from before"
question = "From which addresses were this subject's tokens exercised for the first time lately?"
[params.subject]
type = "text"
help = "whose tokens"
[params.within]
type = "duration"
default = "7d"
help = "how long ago is lately"
---*/
SELECT
    ip,
    asn,
    country,
    MIN(event_time) AS first_at,
    MAX(event_time) AS last_at,
    COUNT(*) AS events,
    COUNT(DISTINCT grant_id) AS grants,
    MIN(client_id) AS client_id
FROM token_events
WHERE subject_id = $subject AND ip IS NOT NULL AND outcome = 'success'
GROUP BY ip, asn, country
HAVING MIN(event_time) >= $as_of - $within
ORDER BY first_at DESC, ip
