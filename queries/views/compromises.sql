-- One row per report that a token, device, session or subject was compromised. One that names a token or family names its grant.
SELECT
    c.event_time AS compromised_at,
    c.source,
    c.event_id,
    CASE WHEN c.token_id IS NOT NULL OR c.family_id IS NOT NULL THEN coalesce(a.family_id, c.grant_id) END AS grant_id,
    c.device_id,
    c.session_id,
    c.subject_id,
    c.client_id,
    c.project_id
FROM context_events AS c
LEFT JOIN aliases AS a ON a.token_id = c.token_id AND c.family_id IS NULL
WHERE c.action = 'compromise' AND c.outcome = 'success'
