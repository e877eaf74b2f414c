-- Tokens met on an event with a family, and since when that was known.
SELECT token_id, family_id, MIN(event_time) AS first_seen_at
FROM events
WHERE class IN ('token', 'context') AND token_id IS NOT NULL AND family_id IS NOT NULL
GROUP BY token_id, family_id
