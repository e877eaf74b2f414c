-- One row per context event (offboarding, reinstatement, device lost or recovered, compromise): repeats removed.
WITH copies AS (
    SELECT
        *,
        ROW_NUMBER() OVER (
            PARTITION BY source, event_id
            ORDER BY record_hash, topic, "partition", "offset", record_index
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS copy
    FROM events
    WHERE class = 'context'
)
SELECT e.* EXCLUDE (copy)
FROM copies AS e
WHERE e.copy = 1
