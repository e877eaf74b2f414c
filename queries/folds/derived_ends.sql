-- `expire` events of derived grants, each with its time: which of them count depends on the last login.
SELECT grant_id, event_time AS ended_at, coalesce(token_kind IN ('access', 'id'), FALSE) AS is_short
FROM events
WHERE class = 'token' AND action = 'expire' AND outcome = 'success' AND grant_basis = 'derived'
GROUP BY grant_id, event_time, coalesce(token_kind IN ('access', 'id'), FALSE)
