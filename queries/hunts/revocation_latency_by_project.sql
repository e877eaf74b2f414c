/*---
title    = "How fast tokens are revoked, by project"
question = "How long do grants live on after their subject has left, in each project?"
---*/
WITH late AS (
    SELECT
        coalesce(c.project_id, 'none') AS project_id,
        g.grant_id,
        date_part('epoch', coalesce(g.ended_at, $as_of) - o.offboarded_at) / 3600 AS hours,
        g.ended_at IS NULL OR g.ended_at > $as_of AS is_alive
    FROM offboardings AS o
    INNER JOIN contexts AS c ON c.subject_id = o.subject_id
    INNER JOIN grants AS g ON g.grant_id = c.grant_id
    WHERE
        g.started_at < o.offboarded_at
        AND (g.ended_at IS NULL OR g.ended_at > o.offboarded_at)
        AND (o.project_id IS NULL OR o.project_id = c.project_id)
    GROUP BY coalesce(c.project_id, 'none'), g.grant_id, g.ended_at, o.offboarded_at
)

SELECT
    project_id,
    COUNT(*) AS grants,
    COUNT(*) FILTER (WHERE is_alive) AS still_alive,
    round(approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY hours), 1) AS median_hours,
    round(MAX(hours), 1) AS longest_hours
FROM late
GROUP BY project_id
ORDER BY still_alive DESC, longest_hours DESC, project_id
