-- On which machines each subject was exercised, and since when.
SELECT
    subject_id,
    device_id,
    host_id,
    user_agent_family(user_agent) AS agent_family,
    MIN(event_time) AS first_exercised_at
FROM events
WHERE
    class = 'token' AND outcome = 'success' AND action IN ('issue', 'refresh', 'use') AND grant_id IS NOT NULL
    AND subject_id IS NOT NULL
GROUP BY subject_id, device_id, host_id, user_agent_family(user_agent)
