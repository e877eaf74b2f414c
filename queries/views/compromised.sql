-- One row per compromise and grant that it covers: the one it names, else those of the device, else of the session, else of
-- the subject with the client and project that are given.
WITH covered AS (
    SELECT grant_id, compromised_at, event_id, 'grant' AS named
    FROM compromises
    WHERE grant_id IS NOT NULL
    UNION ALL
    SELECT c.grant_id, s.compromised_at, s.event_id, 'device' AS named
    FROM compromises AS s
    INNER JOIN contexts AS c ON c.device_id = s.device_id
    WHERE s.grant_id IS NULL
    UNION ALL
    SELECT c.grant_id, s.compromised_at, s.event_id, 'session' AS named
    FROM compromises AS s
    INNER JOIN contexts AS c ON c.session_id = s.session_id
    WHERE s.grant_id IS NULL AND s.device_id IS NULL
    UNION ALL
    SELECT c.grant_id, s.compromised_at, s.event_id, 'subject' AS named
    FROM compromises AS s
    INNER JOIN contexts AS c ON c.subject_id = s.subject_id
    WHERE
        s.grant_id IS NULL AND s.device_id IS NULL AND s.session_id IS NULL
        AND (s.client_id IS NULL OR s.client_id = c.client_id)
        AND (s.project_id IS NULL OR s.project_id = c.project_id)
)

SELECT c.grant_id, c.compromised_at, MIN(c.event_id) AS event_id, MIN(c.named) AS named
FROM covered AS c
INNER JOIN grants AS g ON g.grant_id = c.grant_id
WHERE c.named = 'grant' OR g.started_at <= c.compromised_at
GROUP BY c.grant_id, c.compromised_at
