-- Every end of a grant up to $as_of: revocations that cover it, `expire` events, the expiry it states.
SELECT e.grant_id, e.event_time AS ended_at
FROM token_events AS e
INNER JOIN grants AS g ON g.grant_id = e.grant_id
WHERE
    e.outcome = 'success'
    AND (e.action = 'expire' OR (e.action = 'revoke' AND (e.token_id IS NOT NULL OR e.family_id IS NOT NULL)))
    AND NOT (coalesce(e.token_kind IN ('access', 'id'), FALSE) AND g.has_other_kind)
    AND NOT (g.is_derived AND e.event_time <= g.started_at)
UNION
SELECT e.grant_id, e.ended_at
FROM broad_ends AS e
INNER JOIN grants AS g ON g.grant_id = e.grant_id
WHERE
    (e.ended_at > g.started_at OR (e.ended_at = g.started_at AND NOT g.is_derived))
    AND NOT (e.is_short AND g.has_other_kind)
UNION
SELECT grant_id, expires_at AS ended_at
FROM grants
WHERE expires_at <= $as_of
