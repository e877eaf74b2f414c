/*---
title    = "People who left and whose grants are alive"
question = "Which grants of people who have left are alive, and where were they last exercised?"
---*/
SELECT
    o.subject_id,
    MIN(o.offboarded_at) AS offboarded_at,
    g.grant_id,
    MAX(c.client_id) AS client_id,
    MAX(c.host_id) AS host_id,
    g.last_exercised_at,
    g.expires_at
FROM offboardings AS o
INNER JOIN contexts AS c ON c.subject_id = o.subject_id
INNER JOIN grants AS g ON g.grant_id = c.grant_id
WHERE
    o.reinstated_at IS NULL
    AND (o.project_id IS NULL OR o.project_id = c.project_id)
    AND (g.ended_at IS NULL OR g.ended_at > $as_of)
    AND (g.expires_at IS NULL OR g.expires_at > $as_of)
GROUP BY o.subject_id, g.grant_id, g.last_exercised_at, g.expires_at
ORDER BY g.last_exercised_at DESC, g.grant_id
