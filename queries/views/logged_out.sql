-- One row per logout and grant that it covers: the one it names, else those of its session, else of its subject and client.
WITH logouts AS (
    SELECT
        l.event_time,
        l.event_id,
        coalesce(a.family_id, l.named_grant_id) AS grant_id,
        l.subject_id,
        l.client_id,
        l.session_id
    FROM logouts_parts AS l
    LEFT JOIN aliases AS a ON a.token_id = l.alias_token_id
),

covered AS (
    SELECT grant_id, event_time, event_id, 'grant' AS named
    FROM logouts
    WHERE grant_id IS NOT NULL
    UNION ALL
    SELECT c.grant_id, l.event_time, l.event_id, 'session' AS named
    FROM logouts AS l
    INNER JOIN contexts AS c ON c.session_id = l.session_id
    WHERE l.grant_id IS NULL
    UNION ALL
    SELECT c.grant_id, l.event_time, l.event_id, 'subject and client' AS named
    FROM logouts AS l
    INNER JOIN contexts AS c ON c.subject_id = l.subject_id AND c.client_id = l.client_id
    WHERE l.grant_id IS NULL AND l.session_id IS NULL
)

SELECT c.grant_id, c.event_time AS logged_out_at, MIN(c.event_id) AS event_id, MIN(c.named) AS named
FROM covered AS c
INNER JOIN grants AS g ON g.grant_id = c.grant_id
WHERE c.named = 'grant' OR g.started_at <= c.event_time
GROUP BY c.grant_id, c.event_time
