-- The first and the last by name of the subjects and of the accounts on each host: where they differ there are several.
SELECT
    host_id,
    MIN(subject_id) AS least_subject_id,
    MAX(subject_id) AS greatest_subject_id,
    MIN(os_user) AS least_os_user,
    MAX(os_user) AS greatest_os_user
FROM events
WHERE
    class = 'token' AND outcome = 'success' AND action IN ('issue', 'refresh', 'use') AND grant_id IS NOT NULL
    AND host_id IS NOT NULL
GROUP BY host_id
