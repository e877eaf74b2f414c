/*---
title    = "Why records are rejected"
question = "What do sources send that cannot be read, since when, and how much?"
---*/
SELECT
    topic,
    reject_reason,
    COUNT(*) AS records,
    MIN(received_at) AS first_at,
    MAX(received_at) AS last_at
FROM rejected
GROUP BY topic, reject_reason
ORDER BY records DESC, topic, reject_reason
