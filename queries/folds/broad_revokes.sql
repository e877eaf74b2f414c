-- Revocations that name neither token nor family, by what they name; they are few, so each keeps its time.
SELECT
    event_time,
    subject_id,
    client_id,
    device_id,
    session_id,
    project_id,
    coalesce(token_kind IN ('access', 'id'), FALSE) AS is_short
FROM events
WHERE
    class = 'token' AND action = 'revoke' AND outcome = 'success' AND token_id IS NULL AND family_id IS NULL
    AND (subject_id IS NOT NULL OR session_id IS NOT NULL)
GROUP BY
    event_time, subject_id, client_id, device_id, session_id, project_id, coalesce(token_kind IN ('access', 'id'), FALSE)
