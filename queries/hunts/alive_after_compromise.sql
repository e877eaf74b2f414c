/*---
title    = "Grants nobody revoked after a compromise"
question = "Which grants that a reported compromise covers are alive still, and were they used since?"
---*/
SELECT
    c.grant_id,
    MIN(c.compromised_at) AS compromised_at,
    MIN(c.named) AS covered_by,
    g.last_exercised_at,
    g.last_exercised_at > MIN(c.compromised_at) AS exercised_since
FROM compromised AS c
INNER JOIN grants AS g ON g.grant_id = c.grant_id
WHERE g.ended_at IS NULL OR g.ended_at > $as_of
GROUP BY c.grant_id, g.last_exercised_at
ORDER BY exercised_since DESC, compromised_at, c.grant_id
