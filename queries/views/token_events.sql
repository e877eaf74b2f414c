-- One row per token event: repeats removed, aliases resolved.
WITH copies AS (
    SELECT
        *,
        ROW_NUMBER() OVER (
            PARTITION BY source, event_id
            ORDER BY record_hash, topic, "partition", "offset", record_index
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS copy
    FROM events
    -- Of two contents under one id the smaller record hash counts, even where they are of different classes.
    WHERE class IN ('token', 'context', 'other')
)
SELECT
    e.* EXCLUDE (copy) REPLACE (
        coalesce(a.family_id, e.grant_id) AS grant_id,
        CASE WHEN a.family_id IS NULL THEN e.grant_basis ELSE 'family' END AS grant_basis
    )
FROM copies AS e
LEFT JOIN aliases AS a ON a.token_id = e.token_id AND e.family_id IS NULL
WHERE e.copy = 1 AND e.class = 'token'
