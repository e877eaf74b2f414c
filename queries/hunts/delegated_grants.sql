/*---
title    = "Grants that were delegated"
question = "Which grants were made from another (token exchange, an agent acting for a person), and does the parent live?"
---*/
SELECT
    e.parent_id,
    e.grant_id,
    MAX(e.subject_id) AS subject_id,
    MAX(e.client_id) AS client_id,
    MIN(e.event_time) AS delegated_at,
    MAX(e.event_time) AS last_at,
    MAX(p.ended_at) AS parent_ended_at,
    MAX(g.ended_at) AS ended_at
FROM token_events AS e
LEFT JOIN grants AS p ON p.grant_id = e.parent_id
LEFT JOIN grants AS g ON g.grant_id = e.grant_id
WHERE e.parent_id IS NOT NULL
GROUP BY e.parent_id, e.grant_id
ORDER BY delegated_at DESC, e.grant_id
