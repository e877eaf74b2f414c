-- One row per loss of a device (lost, stolen, wiped, retired, rebuilt), with its next recovery.
WITH recoveries AS (
    SELECT device_id, event_time AS recovered_at
    FROM context_events
    WHERE action = 'device_recovered' AND outcome = 'success'
)
SELECT
    l.device_id,
    l.event_time AS lost_at,
    MIN(r.recovered_at) AS recovered_at,
    MIN(l.event_id) AS event_id
FROM context_events AS l
LEFT JOIN recoveries AS r ON r.device_id = l.device_id AND r.recovered_at > l.event_time
WHERE l.action = 'device_lost' AND l.outcome = 'success' AND l.device_id IS NOT NULL
GROUP BY l.device_id, l.event_time
