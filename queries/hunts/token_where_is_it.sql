/*---
title    = "What is known of one token"
question = "Which grant does this token belong to, and everything that was recorded of the token itself?"
[params.token]
type = "text"
help = "the token's id or fingerprint, as in token_id (tokentrail fingerprint makes one from a secret)"
---*/
SELECT
    event_time,
    action,
    outcome,
    grant_id,
    token_kind,
    subject_id,
    client_id,
    host_id,
    device_id,
    ip,
    source,
    source_event
FROM token_events
WHERE token_id = $token
ORDER BY event_time, event_id
