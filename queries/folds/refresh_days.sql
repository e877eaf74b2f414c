-- In which hours of which UTC day each subject refreshed with each client, one bit an hour; and for each three hours of the
-- day, in which minutes of any of them, one bit a minute. More bits in one hour than in all three there cannot be: what
-- was frequent in an hour is seen here, and then counted from its events.
SELECT
    event_date AS day,
    subject_id,
    client_id,
    source,
    BIT_OR(hour_bit(event_time)) AS hours,
    BIT_OR(minute_bit(event_time, 0, 3)) AS minutes_00,
    BIT_OR(minute_bit(event_time, 3, 6)) AS minutes_03,
    BIT_OR(minute_bit(event_time, 6, 9)) AS minutes_06,
    BIT_OR(minute_bit(event_time, 9, 12)) AS minutes_09,
    BIT_OR(minute_bit(event_time, 12, 15)) AS minutes_12,
    BIT_OR(minute_bit(event_time, 15, 18)) AS minutes_15,
    BIT_OR(minute_bit(event_time, 18, 21)) AS minutes_18,
    BIT_OR(minute_bit(event_time, 21, 24)) AS minutes_21,
    MIN(grant_id) AS grant_id,
    MAX(CASE WHEN subject_kind = 'agent' OR client_kind IN ('agent', 'ci') OR host_kind = 'ci_runner' THEN 1 ELSE 0 END)
        AS is_automatic
FROM events
WHERE
    class = 'token' AND outcome = 'success' AND action = 'refresh' AND grant_id IS NOT NULL
    AND subject_id IS NOT NULL AND client_id IS NOT NULL
GROUP BY event_date, subject_id, client_id, source
