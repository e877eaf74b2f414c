-- One row per token event: repeats removed, aliases resolved.
SELECT
    e.* REPLACE (
        coalesce(a.family_id, e.grant_id) AS grant_id,
        CASE WHEN a.family_id IS NULL THEN e.grant_basis ELSE 'family' END AS grant_basis
    )
FROM single_events AS e
LEFT JOIN aliases AS a ON a.token_id = e.token_id AND e.family_id IS NULL
WHERE e.class = 'token'
