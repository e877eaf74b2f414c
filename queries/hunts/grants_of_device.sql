/*---
title    = "Grants on a device"
question = "Which grants were exercised on this device, and which of them are alive: what to revoke when it is lost?"
[params.device]
type = "text"
help = "the device, as in device_id"
---*/
SELECT
    c.grant_id,
    MAX(c.subject_id) AS subject_id,
    MAX(c.client_id) AS client_id,
    MIN(c.first_exercised_at) AS first_on_device,
    MAX(c.last_exercised_at) AS last_on_device,
    g.ended_at IS NULL OR g.ended_at > $as_of AS is_alive,
    g.ended_at
FROM contexts AS c
INNER JOIN grants AS g ON g.grant_id = c.grant_id
WHERE c.device_id = $device
GROUP BY c.grant_id, g.ended_at
ORDER BY is_alive DESC, last_on_device DESC, c.grant_id
