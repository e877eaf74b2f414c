-- Where each stored grant id was exercised: by whom, with what, on what, and between when and when.
SELECT
    grant_id,
    CASE WHEN family_id IS NULL THEN token_id END AS alias_token_id,
    subject_id,
    subject_kind,
    client_id,
    device_id,
    session_id,
    project_id,
    host_id,
    host_kind,
    os_user,
    MIN(event_time) AS first_exercised_at,
    MAX(event_time) AS last_exercised_at,
    MIN(CASE WHEN action = 'refresh' THEN event_time END) AS first_refreshed_at,
    MAX(CASE WHEN action = 'refresh' THEN event_time END) AS last_refreshed_at
FROM events
WHERE class = 'token' AND outcome = 'success' AND action IN ('issue', 'refresh', 'use') AND grant_id IS NOT NULL
GROUP BY
    grant_id, CASE WHEN family_id IS NULL THEN token_id END, subject_id, subject_kind, client_id, device_id, session_id,
    project_id, host_id, host_kind, os_user
