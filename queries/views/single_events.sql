-- Each event once, whatever its class. Of two contents under one id the smaller record hash counts.
WITH copies AS (
    SELECT
        *,
        ROW_NUMBER() OVER (
            PARTITION BY source, event_id
            ORDER BY record_hash, topic, "partition", "offset", record_index
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS copy
    FROM events
    WHERE class IN ('token', 'context', 'other')
)

SELECT c.* EXCLUDE (copy)
FROM copies AS c
WHERE c.copy = 1
