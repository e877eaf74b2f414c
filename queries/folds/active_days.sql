-- On which UTC days each stored grant id was exercised: one bit a day, in spans of 64 days since 1970-01-01.
SELECT
    grant_id,
    CASE WHEN family_id IS NULL THEN token_id END AS alias_token_id,
    CAST(event_date AS INTEGER) / 64 AS span,
    BIT_OR(CAST(1 AS BIGINT) << CAST(CAST(event_date AS INTEGER) % 64 AS BIGINT)) AS days
FROM events
WHERE class = 'token' AND outcome = 'success' AND action IN ('issue', 'refresh', 'use') AND grant_id IS NOT NULL
GROUP BY grant_id, CASE WHEN family_id IS NULL THEN token_id END, CAST(event_date AS INTEGER) / 64
