/*---
title    = "Grants nobody uses"
question = "Which live grants were not exercised for long: candidates for revocation that nobody will miss?"
[params.within]
type = "duration"
default = "14d"
help = "not exercised for this long"
---*/
SELECT
    g.grant_id,
    MAX(c.subject_id) AS subject_id,
    MAX(c.client_id) AS client_id,
    g.started_at,
    g.last_exercised_at,
    round(date_part('epoch', CAST($as_of AS TIMESTAMP WITH TIME ZONE) - g.last_exercised_at) / 86400) AS idle_days
FROM grants AS g
INNER JOIN contexts AS c ON c.grant_id = g.grant_id
WHERE
    (g.ended_at IS NULL OR g.ended_at > $as_of)
    AND (g.expires_at IS NULL OR g.expires_at > $as_of)
    AND g.last_exercised_at < $as_of - $within
GROUP BY g.grant_id, g.started_at, g.last_exercised_at
ORDER BY idle_days DESC, g.grant_id
