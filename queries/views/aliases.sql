-- One row per token that was met on an event with a family: what is known of the token alone belongs to that family.
SELECT token_id, MIN(family_id) AS family_id
FROM events
WHERE class IN ('token', 'context') AND token_id IS NOT NULL AND family_id IS NOT NULL
GROUP BY token_id
