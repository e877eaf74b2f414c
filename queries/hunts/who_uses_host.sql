/*---
title    = "Who uses a host"
question = "Whose tokens were exercised on this machine, with which clients and accounts, and when?"
[params.host]
type = "text"
help = "the machine, as in host_id"
---*/
SELECT
    subject_id,
    subject_kind,
    client_id,
    os_user,
    COUNT(DISTINCT grant_id) AS grants,
    MIN(first_exercised_at) AS first_exercised_at,
    MAX(last_exercised_at) AS last_exercised_at
FROM contexts
WHERE host_id = $host
GROUP BY subject_id, subject_kind, client_id, os_user
ORDER BY last_exercised_at DESC, subject_id, client_id
