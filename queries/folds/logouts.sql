-- Logouts by what they name; they are few, so each keeps its time. One that names a token or family names its grant.
SELECT
    event_time,
    CASE WHEN token_id IS NOT NULL OR family_id IS NOT NULL THEN grant_id END AS named_grant_id,
    CASE WHEN family_id IS NULL THEN token_id END AS alias_token_id,
    subject_id,
    client_id,
    session_id,
    MIN(event_id) AS event_id
FROM events
WHERE class = 'token' AND action = 'logout' AND outcome = 'success'
GROUP BY
    event_time, CASE WHEN token_id IS NOT NULL OR family_id IS NOT NULL THEN grant_id END,
    CASE WHEN family_id IS NULL THEN token_id END, subject_id, client_id, session_id
