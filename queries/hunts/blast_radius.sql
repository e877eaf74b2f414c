/*---
title    = "What a stolen grant could do"
question = "Where was this grant exercised, with which scopes and from where: what could a thief have reached?"
[params.grant]
type = "text"
help = "the grant, as in grant_id"
---*/
SELECT
    e.client_id,
    e.project_id,
    e.host_id,
    e.ip,
    e.country,
    array_to_string(array_sort(array_distinct(flatten(array_agg(e.scopes)))), ' ') AS scopes,
    COUNT(*) AS events,
    COUNT(*) FILTER (WHERE e.outcome = 'failure') AS refused,
    MIN(e.event_time) AS first_at,
    MAX(e.event_time) AS last_at
FROM token_events AS e
WHERE e.grant_id = $grant AND e.action IN ('issue', 'refresh', 'use')
GROUP BY e.client_id, e.project_id, e.host_id, e.ip, e.country
ORDER BY last_at DESC, events DESC
