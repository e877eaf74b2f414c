/*---
title    = "Live grants by age and client"
question = "How old are the grants that are alive, and which clients hold the oldest?"
---*/
WITH live AS (
    SELECT
        g.grant_id,
        date_part('epoch', CAST($as_of AS TIMESTAMP WITH TIME ZONE) - g.started_at) / 86400 AS days,
        coalesce(MAX(c.client_id), 'unknown') AS client_id
    FROM grants AS g
    INNER JOIN contexts AS c ON c.grant_id = g.grant_id
    WHERE g.ended_at IS NULL OR g.ended_at > $as_of
    GROUP BY g.grant_id, g.started_at
)

SELECT
    client_id,
    COUNT(*) AS live,
    COUNT(*) FILTER (WHERE days < 1) AS under_a_day,
    COUNT(*) FILTER (WHERE days >= 1 AND days < 7) AS under_a_week,
    COUNT(*) FILTER (WHERE days >= 7 AND days < 30) AS under_30_days,
    COUNT(*) FILTER (WHERE days >= 30 AND days < 90) AS under_90_days,
    COUNT(*) FILTER (WHERE days >= 90) AS older,
    round(MAX(days)) AS oldest_days
FROM live
GROUP BY client_id
ORDER BY oldest_days DESC, client_id
