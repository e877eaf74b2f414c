/*---
title    = "Tokens kept without protection"
question = "Which clients keep tokens in plain files or unprotected, and on how many machines?"
---*/
SELECT
    client_id,
    token_storage,
    COUNT(DISTINCT grant_id) AS grants,
    COUNT(DISTINCT subject_id) AS subjects,
    COUNT(DISTINCT host_id) AS hosts,
    MAX(event_time) AS last_at
FROM token_events
WHERE token_storage IN ('plaintext_file', 'none') AND outcome = 'success'
GROUP BY client_id, token_storage
ORDER BY grants DESC, client_id
