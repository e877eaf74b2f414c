/*---
title    = "Grants of services and agents"
question = "Which grants belong to services, agents and shared accounts, and how old are they?"
---*/
SELECT
    c.subject_kind,
    c.subject_id,
    c.grant_id,
    MAX(c.client_id) AS client_id,
    COUNT(DISTINCT c.host_id) AS hosts,
    g.started_at,
    g.last_exercised_at,
    g.expires_at
FROM contexts AS c
INNER JOIN grants AS g ON g.grant_id = c.grant_id
WHERE c.subject_kind IN ('service', 'agent', 'shared') AND (g.ended_at IS NULL OR g.ended_at > $as_of)
GROUP BY c.subject_kind, c.subject_id, c.grant_id, g.started_at, g.last_exercised_at, g.expires_at
ORDER BY g.started_at, c.grant_id
