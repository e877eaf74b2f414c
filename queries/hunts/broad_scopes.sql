/*---
title    = "Who holds a scope"
question = "Which live grants hold this scope, and who has them?"
[params.scope]
type = "text"
help = "the scope, spelled as in the events"
---*/
SELECT
    e.grant_id,
    MAX(e.subject_id) AS subject_id,
    MAX(e.client_id) AS client_id,
    MAX(e.event_time) AS last_with_scope,
    g.started_at
FROM token_events AS e
INNER JOIN grants AS g ON g.grant_id = e.grant_id
WHERE array_has(e.scopes, $scope) AND e.outcome = 'success' AND (g.ended_at IS NULL OR g.ended_at > $as_of)
GROUP BY e.grant_id, g.started_at
ORDER BY last_with_scope DESC, e.grant_id
